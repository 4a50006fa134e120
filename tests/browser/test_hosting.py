"""What a host does to the app: files that change under it, after which it runs the pages again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Server
from tests.browser.test_training import LONG, expect_epoch, open_train, press_train, stop_button
from tests.waiting import wait_until


@pytest.mark.parametrize("edited", ["pages/train.py", "cfcore/ui/words.py"])
def test_a_file_that_changes_under_a_host_that_reruns_pages_loses_no_run(
    edited: str, new_person: Callable[..., Page], tmp_path: Path
) -> None:
    """With the queue in the session, or in a module that is read again, the run and its worker would be lost."""
    for name in ("pages", "cfcore"):
        shutil.copytree(ROOT / name, tmp_path / "app" / name)
    shutil.copy(ROOT / "app.py", tmp_path / "app")
    host = {"STREAMLIT_SERVER_RUN_ON_SAVE": "true", "STREAMLIT_SERVER_FILE_WATCHER_TYPE": "auto"}
    server = Server(tmp_path / "server", host, tmp_path / "app" / "app.py").start()
    try:
        page = new_person()
        open_train(page, server, LONG)
        press_train(page)
        expect_epoch(page)
        workers = {each.pid for each in server.workers()}
        with (tmp_path / "app" / edited).open("a") as file:
            file.write("\nprint('edited just now', flush=True)\n")
        wait_until(lambda: "edited just now" in server.log(), what="the page to be run again")
        expect(page.locator("h1")).to_have_text("Train")
        expect(stop_button(page)).to_be_enabled()
        assert {each.pid for each in server.workers()} == workers
        stop_button(page).click()
        expect(page.get_by_text(re.compile("^Stopped ·"))).to_be_visible()
        assert not server.faults()
    finally:
        server.stop()
