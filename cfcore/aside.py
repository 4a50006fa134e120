"""Work beside training that pages ask a worker for: small tasks by key, and a look at a run that is still training.

A page asks again on every rerun, so a task has a key: the same key is the same task, whose result stays for a while.
Each kind of work has a slot of its own on our workers: a fold-in of a second does not wait for a training of minutes.
Whoever asks for the next thing no longer wants the last one: a task may have an owner, who has one of a kind at a time.

Nothing here waits for Dask while it holds the lock: Dask's own thread, which every answer waits for, takes it as well.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # importing distributed takes half a second: the queue's own thread does it
    from cfcore.cluster import Cluster, Future

MOST_ENDED, MOST_WAITING = 32, 64  # tasks whose results are kept, the latest used; and tasks that may wait
MOST_LOOKS = 8  # at runs in training
LOOK_SECONDS, LOOK_LOST_SECONDS = 0.5, 10  # between two looks at the same run; until one that hangs is given up
LOST = "The worker was lost before this was computed: try again."
TOO_MANY = "Many people are waiting for the worker: try again in a moment."

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Task:
    """``state`` is ``waiting``, ``running``, ``done`` or ``failed`` (and ``message`` says why); ``progress`` 0 to 1."""

    key: str
    kind: str = ""
    owner: str = ""
    state: str = "waiting"
    progress: float = 0.0
    message: str = ""
    result: dict[str, np.ndarray] | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long for the task's end; returns whether it has ended."""
        return self._ended.wait(seconds)

    def advance(self, progress: float) -> None:
        """Set how far the task has come; news that arrive after its end change nothing."""
        with self._lock:
            if not self.ended:
                self.state, self.progress = "running", progress

    def end(self, state: str, message: str = "", result: dict[str, np.ndarray] | None = None) -> None:
        """Set how the task ended, and wake whoever waits for it; only the first end counts."""
        with self._lock:
            if not self.ended:
                self.message, self.result, self.progress = message, result, 1.0
                self.state = state  # last: whoever sees it finds the rest
                self._ended.set()


@dataclass
class _Look:
    """What a run in training last looked like, and when that was asked for."""

    arrays: dict[str, np.ndarray] | None = None
    asked: float = -LOOK_LOST_SECONDS
    asking: bool = False


class Aside:
    """The tasks and looks of one queue; :meth:`attach` gives it the cluster, which may come late and change.

    ``wake`` is called whenever there is a new task: the cluster may not have been started yet.
    """

    def __init__(self, wake: Callable[[], object] = lambda: None) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._cluster: Cluster | None = None
        self._problem = ""
        self._topic = f"latent-lab-aside-{secrets.token_hex(8)}"
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self._unsent: dict[str, tuple[str, Mapping[str, Any]]] = {}  # task id: its kind and inputs
        self._futures: dict[str, Future] = {}
        self._looks: OrderedDict[str, _Look] = OrderedDict()

    def compute(self, kind: str, key: str, inputs: Mapping[str, Any], *, again: bool = False, owner: str = "") -> Task:
        """The task with this key, begun now unless it is known; ``again`` begins a failed one anew.

        ``kind`` is one of :data:`cfcore.worker.TASKS`; ``inputs`` are plain values and arrays. A new task takes the
        place of the one of this kind that its ``owner`` is still waiting for.
        """
        unwanted: list[Future] = []
        with self._lock:
            task = self._tasks.get(key)
            if task is None or (again and task.state == "failed"):
                unwanted = self._make_room(kind, owner)
                task = Task(key, kind, owner)
                if sum(not each.ended for each in self._tasks.values()) >= MOST_WAITING:
                    task.end("failed", TOO_MANY)
                    return task
                self._tasks[key] = task
                self._unsent[task.id] = (kind, inputs)
            self._tasks.move_to_end(key)
        for future in unwanted:
            future.cancel()
        self._wake()
        self._send()
        return task

    def peek(self, run_id: str) -> dict[str, np.ndarray] | None:
        """Factors and model of a run in training as of its last epoch; ``None`` until they are here.

        Returns at once, with what the look before brought; asking again keeps them coming.
        """
        with self._lock:
            look = self._looks.setdefault(run_id, _Look())
            self._looks.move_to_end(run_id)
            while len(self._looks) > MOST_LOOKS:
                self._looks.popitem(last=False)
            since = time.monotonic() - look.asked
            due = self._cluster is not None and since > (LOOK_LOST_SECONDS if look.asking else LOOK_SECONDS)
            if due:
                look.asking, look.asked = True, time.monotonic()
        if due:
            threading.Thread(target=self._look, args=(run_id, look), name="peek", daemon=True).start()
        return look.arrays

    def forget(self, run_id: str) -> None:
        """Let go of the look at a run that has ended: it is in the store now."""
        with self._lock:
            self._looks.pop(run_id, None)

    def attach(self, cluster: Cluster | None, problem: str = "") -> None:
        """Work with this cluster from now on; ``None`` fails what waits, for the reason given. What ran is lost."""
        with self._lock:
            if cluster is not None and cluster is self._cluster:
                return
            self._cluster, self._problem = cluster, problem
            lost = [task for task in self._tasks.values() if task.id in self._futures]
            self._futures.clear()
        for task in lost:
            task.end("failed", LOST)
        if cluster is not None:
            cluster.on_event(self._topic, self._hear)
        self._send()

    def _send(self) -> None:
        """Hand out what waits, where there is a cluster to take it."""
        with self._lock:
            cluster, problem = self._cluster, self._problem
            if cluster is None and not problem:
                return
            unsent, self._unsent = self._unsent, {}
            tasks = [task for task in self._tasks.values() if task.id in unsent]
        for task in tasks:
            if cluster is None:
                task.end("failed", problem)
                continue
            kind, inputs = unsent[task.id]
            try:
                future = cluster.compute(kind, inputs, task.id, self._topic)
            except ValueError as refusal:  # the data cannot be read
                task.end("failed", str(refusal))
                continue
            except Exception:  # the cluster is being replaced at this very moment
                logger.exception("a task could not be handed out")
                task.end("failed", LOST)
                continue
            with self._lock:
                self._futures[task.id] = future
            future.add_done_callback(partial(self._ended, task))

    def _hear(self, message: dict[str, Any]) -> None:
        with self._lock:
            task = next((task for task in self._tasks.values() if task.id == message["task"]), None)
        if task is not None:
            task.advance(float(message["progress"]))

    def _ended(self, task: Task, future: Future) -> None:
        from cfcore.cluster import why_not

        with self._lock:
            self._futures.pop(task.id, None)
        try:
            if why_not(future) is not None:
                task.end("failed", LOST)
                return
            outcome = future.result()
        except Exception:  # the connection broke at this very moment; nobody may wait for ever
            logger.exception("the outcome of a task is lost")
            task.end("failed", LOST)
        else:
            task.end("failed" if "problem" in outcome else "done", outcome.get("problem", ""), outcome.get("result"))

    def _look(self, run_id: str, look: _Look) -> None:
        try:
            arrays = self._cluster.peek(run_id) if self._cluster is not None else None
        except Exception as error:  # a worker died, the app is ending: the next look may succeed
            logger.info("no look at run %s: %s", run_id, error)
            arrays = None
        look.arrays, look.asking = arrays or look.arrays, False

    def _make_room(self, kind: str, owner: str) -> list[Future]:
        """Forget old results, and what the owner no longer waits for; gives the futures to cancel."""
        ended = [key for key, task in self._tasks.items() if task.ended]
        for key in ended[: max(0, len(ended) - MOST_ENDED + 1)]:
            del self._tasks[key]
        superseded = [
            task
            for task in self._tasks.values()
            if owner and (task.owner, task.kind) == (owner, kind) and not task.ended
        ]
        for task in superseded:
            del self._tasks[task.key]
            self._unsent.pop(task.id, None)
            task.end("failed", LOST)
        futures = [self._futures.pop(task.id, None) for task in superseded]
        return [future for future in futures if future is not None]
