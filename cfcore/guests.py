"""The workers of a scheduler elsewhere: which of them may be used, because they have the same libraries as we have.

Workers come and go while the app runs, so each is asked once, when it is first seen, and nobody waits for its answer.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence

from distributed import Client, Future

from cfcore.versions import difference, versions

ANSWER_SECONDS = 5

logger = logging.getLogger(__name__)


class Guests:
    """The workers that ``client`` knows of. One thread looks (:meth:`look`, :meth:`wait`); any may ask what it saw."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked: dict[str, Future] = {}  # address: its answer
        self._problems: dict[str, str] = {}  # address: '' where it may be used
        self._usable: Sequence[str] = ()

    def usable(self) -> Sequence[str]:
        """The addresses of the workers that have answered well, as of the last look."""
        return self._usable

    def problem(self) -> str:
        """Why there is nobody to use, in a sentence."""
        found = next((problem for problem in self._problems.values() if problem), "")
        if found or not self._asked:
            return found or "No worker has joined the scheduler yet: start one with 'dask worker'."
        return "A worker has joined the scheduler, and has not said its versions yet."

    def wait(self, seconds: float) -> None:
        """Look for at most so long, until those who are there now have answered."""
        give_up = time.monotonic() + seconds
        self.look()
        while len(self._problems) < len(self._asked) and time.monotonic() < give_up:
            time.sleep(0.02)
            self.look()

    def look(self) -> None:
        """Ask who is new, take what has been answered, and forget who has gone."""
        there = self._client.scheduler_info(n_workers=-1).get("workers", {})  # nothing is known while disconnected
        self._asked = {address: asked for address, asked in self._asked.items() if address in there}
        self._problems = {address: problem for address, problem in self._problems.items() if address in there}
        for address in there:
            if address not in self._asked:
                key = f"versions-{secrets.token_hex(4)}"
                self._asked[address] = self._client.submit(versions, key=key, workers=[address], pure=False)
        for address, asked in list(self._asked.items()):
            if address not in self._problems and asked.done():
                try:
                    self._problems[address] = self._judge(address, asked)
                except (OSError, RuntimeError):  # it went before its answer came: asked again, should it be back
                    del self._asked[address]
        self._usable = tuple(address for address, problem in self._problems.items() if not problem)

    def _judge(self, address: str, asked: Future) -> str:
        if asked.status != "finished":
            problem = (
                f"cannot run Latent Lab ({asked.exception(timeout=ANSWER_SECONDS)}): start it in the project's folder."
            )
        else:
            differing = difference(asked.result(timeout=ANSWER_SECONDS), versions())
            if not differing:
                return ""
            problem = f"has other versions ({differing}): install the same requirements.txt there."
        logger.warning("The worker %s %s", address, problem)
        return f"The worker {address} {problem}"
