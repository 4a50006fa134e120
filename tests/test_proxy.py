"""The example for nginx, started as it stands: what it hands over to the app, and what it adds to the answers."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.remote_support import free_port
from tests.waiting import wait_until

CONF = Path(__file__).parents[1] / "deploy" / "nginx.conf"
AROUND = """
user root;
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class Echo(BaseHTTPRequestHandler):
    """An app that answers with the headers it was asked with."""

    def do_GET(self) -> None:
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[int]:
    """The port of nginx with the example, in front of such an app."""
    nginx, openssl = shutil.which("nginx"), shutil.which("openssl")
    if nginx is None or openssl is None:
        pytest.skip("there is no nginx, or no openssl, on this machine")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=lab.example.org"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    app = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    port = free_port()
    site = CONF.read_text(encoding="utf-8")
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/nginx/tls/fullchain.pem": str(certificate),
        "/etc/nginx/tls/privkey.pem": str(key),
        "http://127.0.0.1:8501": f"http://127.0.0.1:{app.server_port}",
    }.items():
        assert old in site
        site = site.replace(old, new)
    (tmp_path / "site.conf").write_text(site, encoding="utf-8")
    (tmp_path / "nginx.conf").write_text(AROUND.format(folder=tmp_path), encoding="utf-8")
    process = subprocess.Popen([nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")])
    try:
        wait_until(lambda: answers(port) or process.poll() is not None, what="nginx to answer")
        assert process.poll() is None, (tmp_path / "error.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(20)
        app.shutdown()
        app.server_close()


def ask(port: int, path: str, **headers: str) -> tuple[dict[str, str], dict[str, str]]:
    """What the app was asked with, and the headers of the answer."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, context=trust, timeout=20) as answer:
        return json.load(answer), dict(answer.headers)


def answers(port: int) -> bool:
    try:
        ask(port, "/")
    except (urllib.error.URLError, OSError):
        return False
    return True


@pytest.mark.parametrize("path", ["/", "/_stcore/stream", "/_stcore/upload_file/x"])
def test_every_way_through_nginx_keeps_the_host_and_adds_the_headers(proxy: int, path: str) -> None:
    """A location that sets a header of its own inherits none: without the host, Streamlit refuses the websocket."""
    asked, answered = ask(proxy, path, Host="lab.example.org:8443")
    assert asked["Host"] == "lab.example.org:8443"
    assert asked["X-Forwarded-Proto"] == "https"
    assert "default-src 'none'" in answered["Content-Security-Policy"]
    assert answered["X-Frame-Options"] == "DENY"


def test_the_websocket_is_handed_over_as_one(proxy: int) -> None:
    asked, _ = ask(proxy, "/_stcore/stream", Upgrade="websocket", Connection="Upgrade")
    assert (asked["Upgrade"], asked["Connection"]) == ("websocket", "upgrade")
