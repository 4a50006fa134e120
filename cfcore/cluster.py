"""The Dask cluster that runs execute on: workers of our own on this machine, or a scheduler elsewhere.

Our own cluster is distributed's ``SubprocessCluster`` with one change: the scheduler lives in a thread of this process
instead of a process of its own, which saves 60 MB and lets the workers notice when this process is gone.
(``LocalCluster`` would not do: its workers start by multiprocessing, which runs the main script again, and under
Streamlit that is the app.) Each worker process is watched over by a nanny process, which starts it again when it dies.

Importing this module imports distributed, about half a second: the page's process does so in a background thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from dask.system import CPU_COUNT
from distributed import Client, Future, Nanny, Scheduler, SpecCluster
from distributed.deploy.subprocess import SubprocessWorker
from distributed.scheduler import KilledWorker

from cfcore.cluster_settings import ClusterSettings
from cfcore.guests import Guests

if TYPE_CHECKING:
    import numpy as np

    from cfcore.config import RunRequest
    from cfcore.limits import Limits

logger = logging.getLogger(__name__)

__all__ = ["Cluster", "ClusterSettings", "Future", "KilledWorker", "why_not"]

CONNECT_SECONDS = 10
START_SECONDS = 60
ANSWER_SECONDS = 3  # that workers elsewhere have to say their versions before the app is ready all the same
SLOTS = ("train", "tsne", "fold_in", "lesson", "alone")  # kinds of work that do not wait for each other
NEVER = "10000 days"  # a worker on this machine that dies closes its connection
MOST_SENT = 4  # data sets of this machine that workers elsewhere keep


class Cluster:
    """A running cluster, and the ``client`` that talks to it. Blocks until the first worker is there.

    Raises:
        ValueError: no scheduler answers at the address given, or the two do not trust each other.
        TimeoutError: no worker came up.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we tell people ourselves, in words
        self.remote = bool(settings.scheduler)
        self._n_workers = settings.n_workers
        self._own = None if self.remote else _own_cluster(settings)
        self._given: WeakKeyDictionary[Future, Sequence[str] | None] = WeakKeyDictionary()  # to whom, elsewhere
        self._sending = threading.Lock()  # the queue's thread and pages hand out work
        self._sent: OrderedDict[str, Future] = OrderedDict()  # data set: its ratings, on the workers
        if settings.warning:
            logger.warning(settings.warning)
        try:
            self.client = Client(
                self._own or settings.scheduler,
                timeout=CONNECT_SECONDS,
                security=settings.security,
                set_as_default=False,
            )
        except OSError as error:
            trust = ", and whether both sides trust the same authority" if settings.certificates else ""
            raise ValueError(
                f"no scheduler answers at {settings.scheduler}: start it{trust}, or unset CFCORE_SCHEDULER "
                "to train on this machine"
            ) from error
        self._guests = Guests(self.client)
        if self.remote:
            self._guests.wait(ANSWER_SECONDS)
        from cfcore.worker import WarmUp

        try:
            if not self.remote:  # one elsewhere that lacks this package would refuse it for all
                self.client.register_plugin(WarmUp())
                self.client.wait_for_workers(1, timeout=START_SECONDS)
        except Exception:
            self.close()
            raise

    def n_workers(self) -> int:
        """How many workers can be used, or, for our own, are meant to be: one that died is on its way back.

        For the queue's own thread alone: it asks the scheduler who is there.
        """
        if not self.remote:
            return self._n_workers
        self._guests.look()
        return len(self._guests.usable())

    def why_none(self) -> str:
        """Why there is no worker that can be used, in a sentence."""
        return self._guests.problem()

    def on_event(self, topic: str, handler: Callable[[dict[str, Any]], None]) -> None:
        """Call ``handler`` with every message that a worker sends to ``topic``."""
        self.client.subscribe_topic(topic, lambda event: handler(event[1]))

    def train(self, run_id: str, request: RunRequest, topic: str, limits: Limits) -> Future:
        """Hand a run to a worker, which refuses it where it is beyond our ``limits``.

        A worker loads the data itself, but for data that only this machine has when the workers are elsewhere.

        Raises:
            ValueError: the data cannot be read here.
        """
        from cfcore import worker

        ratings = self._scattered(request.dataset)
        workers = self._where()
        future = self.client.submit(
            worker.execute,
            run_id,
            request.to_json(),
            topic,
            ratings,
            asdict(limits),
            key=f"train-{run_id}-{secrets.token_hex(4)}",
            pure=False,
            retries=0,
            resources=self._slot("train"),
            workers=workers,
            priority=-int(time.time() * 1000),  # first come first served, also among several servers on one scheduler
        )
        self._given[future] = workers
        return future

    def compute(self, kind: str, inputs: Mapping[str, Any], task_id: str, topic: str) -> Future:
        """Hand a task beside training to a worker; see :func:`cfcore.worker.compute`.

        Raises:
            ValueError: the data it needs cannot be read here.
        """
        from cfcore import worker

        request = inputs.get("request")
        ratings = self._scattered(request["dataset"]) if request else None
        return self.client.submit(
            worker.compute,
            kind,
            inputs,
            task_id,
            topic,
            ratings,
            key=f"{kind}-{task_id}",
            pure=False,
            retries=0,
            resources=self._slot("alone" if kind in worker.ALONE else kind),
            workers=self._where(),
            allow_other_workers=self.remote,  # or a task would wait for ever for a worker that has gone
        )

    def peek(self, run_id: str) -> dict[str, np.ndarray] | None:
        """The model in training of this run as of its last epoch, from whichever worker has it."""
        from cfcore import worker

        looks = cast(dict, self.client.run(worker.peek, run_id, on_error="ignore"))
        return next((arrays for arrays in looks.values() if arrays), None)

    def lost_its_worker(self, future: Future) -> bool:
        """Whether all workers elsewhere that a run was handed out for have gone.

        Dask would wait for one to come back under the same address; one that was started again has another.
        """
        workers = self._given.get(future)
        return workers is not None and not set(workers) & set(self._guests.usable())

    def request_stop(self, run_id: str) -> None:
        """Tell every worker to end this run; returns at once."""
        from cfcore import worker

        call = partial(self.client.run, worker.request_stop, run_id, on_error="ignore")
        threading.Thread(target=call, name="stop", daemon=True).start()

    def _scattered(self, dataset: str) -> Future | None:
        """The ratings themselves, where workers elsewhere may not have them."""
        from cfcore import datasets

        if not self.remote or dataset in datasets.SOURCES:
            return None
        # By a hash of their content, so that the same ratings travel once to a worker, and not with every run.
        future = cast(Any, self.client.scatter(datasets.load(dataset), workers=self._where(), hash=True))
        with self._sending:
            self._sent[dataset] = future  # kept: the workers keep what somebody holds on to
            self._sent.move_to_end(dataset)
            while len(self._sent) > MOST_SENT:
                self._sent.popitem(last=False)
        return future

    def _where(self) -> list[str] | None:
        """The workers elsewhere that can be used; ``None``, for any, where they are our own, whom nobody asks."""
        return list(self._guests.usable()) or None

    def _slot(self, kind: str) -> dict[str, int] | None:
        """One task of each kind at a time on each of our workers; what workers elsewhere can do is not known."""
        return None if self.remote else {kind: 1}

    def broken(self) -> bool:
        """Whether the cluster must be started anew: the scheduler went away, or a nanny died, which nobody restarts."""
        if self._own is None:
            return self.client.status != "running"
        processes = [worker.process for worker in self._own.workers.values()]
        return any(process is None or process.returncode is not None for process in processes)

    def close(self) -> None:
        """End the connection, and our own workers with it."""
        self.client.close(timeout=5)
        if self._own is not None:
            self._own.close(timeout=5)


def why_not(future: Future) -> BaseException | None:
    """What kept a task that has ended from having a result; ``None`` when it has one."""
    if future.status in ("cancelled", "lost"):  # not asked for: a run that is stopped is forgotten first
        return ConnectionError("the connection to the scheduler was lost")
    return cast(BaseException | None, future.exception())


class _Worker(SubprocessWorker):
    """A nanny in a subprocess, with an environment of our choice, and a pipe that closes when this process ends."""

    def __init__(self, scheduler: str, name: int, environment: dict[str, str], options: dict[str, Any]) -> None:
        # The name stays here: a worker that bore it would be struck off for good when it dies (lost-worker-timeout).
        super().__init__(scheduler, worker_class=f"{Nanny.__module__}.{Nanny.__name__}", worker_kwargs=options)
        self._environment = environment

    async def _start(self) -> None:
        spec = json.dumps({"cls": self.worker_class, "opts": self.worker_kwargs})
        command = [sys.executable, "-m", "dask", "spec", self.scheduler, "--spec", spec]
        self.process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for this process, which then closes its workers
        )

    async def close(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()  # the nanny ends by itself and tidies up; whatever is left then is killed
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), timeout=2)
        await super().close()


def _own_cluster(settings: ClusterSettings) -> SpecCluster:
    scheduler = {
        "cls": Scheduler,
        "options": {
            "host": "127.0.0.1",
            "worker_ttl": NEVER,  # by the clock on the wall: one that is set would end them all
            "allowed_failures": 0,  # a run that killed its worker must not kill the next one
            "dashboard": False,
            "dashboard_address": "127.0.0.1:0",  # None would mean port 8787
        },
    }
    options = {
        "host": "127.0.0.1",
        "nthreads": len(SLOTS),
        "resources": dict.fromkeys(SLOTS, 1),
        "memory_limit": settings.memory_limit,
        "preload_nanny": ["cfcore.nanny"],
        "silence_logs": logging.CRITICAL,
    }
    worker = {"cls": _Worker, "options": {"environment": _worker_environment(settings), "options": options}}
    return SpecCluster(
        scheduler=scheduler, workers=dict.fromkeys(range(settings.n_workers), worker), worker=worker, name="latent-lab"
    )


def _worker_environment(settings: ClusterSettings) -> dict[str, str]:
    """This process's environment, with what workers need in it; what a person has set stays."""
    package_root = str(Path(__file__).resolve().parents[1])
    threads = str(max(1, CPU_COUNT // settings.n_workers))
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    defaults = {
        "OMP_WAIT_POLICY": "PASSIVE",  # see approaches.load, which comes too late where a lesson imports torch first
        "OMP_NUM_THREADS": threads,  # torch's own; without it, a nanny would set 1
        "MKL_NUM_THREADS": threads,
        "MALLOC_ARENA_MAX": "1",  # a thread's own would keep what memory.give_back_freed_memory should return
        "CFCORE_MEMORY_LIMIT_MB": str(int(min(2000, 0.6 * settings.memory_limit / 1e6))),
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",  # samples our training thread 100 times a second
        "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",  # neither spill nor pause: one run, which fits or fails
        "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
        "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
        "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "0.95",
        "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False",
        "DASK_LOGGING__DISTRIBUTED": "critical",
        "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",  # it tidies up after an abrupt end, and says so
    }
    return defaults | os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
