"""Which workers to use, as the environment asks for it: our own, or those of a scheduler elsewhere.

Whoever reaches a Dask scheduler can have its workers run anything. Our own listens on loopback only. One elsewhere
should be reached over TLS, where both sides show certificates that the same authority has signed.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import dask.utils
from dask.system import CPU_COUNT
from distributed import Security
from distributed.system import MEMORY_LIMIT  # of the container where there is one

_APP_BYTES = 500e6  # for the app itself and the system
_WORKER_BYTES = 600e6  # a worker that has fastai loaded, and some data
_SMALLEST_LIMIT = 300e6  # below this a worker would die while it imports torch
_TLS = ("CFCORE_TLS_CA", "CFCORE_TLS_CERT", "CFCORE_TLS_KEY")


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """What the environment asks for: a ``scheduler`` elsewhere, else ``n_workers`` of ``memory_limit`` bytes each.

    ``certificates`` are the files of the authority, of our certificate and of its key, for a ``tls://`` scheduler.
    """

    scheduler: str
    n_workers: int
    memory_limit: int
    certificates: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls) -> ClusterSettings:
        """Read ``CFCORE_SCHEDULER``, the three ``CFCORE_TLS_``, ``CFCORE_WORKERS`` and ``CFCORE_WORKER_MEMORY``.

        Raises:
            ValueError: one of them makes no sense.
        """
        n_workers = _n_workers(os.environ.get("CFCORE_WORKERS", "1"))
        default = f"{0.8 * MEMORY_LIMIT / n_workers:.0f}"
        scheduler = _scheduler(os.environ.get("CFCORE_SCHEDULER", ""))
        return cls(
            scheduler=scheduler,
            n_workers=n_workers,
            memory_limit=_memory_limit(os.environ.get("CFCORE_WORKER_MEMORY", default)),
            certificates=_certificates(os.environ) if scheduler.startswith("tls://") else (),
        )

    @property
    def warning(self) -> str:
        """What is unsafe about these settings, in a sentence; empty where nothing is."""
        if not self.scheduler.startswith("tcp://") or _is_loopback(urlsplit(self.scheduler).hostname or ""):
            return ""
        return (
            f"whoever reaches {self.scheduler} can run code on its workers, and nothing is encrypted: use tls:// with "
            f"{', '.join(_TLS)}, or a network that only these machines are on"
        )

    @property
    def security(self) -> Security | None:
        """The certificates, as Dask takes them."""
        if not self.certificates:
            return None
        ca, cert, key = self.certificates
        return Security(tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, require_encryption=True)


def _certificates(environment: Mapping[str, str]) -> tuple[str, ...]:
    files = tuple(environment.get(name, "").strip() for name in _TLS)
    for name, file in zip(_TLS, files, strict=True):
        if not file:
            raise ValueError(f"a tls:// scheduler needs certificates: set {', '.join(_TLS)}; {name} is not set")
        if not Path(file).is_file():
            raise ValueError(f"{name} names a file that is not there: {file}")
    return files


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _scheduler(text: str) -> str:
    text = text.strip()
    if text and not text.startswith(("tcp://", "tls://")):
        raise ValueError(f"CFCORE_SCHEDULER must be an address such as tcp://192.168.1.5:8786, not {text!r}")
    return text


def _n_workers(text: str) -> int:
    most = max(1, min(CPU_COUNT, int((MEMORY_LIMIT - _APP_BYTES) // _WORKER_BYTES)))  # as cores and memory allow
    if text.strip() == "auto":
        return most
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"CFCORE_WORKERS must be a number of workers from 1, or auto, not {text!r}")
    return min(int(text), most)


def _memory_limit(text: str) -> int:
    try:
        limit = dask.utils.parse_bytes(text)
    except ValueError:
        raise ValueError(f"CFCORE_WORKER_MEMORY must be a size such as 2GB, not {text!r}") from None
    if limit < _SMALLEST_LIMIT:
        raise ValueError(f"CFCORE_WORKER_MEMORY must be at least {_SMALLEST_LIMIT / 1e6:.0f}MB, not {text!r}")
    return limit
