"""A scheduler elsewhere over TLS: both sides show certificates, and without them nobody gets in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trustme

from cfcore.cluster_settings import ClusterSettings
from tests.remote_support import Elsewhere
from tests.test_remote import app

NAMES = ("CFCORE_TLS_CA", "CFCORE_TLS_CERT", "CFCORE_TLS_KEY")


def certificates(folder: Path) -> Sequence[Path]:
    """An authority of its own, and a certificate for this machine that it has signed, with its key."""
    folder.mkdir()
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    ca, cert, key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(ca)
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    return ca, cert, key


def use(monkeypatch: pytest.MonkeyPatch, files: Sequence[Path]) -> None:
    for name, file in zip(NAMES, files, strict=True):
        monkeypatch.setenv(name, str(file))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("tls")
    elsewhere = Elsewhere(folder, tls=certificates(folder / "ours")).start(n_workers=1)
    yield elsewhere
    elsewhere.stop()


def test_a_run_is_trained_over_tls(elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, elsewhere.tls)
    with app(elsewhere, tmp_path / "runs", n_workers=1) as server:
        assert server.end(server.submit("global_mean")).status == "done"


def test_whoever_has_a_certificate_of_somebody_else_stays_outside(
    elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without certificates on both sides, whoever reaches the port could run code."""
    monkeypatch.setattr("cfcore.cluster.CONNECT_SECONDS", 2)
    use(monkeypatch, certificates(tmp_path / "stranger"))
    with app(elsewhere, tmp_path / "runs") as server:
        status = server.jobs.status()
        assert status.state == "failed"
        assert "whether both sides trust the same authority" in status.message


def test_a_plain_connection_does_not_get_in(
    elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cfcore.cluster.CONNECT_SECONDS", 2)
    plain = Elsewhere(tmp_path, port=elsewhere.port)
    with app(plain, tmp_path / "runs") as server:
        assert server.jobs.status().state == "failed"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("CFCORE_TLS_KEY", "", "CFCORE_TLS_KEY is not set"),
        ("CFCORE_TLS_CA", "/no/such/file.pem", "CFCORE_TLS_CA names a file that is not there: /no/such/file.pem"),
    ],
)
def test_certificates_that_are_not_there_are_named(
    name: str, value: str, sentence: str, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, elsewhere.tls)
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("CFCORE_SCHEDULER", "tls://scheduler:8786")
    with pytest.raises(ValueError, match=sentence):
        ClusterSettings.from_environment()
