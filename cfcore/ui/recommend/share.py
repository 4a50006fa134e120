"""Take your ratings with you: a link, a CSV file, and a CSV file read back."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from cfcore.ui import state, you
from cfcore.ui.components import how_many
from cfcore.ui.recommend.exchange import MOST_BYTES, from_csv, to_csv
from cfcore.ui.recommend.facts import catalogue
from cfcore.ui.runs import Chosen
from cfcore.ui.words import plain


def share(chosen: Chosen) -> None:
    """Export, link and import, folded away until wanted."""
    dataset = chosen.run.request.dataset
    mine = you.ratings_of_you(dataset)
    with st.expander("Keep, share or bring ratings", icon=":material/ios_share:", key="you-share", on_change="rerun"):
        if mine:
            _link(chosen)
            titles = dict(zip(catalogue(dataset).ids, catalogue(dataset).names, strict=True))
            st.download_button(
                "Download as CSV",
                data=lambda: to_csv(mine, titles),
                file_name=f"my-ratings-{dataset if dataset.replace('-', '').isalnum() else 'data'}.csv",
                mime="text/csv",
                icon=":material/download:",
                on_click="ignore",
            )
        else:
            st.caption("Once you have rated a film, you can keep your ratings here as a link or as a CSV file.")
        _bring(chosen)


def _link(chosen: Chosen) -> None:
    params = you.address(chosen) | state.address()
    if "you" not in params:
        st.caption("You have rated too many films for a link: download them instead.")
        return
    st.markdown("A link to this run with your ratings; whoever opens it finds them here:")
    st.code(f"{(st.context.url or '').split('?')[0]}?{urlencode(params, safe=':,')}", language=None, wrap_lines=True)


def _bring(chosen: Chosen) -> None:
    """Read a CSV file once, add what can be used to your ratings, and name the rest."""
    dataset = chosen.run.request.dataset
    key = f"you-file:{dataset}"

    def take() -> None:
        file = st.session_state[key]
        if file is None:
            st.session_state.pop("you-brought", None)
            return
        read = from_csv(file.getvalue(), catalogue(dataset).by_text, chosen.ratings.scale)
        before = you.ratings_of_you(dataset)
        you.keep(dataset, {**before, **read.ratings})
        changed = sum(item in before and before[item] != stars for item, stars in read.ratings.items())
        st.session_state["you-brought"] = (dataset, file.name, len(read.ratings), changed, read.told())

    st.file_uploader(
        "Bring a CSV file with the columns movie_id and rating",
        type=["csv", "txt", "tsv"],
        max_upload_size=max(1, MOST_BYTES // 1_000_000),
        key=key,
        on_change=take,
    )
    brought = st.session_state.get("you-brought")
    if brought is None or brought[0] != dataset:
        return
    _, name, n, changed, problems = brought
    words = f"{how_many(n, 'rating was', 'ratings were')} taken from {plain(name)}."
    if changed:
        words += f" {how_many(changed, 'film', 'films')} you had rated otherwise: the file's rating counts."
    (st.success if n else st.error)(words, icon=":material/upload_file:")
    for problem in problems:
        st.warning(problem, icon=":material/info:")
