"""``python -m cfcore doctor``: whether everything that the app needs is there, and what to do where it is not.

Each check really does what the app would do: it opens the run store, writes to the data folder, starts a worker (or
asks the scheduler elsewhere for one) and has it compute something. Nothing is left behind.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import re
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from cfcore import datasets
from cfcore.datasets.places import writable_dir
from cfcore.limits import Limits
from cfcore.runs import RunStore, StoreError

ROOT = Path(__file__).parents[1]
LEAST_PYTHON = (3, 11)
TREE_MB, WORKER_MB = 900, 600  # the app with its worker after a run of each approach; that worker alone
DISK_MB = 500  # room for data and runs
ANSWER_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check ``found``, whether that is ``ok``, and what to do (``fix``) unless that stands there already."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def checkup(url: str) -> Iterator[Finding]:
    """One finding after the other, the slowest, a worker, last; ``url`` is where the app is expected to answer."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _libraries,
        _limits,
        _memory,
        _data,
        _runs,
        lambda: _browser(url),
        _workers,
    )
    for check in checks:
        yield check()


def add_doctor(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    text = "whether everything the app needs is there"
    doctor = commands.add_parser("doctor", help=text, description=f"Check {text}, and say what to do where it is not.")
    doctor.add_argument("--url", default="http://127.0.0.1:8501", help="where the app answers; default: %(default)s")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    findings = []
    for finding in checkup(options.url.rstrip("/")):
        findings.append(finding)
        if not options.json:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:9}  {finding.found}", flush=True)
            if finding.fix:
                print(f"{'':17}{finding.fix}", flush=True)
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    failed = [finding.name for finding in findings if not finding.ok]
    if failed:
        print(f"cfcore: {len(failed)} of {len(findings)} checks failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _python() -> Finding:
    ok = sys.version_info >= LEAST_PYTHON
    fix = "" if ok else f"Make the environment with Python {'.'.join(map(str, LEAST_PYTHON))} or newer."
    return Finding(name="python", ok=ok, found=f"{platform.python_version()} at {sys.executable}", fix=fix)


def _libraries() -> Finding:
    """Whether the libraries are those that requirements.txt pins."""
    pinned = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    wrong = []
    for name, wanted in pinned:
        try:
            there = version(name).partition("+")[0]
        except PackageNotFoundError:
            there = "missing"
        if there != wanted:
            wrong.append(f"{name} {there}, not {wanted}")
    if wrong:
        fix = f"Run: {sys.executable} -m pip install -r requirements.txt"
        return Finding(name="libraries", ok=False, found="; ".join(wrong), fix=fix)
    return Finding(name="libraries", ok=True, found=f"{len(pinned)} as pinned in requirements.txt")


def _limits() -> Finding:
    try:
        limits = Limits.from_environment()
    except ValueError as problem:
        return Finding(name="limits", ok=False, found=str(problem), fix="Correct the variable, or unset it.")
    found = f"{limits.running} in training and {limits.waiting} waiting for each person"
    return Finding(name="limits", ok=True, found=f"{found}; 'python -m cfcore limits' prints all")


def _memory() -> Finding:
    free = psutil.virtual_memory().available / 1e6
    fix = "" if free >= TREE_MB else f"The app with one worker takes {TREE_MB} MB: end other programs, or add memory."
    return Finding(name="memory", ok=not fix, found=f"{free:,.0f} MB are free", fix=fix)


def _data() -> Finding:
    try:
        folder = writable_dir()
    except datasets.DataError as problem:
        return Finding(name="data", ok=False, found=str(problem))
    here = [name for name, source in datasets.SOURCES.items() if not source.simulated and datasets.on_disk(name)]
    found = f"{folder}: {', '.join(here) or 'nothing downloaded, so the app begins with the built-in sample'}"
    return Finding(name="data", ok=True, found=found)


def _runs() -> Finding:
    try:
        store = RunStore()
    except StoreError as problem:
        return Finding(name="runs", ok=False, found=str(problem))
    free = shutil.disk_usage(store.root).free / 1e6
    found = f"{store.root}: {free:,.0f} MB are free"
    store.close()
    fix = store.notice() if free >= DISK_MB else "Make room, or lower CFCORE_MAX_STORE_MB."
    return Finding(name="runs", ok=not fix, found=found, fix=fix)


def _browser(url: str) -> Finding:
    """Whether the app answers at this address; where nothing does, it is not running, which is no fault."""
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=ANSWER_SECONDS) as answer:
            healthy = answer.read(100).strip() == b"ok"
    except (urllib.error.HTTPError, http.client.HTTPException):
        healthy = False
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        if isinstance(reason, ConnectionRefusedError):
            return Finding(name="browser", ok=True, found=f"nothing runs at {url} now: streamlit run app.py starts it")
        fix = "Look at the address, and whether a firewall or a proxy stands before it."
        return Finding(name="browser", ok=False, found=f"{url} cannot be reached: {reason}", fix=fix)
    if healthy:
        return Finding(name="browser", ok=True, found=f"the app answers at {url}")
    fix = "Start the app on another port: streamlit run app.py --server.port 8502"
    return Finding(name="browser", ok=False, found=f"another program answers at {url}", fix=fix)


def _workers() -> Finding:
    """Whether a worker starts, or is there, and computes."""
    where = os.environ.get("CFCORE_SCHEDULER", "").strip()
    free = psutil.virtual_memory().available / 1e6
    if not where and free < WORKER_MB:  # one more beside those of an app that runs could end that app
        return Finding(
            name="workers", ok=False, found=f"not tried: a worker takes {WORKER_MB} MB, {free:,.0f} MB are free"
        )
    from cfcore.cluster import Cluster, ClusterSettings  # distributed takes half a second to import

    fix = "Look at CFCORE_SCHEDULER, CFCORE_WORKERS and CFCORE_WORKER_MEMORY, and at the memory above."
    try:
        settings = ClusterSettings.from_environment()
        cluster = Cluster(settings)
    except (ValueError, OSError, RuntimeError) as problem:  # TimeoutError is an OSError
        return Finding(name="workers", ok=False, found=str(problem) or "no worker came up", fix=fix)
    try:
        n_workers = cluster.n_workers()
        if not n_workers:
            return Finding(name="workers", ok=False, found=f"none at {where}: {cluster.why_none()}")
        answer = cluster.client.submit(sum, (1, 2), pure=False).result(timeout=60)
    except (OSError, RuntimeError) as problem:
        return Finding(name="workers", ok=False, found=f"no answer: {problem}", fix=fix)
    finally:
        cluster.close()
    place = f"at {where}" if where else "on this machine"
    return Finding(name="workers", ok=answer == 3, found=f"{n_workers} {place} can compute", fix=settings.warning)
