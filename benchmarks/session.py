"""A visitor without a browser: a session over Streamlit's websocket, with its own cookie, as cheap as a visit can be.

It speaks what the browser speaks: ``BackMsg`` there (run the page, with the widget that was pressed), ``ForwardMsg``
back (elements, and the end of the script), and it asks again for fragments that are to run by themselves. It draws
nothing, so that one process can be a whole class.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

COOKIE = "_streamlit_xsrf"
ANSWER_SECONDS = 120


class SessionError(Exception):
    """What a person would see go wrong: an error on the page, or a connection that ended."""


def new_cookie(url: str) -> str:
    """The cookie that the server gives a browser that it has not seen: it stands for one person."""
    with urllib.request.urlopen(f"{url}/_stcore/health", timeout=ANSWER_SECONDS) as answer:
        for line in answer.headers.get_all("Set-Cookie", ()):
            name, _, value = line.partition(";")[0].partition("=")
            if name == COOKIE:
                return value
    raise SessionError(f"{url} gives no {COOKIE} cookie: XSRF protection is off")


@dataclass
class Session:
    """One visit: ``elements`` is the page as it stands, ``fragment_seconds`` how long each live rerun took."""

    url: str
    cookie: str
    elements: dict[tuple[int, ...], Element] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    fragment_seconds: list[float] = field(default_factory=list)
    received: int = 0  # bytes
    _socket: ClientConnection | None = None
    _reader: asyncio.Task | None = None
    _timers: dict[str, asyncio.Task] = field(default_factory=dict)
    _waiting: dict[str, float] = field(default_factory=dict)  # fragment: since when it has been asked for
    _page: str = ""  # its name in the address
    _hashes: dict[str, str] = field(default_factory=dict)  # by that name: what the server calls the page
    _asked: str = ""
    _query_string: str = ""
    _run: str = ""  # the run of the whole page whose end is awaited
    _fragments: Sequence[str] = ()  # that the present run draws; none where it draws the page
    _end: asyncio.Future | None = None

    async def __aenter__(self) -> Session:
        self._socket = await connect(
            f"{self.url.replace('http', 'ws', 1)}/_stcore/stream",
            additional_headers={"Cookie": f"{COOKIE}={self.cookie}"},
            origin=Origin(self.url),
            subprotocols=[Subprotocol("streamlit"), Subprotocol(self.cookie)],  # how the browser hands its token over
            max_size=None,
            ping_interval=None,
            open_timeout=ANSWER_SECONDS,
            proxy=None,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._cancel_timers()
        if self._reader is not None:
            self._reader.cancel()
        if self._socket is not None:
            await self._socket.close()

    async def visit(self, page: str, query: str = "") -> float:
        """Go to a page by its name in the address, empty for Home; gives the seconds until it stands there.

        Raises:
            SessionError: there is no such page, which the first visit, of Home, finds out.
        """
        self._page, self._query_string, self.query = page, query, {}
        if page and page not in self._hashes:
            raise SessionError(f"there is no page {page!r}: visit Home first, which lists them")
        self._asked = self._hashes[page] if self._hashes else ""
        self._cancel_timers()
        return await self._ask()

    async def press(self, label: str) -> float:
        """Press the button of that label, as soon as it can be; gives the seconds until the page stands there again.

        Raises:
            SessionError: there is none, or it stays disabled.
        """
        # Where a run ends just when another page is asked for, the server may draw the page of before once more first.
        give_up = time.perf_counter() + ANSWER_SECONDS
        while (button := self.button(label)) is None or button.disabled:
            if time.perf_counter() > give_up:
                raise SessionError(f"no button {label!r} can be pressed on {self._page or 'home'}")
            await asyncio.sleep(0.05)
        return await self._ask(button.id)

    def button(self, label: str) -> Any:
        """The button of that label, as it stands on the page; ``None`` where there is none."""
        return next((each.button for each in self.elements.values() if each.button.label == label), None)

    def faults(self) -> list[str]:
        """What stands on the page that should never: exceptions, and the sentence that takes their place."""
        found = [each.exception.message for each in self.elements.values() if each.WhichOneof("type") == "exception"]
        alerts = [each.alert.body for each in self.elements.values() if each.WhichOneof("type") == "alert"]
        return found + [body for body in alerts if "Something went wrong" in body]

    async def _ask(self, pressed: str = "") -> float:
        """Run the page once, and wait for its end."""
        message = self._message()
        if pressed:
            message.rerun_script.widget_states.widgets.add(id=pressed, trigger_value=True)
        self._end, self._run = asyncio.get_running_loop().create_future(), ""
        began = time.perf_counter()
        await self._send(message)
        try:
            await asyncio.wait_for(self._end, ANSWER_SECONDS)
        except TimeoutError:
            raise SessionError(f"no answer within {ANSWER_SECONDS} s on {self._page or 'home'}") from None
        seconds = time.perf_counter() - began
        if faults := self.faults():
            raise SessionError(f"on {self._page or 'home'}: {faults[0]}")
        return seconds

    def _message(self) -> BackMsg:
        message = BackMsg()
        message.rerun_script.page_name = self._page
        message.rerun_script.page_script_hash = self._asked
        message.rerun_script.query_string = self._query_string
        message.rerun_script.context_info.timezone = "UTC"
        message.rerun_script.context_info.url = f"{self.url}/{self._page}"
        return message

    async def _send(self, message: BackMsg) -> None:
        assert self._socket is not None
        try:
            await self._socket.send(message.SerializeToString())
        except ConnectionClosed as error:
            raise SessionError(f"the connection ended: {error}") from error

    async def _read(self) -> None:
        assert self._socket is not None
        try:
            async for data in self._socket:
                if isinstance(data, bytes):
                    self.received += len(data)
                    self._take(ForwardMsg.FromString(data))
            raise SessionError("the server closed the connection")
        except Exception as error:  # whatever it is, whoever waits for an answer hears of it
            if self._end is not None and not self._end.done():
                self._end.set_exception(SessionError(f"the connection ended: {type(error).__name__}: {error}"))

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if handle := _HANDLERS.get(str(kind)):
            handle(self, message)

    def _begin(self, message: ForwardMsg) -> None:
        self._fragments = tuple(message.metadata.run.fragment_ids)
        if not self._fragments:
            session = message.new_session
            ours = session.page_script_hash == (
                self._asked or session.page_script_hash
            )  # not the page of before, drawn once more
            self._run = message.metadata.run.script_run_id if ours else ""
            self.elements.clear()
            self._cancel_timers()

    def _list(self, message: ForwardMsg) -> None:
        self._hashes = {
            "" if each.is_default else each.url_pathname: each.page_script_hash for each in message.navigation.app_pages
        }

    def _draw(self, message: ForwardMsg) -> None:
        place = tuple(message.metadata.delta_path)
        if message.delta.WhichOneof("type") == "new_element":
            self.elements[place] = message.delta.new_element
        else:
            for old in [path for path in self.elements if path[: len(place)] == place]:
                del self.elements[old]

    def _finish(self, message: ForwardMsg) -> None:
        if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            raise SessionError("a page does not compile")
        for each in self._fragments:
            if (since := self._waiting.pop(each, None)) is not None:
                self.fragment_seconds.append(time.perf_counter() - since)
        whole = message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
        if whole and self._run and self._end is not None and not self._end.done():
            self._end.set_result(None)

    def _address(self, message: ForwardMsg) -> None:
        self._query_string = message.page_info_changed.query_string
        self.query = {name: values[-1] for name, values in parse_qs(self._query_string).items()}

    def _again(self, message: ForwardMsg) -> None:
        fragment = message.auto_rerun.fragment_id
        if fragment in self._timers:
            self._timers[fragment].cancel()
        self._timers[fragment] = asyncio.create_task(self._tick(fragment, message.auto_rerun.interval))

    def _no_more(self, message: ForwardMsg) -> None:
        for fragment in message.stop_auto_rerun.fragment_ids:
            if timer := self._timers.pop(fragment, None):
                timer.cancel()

    async def _tick(self, fragment: str, interval: float) -> None:
        with contextlib.suppress(SessionError):  # whoever asks for the page hears of it
            while True:
                await asyncio.sleep(interval)
                message = self._message()
                message.rerun_script.fragment_id = fragment
                message.rerun_script.is_auto_rerun = True
                self._waiting.setdefault(fragment, time.perf_counter())
                await self._send(message)

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._waiting.clear()


_HANDLERS: Mapping[str, Callable[[Session, ForwardMsg], None]] = {
    "new_session": Session._begin,
    "navigation": Session._list,
    "delta": Session._draw,
    "script_finished": Session._finish,
    "page_info_changed": Session._address,
    "auto_rerun": Session._again,
    "stop_auto_rerun": Session._no_more,
}
