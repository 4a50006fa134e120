"""Downloads: the chosen runs as tables; what one of them has learned as vectors and arrays, and the run to take home.

Files are made when somebody presses the button, outside the page; the buttons hold no session, only ids and the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import streamlit as st

from cfcore import datasets, export
from cfcore.datasets import DataError
from cfcore.ratings import Ratings
from cfcore.runs import Run, RunStore
from cfcore.ui import state
from cfcore.ui.components import how_many
from cfcore.ui.take_home import take_home
from cfcore.ui.words import plain, sentence

PROJECTOR = "https://projector.tensorflow.org"


def exports(chosen: Sequence[Run], names: Mapping[str, str]) -> None:
    """Everything that can be taken away of the chosen runs; ``names`` by run id."""
    st.subheader("Export", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        _tables(chosen)
    with right:
        _vectors([run for run in chosen if run.status in ("done", "stopped")], names)


def _tables(chosen: Sequence[Run]) -> None:
    store, ids = state.store(), [run.id for run in chosen]
    st.markdown(f"**{how_many(len(ids), 'chosen run', 'chosen runs')} as tables**")
    with st.container(horizontal=True, gap="small"):
        _button("Runs, CSV", "runs.csv", "text/csv", partial(_of_runs, export.runs_csv, store, ids))
        _button("Epochs, CSV", "epochs.csv", "text/csv", partial(_of_runs, export.epochs_csv, store, ids))
        _button("All, JSON", "runs.json", "application/json", partial(_of_runs, export.runs_json, store, ids))
    st.caption("One row a run; one row an epoch of each; settings, epochs and errors together.")


def _vectors(ended: Sequence[Run], names: Mapping[str, str]) -> None:
    st.markdown("**What one run has learned**")
    if not ended:
        st.caption("Choose a run that has ended: its vectors and factors can be taken away here.")
        return
    by_id = {run.id: run for run in ended}
    key = "compare:export"
    if st.session_state.get(key) not in by_id:
        st.session_state[key] = ended[0].id
    run = by_id[st.selectbox("Run", list(by_id), format_func=names.__getitem__, key=key, label_visibility="collapsed")]
    _factors(run)
    take_home(run, "compare")


def _factors(run: Run) -> None:
    ratings, problem = _ratings(run)
    if ratings is None:
        st.warning(f"{problem} Its vectors need the films' titles and ids.", icon=":material/database_off:")
        return
    store, stem = state.store(), f"{run.request.config.approach}-{run.id[:6]}"
    with st.container(horizontal=True, gap="small"):
        _button("Vectors, TSV", f"{stem}-vectors.tsv", _TSV, partial(_vectors_of, store, run.id))
        _button("Metadata, TSV", f"{stem}-metadata.tsv", _TSV, partial(_metadata_of, store, run.id, ratings))
        _button("Factors, npz", f"{stem}.npz", _BYTES, partial(_npz_of, store, run.id, ratings))
        _button("safetensors", f"{stem}.safetensors", _BYTES, partial(_safetensors_of, store, run.id, ratings))
    st.caption(
        f"The two TSV files open in the [Embedding Projector]({PROJECTOR}): press Load, choose vectors, then metadata. "
        "They leave out films that were never trained; npz and safetensors keep every row, with the ids."
    )


_TSV, _BYTES = "text/tab-separated-values", "application/octet-stream"


def _button(label: str, name: str, mime: str, data: Callable[[], str | bytes]) -> None:
    st.download_button(
        label,
        data=data,  # type: ignore[arg-type]  # text and bytes are taken from a callable as well
        file_name=name,
        mime=mime,
        key=f"compare:download:{label}",
        on_click="ignore",
        icon=":material/download:",
    )


def _ratings(run: Run) -> tuple[Ratings | None, str]:
    """The ratings of the run's data set where they are here, else why not."""
    try:
        if run.request.dataset in datasets.SOURCES and not datasets.on_disk(run.request.dataset):
            return None, f"{plain(run.dataset_title)} is not on this computer."
        return state.ratings(run.request.dataset), ""
    except DataError as problem:
        return None, sentence(str(problem))


def _of_runs(write: Callable[[Sequence[Run]], str], store: RunStore, run_ids: list[str]) -> str:
    return write(store.get_many(run_ids))


def _vectors_of(store: RunStore, run_id: str) -> str:
    return export.vectors_tsv(store.arrays(run_id, "item_factors")["item_factors"])


def _metadata_of(store: RunStore, run_id: str, ratings: Ratings) -> str:
    return export.metadata_tsv(store.arrays(run_id, "item_factors")["item_factors"], ratings)


def _npz_of(store: RunStore, run_id: str, ratings: Ratings) -> bytes:
    return export.factors_npz(store.arrays(run_id, *export.FACTORS), ratings)


def _safetensors_of(store: RunStore, run_id: str, ratings: Ratings) -> bytes:
    run = store.get(run_id)
    about = {"run": run_id}
    if run is not None:
        about |= {"approach": run.request.config.approach, "dataset": run.dataset_title}
    return export.factors_safetensors(store.arrays(run_id, *export.FACTORS), ratings, about)
