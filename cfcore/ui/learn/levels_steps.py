"""Same weights, same step: by hand, by nn.Embedding and by fastai; and what each switch changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.approaches import make_config
from cfcore.charts.levels import apart_alt, apart_chart
from cfcore.config import RunRequest, SplitConfig
from cfcore.ratings import Ratings
from cfcore.ui.components import how_many, show_table, table_size
from cfcore.ui.frame import guard
from cfcore.ui.learn.ask import asked
from cfcore.ui.learn.state import aha, memory
from cfcore.ui.words import count, number

SAME = {"scratch": "by hand", "one_rounding": "by hand, one rounding", "embedding": "nn.Embedding"}
SWITCHES = {"bias": "+ bias", "sigmoid": "+ sigmoid", "adam": "+ Adam", "one_cycle": "+ one-cycle"}
NAMES = {**SAME, **SWITCHES}


def same_step(ratings: Ratings) -> None:
    """The button, and after it the differences step by step."""
    with guard():
        st.markdown(
            "**Same weights, same step.** A dot product without bias and sigmoid, written three times: the loss of "
            "*From scratch* with its step by hand; two `nn.Embedding` with `torch.optim.SGD`; fastai's model in its "
            "`Learner`, under plain SGD. All start from the same weights and meet the same batches. Then one thing at "
            "a time is switched on in fastai's."
        )
        kept = memory("levels")
        result = asked(
            kept,
            "same_step",
            "same_step",
            lambda: {"request": _request(ratings).to_json()},
            label="Take the steps",
            at_work="Stepping seven ways",
        )
        if result is not None:
            _show(result)


def _request(ratings: Ratings) -> RunRequest:
    config = make_config("fastai_dot", scale=ratings.scale)
    return RunRequest(dataset=ratings.about.name, split=SplitConfig.of("random"), config=config)


def _show(result: Mapping[str, Any]) -> None:
    difference = dict(zip(result["ways"], result["difference"], strict=True))
    shown = st.pills(
        "Switch on",
        list(SWITCHES),
        selection_mode="multi",
        default=list(SWITCHES),
        format_func=SWITCHES.__getitem__,
        key="learn:switches",
        persist_state="session",
    )
    drawn = {NAMES[way]: values for way, values in difference.items() if way in SAME or way in shown}
    st.altair_chart(apart_chart(drawn), width="stretch", alt=apart_alt(drawn))
    st.caption(
        f"Against fastai's plain step: {result['factors']} factors, batches of "
        f"{how_many(result['batch'], 'rating', 'ratings')}, learning "
        f"rate {number(result['rate'])}. A difference of exactly 0 has no place on this axis: the table has it."
    )
    _table(difference)
    st.markdown("\n".join(f"- {said}" for said in reasons(result, difference)))
    aha(_point(result, difference))


def _table(difference: Mapping[str, np.ndarray]) -> None:
    """The difference after some of the steps, and the first step at which there is any."""
    steps = len(next(iter(difference.values())))
    at = sorted({1, 2, (steps + 1) // 2, steps} & set(range(1, steps + 1)))
    table = pd.DataFrame({"Against fastai's plain step": [NAMES[way] for way in difference]})
    table["First difference"] = [parted(values) for values in difference.values()]
    for step in at:
        table[f"Step {step}"] = [written(values[step - 1]) for values in difference.values()]
    show_table(
        table,
        hide_index=True,
        width="stretch",
        **table_size(len(table)),
        column_config={"Against fastai's plain step": st.column_config.TextColumn(pinned=True)},
        alt="Table of the greatest difference of a weight from fastai's plain step, after some of the steps.",
    )


def parted(values: np.ndarray) -> str:
    """The first step after which two ways differ at all."""
    steps = np.flatnonzero(values) + 1
    return f"at step {steps[0]}" if len(steps) else "none, equal to the bit"


def written(value: float) -> str:
    """A difference with two figures; exactly 0 as such."""
    return "0 exactly" if value == 0 else f"{value:.1e}" if value < 1e-3 else f"{value:.2g}"


def reasons(result: Mapping[str, Any], difference: Mapping[str, np.ndarray]) -> list[str]:
    """Why each way differs from the plain step, with this computation's own numbers."""
    rates, rate, adam = result["rates"], result["rate"], difference["adam"][0]
    off, fused = difference["scratch"].max(), difference["one_rounding"].max()
    hand = "By hand is equal as well." if off == 0 else f"By hand is at most {off:.1e} off"
    if off > 0 and fused == 0:
        hand += (
            ", which is rounding: `w -= lr * grad` rounds the product and then the difference. The optimizers round "
            "once; by hand with "
            "`w.add_(grad, alpha=-lr)` the difference is exactly 0."
        )
    elif off > 0:
        hand += f", with one rounding {written(fused)}; what else differs is not measured here."
    return [
        hand,
        f"Bias: first difference {parted(difference['bias'])}. Biases start at 0, so the first prediction is "
        "the same, and with it the first step of every factor.",
        f"Sigmoid: first difference {parted(difference['sigmoid'])}, because already the first prediction is another.",
        f"Adam: at the same rate of {number(rate)} its first step ends {written(adam)} away. It divides each gradient "
        "by its own size, so every weight that is touched moves by about the learning rate.",
        f"One-cycle: the rate begins at {rates[0]:.2g}, reaches {rates.max():.2g} at step {int(rates.argmax()) + 1} "
        f"and ends at {rates[-1]:.2g}, so even the first step has another length.",
    ]


def _point(result: Mapping[str, Any], difference: Mapping[str, np.ndarray]) -> str:
    steps, moved = len(result["moved"]), float(result["moved"][-1])
    worst = max(float(difference[way].max()) for way in ("scratch", "embedding"))
    if worst == 0:
        return f"After {steps} steps all three have the same weights to the last bit."
    return (
        f"In {steps} steps a weight has moved by up to {moved:.2g}, and the three ways to write it differ by at most "
        f"{worst:.1e}, {count(_rounded(moved / worst))} times less. What sets fastai apart is not its arithmetic, but "
        "what it adds to the model and to the step."
    )


def _rounded(value: float) -> float:
    """To one significant figure."""
    return float(f"{value:.1g}")
