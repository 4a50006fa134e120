"""The Dask cluster that runs execute on: workers of our own on this machine, or a scheduler elsewhere.

Importing this module imports distributed, about half a second: the page's process does so in a background thread.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from cfcore.cluster_settings import ClusterSettings
from cfcore.guests import Guests
from cfcore.own_workers import own_cluster

if TYPE_CHECKING:
    import numpy as np

    from cfcore.config import RunRequest
    from cfcore.limits import Limits

logger = logging.getLogger(__name__)

__all__ = ["Cluster", "ClusterSettings", "Future", "KilledWorker", "why_not"]

CONNECT_SECONDS = 10
START_SECONDS = 180  # that a first worker has to come up: on a machine with no core to spare it takes over a minute
LOOK_SECONDS = 1  # between two looks at whether it still can
ANSWER_SECONDS = 3  # that workers elsewhere have to say their versions before the app is ready all the same
MOST_SENT = 4  # data sets of this machine that workers elsewhere keep


class Cluster:
    """A running cluster, and the ``client`` that talks to it. Blocks until the first worker is there.

    While it waits for that, it asks ``go_on`` every second.

    Raises:
        ValueError: no scheduler answers at the address given, or the two do not trust each other.
        TimeoutError: no worker came up, or nobody waits for one any more.
    """

    def __init__(self, settings: ClusterSettings, *, go_on: Callable[[], bool] = lambda: True) -> None:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we tell people ourselves, in words
        self.remote = bool(settings.scheduler)
        self._n_workers = settings.n_workers
        self._ends = contextlib.ExitStack()  # what is to be ended, the last first
        self._given: WeakKeyDictionary[Future, Sequence[str] | None] = WeakKeyDictionary()  # to whom, elsewhere
        self._sending = threading.Lock()  # the queue's thread and pages hand out work
        self._sent: OrderedDict[str, Future] = OrderedDict()  # data set: its ratings, on the workers
        if settings.warning:
            logger.warning(settings.warning)
        try:
            self._start(settings, go_on)
        except Exception:
            self.close()
            raise

    def _start(self, settings: ClusterSettings, go_on: Callable[[], bool]) -> None:
        self._own = None if self.remote else own_cluster(settings)
        if self._own is not None:
            self._ends.callback(self._own.close, timeout=5)
        self.client = self._connect(settings)
        self._ends.callback(self.client.close, timeout=5)
        self._guests = Guests(self.client)
        if self.remote:
            self._guests.wait(ANSWER_SECONDS)
            return
        from cfcore.worker import WarmUp

        self.client.register_plugin(WarmUp())  # not elsewhere: a scheduler that lacks this package would refuse it
        self._wait_for_the_first(go_on)

    def _connect(self, settings: ClusterSettings) -> Client:
        seconds = CONNECT_SECONDS if self.remote else 3 * CONNECT_SECONDS  # our own is there: it can only be slow
        place = self._own or settings.scheduler
        try:
            return Client(place, timeout=seconds, security=settings.security, set_as_default=False)
        except OSError as error:
            if not self.remote:
                raise
            trust = ", and whether both sides trust the same authority" if settings.certificates else ""
            raise ValueError(
                f"no scheduler answers at {settings.scheduler}: start it{trust}, or unset CFCORE_SCHEDULER "
                "to train on this machine"
            ) from error

    def _wait_for_the_first(self, go_on: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.client.wait_for_workers(1, timeout=LOOK_SECONDS)
            except TimeoutError:
                if not go_on():
                    raise TimeoutError("nobody waits for one any more") from None
                if self.broken():
                    raise TimeoutError(
                        "the process of one has ended. The server's log may say why, or the system's, if memory ran out"
                    ) from None
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"none came up within {START_SECONDS:g} s. This machine is very busy, or short of memory: "
                        "press Train again in a few minutes"
                    ) from None

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
        """End the connection, and our own workers with it; what fails at that is for the log."""
        try:
            self._ends.close()
        except Exception as error:  # above all a time-out: nobody must be told of it in place of what went wrong before
            logger.warning("the cluster did not end in order: %r", error)


def why_not(future: Future) -> BaseException | None:
    """What kept a task that has ended from having a result; ``None`` when it has one."""
    if future.status in ("cancelled", "lost"):  # not asked for: a run that is stopped is forgotten first
        return ConnectionError("the connection to the scheduler was lost")
    return cast(BaseException | None, future.exception())
