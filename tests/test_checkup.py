"""``python -m cfcore doctor``: it finds what is missing by doing what the app would do, and says what to do."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cfcore import checkup
from cfcore.__main__ import main
from tests.remote_support import Elsewhere, free_port


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CFCORE_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("CFCORE_SCHEDULER", "")


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], str]]:
    """Starts web servers that answer everything alike; gives their addresses."""
    servers: list[http.server.HTTPServer] = []

    def start(status: int, body: bytes) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_where_all_is_well_every_check_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--url", f"http://127.0.0.1:{free_port()}"]) == 0
    findings = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert list(findings) == ["python", "libraries", "limits", "memory", "data", "runs", "browser", "workers"]
    assert all(each["ok"] for each in findings.values())
    assert findings["workers"]["found"] == "1 on this machine can compute"
    assert "nothing runs at" in findings["browser"]["found"]


def test_every_failure_has_a_fix_and_the_status_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CFCORE_DATA_DIR", str(tmp_path / "file" / "data"))
    monkeypatch.setenv("CFCORE_RUNS_DIR", str(tmp_path / "file" / "runs"))
    monkeypatch.setenv("CFCORE_MAX_WAITING", "many")
    monkeypatch.setenv("CFCORE_SCHEDULER", f"tcp://127.0.0.1:{free_port()}")
    monkeypatch.setattr(checkup, "TREE_MB", 10**9)
    assert main(["doctor", "--url", f"http://127.0.0.1:{free_port()}"]) == 1
    said = capsys.readouterr()
    assert said.err == "cfcore: 5 of 8 checks failed: limits, memory, data, runs, workers\n"
    for advice in (
        "CFCORE_MAX_WAITING must be a whole number, not 'many'",
        "end other programs, or add memory",
        "set CFCORE_DATA_DIR to a folder that can be written to",
        "set CFCORE_RUNS_DIR to another folder",
        "start it, or unset CFCORE_SCHEDULER",
    ):
        assert advice in said.out


def test_a_library_of_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = checkup.version
    monkeypatch.setattr(checkup, "version", lambda name: "0.0.1" if name == "pandas" else real(name))
    finding = checkup._libraries()
    assert not finding.ok
    assert finding.found.startswith("pandas 0.0.1, not ")
    assert finding.fix.endswith("-m pip install -r requirements.txt")


def test_the_app_is_told_from_another_program(answering: Callable[[int, bytes], str]) -> None:
    assert checkup._browser(answering(200, b"ok")).found.startswith("the app answers at")
    for other in (answering(200, b"<html>"), answering(404, b"")):
        finding = checkup._browser(other)
        assert not finding.ok
        assert "--server.port" in finding.fix
    assert not checkup._browser("not an address").ok


def test_a_scheduler_without_workers_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = Elsewhere(tmp_path).start()
    try:
        monkeypatch.setenv("CFCORE_SCHEDULER", elsewhere.address)
        finding = checkup._workers()
        assert not finding.ok
        assert finding.found.startswith(f"none at {elsewhere.address}: No worker has joined")
    finally:
        elsewhere.stop()


def test_where_memory_is_short_no_worker_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more worker, beside those of an app that runs, could end that app."""
    monkeypatch.setattr(checkup, "WORKER_MB", 10**9)
    monkeypatch.setattr("cfcore.cluster.Cluster", None)  # which would fail otherwise
    assert checkup._workers().found.startswith("not tried")
