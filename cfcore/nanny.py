"""What the nanny of each of our own workers loads before it starts that worker; dask calls :func:`dask_setup`.

It needs neither numpy nor pandas: a nanny is a small process.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from distributed import Nanny

NICENESS = 10  # of workers, where 0 is usual and 19 the humblest: under a full load a tenth of the page's share
_TRIES = 40  # of 0.15 s on average, to put the session back


def dask_setup(nanny: Nanny) -> None:
    """Let a nanny, and so its worker, end with the process that started it, and give way to it where cores are few."""
    give_way()
    threading.Thread(target=_exit_at_end_of_input, name="parent-watch", daemon=True).start()


def give_way() -> None:
    """Put this process, and those it will start, behind others that want a core: a page that answers late seems broken.

    A training that has a core to itself loses nothing by it.
    """
    process = psutil.Process()
    if sys.platform == "win32":
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        process.nice(max(NICENESS, process.nice()))  # to go back up takes more than an ordinary person's rights
        if os.getsid(0) == os.getpid():
            _put_session_back()


def _put_session_back() -> None:
    """Do the same for this process's session as a whole.

    Linux may share cores between sessions first (``sched_autogroup_enabled``), and then niceness counts only within
    one: a nanny, which has a session of its own, and its worker got as much as all pages together. See sched(7), "The
    autogroup feature". Without special rights, the kernel takes one such word in a tenth of a second from all processes
    together, and several workers begin at once.
    """
    file = Path("/proc/self/autogroup")
    with contextlib.suppress(OSError, ValueError, IndexError):  # there is none, or it may not be set
        niceness = max(NICENESS, int(file.read_text(encoding="ascii").split()[-1]))
        for _ in range(_TRIES):
            try:
                file.write_text(str(niceness), encoding="ascii")
            except BlockingIOError:
                time.sleep(random.uniform(0.05, 0.25))
            else:
                return


def _exit_at_end_of_input() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)  # the worker holds a pipe to its nanny in the same way
