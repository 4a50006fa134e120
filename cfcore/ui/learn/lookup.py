"""Lesson 2: one-hot times matrix is a row of the matrix; what each way of finding the row costs; where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.charts.bench import bench_spec
from cfcore.charts.lessons import lookup_alt, lookup_spec
from cfcore.ratings import Ratings
from cfcore.ui import state
from cfcore.ui.components import how_many, show_table
from cfcore.ui.frame import guard
from cfcore.ui.learn.ask import asked, quick
from cfcore.ui.learn.state import aha, hidden, memory
from cfcore.ui.words import count, plain, seconds, sentence
from cfcore.ui.words import memory as amount

HIDEABLE = {
    "user": "The choice of the user",
    "bench": "The measurement of the lookups",
    "print": "The small print of the lookup",
}
MOST_USERS = 1000  # to choose from: a list of more takes the browser long
MOST_ROWS = 100_000  # ratings to measure with
TELLING = 1.5  # a ratio worth a word


def lesson(ratings: Ratings) -> None:
    """The cells, the measurement, the small print; each a fragment of its own."""
    st.markdown(
        "How does algebra pick the row of one user out of a matrix? Write the user as a **one-hot** vector, all zeros "
        "with a single one, and multiply. Every row is weighed by 0 but one, which is weighed by 1: what is left is "
        "that row. So an embedding needs no multiplication at all: it is a **lookup**."
    )
    st.fragment(_cells)(ratings)
    if not hidden("bench"):
        st.divider()
        st.fragment(_bench)(ratings)


def _cells(ratings: Ratings) -> None:
    with guard():
        user = 0
        if not hidden("user"):
            user = st.selectbox(
                "User",
                range(min(ratings.n_users, MOST_USERS)),
                format_func=lambda each: f"user {ratings.users.user_id[each]}",
                key=f"learn:user:{ratings.about.name}",
                persist_state="session",
            )
            if ratings.n_users > MOST_USERS:
                st.caption(f"To choose from: the first {count(MOST_USERS)} of {count(ratings.n_users)} users.")
        name = ratings.about.name
        inputs = {"what": "lookup", "n_users": ratings.n_users, "user": user, "seed": 42, **_busiest(name)}
        found = quick("lookup", f"lookup:{name}:{user}", inputs)
        if found is not None:
            _product(ratings, user, found)
            if not hidden("print"):
                st.divider()
                _small_print(found)


@st.cache_data(max_entries=8, show_spinner=False)
def _busiest(dataset: str) -> dict[str, np.ndarray]:
    """Up to 2,000 ratings of the 20 users who rated most: where many are summed, the order of the sum shows."""
    ratings = state.ratings(dataset)
    busy = np.argsort(-np.bincount(ratings.user_idx, minlength=ratings.n_users), kind="stable")[:20]
    rows = np.random.default_rng(0).permutation(np.flatnonzero(np.isin(ratings.user_idx, busy)))[:2000]
    return {"users": ratings.user_idx[rows], "movies": ratings.item_idx[rows], "ratings": ratings.rating[rows]}


def _product(ratings: Ratings, user: int, found: Mapping[str, Any]) -> None:
    name = f"user {ratings.users.user_id[user]}"
    names = [_cut(str(ratings.users.user_id[each])) for each in found["rows"]]
    st.vega_lite_chart(
        spec=lookup_spec(names, found["one_hot"], found["W"], found["product"], found["row"]),
        width="stretch",
        alt=lookup_alt(name, found["row"], bool(found["equal"])),
    )
    shown, k = found["W"].shape
    st.caption(
        f"{count(shown)} of {count(ratings.n_users)} rows of a random matrix W with {k} factors. **sum** is one-hot "
        "times all of W, **lookup** is W[u], a row copied out of memory, as `nn.Embedding` does."
    )
    verdict = "True" if found["equal"] else "False"
    st.code(f"torch.equal(one_hot @ W, W[u])  # {verdict}", language="python")
    aha(
        f"The product multiplies {count(found['products'])} times, {count(found['by_zero'])} times by zero, to arrive "
        f"at {k} numbers that stand in the row of {plain(name)} already: equal to the bit."
        if found["equal"]
        else "Here the product and the row are not equal: see the small print."
    )


def _small_print(found: Mapping[str, Any]) -> None:
    st.markdown("**The small print.** Zeros add nothing, with two exceptions in floating point:")
    zero, infinite = found["zero_product"], found["inf_product"]
    table = pd.DataFrame(
        [
            ("a row holds -0.0", f"{zero}", f"{found['zero_row']}", _said(found["zero_equal"])),
            ("another row holds inf", f"{infinite}", f"{found['inf_row']}", _said(found["inf_equal"])),
        ],
        columns=["W", "one_hot @ W", "W[u]", "torch.equal"],
    )
    show_table(table, hide_index=True, width="stretch", alt="What the product and the lookup give with -0.0 and inf.")
    signs = "agree" if found["zero_same_sign"] else "differ"
    st.markdown(
        f"`torch.equal` calls 0.0 and -0.0 equal, but their signs {signs}; and 0 times infinity is not a number, "
        f"so one exploded row spoils the product of every user, and the lookup of one only."
    )
    st.markdown(f"And the gradients agree but for the order of summation. {order_words(found)}")


def order_words(found: Mapping[str, Any]) -> str:
    """In how many numbers the gradients of the product and of the lookup differ, and by how much."""
    n, size = how_many(int(found["gradient_n"]), "rating", "ratings"), count(found["gradient_size"])
    why = "Gradients are sums over ratings, and the product and the lookup take them in another order"
    if not found["gradient_differ"]:
        return f"{why}: with {n} no digit of the {size} numbers differs here; with longer sums the last ones may."
    return (
        f"{why}: with {n}, {count(found['gradient_differ'])} of the {size} numbers differ between the two, the most by "
        f"{found['gradient_most']:.1e}, which is {found['gradient_share']:.1e} of the largest."
    )


def _bench(ratings: Ratings) -> None:
    with guard():
        kept = memory("lookup")
        st.markdown(
            "**What it costs.** One forward and backward pass with 50 factors, five ways: the **dense** one-hot "
            "product; **sparse**, where only the ones are stored; the **index**, which copies rows; `nn.Embedding`, "
            "which is that; and the **masked matrix**, which predicts every pair there is and masks those that nobody "
            "rated. Measured on the worker of this server, which does nothing else meanwhile: a run in training goes "
            "first."
        )
        at_work = "Measuring five lookups at five sizes, after any run in training"
        inputs = partial(_rows, ratings.about.name)
        result = asked(kept, "bench", "bench", inputs, label="Measure", at_work=at_work)
        if result is not None:
            show_bench(result)
            st.button("Measure again", icon=":material/timer:", key="learn:measure-again", on_click=_again)


def _again() -> None:
    kept = memory("lookup")
    kept.pop("bench", None)
    kept["bench:tries"] += 1


@st.cache_data(max_entries=4, show_spinner=False)
def _rows(dataset: str) -> dict[str, Any]:
    ratings = state.ratings(dataset)
    rows = np.random.default_rng(0).permutation(len(ratings))[:MOST_ROWS]
    return {
        "users": ratings.user_idx[rows],
        "movies": ratings.item_idx[rows],
        "ratings": ratings.rating[rows],
        "n_users": ratings.n_users,
        "n_items": ratings.n_items,
    }


def show_bench(result: Mapping[str, Any]) -> None:
    """Bytes and milliseconds of every lookup as two charts, and a sentence with the two ends."""
    names = list(result["names"])
    refused = dict(zip(names, result["refused"], strict=True))
    left, right = st.columns(2, gap="medium")
    for place, field, title, say in (
        (left, "bytes", "Bytes held for one pass", _bytes),
        (right, "milliseconds", "Milliseconds for one pass", _milliseconds),
    ):
        values = dict(zip(names, result[field], strict=True))
        labels = [f"{name} {_last(values[name], refused[name], say)}" for name in names]
        with place:
            st.vega_lite_chart(
                spec=bench_spec(result["n"], values, refused, title, labels),
                width="stretch",
                alt=f"Line chart of {title.lower()} by number of ratings. At the most: {'; '.join(labels)}.",
            )
    for reason in result["why"][-2:]:
        st.info(sentence(reason), icon=":material/block:")
    aha(ends(result))
    distinct, most = int(result["distinct"]), int(result["n"][-1])
    again = (
        f" This data has {count(distinct)} ratings; beyond them they are repeated, and the masked matrix, in which a "
        "pair is one cell, no longer grows."
        if distinct < most
        else ""
    )
    st.caption(
        f"Bytes: every tensor alive between forward and backward pass. Time: the fastest of a few passes on "
        f"{result['threads']} threads; a busy machine takes longer.{again}"
    )


def ends(result: Mapping[str, Any]) -> str:
    """Dense one-hot against the index at the largest size, in a sentence."""
    ways = list(result["ways"])
    dense, index = ways.index("onehot"), ways.index("index")
    n, held, ms = int(result["n"][-1]), result["bytes"][:, -1], result["milliseconds"][:, -1]
    if result["refused"][dense, -1]:
        return (
            f"For {count(n)} ratings dense one-hot would need {_bytes(held[dense])} and is refused; the index needs "
            f"{_bytes(held[index])} and {_milliseconds(ms[index])} for the same numbers."
        )
    text = (
        f"For {count(n)} ratings dense one-hot holds {_bytes(held[dense])} and takes {_milliseconds(ms[dense])}; the "
        f"index holds {_bytes(held[index])} and takes {_milliseconds(ms[index])}"
    )
    ratios = [
        f"{ratio:.{0 if ratio >= 10 else 1}f} times {what}"
        for what, ratio in (("less memory", as_shown(held, dense, index)), ("the speed", as_shown(ms, dense, index)))
        if ratio > TELLING
    ]
    if ratios:
        return f"{text}: {', '.join(ratios)}, the same numbers."
    return f"{text}. With so few users a one-hot row is short; the difference grows with users + movies."


def as_shown(values: np.ndarray, one: int, other: int) -> float:
    """The ratio of two figures as they are printed, to two digits: who divides them gets the same."""
    return float(f"{values[one]:.2g}") / float(f"{values[other]:.2g}")


def _last(values: np.ndarray, refused: np.ndarray, say: Any) -> str:
    if refused[-1]:
        return f"refused ({say(values[-1])})" if np.isfinite(values[-1]) else "refused"
    return say(values[-1])


def _bytes(value: float) -> str:
    return amount(value / 1e6)


def _milliseconds(value: float) -> str:
    return seconds(value / 1000)


def _said(value: object) -> str:
    return "True" if value else "False"


def _cut(text: str) -> str:
    return text if len(text) <= 10 else f"{text[:9]}…"
