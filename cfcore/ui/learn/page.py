"""The frame of the six lessons: which one is open, the way to the next, the address, and what a teacher hides."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from urllib.parse import urlencode

import streamlit as st

from cfcore.ratings import Ratings
from cfcore.ui import state
from cfcore.ui.components import shows
from cfcore.ui.learn.state import hidden, hide
from cfcore.ui.words import plain


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A lesson's name in the menu and what it asks; its module in this package has ``lesson`` and ``HIDEABLE``."""

    title: str
    question: str


LESSONS: Mapping[str, Lesson] = {
    "guess": Lesson(
        title="Guess a rating", question="Can two numbers for each person and two for each film explain their ratings?"
    ),
    "lookup": Lesson(title="One-hot is a lookup", question="Why multiply by a vector of zeros with a single one?"),
    "step": Lesson(title="One gradient step", question="What does one rating change, and by how much?"),
    "levels": Lesson(
        title="From lists to fastai", question="What does each library take off your hands, and what stays the same?"
    ),
    "ladder": Lesson(title="Bias, range, weight decay", question="What does each part of the model bring?"),
    "meaning": Lesson(title="What the factors mean", question="What has a model learned that nobody told it?"),
}
ON_EVERY_PAGE = {"lessons": "The list of lessons", "teacher": "This menu for teachers"}


def read_address() -> None:
    """On arrival, open the lesson that the address names and hide what it hides; what it cannot mean is told."""
    name = st.query_params.get("lesson")
    if name is not None and name not in LESSONS:
        state.tell(f"There is no lesson ‘{plain(name[:40])}’; there are {', '.join(LESSONS)}.")
    elif name is not None:
        st.session_state["lesson"] = name
    if "hide" in st.query_params:
        _hide_by_link(st.query_params["hide"])


def lesson_page(ratings: Ratings) -> None:
    """The chooser, the open lesson, and the way on."""
    first = next(iter(LESSONS))
    name: str = st.session_state.get("lesson", first)
    name = name if name in LESSONS else first  # a lesson of another version
    if not hidden("lessons"):
        _chooser(name)
    module = _module(name)
    number = list(LESSONS).index(name) + 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader(f"{number}. {LESSONS[name].title}", anchor=False, width="stretch")
        if not hidden("teacher"):
            _for_teachers(name, module)
    st.markdown(f"*{LESSONS[name].question}*")
    module.lesson(ratings)
    if not hidden("lessons"):
        _onward(name)
    state.write_address(_params(name, list(st.session_state.get("learn-hide", ()))))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"cfcore.ui.learn.{name}")


def _hide_by_link(names: str) -> None:
    wanted = [each.strip() for each in names.split(",") if each.strip()]
    known = {*ON_EVERY_PAGE, *(each for lesson in LESSONS for each in _module(lesson).HIDEABLE)}
    unknown = [each for each in wanted if each not in known]
    if unknown:
        listed = ", ".join(plain(each[:40]) for each in unknown[:5])
        state.tell(f"The link asks to hide {listed}: there is no such control in these lessons.")
    hide([each for each in wanted if each in known])


def _params(name: str, hide: list[str]) -> dict[str, str]:
    return {"lesson": name} | ({"hide": ",".join(hide)} if hide else {})


def _open(name: str) -> None:
    st.session_state["lesson"] = name


def _chooser(name: str) -> None:
    st.pills(  # which wrap well on a phone
        "Lesson",
        list(LESSONS),
        required=True,
        format_func=lambda each: f"{list(LESSONS).index(each) + 1}. {LESSONS[each].title}",
        label_visibility="collapsed",
        **shows("learn:lesson", name, _open),
    )


def _onward(name: str) -> None:
    """The lesson before and the one after."""
    names = list(LESSONS)
    at = names.index(name)
    st.divider()
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        for to, label, icon in (
            (at - 1, "Previous", ":material/arrow_back:"),
            (at + 1, "Next", ":material/arrow_forward:"),
        ):
            if 0 <= to < len(names):
                title = LESSONS[names[to]].title
                kind = "primary" if to > at else "secondary"
                st.button(
                    f"{label}: {title}", icon=icon, type=kind, key=f"learn:{label}", on_click=_open, args=(names[to],)
                )


def _for_teachers(name: str, module: ModuleType) -> None:
    """A link to this lesson without the controls that a teacher does not want on the screen."""
    with st.popover("For teachers", icon=":material/school:"):
        st.markdown("Hide controls of this lesson, and hand out the link.")
        choices = {**module.HIDEABLE, **ON_EVERY_PAGE}
        now = st.session_state.get("learn-hide", [])
        chosen = st.multiselect(
            "Hide",
            list(choices),
            default=[each for each in now if each in choices],
            format_func=choices.__getitem__,
            key=f"learn:hide:{name}",
            placeholder="Nothing",
        )
        params = _params(name, chosen + [each for each in now if each not in choices]) | state.address()
        st.code(f"{_base()}?{urlencode(params, safe=',')}", language=None, wrap_lines=True)
        st.link_button("Open it", f"?{urlencode(params, safe=',')}", icon=":material/open_in_new:")


def _base() -> str:
    """The address of this page without its parameters."""
    return str(st.context.url or "").split("?")[0]
