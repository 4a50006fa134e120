"""Lesson 3: one step on one rating with all its numbers, checked three ways, and what a larger step would do."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.charts.lessons import FLOOR, along_spec, repeated_spec
from cfcore.charts.scales import short
from cfcore.lessons.corner import N_FACTORS, pick_corner
from cfcore.lessons.one_step import H, Step, finite_difference, landmarks, loss_along, one_step, repeated, verdict
from cfcore.ratings import Ratings
from cfcore.ui import state
from cfcore.ui.components import show_table
from cfcore.ui.frame import guard
from cfcore.ui.learn.ask import quick
from cfcore.ui.learn.state import aha, hidden
from cfcore.ui.words import sentence

HIDEABLE = {
    "rating": "The choice of the rating",
    "check": "The three gradients side by side",
    "eta": "The learning-rate slider of one step",
}
STEPS = 20  # repeated at the chosen rate


def lesson(ratings: Ratings) -> None:
    """One fragment: the slider moves everything below the choice of the rating."""
    st.markdown(
        "Training looks at a rating, sees by how much it is missed, and moves the two vectors a little so that it is "
        "missed by less. These are all the numbers of one such step: *u* and *v* are the factors of the person and the "
        "film (random here, as before any training), *r* the rating, *r̂* its prediction, *e* the error, *L* the loss, "
        "and *η* the learning rate. With many ratings the gradient is the mean of terms like this one."
    )
    st.fragment(_draw)(ratings)


def _draw(ratings: Ratings) -> None:
    with guard():
        options = _options(ratings.about.name)
        chosen = max(range(len(options)), key=lambda at: options[at][2])  # the first of the best
        if not hidden("rating"):
            chosen = st.selectbox(
                "Rating",
                range(len(options)),
                chosen,
                format_func=lambda at: _name(ratings, *options[at]),
                key=f"learn:rating:{ratings.about.name}",
                persist_state="session",
            )
        user, item, rating = options[chosen]
        u, v = vectors(user, item, ratings.scale)
        try:
            lowest, even = landmarks(u, v, rating)
        except ValueError as exact:
            st.info(f"{sentence(str(exact))} Choose another rating.", icon=":material/check:")
            return
        rate = _rate(f"learn:eta:{ratings.about.name}:{chosen}", lowest, even)
        step = one_step(u, v, rating, rate)
        formulas(step, rate)
        _pictures(step, rate, lowest, even)
        if not hidden("check"):
            _check(step)


@st.cache_data(max_entries=32, show_spinner=False)
def _options(dataset: str) -> list[tuple[int, int, float]]:
    """User, item and stars of the ratings of the first corner."""
    corner = pick_corner(state.ratings(dataset))
    rows = np.argwhere(np.isfinite(corner.rating))
    return [(int(corner.user_idx[u]), int(corner.item_idx[m]), float(corner.rating[u, m])) for u, m in rows]


def vectors(user: int, item: int, scale: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Random vectors (2,) of two decimals whose product is of the size of a low rating."""
    size = math.sqrt(0.4 * max(map(abs, scale)) / N_FACTORS)
    u, v = np.random.default_rng([11, user, item]).uniform(0.5, 1.5, (2, N_FACTORS)) * size
    return u.round(2), v.round(2)


def _name(ratings: Ratings, user: int, item: int, rating: float) -> str:
    return f"user {ratings.users.user_id[user]} gave {ratings.items.title[item]} {rating:g}"


def _rate(key: str, lowest: float, even: float) -> float:
    """The learning rate, in thousandths of a little more than the one that brings the loss back."""
    unit, most = _scale(even)
    usual = float(f"{round(lowest / 4 / unit) * unit:.6g}")  # the way down grows steeper: a half may overshoot
    if hidden("eta"):
        return usual
    digits = max(0, -math.floor(math.log10(unit)))
    return st.slider(
        "Learning rate", 0.0, most, usual, step=unit, format=f"%.{digits}f", key=key, persist_state="session"
    )


def _scale(even: float) -> tuple[float, float]:
    """The unit and the end of the slider; the picture beside it has the same end, or it would move with the slider."""
    unit = 10.0 ** (math.floor(math.log10(even)) - 2)
    return unit, float(f"{math.ceil(1.5 * even / unit) * unit:.6g}")


def formulas(step: Step, rate: float) -> None:
    """Forward pass, gradient and step, with the numbers in them."""
    terms = " + ".join(rf"{_n(a, '.2f')} \cdot {_n(b, '.2f')}" for a, b in zip(step.u, step.v, strict=True))
    du, dv, eta = r"\tfrac{\partial L}{\partial u}", r"\tfrac{\partial L}{\partial v}", _digits(rate)
    left, right = st.columns(2, gap="medium")
    with left:
        st.latex(
            _aligned(
                r"\hat r &= u \cdot v",
                f"&= {terms} = {_n(step.prediction)}",
                rf"e &= \hat r - r = {_n(step.prediction)} - {_rating(step.rating)} = {step.error:.3f}",
                f"L &= e^2 = {step.loss:.3f}",
                f"{du} &= 2 e v = {_v(step.du)}",
                f"{dv} &= 2 e u = {_v(step.dv)}",
            )
        )
    with right:
        st.latex(
            _aligned(
                rf"u' &= u - \eta {du} = {_v(step.u, '.2f')} - {eta} {du}",
                f"&= {_v(step.new_u)}",
                rf"v' &= v - \eta {dv} = {_v(step.v, '.2f')} - {eta} {dv}",
                f"&= {_v(step.new_v)}",
                rf"\hat r' &= u' \cdot v' = {step.new_prediction:.3f}",
                rf"e' &= \hat r' - r = {step.new_error:.3f}",
                f"L' &= e'^2 = {step.new_loss:.3f}",
            )
        )


def _check(step: Step) -> None:
    """The gradient by hand, by autograd on the worker, and by finite difference, with their greatest difference."""
    st.markdown("**Is the gradient right?** The formula, PyTorch's autograd, and a difference that needs no calculus:")
    inputs = {"what": "descend", "users": [0], "movies": [0], "ratings": [step.rating], "steps": 1, "rate": 0.0}
    inputs |= {"U": step.u[None], "V": step.v[None]}
    key = f"step:{step.u.tolist()}:{step.v.tolist()}:{step.rating}"
    place = st.container()
    found = quick("step", key, inputs)  # what keeps it away is said below the table
    by_hand = np.concatenate([step.du, step.dv])
    gradients = {
        "by hand": by_hand,
        "autograd": None,
        "finite difference": np.concatenate(finite_difference(step.u, step.v, step.rating)),
    }
    if found is not None:
        gradients["autograd"] = np.concatenate([found["dU"][0], found["dV"][0]])
    table = pd.DataFrame(
        {
            name: ["…"] * len(by_hand) if values is None else [f"{value:.9f}" for value in values]
            for name, values in gradients.items()
        }
    )
    table.insert(0, "", [f"∂L/∂{name}{k + 1}" for name in ("u", "v") for k in range(len(step.u))])
    show_table(
        table,
        place=place,
        hide_index=True,
        width="stretch",
        alt="The gradient by hand, by autograd and by finite difference.",
    )
    if found is not None:
        apart = [np.abs(gradients[name] - by_hand).max() for name in ("autograd", "finite difference")]
        st.caption(
            f"Greatest difference from the formula: autograd {apart[0]:.1g}, central finite difference {apart[1]:.1g}. "
            "Autograd applies the same rules, so it agrees up to the last digit. The finite difference only looks at "
            f"the loss {H:g} to the left and {H:g} to the right. It is so exact because the loss is a parabola in each "
            "single coordinate, and the slope of a parabola in the middle is that of the chord."
        )


def _pictures(step: Step, rate: float, lowest: float, even: float) -> None:
    rates = np.linspace(0, _scale(even)[1], 301)
    losses = loss_along(step.u, step.v, step.rating, rates)
    best, back = loss_along(step.u, step.v, step.rating, np.array([lowest, even]))
    marks = {f"lowest, {lowest:.3g}": (lowest, float(best)), f"no gain, {even:.3g}": (even, float(back))}
    path = repeated(step.u, step.v, step.rating, rate, STEPS)
    said = repeated_words(path, rate)
    left, right = st.columns(2, gap="medium")
    with left:
        st.vega_lite_chart(
            spec=along_spec(rates, losses, marks, (rate, step.new_loss)),
            width="stretch",
            alt=f"Curve of the loss after one step over the learning rate: it begins at {short(step.loss)}, is lowest "
            f"at {lowest:.3g}, and back where it began at {even:.3g}. At {rate:.3g} it is {short(step.new_loss)}.",
        )
    with right:
        st.vega_lite_chart(
            spec=repeated_spec([step.loss, *(each.new_loss for each in path)]),
            width="stretch",
            alt=f"Line chart of the loss over {len(path)} steps. {said}",
        )
    st.markdown(said)
    aha(
        f"One step goes lowest at {lowest:.3g}. At {even:.3g}, {even / lowest:.2f} times as far, it has gone too far "
        "and gained nothing; just beyond, it does harm. On a parabola that would be exactly twice as far; here both "
        "vectors move at once."
    )


def repeated_words(path: list[Step], rate: float) -> str:
    """What repeated steps at this rate did, in a sentence with its numbers, and where the picture of them ends."""
    first, last, n = path[0].loss, path[-1].new_loss, len(path)
    arrived = next((step for step, each in enumerate(path, 1) if each.new_loss <= FLOOR), n)
    ends = f" From step {arrived} on it is below a millionth, where the picture ends." if arrived < n else ""
    highest = max(step.new_loss for step in path)
    return {
        "still": "A step of nothing changes nothing.",
        "falls": f"{n} steps at {rate:.3g}: the loss goes from {_loss(first)} to {_loss(last)}, always from one side."
        f"{ends}",
        "overshoots": f"{n} steps at {rate:.3g}: they jump over the rating and still come closer, from {_loss(first)} "
        f"to {_loss(last)}.{ends}",
        "swings": f"{n} steps at {rate:.3g} go too far: on the way the loss rises from {_loss(first)} to "
        f"{_loss(highest)}; it ends at {_loss(last)}."
        if highest > first
        else f"{n} steps at {rate:.3g}: to and fro over the rating, and hardly closer: from {_loss(first)} to "
        f"{_loss(last)}.",
        "diverges": f"At {rate:.3g} the loss ends up growing without bound: it passes a million million in step {n}.",
    }[verdict(path)]


def _aligned(*lines: str) -> str:
    """Lines of a formula under each other, at their ``&``."""
    return r"\begin{aligned}" + r" \\ ".join(lines) + r"\end{aligned}"


def _n(value: float, digits: str = ".3f") -> str:
    text = format(value, digits)
    return f"({text})" if value < 0 else text


def _digits(value: float) -> str:
    """Four figures of a number, never with an exponent: in these formulas *e* is the error."""
    return np.format_float_positional(float(f"{value:.4g}"), trim="-")


def _rating(value: float) -> str:
    return f"({_digits(value)})" if value < 0 else _digits(value)


def _v(values: np.ndarray, digits: str = ".3f") -> str:
    return "(" + r",\, ".join(format(value, digits) for value in values) + ")"


def _loss(value: float) -> str:
    """A loss with three decimals, or as many as it takes to be seen."""
    return short(value) if value >= 0.001 or value == 0 else f"{value:.1g}"
