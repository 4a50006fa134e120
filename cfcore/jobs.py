"""The queue of runs: who is next, what a worker says, and how a run ends.

One background thread owns everything that talks to Dask. It starts the cluster, hands out runs so that visits take
turns (:mod:`cfcore.fair`), writes what workers report to the store, and deals with losses; other threads only put work
into its inbox, so a page never waits. At most as many runs are handed to Dask as there are workers. The rest wait here,
where their order is plain, and where a worker that dies takes no more than its own run with it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cfcore.aside import Aside
from cfcore.config import RunRequest
from cfcore.fair import Claim
from cfcore.limits import Limits
from cfcore.line import Flight, JobsStatus, Line
from cfcore.memory import GiveBackWhenGrown
from cfcore.outcome import Failures, settle
from cfcore.runs import LOST, ORPHANED, STOPPED_EARLY, STOPPING, Run, RunStore, StoreError
from cfcore.servers import BEAT_SECONDS, this_server
from cfcore.training import EpochResult

if TYPE_CHECKING:  # importing distributed takes half a second: the background thread does it
    from cfcore.cluster import Cluster

ENDED = "The queue of runs has ended: start the app again."
_CLOSE_SECONDS = 20
_LOOK_SECONDS = 0.05  # how often to see whether a task has ended
_PAGE_BYTES = 8 << 20  # by which the pages' process may grow before it gives freed memory back
_PAUSE_SECONDS = 1.0  # before trying again what failed

logger = logging.getLogger(__name__)


class Jobs:
    """Runs requests on Dask workers and keeps what comes of them in ``store``. Starts in the background.

    Workers start ``after`` so many seconds, or as soon as there is work: one that loads PyTorch would share the cores
    with the browser that loads its first page.
    """

    def __init__(self, store: RunStore, *, after: float = 0.0, limits: Limits | None = None) -> None:
        self._store, self._line, self._failures = store, Line(limits or Limits()), Failures(store)
        self._server = this_server()
        self._topic = f"latent-lab-{secrets.token_hex(8)}"
        self._lock = threading.Lock()  # guards what pages ask for; held for moments
        self._joining = threading.Lock()  # two tabs of one visitor may press Train at the same moment
        self._state, self._message, self._n_workers = "starting", "", 0
        self._retried: set[str] = set()
        self._next_beat, self._give_back = 0.0, GiveBackWhenGrown(_PAGE_BYTES)
        self._cluster: Cluster | None = None
        self._after = after
        self._aside = Aside(wake=lambda: self._inbox.put(lambda: None))
        self.compute, self.peek = self._aside.compute, self._aside.peek  # what is done beside training
        self._closing = False
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        store.fail_orphans()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def submit(
        self, request: RunRequest, *, visitor: str = "", dataset_title: str = "", group: str = "", seconds: float = 0.0
    ) -> Run:
        """Put a run into the queue, behind those of its visitor; returns at once.

        ``seconds`` is what it is estimated to take, for the sake of those who wait behind it.

        Raises:
            LimitError: the visitor has as many runs as one may have.
            StoreError: the run cannot be kept.
        """
        with self._joining:
            if visitor:
                self._line.check(visitor, group)
            run = self._store.create(
                request, visitor=visitor, dataset_title=dataset_title, server=self._server, group=group
            )
            if not self._closing:
                self._line.join(Claim(run_id=run.id, owner=visitor or run.id, batch=group or run.id, seconds=seconds))
        if self._closing:
            self._store.fail(run.id, ORPHANED)
        self._inbox.put(self._hand_out)
        return run

    def stop(self, run_id: str) -> None:
        """End a run: at once when it has not started, else at its next step, keeping what it has learned so far."""
        self._line.leave(run_id)
        if not self._store.cancel(run_id, STOPPED_EARLY):
            self._store.note(run_id, STOPPING)
        self._inbox.put(partial(self._stop, run_id))

    def position(self, run_id: str) -> int | None:
        """The place of a run in this server's queue, 1 being next; ``None`` when it is not in it (any more)."""
        return self._line.position(run_id, self.status().n_workers)

    def waits_for_own(self, run_id: str) -> bool:
        """Whether a run that waits will let others go first, until one of its own visitor's has ended."""
        return self._line.waits_for_own(run_id, self.status().n_workers)

    def starts_in(self, run_id: str) -> float | None:
        """In how many seconds a run that waits will begin, as far as that can be told; ``None`` when it does not."""
        return self._line.starts_in(run_id, self._store, self.status().n_workers)

    def status(self) -> JobsStatus:
        """The state of the queue; costs nothing, so that a page may ask often."""
        queued, running = self._line.counts()
        with self._lock:
            state, message, n_workers = self._state, self._message, self._n_workers
        return JobsStatus(state=state, message=message, n_workers=n_workers, queued=queued, running=running)

    def close(self) -> None:
        """End the workers, and mark the runs that have not ended as failed. Nothing can be submitted afterwards."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
        atexit.unregister(self.close)
        self._inbox.put(lambda: None)
        self._thread.join(_CLOSE_SECONDS)

    # Everything below runs in the background thread.

    def _work(self) -> None:
        try:
            with contextlib.suppress(queue.Empty):
                self._inbox.put(self._inbox.get(timeout=self._after))  # work, which keeps for its turn, or the end
            if not self._closing:
                self._begin()
            while not self._closing:
                self._do_next()
        finally:
            with self._lock:
                self._closing = True
            self._failures.add(ORPHANED, *self._line.ground())
            cluster, self._cluster = self._cluster, None
            self._set_state("failed", ENDED)
            if cluster is not None:
                cluster.close()

    def _do_next(self) -> None:
        task = None
        with contextlib.suppress(queue.Empty):
            task = self._inbox.get(timeout=_LOOK_SECONDS if self._line.flights() else BEAT_SECONDS)
        try:
            if task is not None:
                task()
            self._end_those_done()
            if time.monotonic() > self._next_beat:
                self._next_beat = time.monotonic() + BEAT_SECONDS
                self._beat()
        except Exception:  # a full disk, a connection that broke, a mistake of ours: the queue goes on all the same
            logger.exception("a step of the queue of runs failed")
            time.sleep(_PAUSE_SECONDS)

    def _begin(self) -> None:
        """Start the cluster, or say why that failed, to those who wait as well."""
        if self._closing:
            return
        if self._state != "failed" or not os.environ.get("CFCORE_SCHEDULER"):  # whose tries nobody need see
            self._set_state("starting", "")
        try:
            from cfcore.cluster import Cluster, ClusterSettings

            atexit.unregister(self.close)  # again, so that it comes before the farewells of distributed,
            atexit.register(self.close)  # which was imported just now
            self._cluster = Cluster(ClusterSettings.from_environment(), go_on=self._say_alive)
            self._cluster.on_event(self._topic, lambda message: self._inbox.put(partial(self._hear, message)))
            self._set_state("ready", "")
        except Exception as error:  # a setting, no memory, a worker elsewhere that cannot read what we send
            cluster, self._cluster = self._cluster, None
            if cluster is not None:
                cluster.close()
            if self._closing or not threading.main_thread().is_alive():
                return  # the app ended while this began
            message = str(error) if isinstance(error, ValueError) else f"The workers could not be started: {error}"
            logger.warning("no cluster: %s", message)
            self._set_state("failed", message)
            self._failures.add(message, *self._line.ground(flying=False))

    def _beat(self) -> None:
        """Every few seconds: say that we are alive, and look after the cluster."""
        self._say_alive()
        self._failures.try_again()
        self._hand_out()
        for flight in self._line.flights():
            if self._cluster is not None and self._cluster.lost_its_worker(flight.future):
                self._line.land(flight.run_id)
                flight.future.cancel()  # not request_stop: that would stop the second try as well
                self._lose(flight)
        if self._cluster is not None:
            self._set_state("ready", "")
        elif os.environ.get("CFCORE_SCHEDULER"):
            self._begin()  # the scheduler may be back
        self._give_back()

    def _say_alive(self) -> bool:
        with contextlib.suppress(StoreError):  # the cluster is looked after also while the disk is full
            self._store.beat(self._server)
            self._store.fail_orphans()  # of a container that was replaced: known to be gone only after a minute
        return not self._closing  # and so whether a start is still waited for

    def _restart(self) -> None:
        """Begin again with a new cluster; runs that the old one had are lost."""
        cluster, self._cluster = self._cluster, None
        self._failures.add(LOST, *self._line.ground(waiting=False))
        if cluster is not None:
            self._set_state("starting", "")  # first: what is asked of a cluster that closes is lost
            cluster.close()
        self._begin()

    def _set_state(self, state: str, message: str) -> None:
        n_workers = self._cluster.n_workers() if self._cluster is not None else 0
        if state == "ready" and not n_workers:
            message = self._cluster.why_none() if self._cluster is not None else ""
        with self._lock:
            self._state, self._message, self._n_workers = state, message, n_workers
        self._aside.attach(self._cluster, message)

    def _hand_out(self) -> None:
        """Give the runs whose turn it is to Dask, as many as there are workers without one."""
        if self._cluster.broken() if self._cluster is not None else self._line.counts()[0]:
            self._restart()
        while self._cluster is not None and (claim := self._line.next(self._cluster.n_workers())) is not None:
            run, future = self._store.get(claim.run_id), None
            if run is not None and run.active:
                try:
                    future = self._cluster.train(run.id, run.request, self._topic, self._line.limits)
                except ValueError as error:  # the data, which had to be read here
                    self._failures.add(str(error), run.id)
                except Exception as error:  # or this run would stand first for ever, and nobody behind it would start
                    logger.exception("run %s could not be handed out", run.id)
                    self._failures.add(f"This run could not be handed out ({error}): start it again.", run.id)
            self._line.take_off(claim, future)

    def _hear(self, message: dict[str, Any]) -> None:
        """Take an event from a worker: a run has begun, or some of its epochs."""
        run_id, flight = message["run_id"], self._line.flight(message["run_id"])
        if flight is None:
            return  # stopped, or lost, in the meantime
        if flight.attempt not in ("", message["attempt"]):  # a scheduler elsewhere gave it to a second worker
            self._forget(run_id)
            self._failures.add(LOST, run_id)
            return
        with contextlib.suppress(StoreError):  # all of it comes again with the outcome
            if "started" in message:
                self._line.begun(flight, message["attempt"])
                self._store.start(run_id, **message["started"])
            else:
                self._store.add_epochs(run_id, [EpochResult(**epoch) for epoch in message["epochs"]])

    def _stop(self, run_id: str) -> None:
        if self._cluster is None or self._line.flight(run_id) is None:
            return
        run = self._store.get(run_id)
        if run is not None and run.active:
            self._cluster.request_stop(run_id)
        else:  # it had been handed out, but had not begun
            self._forget(run_id)
            self._hand_out()

    def _forget(self, run_id: str) -> None:
        flight = self._line.land(run_id)
        if flight is not None:
            flight.future.cancel()
        if self._cluster is not None:
            self._cluster.request_stop(run_id)

    def _end_those_done(self) -> None:
        """Take the end of tasks, good or bad, and let the next runs begin. Dask's callback complains at exit."""
        for run_id, flight in [(each.run_id, each) for each in self._line.flights() if each.future.done()]:
            try:
                self._keep(run_id, flight)
            except Exception as error:  # whatever it is, no run may stay "running" for ever
                logger.exception("the outcome of run %s is lost", run_id)
                try:
                    self._store.fail(run_id, f"The outcome of this run could not be kept: {error}.")
                except StoreError:  # a full disk: the run stays with us, to be tried again
                    continue
            self._line.land(run_id)
            self._aside.forget(run_id)
            self._hand_out()

    def _lose(self, flight: Flight) -> None:
        """Its worker died: most likely not of it, where it had not begun, so once more; else it has failed."""
        if not flight.attempt and flight.run_id not in self._retried:
            self._retried.add(flight.run_id)
            self._line.join(flight.claim, first=True)
        else:
            self._failures.add(LOST, flight.run_id)

    def _keep(self, run_id: str, flight: Flight) -> None:
        from cfcore.cluster import KilledWorker, why_not

        error = why_not(flight.future)
        if isinstance(error, KilledWorker):
            self._lose(flight)
        elif error is not None:
            logger.error("run %s came to nothing", run_id, exc_info=error)
            self._store.fail(run_id, f"This run was lost ({type(error).__name__}: {error}): start it again.")
        else:
            settle(self._store, run_id, flight.future.result())
