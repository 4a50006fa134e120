"""Which server process a run belongs to, and whether that process is still there.

A process id alone would not do: ids are used again. A server is therefore ``host:pid:start``. Neither its start nor how
long it has been silent is told by the clock on the wall, which may be set at any time.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import psutil

SILENCE_SECONDS = 60  # a server on another machine that has not been heard of for so long counts as gone
BEAT_SECONDS = 5
_MOST_HEARD = 1000
_heard: dict[tuple[str, float], float] = {}  # a server elsewhere with its last word: since when we know of no later one


def this_server() -> str:
    """The name of this process."""
    return server_of(os.getpid())


def server_of(pid: int) -> str:
    """The name of a process of this machine.

    Raises:
        psutil.NoSuchProcess: there is none.
    """
    return f"{socket.gethostname()}:{pid}:{_start(pid)}"


def server_gone(server: str, seen: float) -> bool:
    """Whether the process ``server`` has ended; ``seen`` is when it last said that it had not (by its own clock).

    On this machine the process table knows. Another machine, such as the container that held this store before, can
    only be judged by its silence: ``seen`` has stayed the same for a minute of ours. Nobody ('') is never gone.
    """
    if not server:
        return False
    host, pid, start = server.rsplit(":", 2)
    if host != socket.gethostname():
        if len(_heard) > _MOST_HEARD:
            _heard.clear()
        return time.monotonic() - _heard.setdefault((server, seen), time.monotonic()) > SILENCE_SECONDS
    try:
        return psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE or _start(int(pid)) != start
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _start(pid: int) -> str:
    """When a process began; on Linux in ticks since the boot, as its time of day moves when the clock is set."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text()[:8]}-{ticks}"
    except OSError:
        return f"{psutil.Process(pid).create_time():.2f}"
