"""Fetching a data set of the catalogue: checked by md5 and kept only when it is complete and right.

The zip grows under a name of its own in ``.incomplete`` and takes its final name in one step at the end. So a file
that is cut short is never mistaken for a data set, several fetches at once do not disturb each other, and trying
again is all it takes after a failure. ``CFCORE_DATA_URL`` replaces the publisher's address.
"""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from cfcore.datasets.catalogue import SOURCES, Source, place_of
from cfcore.datasets.errors import DataError, quoted
from cfcore.datasets.files import open_files
from cfcore.datasets.movielens import missing_of
from cfcore.datasets.places import data_dir, no_room, writable_dir

PUBLISHER = "https://files.grouplens.org/datasets/movielens/"
TIMEOUT = 20.0  # seconds to connect, and between two pieces of the answer
PACE = (60.0, 30_000)  # seconds, bytes: slower than this is a stalled connection
_STALE = 6 * 3600  # seconds after which an incomplete file is what a killed process left
_PIECE = 1 << 16


def fetch(name: str, on_progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Download a data set into the data folder, unless it is there, and return its place.

    ``on_progress`` is called with the bytes so far and in all (0 while unknown); what it raises ends the download.

    Raises:
        DataError: there is no such download, no network, no space, or not the file that was published.
    """
    source = _downloadable(name)
    here = place_of(name)
    if here is not None:
        return here
    url = os.environ.get("CFCORE_DATA_URL", PUBLISHER).rstrip("/") + "/" + source.url_path
    folder = writable_dir(".incomplete")
    _clear_stale(folder)
    partial = folder / f"{name}-{uuid.uuid4().hex}.zip"
    try:
        _retrieve(url, partial, source, on_progress)
        with open_files(partial, source.url_path) as files:
            missing = missing_of(files)
        if missing is not None:
            raise DataError(f"the file at {url} is not {source.title} ({missing} is missing): try again later")
        target = data_dir() / f"{name}.zip"
        os.replace(partial, target)
    except OSError as error:
        raise no_room(data_dir(), error) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


class Download:
    """A fetch in a thread, for a page that shows how far it is.

    ``state`` is ``waiting``, ``running``, ``done`` or ``failed`` (then ``message`` says why); ``done_bytes`` and
    ``total_bytes`` tell the progress.
    """

    def __init__(self, name: str) -> None:
        source = _downloadable(name)
        self.name = name
        self.state = "waiting"
        self.message = ""
        self.done_bytes = 0
        self.total_bytes = int(source.size_mb * 1_000_000)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, or begin again; nothing happens while it runs."""
        with self._lock:
            if self.state == "running":
                return
            self.state, self.message, self.done_bytes = "running", "", 0
            self._thread = threading.Thread(target=self._run, name=f"download {self.name}", daemon=True)
            self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is over, at most ``timeout`` seconds; whether it is."""
        if self._thread is not None:
            self._thread.join(timeout)
        return self.state != "running"

    def _run(self) -> None:
        state, message = "failed", f"the download of {self.name} ended unexpectedly: try again"
        try:
            fetch(self.name, self._progress)
            state, message = "done", ""
        except DataError as error:
            message = str(error)
        finally:
            with self._lock:
                self.state, self.message = state, message

    def _progress(self, done: int, total: int) -> None:
        self.done_bytes = done
        if total > 0:
            self.total_bytes = total


def _downloadable(name: str) -> Source:
    source = SOURCES.get(name)
    if source is None or not source.url_path:
        names = ", ".join(other.name for other in SOURCES.values() if other.url_path)
        raise DataError(f"{quoted(name)} cannot be downloaded; choose from {names}")
    return source


def _retrieve(url: str, partial: Path, source: Source, on_progress: Callable[[int, int], None]) -> None:
    """Write what ``url`` gives to ``partial``, once its md5 is right."""
    # imported here: a page that never downloads need not load them
    import pooch
    import requests
    import urllib3

    pooch.get_logger().setLevel("WARNING")  # it would report every download on the terminal
    wrong = f"the file at {url} is not {source.title} as published (its md5 differs): try again later"

    def stream(url: str, output_file: str, _pooch: object) -> None:
        most = int(max(20.0, 2 * source.size_mb) * 1_000_000)
        with requests.get(url, stream=True, timeout=TIMEOUT) as response, open(output_file, "wb") as file:
            response.raise_for_status()
            total, done = int(response.headers.get("content-length", 0)), 0
            since, before = time.monotonic(), 0
            on_progress(0, total)
            # read1 hands over what has arrived; a whole piece at a time would hide a trickle from the clock
            while piece := response.raw.read1(_PIECE):
                file.write(piece)
                done += len(piece)
                on_progress(done, total)
                if done > most:
                    raise DataError(wrong)
                if time.monotonic() - since > PACE[0]:
                    if done - before < PACE[1]:
                        raise requests.Timeout
                    since, before = time.monotonic(), done

    try:
        md5 = source.md5 or _published_md5(f"{url}.md5")
        pooch.retrieve(
            url,
            known_hash=f"md5:{md5}",
            fname=partial.name,
            path=partial.parent,
            downloader=stream,  # type: ignore[arg-type]
        )
    except DataError:
        raise
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise DataError(_explain(error, url)) from error
    except ValueError as error:  # pooch's word for a hash that does not match
        raise DataError(wrong) from error


def _published_md5(url: str) -> str:
    """The hash in an ``.md5`` file, written ``MD5 (file) = hash`` or ``hash  file``."""
    import requests

    with requests.get(url, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        text = response.raw.read1(4096).decode("latin-1")
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if found is None:
        raise DataError(f"the file at {url} holds no md5, so the download cannot be checked: try again later")
    return found[0].lower()


def _explain(error: Exception, url: str) -> str:
    import requests
    import urllib3

    host = urlsplit(url).hostname or url
    if isinstance(error, requests.HTTPError) and error.response is not None:
        answer = error.response
        return f"{host} answered {answer.status_code} for {answer.url}: try again later"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the secure connection to {host} failed: check this computer's clock and network, then try again"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return f"{host} did not answer in time: check the network connection, then try again"
    if isinstance(error, requests.ConnectionError):
        return f"{host} cannot be reached: check the network connection, then try again"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return f"the connection to {host} broke off before the file was complete: try again"
    return f"{url} cannot be downloaded: check the address in CFCORE_DATA_URL, then try again"


def _clear_stale(folder: Path) -> None:
    """Remove what killed processes left; what another one still writes to is younger."""
    for path in folder.iterdir():
        try:
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink(missing_ok=True)
        except OSError:  # another process was quicker
            continue
