"""What the Learn page computes: from the chosen data, by the functions that train.

``corner`` and ``one_step`` are numpy, and pages may import them. The others need torch: only a worker imports them, by
their names in :data:`cfcore.worker.TASKS`.
"""
