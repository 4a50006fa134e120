"""A real server and a real browser: what a person does, from the click to the picture.

Needs chromium. Without it these tests are skipped, unless ``CFCORE_BROWSER_TESTS=required``, which is how CI runs them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from cfcore.runs import RunStore
from tests.remote_support import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
WAIT = 120_000  # ms: how long to wait for what must come; generous, for a busy machine
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Chromium loads two pages of its own address bar for every window, three quarters of what an empty one costs.
    # This list takes the place of Playwright's, whose entries that matter to a page it repeats.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,HttpsUpgrades,MediaRouter,OptimizationHints,PaintHolding",
]


@dataclass
class Server:
    """The app on a port of its own, with its own data folder and store; ``env`` adds to its environment."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    app: Path = Path("app.py")
    process: subprocess.Popen | None = None
    url: str = ""

    def start(self) -> Server:
        port = urlparse(self.url).port or free_port()  # again the same one: tests may have kept its address
        self.url = f"http://127.0.0.1:{port}"
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "CFCORE_DATA_DIR": str(self.folder / "data"),
            "CFCORE_RUNS_DIR": str(self.folder / "runs"),
            "CFCORE_OFFLINE": "1",
            "PYTHONDONTWRITEBYTECODE": "",  # as at a user's: only the first start ever compiles the modules
            **self.env,
        }
        log = (self.folder / "server.log").open("ab")
        options = ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(self.app), *options],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self._wait()
        return self

    def _wait(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + WAIT / 1000
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5):
                    listening = psutil.Process(self.process.pid).net_connections("tcp")
                    if any(each.laddr.port == urlparse(self.url).port for each in listening):
                        return  # else another server has taken the port meanwhile, and it is that one's answer
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.1)
        raise AssertionError(f"the server did not start:\n{self.log()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def faults(self) -> str:
        """The log where it holds a traceback; else nothing.

        One is no fault: distributed's watch over garbage collections, where it begins in the middle of one.
        """
        log = re.sub(r"Exception ignored in: <bound method GCDiagnosis(.*\n)+?AssertionError.*\n", "", self.log())
        return log if "Traceback" in log else ""

    def workers(self) -> list[psutil.Process]:
        """The processes that train: the server's descendants that hold torch."""
        assert self.process is not None
        return [child for child in psutil.Process(self.process.pid).children(recursive=True) if holds_torch(child)]


def holds_torch(process: psutil.Process) -> bool:
    try:
        return any("libtorch" in mapped.path for mapped in process.memory_maps())
    except psutil.Error:
        return False


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = os.environ.get("CFCORE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("CFCORE_BROWSER_TESTS") == "required":
            pytest.fail("the browser tests are required, and there is no chromium on this machine")
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Server]:
    """One warm server for the journeys of this process; it asks for the browser first, so that none starts in vain."""
    yield from serve(Server(tmp_path_factory.mktemp("server")))


def serve(server: Server) -> Iterator[Server]:
    """A server without a fault up to its end: libraries have some when Python ends under them."""
    yield server.start()
    faults = server.faults()
    server.stop()
    assert not faults, faults


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a run to the server that all share: those of the tests behind it would wait for that one.

    Where one does, the server starts again, so that only the test that did it fails.
    """
    server: Server | None = request.getfixturevalue("server") if "server" in request.fixturenames else None
    yield
    if server is None:
        return
    store = RunStore(server.folder / "runs")
    try:
        wait_until(lambda: not any(run.active for run in store.list()), timeout=10)
    except TimeoutError:
        left = [run for run in store.list() if run.active]
        server.stop()
        (server.folder / "server.log").write_text("")  # libraries have faults when Python ends under them
        server.start()
        told = [(run.id, run.status, run.request.config, len(run.history), run.visitor) for run in left]
        pytest.fail(f"runs were left to the tests that follow: {told}")
    finally:
        store.close()


@pytest.fixture
def new_server(tmp_path: Path, browser: Browser) -> Iterator[Callable[..., Server]]:
    """Makes servers that a test needs for itself: cold, or with another environment."""
    servers: list[Server] = []

    def make(folder: Path = tmp_path, **env: str) -> Server:
        servers.append(Server(folder, env).start())
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def new_person(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Makes visitors, each with a browser profile of their own; at the end, none of them has seen a traceback."""
    contexts: list[BrowserContext] = []

    def make(**options) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        context.set_default_timeout(WAIT)
        contexts.append(context)
        return context.new_page()

    expect.set_options(timeout=WAIT)
    yield make
    for context in contexts:
        for page in context.pages:
            assert page.get_by_test_id("stException").count() == 0
            assert page.get_by_text("Something went wrong on this page").count() == 0
        context.close()


@pytest.fixture
def page(new_person: Callable[..., Page]) -> Page:
    return new_person()
