"""Fetching, against a server on this machine that answers well, badly, or half."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cfcore import datasets
from cfcore.datasets import DataError, Download, download, fetch, load
from tests import layouts

ZIP = layouts.into_zip(layouts.ml_100k(layouts.some_rows(), layouts.some_films()), top="ml-100k")
LATEST = layouts.into_zip(layouts.ml_latest(layouts.some_rows(half=True), layouts.some_films()), top="ml-latest-small")


@dataclass
class Server:
    """``files`` by path; ``cut`` says after how many bytes an answer ends or, with ``gate``, waits."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None
    gate: threading.Event | None = None
    half_sent: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.removeprefix("/data/")
            state.asked.append(path)
            body = state.files.get(path)
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            cut = state.cut if path.endswith(".zip") else None
            self.wfile.write(body[:cut])
            if cut is not None and state.gate is not None:
                self.wfile.flush()
                state.half_sent.release()
                while not state.gate.wait(0.05) and not over.is_set():
                    pass
                self.wfile.write(body[cut:])

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that hangs up early is what some tests are about

    httpd = Quiet(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{httpd.server_port}/data"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    over.set()
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Path:
    monkeypatch.setenv("CFCORE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CFCORE_DATA_URL", server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    published = replace(datasets.SOURCES["ml-100k"], md5=hashlib.md5(ZIP).hexdigest())
    monkeypatch.setattr(download, "SOURCES", {**datasets.SOURCES, "ml-100k": published})
    return tmp_path / "data"


def kept(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_a_download_is_checked_kept_and_readable(server: Server, home: Path) -> None:
    server.files["ml-100k.zip"] = ZIP
    progress: list[tuple[int, int]] = []
    path = fetch("ml-100k", lambda done, total: progress.append((done, total)))
    assert path == home / "ml-100k.zip"
    assert path.read_bytes() == ZIP
    assert kept(home) == ["ml-100k.zip"]
    assert progress[0] == (0, len(ZIP))
    assert progress[-1] == (len(ZIP), len(ZIP))
    assert [done for done, _ in progress] == sorted({done for done, _ in progress})
    assert datasets.on_disk("ml-100k")
    assert len(load("ml-100k")) == len(layouts.some_rows())
    fetch("ml-100k")
    assert server.asked == ["ml-100k.zip"]  # what is there is not fetched again


@pytest.mark.parametrize("line", ["MD5 (ml-latest-small.zip) = {}\n", "{}  ml-latest-small.zip\n", "{}"])
def test_a_set_published_anew_is_checked_against_the_md5_beside_it(server: Server, home: Path, line: str) -> None:
    server.files["ml-latest-small.zip"] = LATEST
    server.files["ml-latest-small.zip.md5"] = line.format(hashlib.md5(LATEST).hexdigest().upper()).encode()
    fetch("ml-latest-small")
    assert load("ml-latest-small").scale == (0.5, 5.0)
    assert kept(home) == ["ml-latest-small.zip"]


def test_without_a_usable_md5_it_is_not_used(server: Server, home: Path) -> None:
    server.files["ml-latest-small.zip"] = LATEST
    with pytest.raises(DataError, match=r"answered 404 for .*small\.zip\.md5"):
        fetch("ml-latest-small")
    server.files["ml-latest-small.zip.md5"] = b"<html>soon</html>"
    with pytest.raises(DataError, match="holds no md5"):
        fetch("ml-latest-small")
    server.files["ml-latest-small.zip.md5"] = b"0" * 32
    with pytest.raises(DataError, match="its md5 differs"):
        fetch("ml-latest-small")
    assert kept(home) == []


def test_a_right_md5_of_something_else_is_not_used_either(server: Server, home: Path) -> None:
    for body, says in ((b"hello", "not a complete zip"), (layouts.into_zip({"a.txt": b"x"}), "is missing")):
        server.files["ml-latest-small.zip"] = body
        server.files["ml-latest-small.zip.md5"] = hashlib.md5(body).hexdigest().encode()
        with pytest.raises(DataError, match=says):
            fetch("ml-latest-small")
    assert kept(home) == []


def test_a_wrong_or_missing_file_is_reported_and_never_used(server: Server, home: Path) -> None:
    with pytest.raises(DataError, match=r"127\.0\.0\.1 answered 404 for http"):
        fetch("ml-100k")
    server.files["ml-100k.zip"] = ZIP[:-1] + b"x"
    with pytest.raises(DataError, match="not MovieLens 100K as published"):
        fetch("ml-100k")
    assert kept(home) == []
    assert not datasets.on_disk("ml-100k")


def test_a_file_cut_short_is_reported_and_trying_again_works(server: Server, home: Path) -> None:
    server.files["ml-100k.zip"], server.cut = ZIP, len(ZIP) // 2
    with pytest.raises(DataError, match="broke off before the file was complete: try again"):
        fetch("ml-100k")
    assert kept(home) == []
    server.cut = None
    assert fetch("ml-100k").read_bytes() == ZIP


def test_a_server_that_falls_silent_is_given_up(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["ml-100k.zip"], server.cut, server.gate = ZIP, 100, threading.Event()
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with pytest.raises(DataError, match="did not answer in time"):
        fetch("ml-100k")
    assert kept(home) == []


def test_a_trickle_is_given_up(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["ml-100k.zip"] = ZIP
    monkeypatch.setattr(download, "PACE", (0.0, 10**9))
    with pytest.raises(DataError, match="did not answer in time"):
        fetch("ml-100k")
    assert kept(home) == []


def test_far_too_much_is_given_up(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["ml-100k.zip"] = bytes(21_000_000)
    with pytest.raises(DataError, match="not MovieLens 100K as published"):
        fetch("ml-100k")
    assert kept(home) == []


def test_no_server_no_name_and_a_wrong_address(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("CFCORE_DATA_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(DataError, match=r"127\.0\.0\.1 cannot be reached: check the network"):
        fetch("ml-100k")
    monkeypatch.setenv("CFCORE_DATA_URL", "not an address")
    with pytest.raises(DataError, match="CFCORE_DATA_URL"):
        fetch("ml-100k")

    def unresolved(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    monkeypatch.setenv("CFCORE_DATA_URL", "http://data.example")
    with pytest.raises(DataError, match=r"data\.example cannot be reached: check the network"):
        fetch("ml-100k")
    assert kept(home) == []


def test_a_folder_that_takes_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CFCORE_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set CFCORE_DATA_DIR to a folder that can be written to"):
        fetch("ml-100k")


@pytest.mark.parametrize("name", ["sample", "ml-200k", "../ml-100k"])
def test_only_the_catalogue_can_be_downloaded(name: str) -> None:
    with pytest.raises(DataError, match="cannot be downloaded; choose from ml-100k, ml-latest-small"):
        fetch(name)
    with pytest.raises(DataError, match="cannot be downloaded"):
        Download(name)


def test_what_a_killed_process_left_is_cleared_and_what_is_fresh_is_not(server: Server, home: Path) -> None:
    server.files["ml-100k.zip"] = ZIP
    folder = home / ".incomplete"
    folder.mkdir(parents=True)
    (folder / "old.zip").write_bytes(b"x")
    (folder / "other process.zip").write_bytes(b"x")
    os.utime(folder / "old.zip", (time.time() - 86_400, time.time() - 86_400))
    fetch("ml-100k")
    assert kept(home) == [".incomplete/other process.zip", "ml-100k.zip"]


def test_a_damaged_zip_in_the_data_folder_is_replaced(server: Server, home: Path) -> None:
    server.files["ml-100k.zip"] = ZIP
    home.mkdir()
    (home / "ml-100k.zip").write_bytes(ZIP[:500])
    fetch("ml-100k")
    assert (home / "ml-100k.zip").read_bytes() == ZIP


def test_threads_and_processes_may_fetch_at_once(server: Server, home: Path) -> None:
    """Every fetch is held half-way until all have begun; then all go on together."""
    server.files["ml-latest-small.zip"], server.cut, server.gate = LATEST, 300, threading.Event()
    server.files["ml-latest-small.zip.md5"] = hashlib.md5(LATEST).hexdigest().encode()
    process = subprocess.Popen(
        [sys.executable, "-c", "from cfcore.datasets import fetch; fetch('ml-latest-small')"],
        cwd=Path(__file__).parents[1],
    )
    downloads = [Download("ml-latest-small") for _ in range(3)]
    for one in downloads:
        one.start()
    for _ in range(4):
        assert server.half_sent.acquire(timeout=120)
    server.gate.set()
    assert process.wait(timeout=120) == 0
    for one in downloads:
        one.wait()
        assert (one.state, one.message) == ("done", "")
    assert (home / "ml-latest-small.zip").read_bytes() == LATEST
    assert kept(home) == ["ml-latest-small.zip"]


def test_a_download_in_a_thread_tells_its_progress(server: Server) -> None:
    server.files["ml-100k.zip"], server.cut, server.gate = ZIP, 300, threading.Event()
    one = Download("ml-100k")
    assert (one.state, one.done_bytes, one.total_bytes) == ("waiting", 0, 4_900_000)
    one.start()
    one.start()  # a second press changes nothing
    assert server.half_sent.acquire(timeout=60)
    assert one.state == "running"
    assert not one.wait(0)
    server.gate.set()
    assert one.wait(60)
    assert (one.state, one.done_bytes, one.total_bytes) == ("done", len(ZIP), len(ZIP))
    assert server.asked == ["ml-100k.zip"]


def test_a_download_that_failed_can_be_started_again(server: Server) -> None:
    one = Download("ml-100k")
    one.start()
    assert one.wait(60)
    assert one.state == "failed"
    assert "answered 404" in one.message
    server.files["ml-100k.zip"] = ZIP
    one.start()
    assert one.wait(60)
    assert (one.state, one.message) == ("done", "")
    assert datasets.on_disk("ml-100k")


def test_a_fault_of_our_own_does_not_leave_it_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, on_progress: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(download, "fetch", broken)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    one = Download("ml-100k")
    one.start()
    assert one.wait(60)
    assert (one.state, one.message) == ("failed", "the download of ml-100k ended unexpectedly: try again")
