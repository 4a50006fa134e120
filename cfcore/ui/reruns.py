"""What a run of a page has drawn reaches the browser, whatever asks for the next run.

Where the timer of a live part asks for a rerun when the last runner has just ended, Streamlit starts another runner,
and from then on ignores what the last one has said that still waits in the event loop: the rest of the page, and what
sets the timers of its live parts. On a busy machine such a page stood still until somebody pressed something.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequestType


def hear_runs_out() -> None:
    """Have Streamlit deliver all that a run has said before a live part's timer begins another."""
    if not hasattr(AppSession.request_rerun, "hears_out"):
        AppSession.request_rerun = after_the_last(AppSession.request_rerun)


def after_the_last(ask: Callable[..., None]) -> Callable[..., None]:
    """``AppSession.request_rerun``, but behind what a runner that has ended has put into the event loop before."""

    @wraps(ask)
    def request_rerun(self: Any, client_state: Any) -> None:
        runner = self._scriptrunner
        ended = runner is not None and runner._requests._state is ScriptRequestType.STOP
        if ended and client_state is not None and client_state.fragment_id:
            self._event_loop.call_soon_threadsafe(ask, self, client_state)
        else:
            ask(self, client_state)

    request_rerun.__dict__["hears_out"] = True
    return request_rerun
