"""Under a fastai run: a batch as its model sees it, and its predictions against the truth, as the article ends.

The batch is decoded on a worker, by fastai's own loaders under the run's seed: it is the first one that this very run
has trained on. The predictions are those the run has stored; ``learn.get_preds()`` gives the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.approaches import describe
from cfcore.aside import Task
from cfcore.datasets import DataError
from cfcore.ratings import Ratings
from cfcore.runs import Run, StoreError
from cfcore.ui import state
from cfcore.ui.components import choose_one, show_table
from cfcore.ui.frame import draw_when, guard
from cfcore.ui.words import count, sentence

SHOWN = 100  # predictions
TITLE_WIDTH = 150  # pixels, so that on a phone the prediction stands beside the rating; wider where there is room
SHOW_BATCH = "learn.dls.show_batch(max_n=10)"
GET_PREDS = """\
predictions, truth = learn.get_preds()  # of the validation rows, in their order
pd.DataFrame({"rating": truth[:, 0], "prediction": predictions.flatten()})"""
_MOMENT = 0.2  # seconds to wait for a worker before the page is drawn without its answer
_ORDERS = {"file": "File order", "worst": "Worst first", "best": "Best first"}


def batch_and_predictions(run: Run) -> None:
    """Both tables, folded away until somebody opens them; nothing for a run that is not fastai's or has none."""
    if "fastai_parts" not in describe(run.request.config.approach).parts or run.status not in ("done", "stopped"):
        return
    panel = st.expander(
        "A batch, and predictions against truth", icon=":material/table_rows:", key="batch-tables", on_change="rerun"
    )
    if not panel.open:
        return
    with panel:
        try:
            ratings = state.ratings(run.request.dataset)
        except DataError as problem:
            st.info(sentence(str(problem)), icon=":material/info:")
            return
        if not _fits(run):
            st.info("There are no tables: the data set has changed since the run.", icon=":material/info:")
            return
        st.markdown("**The first batch of this run, as its model sees it**")
        _batch(run, ratings)
        st.markdown("**Predictions against truth**")
        st.fragment(_predictions)(run, ratings)


def _fits(run: Run) -> bool:
    """Whether the present ratings are divided as those of the run were: else its rows are other ratings by now."""
    try:
        sizes = state.split_sizes(run.request.dataset, run.request.split.to_json())
    except ValueError:  # no longer the data for this split
        return False
    return sizes == (run.n_train, run.n_valid)


def batch_table(found: Mapping[str, Any], ratings: Ratings) -> pd.DataFrame:
    """What ``show_batch`` prints, by the names of users and movies, and beside it what the model gets."""
    return pd.DataFrame(
        {
            "user": ratings.users.user_id[found["user_idx"]],
            "movie": ratings.items.title[found["movie_idx"]],
            "rating": found["rating"],
            "user row": found["user_row"],
            "movie row": found["movie_row"],
        }
    )


def predictions_table(arrays: Mapping[str, np.ndarray], ratings: Ratings, order: str, most: int) -> pd.DataFrame:
    """The first ``most`` validation ratings with their predictions: in file order, or the worst or the best first."""
    rows, predictions = arrays["valid_rows"], arrays["valid_predictions"]
    error = predictions - ratings.rating[rows]
    size = np.abs(error)
    chosen = np.argsort({"file": rows, "worst": -size, "best": size}[order], kind="stable")[:most]
    rows = rows[chosen]
    return pd.DataFrame(
        {
            "user": ratings.users.user_id[ratings.user_idx[rows]],
            "movie": ratings.items.title[ratings.item_idx[rows]],
            "rating": ratings.rating[rows],
            "prediction": predictions[chosen],
            "error": error[chosen],
        }
    )


def _of_all(shown: int, kept: int, n_valid: int | None) -> str:
    """How many of the held-out ratings are shown, and of how many the predictions were kept."""
    if n_valid is None or kept >= n_valid:
        return f"{count(shown)} of {count(kept)} held-out ratings."
    return (
        f"{count(shown)} of {count(kept)} held-out ratings: a random sample of all {count(n_valid)}, because a run "
        "keeps no more predictions. Its errors above are of all."
    )


def _batch(run: Run, ratings: Ratings) -> None:
    task = _task(run)
    if not task.ended:
        busy = state.jobs().status().running
        st.caption("Waiting until the run that trains has ended." if busy else "Waiting for a worker.")
        draw_when(lambda: task.ended)
    elif task.result is None:
        st.error(sentence(task.message), icon=":material/error:")
        st.button("Try again", icon=":material/refresh:", key="batch-again", on_click=_try_again, args=(run,))
    else:
        _show_batch(task.result, ratings)


def _task(run: Run, *, again: bool = False) -> Task:
    inputs, owner = {"request": run.request.to_json()}, f"{state.visitor()}:batch"
    return state.computed(
        st.session_state.setdefault("batches", {}),
        run.id,
        lambda: state.jobs().compute("batch", f"batch:{run.id}", inputs, again=again, owner=owner),
        _MOMENT,
    )


def _try_again(run: Run) -> None:
    _task(run, again=True)


def _show_batch(found: Mapping[str, Any], ratings: Ratings) -> None:
    table = batch_table(found, ratings)
    st.markdown(
        f"The training ratings are shuffled anew for every epoch and cut into {count(found['n_batches'])} batches; "
        f"this one holds {count(found['size'])}. Of each rating the model gets two whole numbers, the row of the user "
        "and the row of the movie in its embeddings. Row 0 is kept for whoever training has never seen."
    )
    show_table(
        table,
        hide_index=True,
        width="stretch",
        column_config={"movie": st.column_config.TextColumn(width=TITLE_WIDTH)},
        alt=f"The first {len(table)} ratings of a training batch, with their users' and movies' embedding rows.",
    )
    st.code(SHOW_BATCH, language="python")


def _predictions(run: Run, ratings: Ratings) -> None:
    with guard():
        try:
            arrays = state.run_arrays(run.id, "valid_predictions", "valid_rows")
        except StoreError as problem:
            st.info(sentence(str(problem)), icon=":material/info:")
            return
        if "valid_rows" not in arrays:
            st.info(
                "This run is older than this table and has not kept which ratings it was measured on: run it again."
            )
            return
        order = choose_one("Order", _ORDERS, "predictions-order")
        table = predictions_table(arrays, ratings, order, SHOWN)
        digits = st.column_config.NumberColumn(format="%.3f")
        show_table(
            table,
            hide_index=True,
            width="stretch",
            height=390,
            column_config={
                "movie": st.column_config.TextColumn(width=TITLE_WIDTH),
                "prediction": digits,
                "error": st.column_config.NumberColumn(format="%+.3f"),
            },
            alt=f"{len(table)} validation ratings with their predictions, {_ORDERS[order].lower()}.",
        )
        of_all = _of_all(len(table), len(arrays["valid_rows"]), run.n_valid)
        st.caption(f"{of_all} The error is the prediction minus the rating, in stars.")
        st.code(GET_PREDS, language="python")
