"""A class at once: ``python -m benchmarks.load [--minutes M] [--browsers B] [--people N] [--out FOLDER]``.

B real browsers and N visits without one (:mod:`benchmarks.session`) look at the pages of one server and press Train, so
that the queue is never empty. Everybody stays for a minute or two, and somebody else comes, with a cookie of their own:
what a visit leaves behind in the server's memory would show. Writes ``docs/load.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from playwright.async_api import Browser, Page, async_playwright

from benchmarks.memory import tree_mb
from benchmarks.session import Session, SessionError, new_cookie
from benchmarks.table import Line, Section, to_markdown
from cfcore.runs import RunStore
from cfcore.ui.state import name_of
from tests.browser.conftest import FLAGS, Server

RUNS = (  # one or two seconds each, so that one worker keeps up with a class that presses Train every minute
    "approach=scratch&learning_rate=10&embedding_size=8&epochs=60",
    "approach=mf&epochs=4",
    "approach=als&epochs=4",
    "approach=fastai_dot&epochs=1",
)
PLACES = ("", "learn", "data", "compare", "explore", "recommend")
THINK_SECONDS = (4.0, 16.0)  # between two things that a person does
STAY_SECONDS = (60.0, 120.0)
TRAIN_SHARE = 0.2  # of what a person does that is a visit of the Train page and a press of its button
DRAIN_SECONDS = 1200  # for the runs that wait when everybody has left
SAMPLE_SECONDS = 5.0
GRACE_SECONDS = 125  # Streamlit keeps the session of who has left for two minutes


@dataclass
class Seen:
    """What the people of a class have met: seconds by kind, what went wrong, and whose runs they started."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    runs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by the person's name
    visits: int = 0
    full: Counter[str] = field(default_factory=Counter)  # refusals because one has as many runs as one may
    samples: list[Sample] = field(default_factory=list)


@dataclass(frozen=True)
class Sample:
    """The server at a moment: seconds since the start, visits so far, MB of its process, runs that wait."""

    seconds: float
    visits: int
    mb: float
    waiting: int


async def _person(url: str, seen: Seen, until: float, chance: random.Random) -> None:
    """One visit after another, each of somebody else, until ``until`` (on the clock of ``time.monotonic``)."""
    await asyncio.sleep(min(chance.uniform(0, THINK_SECONDS[1]), 0.3 * (until - time.monotonic())))
    while time.monotonic() < until:
        leaves = min(until, time.monotonic() + chance.uniform(*STAY_SECONDS))
        try:
            cookie = await asyncio.to_thread(new_cookie, url)
            seen.visits += 1
            async with Session(url, cookie) as session:
                seen.seconds["first page"].append(await session.visit(""))
                while time.monotonic() < leaves:
                    await _act(session, seen, chance)
                    await asyncio.sleep(chance.uniform(*THINK_SECONDS))
                seen.seconds["fragment"] += session.fragment_seconds
        except (SessionError, OSError) as fault:
            seen.faults.append(str(fault))


async def _act(session: Session, seen: Seen, chance: random.Random) -> None:
    """Press Train with settings of one's own, or look at another page, at one's last run where it shows one."""
    mine = seen.runs[name_of(session.cookie)]
    if not mine or chance.random() < TRAIN_SHARE:
        seed = chance.randrange(10_000)  # settings of one's own, or the button would be off: it is the same run
        seen.seconds["page"].append(await session.visit("train", f"{chance.choice(RUNS)}&seed={seed}"))
        seen.seconds["press"].append(await session.press("Train"))
        if "run" in session.query:
            mine.add(session.query["run"])
        else:
            seen.full["refused"] += 1
        return
    page = chance.choice(PLACES)
    run = chance.choice(sorted(mine))
    query = {"compare": f"runs={run}", "explore": f"run={run}", "recommend": f"run={run}"}.get(page, "")
    seen.seconds["page"].append(await session.visit(page, query))


async def _browser_person(browser: Browser, url: str, seen: Seen, until: float, chance: random.Random) -> None:
    """The same with a real browser: the menu, and the Train button, each until its picture stands there."""
    while time.monotonic() < until:
        leaves = min(until, time.monotonic() + chance.uniform(*STAY_SECONDS))
        context = await browser.new_context(viewport={"width": 1440, "height": 900})
        context.set_default_timeout(120_000)
        page = await context.new_page()
        page.on("pageerror", lambda error: seen.faults.append(f"in the browser: {error}"))
        try:
            seen.visits += 1
            await page.goto(url)
            await page.get_by_role("link", name="Train", exact=True).first.wait_for()
            cookies = {each.get("name"): each.get("value") for each in await context.cookies()}
            name = name_of(cookies.get("_streamlit_xsrf") or "")
            while time.monotonic() < leaves:
                await _browser_act(page, url, seen, name, chance)
                await asyncio.sleep(chance.uniform(*THINK_SECONDS))
        except Exception as fault:  # whatever it is, it is what this measures
            seen.faults.append(f"in the browser: {fault}")
        finally:
            await context.close()


async def _browser_act(page: Page, url: str, seen: Seen, name: str, chance: random.Random) -> None:
    if not seen.runs[name] or chance.random() < TRAIN_SHARE:
        await page.goto(f"{url}/train?{chance.choice(RUNS)}&seed={chance.randrange(10_000)}")
        button = page.get_by_role("button", name="Train", exact=True)
        await button.wait_for()
        began = time.perf_counter()
        await button.click()
        await page.wait_for_function("() => new URL(location).searchParams.has('run')", polling="raf")
        seen.seconds["browser press"].append(time.perf_counter() - began)
        run = await page.evaluate("() => new URL(location).searchParams.get('run')")
        seen.runs[name].add(run)
    else:
        title = chance.choice(["Learn", "Data", "Train", "Compare", "Explore", "Recommend"])
        began = time.perf_counter()
        await page.get_by_role("link", name=title, exact=True).first.click()
        look = "(title) => [...document.querySelectorAll('h1')].some((each) => each.textContent === title)"
        await page.wait_for_function(look, arg=title, polling="raf")
        seen.seconds["browser switch"].append(time.perf_counter() - began)
    if await page.get_by_test_id("stException").count() or await page.get_by_text("Something went wrong").count():
        seen.faults.append(f"in the browser: an error on {page.url}")


async def _watch(server: Server, seen: Seen, began: float, until: float) -> None:
    """Take a sample of the server every few seconds."""
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    while time.monotonic() < until:
        waiting = count_runs(server)["queued"]
        mb = process.memory_full_info().uss / 1e6
        seen.samples.append(Sample(time.monotonic() - began, seen.visits, mb, waiting))
        await asyncio.sleep(SAMPLE_SECONDS)


def count_runs(server: Server) -> Counter[str]:
    """How many runs the server's store has, by status."""
    with contextlib.closing(sqlite3.connect(server.folder / "runs" / "runs.sqlite3", timeout=30)) as db:
        return Counter(dict(db.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall()))


def leak(samples: Sequence[Sample], since: float) -> float:
    """MB that 100 visits leave behind: the slope of the server's memory over the visits so far, from ``since`` on."""
    late = [each for each in samples if each.seconds >= since]
    visits = np.array([each.visits for each in late], dtype=float)
    if len(late) < 3 or np.ptp(visits) == 0:
        return float("nan")
    return 100 * float(np.polyfit(visits, [each.mb for each in late], 1)[0])


async def _class(server: Server, seen: Seen, seconds: float, people: int, browsers: int) -> None:
    began = time.monotonic()
    until = began + seconds
    async with async_playwright() as playwright:
        path = shutil.which("chromium")
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS) if browsers else None
        _stand_back()
        tasks = [_person(server.url, seen, until, random.Random(seed)) for seed in range(people)]
        if browser is not None:
            chances = (random.Random(1000 + seed) for seed in range(browsers))
            tasks += [_browser_person(browser, server.url, seen, until, chance) for chance in chances]
        await asyncio.gather(*tasks, _watch(server, seen, began, until))
        if browser is not None:
            await browser.close()


def _stand_back() -> None:
    """Give the browsers the lowest priority, where that can be: in a class each draws on a machine of its own."""
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error, OSError, AttributeError):
            if "chrom" in each.name():
                for thread in each.threads():  # what these start from now on has the same
                    os.setpriority(os.PRIO_PROCESS, thread.id, 19)
                Path(f"/proc/{each.pid}/autogroup").write_text("19", encoding="ascii")  # see cfcore.nanny


async def _warm_up(url: str) -> None:
    """Visit each page once and train once, as a teacher does before the lesson."""
    async with Session(url, new_cookie(url)) as session:
        for page in PLACES:
            await session.visit(page)
        await session.visit("train", RUNS[0])
        await session.press("Train")


def drain(server: Server, seconds: float = DRAIN_SECONDS) -> Counter[str]:
    """Wait until no run waits or trains, for so long at most; gives how many ended how."""
    give_up = time.monotonic() + seconds
    while (now := count_runs(server))["queued"] + now["running"] and time.monotonic() < give_up:
        time.sleep(0.5)
    return now


def strayed(server: Server, seen: Seen) -> list[str]:
    """The people whose runs in the store are not exactly those that they started."""
    store = RunStore(server.folder / "runs")
    try:
        return [
            name
            for name, runs in seen.runs.items()
            if {run.id for run in store.list(visitor=name, limit=10_000)} != runs
        ]
    finally:
        store.close()


def load(*, minutes: float, people: int, browsers: int) -> Section:
    """Run a class of ``people`` without and ``browsers`` with a browser for so long, and say what it met."""
    seen = Seen()
    busy = psutil.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder)).start()
        try:
            asyncio.run(_warm_up(server.url))
            drain(server)
            before = sum(count_runs(server).values())
            asyncio.run(_class(server, seen, minutes * 60, people, browsers))
            tree = tree_mb(server)
            ended = drain(server)
            if minutes >= 5:
                time.sleep(GRACE_SECONDS)
            assert server.process is not None
            after = psutil.Process(server.process.pid).memory_full_info().uss / 1e6
            astray = strayed(server, seen)
            if faults := server.faults():
                seen.faults.append(f"in the server's log: {faults[-300:]}")
        finally:
            server.stop()
    started = sum(map(len, seen.runs.values()))
    return Section(
        title=f"{people + browsers} people at once, for {minutes:g} minutes",
        how=_how(seen, people, browsers, busy),
        lines=_lines(seen, minutes, tree, after, started, before, ended, astray),
    )


def _lines(
    seen: Seen,
    minutes: float,
    tree: float,
    after: float,
    started: int,
    before: int,
    ended: Counter[str],
    astray: Sequence[str],
) -> list[Line]:
    settled = 0.4 * minutes * 60
    reruns = seen.seconds["page"] + seen.seconds["press"]
    late = [each for each in seen.samples if each.seconds >= settled]
    queue = [each.waiting for each in seen.samples]
    lost = started + before - ended["done"]
    return [
        _wait("a rerun of a page: a visit, or a press of Train", reruns, 0.5),
        _wait("the presses of Train among them", seen.seconds["press"], None),
        _wait("a rerun of the live part of a page whose run waits or trains", seen.seconds["fragment"], 0.5),
        _wait("the first page of somebody new", seen.seconds["first page"], None),
        _wait("a real browser: from a click in the menu to the other page's heading", seen.seconds["browser switch"]),
        _wait("a real browser: from a click on Train to the run in the address", seen.seconds["browser press"]),
        _fact("errors that somebody saw, or that are in the log", len(seen.faults), 0, note="; ".join(seen.faults[:3])),
        _fact(
            "MB that 100 visits leave in the server's process",
            leak(seen.samples, settled),
            5,
            ours=f"{_mean(late[: len(late) // 4]):.0f} MB then, {_mean(late[-len(late) // 4 :]):.0f} MB at the end, "
            f"{after:.0f} MB after everybody had left",
            note=f"the slope from {settled / 60:.1f} minutes on, when visits come and go in equal number.",
        ),
        _fact("memory of the whole process tree at the end", tree, 1000, unit="MB"),
        _fact(
            "runs that were started and did not end as done",
            lost,
            0,
            ours=f"{started} started, {dict(ended)} with {before} before; most that waited {max(queue, default=0)}, "
            f"none in {sum(1 for each in queue if not each)} of {len(queue)} samples",
        ),
        _fact("people whose runs are not all and only theirs", len(astray), 0, ours=f"{len(seen.runs)} people"),
    ]


def _mean(samples: Sequence[Sample]) -> float:
    return statistics.mean(each.mb for each in samples) if samples else float("nan")


def _wait(what: str, seconds: Sequence[float], wanted: float | None = None) -> Line:
    p95 = float(np.percentile(seconds, 95)) if seconds else float("nan")
    ours = (
        f"median {statistics.median(seconds):.2f} s, most {max(seconds):.2f} s, of {len(seconds):,}" if seconds else "–"
    )
    return Line(what=f"p95 of {what}", ours=ours, theirs="–", value=p95, bound="at most", wanted=wanted, unit="s")


def _fact(what: str, value: float, wanted: float, *, ours: str = "", unit: str = "", note: str = "") -> Line:
    return Line(
        what=what, ours=ours or "–", theirs="–", value=value, bound="at most", wanted=wanted, unit=unit, note=note
    )


def _how(seen: Seen, people: int, browsers: int, busy: float) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("streamlit", "distributed", "torch"))
    return (
        f"On {psutil.cpu_count()} cores, which also draw the {browsers} browsers (at the lowest priority: in a class "
        f"each has a machine of its own) and play the other {people} people; load average {busy:.1f} before it began; "
        f"Python {platform.python_version()}, {libraries}. The built-in "
        f"sample, one worker. {seen.visits} visits of {STAY_SECONDS[0]:.0f} to {STAY_SECONDS[1]:.0f} s; a person does "
        f"something every {THINK_SECONDS[0]:.0f} to {THINK_SECONDS[1]:.0f} s: looks at another page, or, once in "
        f"{1 / TRAIN_SHARE:.0f}, presses Train with settings of their own. Seconds are from the request to the last "
        "message of the server's answer, without what a browser then draws. Not measured: a network between them, "
        "uploads, downloads of data, larger data, and several workers."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M")
    parser.add_argument("--people", type=int, default=27, metavar="N", help="without a browser")
    parser.add_argument("--browsers", type=int, default=3, metavar="B", help="with a real one (needs chromium)")
    parser.add_argument("--out", type=Path, default=Path("docs"), metavar="FOLDER")
    options = parser.parse_args()
    section = load(minutes=options.minutes, people=options.people, browsers=options.browsers)
    text = f"# Load\n\nMade by `python -m benchmarks.load`.\n\n{to_markdown(section)}"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "load.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
