"""Lesson 4: the same seven things in five files, the same step three ways, and the loss that asks for 40 GB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from cfcore.approaches import describe
from cfcore.lessons.levels import HANDS, MARKS, TAKEN, Line, places, sign, with_signs
from cfcore.ratings import Ratings
from cfcore.sweep import FIVE
from cfcore.ui.components import how_many, show_table, shows, table_size
from cfcore.ui.frame import guard
from cfcore.ui.learn.levels_squeeze import squeeze
from cfcore.ui.learn.levels_steps import same_step
from cfcore.ui.learn.state import hidden, memory

HIDEABLE = {
    "files": "The source files side by side",
    "hands": "Who does what, by level",
    "same-step": "Same weights, same step",
    "squeeze": "The 40 GB mystery",
}
CODE_HEIGHT = 560  # pixels
# What is left when this project's own part is taken away: our split, the loader that misses no row, live progress.
DOZEN = """\
import pandas as pd
from fastai.collab import CollabDataLoaders, collab_learner

ratings = pd.read_csv("u.data", sep="\\t", names=["user", "movie", "rating", "time"])
dls = CollabDataLoaders.from_df(ratings, valid_pct=0.2, bs=64, seed=42)
learn = collab_learner(dls, n_factors=50, y_range=(1, 5))
learn.fit_one_cycle(5, 5e-3)
learn.show_results()
"""
_SIDES = {"left": "scratch", "right": "fastai_dot"}


def lesson(ratings: Ratings) -> None:
    """The files, who does what, the same step three ways, and the missing squeeze; each a fragment of its own."""
    st.markdown(
        "Every training does seven things: it draws first weights, looks rows up, predicts, measures the loss, finds "
        "the gradient, takes a step, and tries the held-out ratings. From scratch you write each but the gradient, "
        "which is autograd's (lesson 3 has it by hand). A library takes them off your hands, one level at a time, and "
        "the arithmetic below stays the same."
    )
    if not hidden("files"):
        st.fragment(_files)()
    if not hidden("hands"):
        _hands()
        st.markdown(
            "So fastai's version of all seven is a few lines. The files above are longer by what this page adds: its "
            "split, live progress, and a loader that misses no rating: the one below draws the rows of an epoch with "
            "replacement, so that it sees only some 63% of them."
        )
        st.code(DOZEN, language="python", wrap_lines=True)
    if not hidden("same-step"):
        st.divider()
        st.fragment(same_step)(ratings)
    if not hidden("squeeze"):
        st.divider()
        st.fragment(squeeze)(ratings)


def _files() -> None:
    """Two levels beside each other: which lines correspond, and the files themselves."""
    with guard():
        chosen = memory("levels", **_SIDES)
        for side, place in zip(_SIDES, st.columns(2, gap="medium"), strict=True):
            with place:
                _choose(side, chosen)
        found = {side: places(describe(chosen[side]).sources) for side in _SIDES}
        titles = [describe(chosen[side]).title for side in _SIDES]
        _corresponding(found["left"], found["right"], titles)
        for side, place in zip(_SIDES, st.columns(2, gap="medium"), strict=True):
            with place:
                _code(describe(chosen[side]).sources)
        counts = [len({(line.name, line.number) for each in found[side].values() for line in each}) for side in _SIDES]
        first, second = titles
        st.caption(
            "The very files that train, from their first definition on; the margin is added. The marks stand on "
            f"{how_many(counts[0], 'line', 'lines')} of {first}"
            + (f" and on {counts[1]} of {second}." if first != second else ".")
        )


def _choose(side: str, chosen: dict[str, str]) -> None:
    """The select box of one side, which shows what the lesson remembers."""
    st.selectbox(
        "Level" if side == "left" else "Beside it",
        FIVE,
        format_func=lambda each: describe(each).title,
        **shows(f"learn:levels:{side}", chosen[side], lambda key: chosen.update({side: key})),
    )


def _corresponding(left: dict[str, list[Line]], right: dict[str, list[Line]], titles: Sequence[str]) -> None:
    """One row a mark: where it stands on either side."""
    table = pd.DataFrame(
        [(f"{sign([mark])} {words}", _where(left[mark]), _where(right[mark])) for mark, words in MARKS.items()],
        columns=["What happens", titles[0], f"{titles[1]}{' ' * (titles[0] == titles[1])}"],  # two names, even of one
    )
    show_table(
        table,
        hide_index=True,
        width="stretch",
        **table_size(len(table)),
        column_config={"What happens": st.column_config.TextColumn(width=175, pinned=True)},
        alt=f"Table of the seven things a training does, with the line that does each in {titles[0]} and {titles[1]}.",
    )


def _where(lines: Sequence[Line]) -> str:
    """A mark's first line without its comment, and how many more there are."""
    first = lines[0]
    more = f"  (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return f"{first.name} {first.number}: {first.text.split('  #')[0]}{more}"


def _code(sources: Sequence[Path]) -> None:
    """The files of one side, each in a tab of its own."""
    for tab, source in zip(st.tabs([source.name for source in sources]), sources, strict=True):
        tab.code(with_signs(source), language="python", height=CODE_HEIGHT)


def _hands() -> None:
    """What each level takes off your hands."""
    st.markdown("**What each level takes off your hands**")
    rows = [(f"{sign([mark])} {MARKS[mark]}", *TAKEN[mark]) for mark in MARKS]
    show_table(
        pd.DataFrame(rows, columns=["What happens", *HANDS]),
        hide_index=True,
        width="stretch",
        **table_size(len(rows)),
        column_config={"What happens": st.column_config.TextColumn(width=175, pinned=True)},
        alt="Table of who does each of the seven things: you, PyTorch, fastai's Learner, or collab_learner.",
    )
