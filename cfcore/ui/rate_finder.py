"""The learning-rate finder under the learning rate of the Train page: a button, the curve, and "use it".

Open is what somebody asked for: ``session_state["rate-finder"]`` holds, by approach, the key of that sweep. Other
settings make another key, and nothing is swept anew until somebody asks again: ``session_state["rate-finder-found"]``
keeps what was found, by key, a few kilobytes each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from cfcore import charts
from cfcore.approaches import Setting, describe, make_config
from cfcore.aside import Task
from cfcore.config import RunConfig, RunRequest
from cfcore.ratings import Ratings
from cfcore.ui import draft, state
from cfcore.ui.frame import guard
from cfcore.ui.words import number, sentence

LOOK_SECONDS = 0.5
_MOMENT = 0.2  # seconds: a sweep that is as quick as that is drawn at once
_UNUSED = ("learning_rate", "lookup")  # settings that change nothing in a sweep, nor in what is offered
FLAT = (
    "This curve hardly falls: in a hundred steps, most of them tiny, little is learned. It shows where steps begin to "
    "overshoot, on the right; what is offered keeps well away from there."
)
HOW_TO_READ = (
    "From the left: flat, the rate is too small to matter; falling, the steps help; rising, they overshoot. A good "
    "rate lies where the loss falls steeply, well before its lowest point."
)
NOISY = "Each batch holds other ratings, so the curve is noisy and another seed finds a somewhat different rate"
WHY = {
    "valley": f"**Offered** is fastai's own choice. {NOISY}: take it as an order of magnitude.",
    "restrained": f"**Offered** is less than fastai's own choice, the less the more steps the run takes. {NOISY}. "
    "Factors begin near zero here, and in the hundred steps of the sweep it is mostly the biases that learn. They bear "
    "a rate at which the factors, once they have grown, learn the training ratings by heart.",
    "minimum": "**Offered** is a tenth of the rate where the loss is lowest (without the last five steps): in the "
    "sweep every step sees the same ratings, so that point is not a matter of chance. The run itself goes by batches, "
    "and takes far more steps.",
    "fifth": "**Offered** is a fifth of the rate where the loss is lowest (without the last five steps, which may "
    "explode): every step sees the same ratings, so that point is not a matter of chance. As the loss falls from the "
    "first step on, fastai's valley begins too early here.",
}
_FAR_ABOVE = (
    "It sees the **first steps** only, not where training ends. From scratch, the first predictions are a quarter of "
    "the number of factors on average, {start:g} here and above any rating: 50 epochs may end worse than the global "
    "mean at any rate. Fewer factors help; more epochs do, too, but less."
)
NEAR = (
    "**Yours** is within a factor of three of it: with noise that is the same answer, and the lower one overfits later."
)
RULES = (
    "valley: half way along the longest fall, fastai's own choice; steep: where it falls fastest; slide: before the "
    "slope settles; minimum: a tenth of the rate where it is lowest, fifth: a fifth of it, both without the last five "
    "steps, which may explode; restrained: less than the valley, for runs of more steps than the sweep's hundred."
)
ONLY_TRAIN = "It looks at the **training loss** alone: a rate that learns faster may also overfit sooner."
_NEAR = 3  # times
_FLAT = 0.95  # of the first loss: a curve that never falls below shows no fall that could be read


def finder(approach: str, ratings: Ratings, setting: Setting, now: float) -> None:
    """The button and, where a sweep was asked for, what it has found; ``now`` is the rate that is drafted."""
    asked = _asked()
    request = _request(approach, ratings)
    if approach not in asked:
        st.button(
            "Find a learning rate",
            icon=":material/search:",
            width="stretch",
            disabled=request is None,
            help="A hundred short steps at rates that grow from far too small to far too large show where to look.",
            on_click=_ask,
            args=(approach, request),
        )
        return
    with st.container(border=True, key="rate-finder"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**Learning-rate finder**", width="content", help=RULES)
            st.space("stretch")
            st.button("Close", type="tertiary", key="rate-finder-close", on_click=_close, args=(approach,))
        if request is None or asked[approach] != key_of(request):
            st.caption("The settings have changed since.")
            st.button("Find again", icon=":material/refresh:", disabled=request is None, on_click=_ask,
                      args=(approach, request))  # fmt: skip
        else:
            _found(request, setting, now, ratings.scale[1])


def key_of(request: RunRequest) -> str:
    """The same for all requests that make the same sweep."""
    return f"rate_finder:{hashlib.sha256(json.dumps(_inputs(request), sort_keys=True).encode()).hexdigest()[:24]}"


def to_use(setting: Setting, suggested: float) -> float:
    """A suggestion as a setting: two figures, within the setting's limits."""
    return min(max(float(f"{suggested:.2g}"), setting.minimum), setting.maximum)


def _asked() -> dict[str, str]:
    return st.session_state.setdefault("rate-finder", {})


def _request(approach: str, ratings: Ratings) -> RunRequest | None:
    """What is drafted; ``None`` while a field of it cannot be used."""
    if any(field != draft.field_key(approach, "learning_rate") for field in draft.wrong()):
        return None
    try:
        split = draft.split_config(approach, ratings)
        return RunRequest(dataset=ratings.about.name, split=split, config=draft.config(approach, ratings))
    except ValueError:
        return None


def _inputs(request: RunRequest) -> dict[str, Any]:
    """The task's inputs, without what changes nothing in a sweep."""
    config, preset = request.config, make_config(request.config.approach)
    unused = (*_UNUSED, *(() if describe(config.approach).rate_rule == "restrained" else ("epochs",)))
    config = config.with_settings(**{name: getattr(preset, name) for name in unused})
    return {"request": RunRequest(dataset=request.dataset, split=request.split, config=config).to_json()}


def _ask(approach: str, request: RunRequest) -> None:
    state.keep_dataset()
    _asked()[approach] = key_of(request)
    _task(request, seconds=_MOMENT)


def _close(approach: str) -> None:
    _asked().pop(approach, None)


def _task(request: RunRequest, *, again: bool = False, seconds: float = 0) -> Task:
    key, owner = key_of(request), f"{state.visitor()}:rate_finder"
    return state.computed(
        st.session_state.setdefault("rate-finder-found", {}),
        key,
        lambda: state.jobs().compute("rate_finder", key, _inputs(request), again=again, owner=owner),
        seconds,
    )


def _found(request: RunRequest, setting: Setting, now: float, top: float) -> None:
    """The sweep, however far it has come."""
    task = _task(request)
    if not task.ended:
        with st.container(height=charts.rate_finder.RATE_HEIGHT, border=False):
            st.fragment(_watch, run_every=LOOK_SECONDS)(request)
    elif task.result is None:
        st.error(sentence(task.message), icon=":material/error:")
        st.button("Try again", icon=":material/refresh:", key="rate-finder-again", on_click=_try_again, args=(request,))
    else:
        _curve(request.config.approach, setting, task.result, now)
        _notes(request.config, task.result, now, top)


def _try_again(request: RunRequest) -> None:
    _task(request, again=True, seconds=_MOMENT)


def _watch(request: RunRequest) -> None:
    """The progress of a sweep; the whole page runs once more at its end."""
    with guard():
        task = _task(request)
        if task.ended:
            st.rerun()
        words = "Sweeping the learning rate"
        if task.state == "waiting":
            words = "Waiting for a worker"
            if state.jobs().status().running:
                words = "Waiting until the run that trains has ended: one worker does both"
        st.progress(task.progress, text=words)


def _curve(approach: str, setting: Setting, found: Mapping[str, Any], now: float) -> None:
    rates, smooth, suggested, offered = (found[name] for name in ("rates", "smooth", "suggested", "offered"))
    if len(rates) < 2:
        st.warning(
            f"The loss exploded within two steps of {number(setting.minimum)}, so there is no curve. Check the rating "
            "range and the ratings themselves.",
            icon=":material/trending_up:",
        )
        return
    diverged = bool(found["diverged"])
    st.vega_lite_chart(
        spec=charts.rate_finder.rate_spec(rates, found["raw"], smooth, suggested, offered, now=now, diverged=diverged),
        width="stretch",
        key="rate-finder-curve",
        alt=charts.rate_finder.rate_alt(rates, smooth, suggested, offered, diverged=diverged),
    )
    if offered not in suggested:
        st.info(
            f"The loss exploded at a rate of {rates[-1]:.2g}, too soon for any rule: try a rate well below it.",
            icon=":material/trending_up:",
        )
    else:
        rate = to_use(setting, suggested[offered])
        st.button(
            f"{number(rate)} is in use" if rate == now else f"Use {number(rate)}",
            icon=":material/check:",
            width="stretch",
            key="rate-finder-use",
            disabled=rate == now,
            on_click=draft.change,
            args=(approach, setting.name, rate),
        )


def _notes(config: RunConfig, found: Mapping[str, Any], now: float, top: float) -> None:
    """How to read the curve, and what the offer is worth; ``top`` is the highest rating."""
    offered = found["offered"]
    rate = found["suggested"].get(offered)
    if rate is None:
        return
    notes = [WHY[offered]]
    if offered in ("valley", "restrained") and 1 / _NEAR <= now / rate <= _NEAR:
        notes.append(NEAR)
    first = (config.embedding_size or 0) / 4  # the mean of a product of two numbers from 0 to 1 is a quarter
    if config.approach == "scratch" and first > top:
        notes.append(_FAR_ABOVE.format(start=first))
    smooth = found["smooth"]
    st.markdown(FLAT if smooth.min() > _FLAT * smooth[0] else HOW_TO_READ)
    st.caption("\n".join(f"- {note}" for note in [*notes, ONLY_TRAIN]))
