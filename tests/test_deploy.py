"""What docs/deploy.md, the Dockerfile and deploy/ promise, as far as it can be tried without Docker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.browser.conftest import Server
from tests.remote_support import Elsewhere, free_port
from tests.test_remote import app
from tests.test_tls import use
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with its text in one line."""
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)).splitlines()
    return [(word, text.strip()) for word, _, text in (line.strip().partition(" ") for line in lines if line.strip())]


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    """A file that moves, or that .dockerignore leaves out, would break the build, or worse, the app in the image."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = [source for word, text in instructions() if word == "COPY" for source in text.split()[:-1]]
    assert {"cfcore", "pages", "app.py", "requirements.txt", ".streamlit"} <= set(sources)
    for source in sources:
        path = ROOT / source
        assert path.exists(), source
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        for file in files:
            name = file.relative_to(ROOT).as_posix()
            if "__pycache__" not in name:
                assert any(fnmatch(name, pattern.replace("**", "*")) for pattern in kept), name


def test_the_image_runs_as_nobody_in_particular_and_keeps_its_runs_in_the_volume() -> None:
    texts: dict[str, list[str]] = {}
    for word, text in instructions():
        texts.setdefault(word, []).append(text)
    assert texts["USER"] == ["1000"]
    assert texts["VOLUME"] == ["/data"]
    assert "CFCORE_RUNS_DIR=/data/runs" in texts["ENV"][0]
    words = [word for word, _ in instructions()]
    assert words.index("USER") > max(at for at, word in enumerate(words) if word in ("RUN", "COPY"))


def test_the_health_check_tells_a_server_that_answers_from_one_that_does_not(tmp_path: Path) -> None:
    (text,) = [text for word, text in instructions() if word == "HEALTHCHECK"]
    command = json.loads(text[text.index("[") :])
    assert command[0] == "python"
    server = Server(tmp_path).start()
    port = server.url.rsplit(":", 1)[1]
    try:
        check = [sys.executable, *(part.replace("8501", port) for part in command[1:])]
        assert subprocess.run(check, check=False).returncode == 0
    finally:
        server.stop()
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates that the guide's own commands make."""
    folder = tmp_path_factory.mktemp("certificates")
    (script,) = [block for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) if "openssl req" in block]
    subprocess.run(["sh", "-ec", script], cwd=folder, check=True, capture_output=True)
    return folder / "certs"


class Composed(Elsewhere):
    """A scheduler and workers with the very command lines of compose.yaml, on loopback and a port of their own."""

    def command(self, service: str) -> list[str]:
        return [self._here(part) for part in COMPOSE["services"][service]["command"]]

    def health(self) -> int:
        check = COMPOSE["services"]["scheduler"]["healthcheck"]["test"]
        assert check[:2] == ["CMD", "python"]
        here = [self._here(part) for part in check[2:]]
        return subprocess.run([sys.executable, *here], check=False, capture_output=True).returncode

    def _here(self, part: str) -> str:
        part = part.replace("/certs/", f"{self.tls[0].parent}/").replace("tls://scheduler", "tls://127.0.0.1")
        return part.replace("8786", str(self.port))

    def _dask(self, kind: str, *arguments: str, **environment: str) -> subprocess.Popen:
        command = self.command(kind)
        assert command[:2] == ["dask", kind]
        given = COMPOSE["services"][kind]["environment"]
        environment = {name: self._here(value) for name, value in given.items()} | environment
        self_tls, self.tls = self.tls, ()  # the command has them
        try:
            return super()._dask(kind, *command[2:], "--host=127.0.0.1", **environment)
        finally:
            self.tls = self_tls


@pytest.fixture
def composed(certs: Path, tmp_path: Path) -> Iterator[Composed]:
    composed = Composed(tmp_path, tls=[certs / name for name in ("ca.pem", "cert.pem", "key.pem")], port=free_port())
    yield composed
    composed.stop()


def test_scheduler_and_worker_of_compose_train_a_run_with_the_guides_certificates(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert composed.health() != 0
    composed.start(n_workers=1)
    wait_until(lambda: composed.health() == 0, what="the health of the scheduler")
    use(monkeypatch, composed.tls)
    with app(composed, tmp_path / "runs", n_workers=1) as server:
        assert server.end(server.submit("global_mean")).status == "done"


def test_compose_publishes_no_port_of_the_scheduler() -> None:
    """Whoever reaches it can run code on the workers."""
    services = COMPOSE["services"]
    assert [name for name, service in services.items() if service.get("ports")] == ["app"]
    assert services["app"]["ports"] == ["127.0.0.1:8501:8501"]
    assert COMPOSE["networks"]["back"]["internal"] is True
    assert services["scheduler"]["networks"] == services["worker"]["networks"] == ["back"]
    assert services["app"]["environment"]["CFCORE_SCHEDULER"].startswith("tls://scheduler:")
    assert "--protocol=tls" in services["scheduler"]["command"]


def test_protection_against_forged_requests_stays_on(tmp_path: Path) -> None:
    """Without it there is no cookie to tell people apart by, and the pages of others could open the websocket."""
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert config["server"].get("enableXsrfProtection", True) is True
    assert config["server"].get("enableCORS", True) is True
    assert "corsAllowedOrigins" not in config["server"]
    server = Server(tmp_path).start()
    try:
        with urllib.request.urlopen(f"{server.url}/_stcore/health") as answer:
            assert "_streamlit_xsrf=" in answer.headers["Set-Cookie"]
        upload = urllib.request.Request(f"{server.url}/_stcore/upload_file/a/b", data=b"x", method="PUT")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(upload)
        assert refused.value.code == 403
    finally:
        server.stop()


def test_both_proxies_have_the_same_policy_and_the_guide_explains_each_part() -> None:
    nginx, caddy = policies()
    assert nginx == caddy
    for part in re.findall(r"'[a-z-]+'|blob:|data:", nginx):
        assert part in GUIDE, part
    assert "unsafe-eval'" not in nginx.replace("'wasm-unsafe-eval'", "")
    assert re.search(r"script-src [^;]*'unsafe-inline'", nginx) is None


def policies() -> list[str]:
    files = ("nginx.conf", "Caddyfile")
    texts = [(ROOT / "deploy" / name).read_text(encoding="utf-8") for name in files]
    return [re.findall(r'Content-Security-Policy "([^"]+)"', text)[0] for text in texts]
