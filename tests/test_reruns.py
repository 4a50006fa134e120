"""What a run has said is delivered before a live part's timer begins another, and other requests are not held up."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests

from cfcore.ui.reruns import after_the_last, hear_runs_out


def heard(requests: ScriptRequests, fragment_id: str) -> list[str]:
    """In which order the rest of a run and a request, which comes before it in the loop, are taken up."""
    order: list[str] = []

    async def loop() -> None:
        session: Any = SimpleNamespace(
            _event_loop=asyncio.get_running_loop(), _scriptrunner=SimpleNamespace(_requests=requests)
        )
        ask = after_the_last(lambda self, state: order.append("request"))
        asyncio.get_running_loop().call_soon(order.append, "rest of the page")
        ask(session, SimpleNamespace(fragment_id=fragment_id))
        while len(order) < 2:
            await asyncio.sleep(0)

    with ThreadPoolExecutor(1) as thread:  # Playwright's loop may be running in this one
        thread.submit(asyncio.run, loop()).result()
    return order


@pytest.fixture
def ended() -> ScriptRequests:
    requests = ScriptRequests()
    requests.on_scriptrunner_ready()  # with nothing asked for, a runner ends here
    assert not requests.request_rerun(RerunData()), "the runner takes no more requests: another would be started"
    return requests


def test_a_timer_waits_for_the_rest_of_a_run_that_has_ended(ended: ScriptRequests) -> None:
    assert heard(ended, "live part") == ["rest of the page", "request"]


def test_nothing_else_waits(ended: ScriptRequests) -> None:
    assert heard(ended, "") == ["request", "rest of the page"]
    assert heard(ScriptRequests(), "live part") == ["request", "rest of the page"]


def test_streamlits_sessions_do_so_and_once_only() -> None:
    hear_runs_out()
    once = AppSession.request_rerun
    hear_runs_out()
    assert AppSession.request_rerun is once
    assert hasattr(once, "hears_out")
    assert "_requests" in ScriptRunner.__init__.__code__.co_names, "what is looked at has another name now"
