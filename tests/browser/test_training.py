"""Training in the browser: to the end, stopped, refreshed, shared, diverged, and with its worker killed."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from cfcore.approaches import APPROACHES, BASELINES
from cfcore.runs import Run, RunStore
from tests.browser.conftest import Server, holds_torch
from tests.faults_support import assert_store_is_sound, ended
from tests.remote_support import Elsewhere
from tests.waiting import wait_until

QUICK = {  # a few epochs of each approach on the sample
    "scratch": "learning_rate=30&epochs=12&embedding_size=8",
    "pytorch": "learning_rate=0.03&epochs=12",
    "fastai_custom": "epochs=2&batch_size=512",
    "fastai_nn": "epochs=2&batch_size=512",
    "fastai_dot": "epochs=2&batch_size=512",
    "mf": "epochs=3",
    "als": "epochs=2",
    "bayes": "epochs=2",
}
LONG = "approach=fastai_custom&epochs=100&batch_size=32"  # minutes: it ends where a test stops it


def open_train(page: Page, server: Server, query: str) -> None:
    page.goto(f"{server.url}/train?{query}")
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()


def press_train(page: Page) -> str:
    """Press Train and give the run's id, read from the address."""
    train = page.get_by_role("button", name="Train", exact=True)
    expect(train).to_have_count(1)  # for a moment there may be another, where what stands above has just gone
    train.click()
    page.wait_for_url(re.compile(r"[?&]run="))
    return parse_qs(urlparse(page.url).query)["run"][0]


def expect_epoch(page: Page, least: int = 1) -> None:
    """The page says that this epoch of a LONG run is in training, or a later one: it may have missed this one."""
    expect(page.get_by_text(re.compile(rf"Epoch ([{least}-9]|\d\d+) of 100"))).to_be_visible()


def stop_button(page: Page) -> Locator:
    """Ours: Streamlit's header has a Stop of its own while a page is computed."""
    return page.get_by_test_id("stMain").get_by_role("button", name="Stop")


def stored(server: Server, run_id: str) -> Run:
    run = RunStore(server.folder / "runs").get(run_id)
    assert run is not None
    return run


def test_every_approach_has_a_few_epochs_here() -> None:
    assert set(QUICK) == set(APPROACHES) - set(BASELINES)


@pytest.mark.parametrize("key", QUICK)
def test_an_approach_trains_to_the_end(key: str, server: Server, page: Page) -> None:
    open_train(page, server, f"approach={key}&{QUICK[key]}")
    run_id = press_train(page)
    expect(page.get_by_text(re.compile(r"^Done · \d+ of \d+ epochs"))).to_be_visible()
    expect(page.get_by_role("table").get_by_text("User + movie bias")).to_be_visible()
    run = stored(server, run_id)
    assert run.status == "done"
    assert run.request.config.approach == key
    assert run.metrics is not None
    assert run.metrics.valid_rmse is not None
    expect(page.get_by_role("table").get_by_text(f"{run.metrics.valid_rmse:.3f}").first).to_be_visible()


def test_the_curve_grows_while_it_trains(server: Server, page: Page) -> None:
    open_train(page, server, LONG)
    run_id = press_train(page)
    expect_epoch(page, 3)
    while_running = stored(server, run_id)
    assert while_running.status == "running"
    assert len(while_running.history) >= 2
    expect(stop_button(page)).to_be_enabled()
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    stop_button(page).click()
    expect(page.get_by_text(re.compile(r"^Stopped · \d+ of 100 epochs"))).to_be_visible()
    run = stored(server, run_id)
    assert run.status == "stopped"
    assert len(run.history) >= 2
    factors = RunStore(server.folder / "runs").arrays(run_id)["item_factors"]
    assert factors.shape[1] == 50


def test_an_impatient_double_press_trains_once(server: Server, page: Page) -> None:
    open_train(page, server, LONG)
    before = {run.id for run in RunStore(server.folder / "runs").list()}
    train = page.get_by_role("button", name="Train", exact=True)
    expect(train).to_be_enabled()
    train.scroll_into_view_if_needed()
    box = train.bounding_box()
    assert box is not None
    for _ in range(3):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(120)  # about when the first press is being carried out
    expect_epoch(page)
    (run,) = [run for run in RunStore(server.folder / "runs").list() if run.id not in before]
    assert f"run={run.id}" in page.url
    stop_button(page).click()
    expect(page.get_by_text(re.compile(r"^Stopped · "))).to_be_visible()


def test_a_refresh_and_another_person_find_the_run_again(server: Server, new_person: Callable[..., Page]) -> None:
    page = new_person()
    open_train(page, server, LONG)
    press_train(page)
    expect_epoch(page, 2)
    page.reload()
    expect_epoch(page)
    other = new_person()
    other.goto(page.url)
    expect_epoch(other)
    stop_button(page).click()
    for watcher in (page, other):
        expect(watcher.get_by_text(re.compile(r"^Stopped · \d+ of 100 epochs"))).to_be_visible()


def test_a_waiting_run_says_its_place_and_can_be_stopped(server: Server, new_person: Callable[..., Page]) -> None:
    first, second = new_person(), new_person()
    open_train(first, server, LONG)
    press_train(first)
    expect_epoch(first)
    open_train(second, server, f"approach=scratch&{QUICK['scratch']}")
    press_train(second)
    expect(second.get_by_text("Next in the queue")).to_be_visible()
    stop_button(second).click()
    expect(second.get_by_text("Stopped before it started.")).to_be_visible()
    stop_button(first).click()
    expect(first.get_by_text(re.compile(r"^Stopped · "))).to_be_visible()


def test_a_diverged_run_says_what_to_try_and_trying_it_works(server: Server, page: Page) -> None:
    open_train(page, server, "approach=scratch&learning_rate=10000&epochs=40")
    press_train(page)
    expect(page.get_by_text("a learning rate of 10000 is too high here")).to_be_visible()
    page.get_by_role("button", name="Try a rate of 10", exact=True).click()
    expect(page.get_by_text(re.compile(r"^Done · 40 of 40 epochs"))).to_be_visible()
    page.wait_for_url(re.compile("learning_rate=10(&|$)"))


def test_the_articles_run_is_diagnosed_and_the_fix_trains_a_better_one(server: Server, page: Page) -> None:
    open_train(page, server, "approach=pytorch")
    slow = press_train(page)
    expect(page.get_by_text("Learning rate too low. The train loss still fell by")).to_be_visible()
    page.get_by_role("button", name="Try a rate of 0.05 on all the data").click()
    page.wait_for_url(lambda url: f"run={slow}" not in url and "learning_rate=0.05" in url)
    expect(page.get_by_text(re.compile(r"^Done · 50 of 50 epochs"))).to_be_visible()
    expect(page.get_by_text("Learning rate too low.")).to_have_count(0)
    better = parse_qs(urlparse(page.url).query)["run"][0]
    first, second = stored(server, slow).history[-1], stored(server, better).history[-1]
    assert second.valid_loss < first.valid_loss / 2
    page.get_by_role("link", name="Compare it with others").click()
    expect(page.get_by_role("heading", name="Run doctor")).to_be_visible()


def test_two_people_do_not_disturb_each_other(server: Server, new_person: Callable[..., Page]) -> None:
    anna, ben = new_person(), new_person()
    open_train(anna, server, "approach=scratch&epochs=11")
    open_train(ben, server, "approach=fastai_dot&epochs=7")
    for person in (anna, ben):
        person.get_by_role("link", name="Home").click()
        expect(person.get_by_role("heading", name="How recommendations are learned")).to_be_visible()
        person.get_by_role("link", name="Train", exact=True).click()
        expect(person.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    expect(anna.get_by_role("spinbutton", name="Epochs")).to_have_value("11")
    expect(ben.get_by_role("spinbutton", name="Epochs")).to_have_value("7")
    anna.wait_for_url(re.compile("approach=scratch"))
    ben.wait_for_url(re.compile("approach=fastai_dot"))


def test_a_killed_worker_fails_its_run_and_the_next_one_works(server: Server, page: Page) -> None:
    open_train(page, server, LONG)
    press_train(page)
    expect_epoch(page, 2)
    for worker in server.workers():
        worker.kill()
    expect(page.get_by_text("The worker was lost")).to_be_visible()
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    open_train(page, server, f"approach=scratch&{QUICK['scratch']}")
    press_train(page)
    expect(page.get_by_text(re.compile(r"^Done · 12 of 12 epochs"))).to_be_visible()


def test_the_server_itself_never_holds_torch(server: Server) -> None:
    assert server.process is not None
    assert not holds_torch(psutil.Process(server.process.pid))
    assert server.workers(), "no worker holds torch, so nothing here could have trained"


def test_a_run_opens_by_link_on_a_cold_server(
    new_server: Callable[..., Server], new_person: Callable[..., Page]
) -> None:
    first = new_server()
    page = new_person()
    open_train(page, first, f"approach=scratch&{QUICK['scratch']}")
    run_id = press_train(page)
    expect(page.get_by_text(re.compile(r"^Done · 12 of 12 epochs"))).to_be_visible()
    page.close()
    first.stop()
    second = new_server()  # the same store, another process that has served no page yet
    page = new_person()
    page.goto(f"{second.url}/train?run={run_id}")
    expect(page.get_by_text(re.compile(r"^Done · 12 of 12 epochs"))).to_be_visible()
    expect(page.get_by_role("table").get_by_text("User + movie bias")).to_be_visible()


def test_an_app_that_is_killed_leaves_the_history_no_process_and_a_run_that_says_why(
    new_server: Callable[..., Server], new_person: Callable[..., Page]
) -> None:
    """Without the pipe to its nanny a worker would train on; without the look at its server the run would be running
    for ever."""
    first = new_server()
    page = new_person()
    open_train(page, first, LONG)
    run_id = press_train(page)
    expect_epoch(page, 2)
    page.close()
    assert first.process is not None
    processes = psutil.Process(first.process.pid).children(recursive=True)
    assert processes
    before = stored(first, run_id)
    assert before.status == "running"
    half = first.folder / "runs" / "arrays" / f".{run_id}.0123abcd.part"  # as if it had been killed while it wrote
    half.write_bytes(b"half")
    first.process.kill()
    first.process.wait()
    for process in processes:
        wait_until(partial(ended, process), what=f"the end of {process}")
    second = new_server()
    page = new_person()
    page.goto(f"{second.url}/train?run={run_id}")
    expect(page.get_by_text(re.compile("^Failed · "))).to_be_visible()
    expect(page.get_by_text("The server stopped before this run ended: start it again.")).to_be_visible()
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    after = stored(second, run_id)
    assert len(after.history) >= len(before.history) >= 1
    losses = [epoch.train_loss for epoch in before.history]
    assert [epoch.train_loss for epoch in after.history][: len(losses)] == losses
    second.stop()
    assert_store_is_sound(second.folder / "runs")


def test_a_scheduler_that_dies_is_said_on_the_page_and_found_again(
    new_server: Callable[..., Server], new_person: Callable[..., Page], tmp_path: Path
) -> None:
    """Without a look now and then the page would say so until somebody reloads it."""
    elsewhere = Elsewhere(tmp_path)
    try:
        elsewhere.start(n_workers=1)
        server = new_server(CFCORE_SCHEDULER=elsewhere.address)
        page = new_person()
        open_train(page, server, "approach=bias")
        press_train(page)
        expect(page.get_by_text(re.compile("^Done · "))).to_be_visible()
        elsewhere.kill_scheduler()
        gone = page.get_by_text("No worker can train at the moment. No scheduler answers at")

        def said() -> bool:
            page.reload()
            expect(page.get_by_role("button", name="Train", exact=True)).to_be_visible()
            return gone.is_visible()

        wait_until(said, what="the word that it is gone")
        elsewhere.start(n_workers=1)
        expect(gone).to_have_count(0)  # without a reload
        press_train(page)
        expect(page.get_by_text(re.compile("^Done · "))).to_be_visible()
        server.stop()
    finally:
        elsewhere.stop()
    assert_store_is_sound(server.folder / "runs")


def test_a_link_to_no_run_says_so(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/train?run=AAAAAAAAAAAAAAAA")
    expect(page.get_by_text("There is no run with this link here")).to_be_visible()
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()
