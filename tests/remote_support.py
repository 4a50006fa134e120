"""A scheduler elsewhere, as processes of their own: ``dask scheduler`` and ``dask worker``, also over TLS."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@dataclass
class Elsewhere:
    """A scheduler on a port of its own, and its workers; ``tls`` are the files of authority, certificate and key."""

    folder: Path
    tls: Sequence[Path] = ()
    port: int = field(default_factory=free_port)
    scheduler: subprocess.Popen | None = None
    workers: list[subprocess.Popen] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{'tls' if self.tls else 'tcp'}://127.0.0.1:{self.port}"

    def start(self, n_workers: int = 0) -> Elsewhere:
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        if self.tls:
            options += ["--protocol", "tls"]
        self.scheduler = self._dask("scheduler", *options)
        wait_until(self._accepts, what="the scheduler")
        for _ in range(n_workers):
            self.add_worker()
        return self

    def add_worker(self, **environment: str) -> subprocess.Popen:
        options = ["--host", "127.0.0.1", "--nworkers", "1", "--nthreads", "5", "--no-dashboard"]
        worker = self._dask("worker", self.address, *options, **environment)
        self.workers.append(worker)
        return worker

    def kill_scheduler(self) -> None:
        assert self.scheduler is not None
        self.scheduler.send_signal(signal.SIGKILL)
        self.scheduler.wait()

    def stop(self) -> None:
        for process in [*self.workers, self.scheduler]:
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _dask(self, kind: str, *arguments: str, **environment: str) -> subprocess.Popen:
        if self.tls:
            ca, cert, key = map(str, self.tls)
            arguments += ("--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key)
        log = (self.folder / f"{kind}.log").open("ab")
        paths = {"PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__WORKER__PRELOAD": "['tests.fake_approaches']"}
        return subprocess.Popen(
            [sys.executable, "-m", "dask", kind, *arguments],
            cwd=self.folder,
            env={**os.environ, **paths, **environment},
            stdout=log,
            stderr=log,
        )

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
