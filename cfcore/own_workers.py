"""Our own workers: processes on this machine, each watched over by a nanny process, which starts it again when it dies.

The cluster is distributed's ``SubprocessCluster`` with one change: the scheduler lives in a thread of this process
instead of a process of its own, which saves 60 MB and lets the workers notice when this process is gone.
(``LocalCluster`` would not do: its workers start by multiprocessing, which runs the main script again, and under
Streamlit that is the app.)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import psutil
from dask.system import CPU_COUNT
from distributed import Nanny, Scheduler, SpecCluster
from distributed.deploy.subprocess import SubprocessWorker

from cfcore.cluster_settings import ClusterSettings

SLOTS = ("train", "tsne", "fold_in", "lesson", "alone")  # kinds of work that do not wait for each other
NEVER = "10000 days"  # a worker on this machine that dies closes its connection


class OwnWorker(SubprocessWorker):
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
        if self.process is not None and self.process.returncode is None:
            _kill_with_children(self.process.pid)  # not left to Dask, which fails where a child has just gone
            await self.process.wait()
        await super().close()


def _kill_with_children(pid: int) -> None:
    processes: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        processes.append(psutil.Process(pid))
        processes += processes[0].children(recursive=True)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def own_cluster(settings: ClusterSettings) -> SpecCluster:
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
    worker = {"cls": OwnWorker, "options": {"environment": worker_environment(settings), "options": options}}
    return SpecCluster(
        scheduler=scheduler, workers=dict.fromkeys(range(settings.n_workers), worker), worker=worker, name="latent-lab"
    )


def worker_environment(settings: ClusterSettings) -> dict[str, str]:
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
