"""Which server process a run belongs to, and whether that process is still there.

A process id alone would not do: ids are used again. A server is therefore ``host:pid:start time``.
"""

from __future__ import annotations

import os
import socket
import time

import psutil

SILENCE_SECONDS = 60  # a server on another machine that has not been heard of for so long counts as gone
BEAT_SECONDS = 5


def this_server() -> str:
    """The name of this process."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def server_gone(server: str, seen: float) -> bool:
    """Whether the process ``server`` has ended; ``seen`` is when it last said that it had not (unix seconds).

    On this machine the process table knows. Another machine, such as the container that held this store before, can
    only be judged by its silence. Nobody ('') is never gone.
    """
    if not server:
        return False
    host, pid, created = server.rsplit(":", 2)
    if host != socket.gethostname():
        return time.time() - seen > SILENCE_SECONDS
    try:
        process = psutil.Process(int(pid))
        return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - float(created)) > 2
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
