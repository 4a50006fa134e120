"""A real queue with a real worker, for tests of what runs on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from cfcore.approaches import make_config
from cfcore.cluster import START_SECONDS
from cfcore.config import RunConfig, RunRequest
from cfcore.jobs import Jobs
from cfcore.runs import Run, RunStore
from tests.waiting import wait_until

ENVIRONMENT = {
    "CFCORE_WORKERS": "1",
    "CFCORE_SCHEDULER": "",
    "CFCORE_WORKER_MEMORY": "900MB",
    "DASK_DISTRIBUTED__WORKER__PRELOAD": "['tests.fake_approaches']",
}


@dataclass
class Server:
    """A queue with its store, and short ways to use both."""

    jobs: Jobs
    store: RunStore

    def submit(self, approach: str, dataset: str = "sample", **settings: Any) -> str:
        config = RunConfig(approach=approach) if approach.startswith("fake_") else make_config(approach, **settings)
        return self.submit_config(config, dataset)

    def submit_config(self, config: RunConfig, dataset: str = "sample") -> str:
        return self.jobs.submit(RunRequest(dataset=dataset, config=config)).id

    def run(self, run_id: str) -> Run:
        return cast(Run, self.store.get(run_id))

    def end(self, run_id: str) -> Run:
        wait_until(lambda: not self.run(run_id).active, what=f"the end of {run_id}")
        return self.run(run_id)

    def first_epoch(self, run_id: str) -> Run:
        wait_until(lambda: self.run(run_id).history or not self.run(run_id).active, what=f"an epoch of {run_id}")
        return self.run(run_id)

    def worker_process(self) -> psutil.Process:
        # none while a worker is on its way back
        return psutil.Process(wait_until(lambda: self.on_workers(os.getpid))[0])

    def on_workers(self, function: Callable[..., Any]) -> list[Any]:
        cluster = self.jobs._cluster
        assert cluster is not None
        return list(cast(dict, cluster.client.run(function)).values())


@contextmanager
def started(folder: Path) -> Iterator[Server]:
    """A queue with one real worker, and its store in ``folder``."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        store = RunStore(folder)
        jobs = Jobs(store)
        try:
            wait_until(lambda: jobs.status().state != "starting", timeout=1.2 * START_SECONDS)
            assert jobs.status().state == "ready", jobs.status().message
            yield Server(jobs, store)
        finally:
            jobs.close()
            store.close()
