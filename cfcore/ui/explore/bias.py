"""The Bias tab: the films a model likes most and least, and where its bias and the plain mean disagree, and why."""

from __future__ import annotations

import numpy as np
import streamlit as st

from cfcore.charts.bias import APART, DISLIKED, LIKED, OTHER, Biases, bias_alt, bias_spec
from cfcore.embeddings import BiasTable, bias_table
from cfcore.embeddings.axes import correlation
from cfcore.ui.components import show_table, table_size
from cfcore.ui.explore.space import Learned
from cfcore.ui.frame import guard
from cfcore.ui.words import count, sentence

LEAST = (1, 5, 10, 20, 50, 100)
MOST_FILMS = 2500  # drawn in a scatter: the browser redraws every one of them


def bias_tab(learned: Learned) -> None:
    """Two scatters and three tables; one fragment, as its only control changes nothing else."""
    st.fragment(_draw)(learned)


def _draw(learned: Learned) -> None:
    with guard():
        if learned.facts.bias is None:
            st.info(
                "This model has no number of its own for how well a film is liked; it has to hide that in its factors. "
                "fastai's dot product learns one: train it and come back.",
                icon=":material/balance:",
            )
            return
        st.markdown(
            "A film's bias is what it adds to a prediction for everybody. Unlike the plain mean, it accounts for who "
            "gave the ratings, and it has to be earned: it starts at 0 and moves with every rating."
        )
        offered = [n for n in LEAST if n <= learned.facts.n_ratings.max()]
        least = st.select_slider(
            "Only films with at least so many training ratings",
            offered,
            value=min(20, offered[-1]),
            key="bias-least",
            persist_state="session",
        )
        try:
            table = bias_table(learned.facts, at_least=int(least))
        except ValueError as problem:
            st.info(sentence(str(problem)), icon=":material/balance:")
            return
        _scatters(learned, table, int(least))
        left, right = st.columns(2, gap="medium")
        with left:
            st.markdown("**Most liked, by bias**")
            _ranked(learned, table, table.liked, "highest")
        with right:
            st.markdown("**Least liked, by bias**")
            _ranked(learned, table, table.disliked, "lowest")
        st.markdown("**Where bias and mean disagree most, and why**")
        st.caption("Above zero the bias thinks more of a film than the mean of its ratings does, below zero less.")
        _apart(learned, table)


def _scatters(learned: Learned, table: BiasTable, least: int) -> None:
    facts = learned.facts
    group = np.full(len(learned), OTHER, dtype=object)
    for name, rows in ((APART, table.apart), (DISLIKED, table.disliked), (LIKED, table.liked)):
        group[rows] = name
    enough = np.flatnonzero(facts.n_ratings >= least)
    shown = enough[np.lexsort((-facts.n_ratings[enough], group[enough] == OTHER))][:MOST_FILMS]
    films = Biases(
        title=learned.short[shown],
        bias=np.asarray(facts.bias)[shown],
        n_ratings=facts.n_ratings[shown],
        mean=facts.mean_rating[shown],
        group=group[shown],
    )
    left, right = st.columns(2, gap="medium")
    bias = np.asarray(facts.bias)[enough]
    r = correlation(bias, np.log10(facts.n_ratings[enough]))
    with left:
        st.vega_lite_chart(
            spec=bias_spec(films, "n_ratings"),
            width="stretch",
            key="bias-popularity",
            alt=bias_alt(films, "n_ratings", r),
        )
    mean_r = correlation(bias, facts.mean_rating[enough])
    with right:
        st.vega_lite_chart(
            spec=bias_spec(films, "mean", _same(table.stars[shown], films)),
            width="stretch",
            key="bias-mean",
            alt=bias_alt(films, "mean", mean_r),
        )
    only = ""
    if len(shown) < len(enough):
        only = f"Drawn are {count(len(shown))} of {count(len(enough))} films: the best known, and those of a group. "
    said = [
        f"with popularity r = {r:.2f}" if r is not None else "",
        f"with the mean r = {mean_r:.2f}" if mean_r else "",
    ]
    st.caption(
        f"{only}Bias goes along {', '.join(each for each in said if each)}. On the dashed line the bias says the same "
        "as the mean; the fewer ratings a film has, the closer its bias stays to 0."
    )


def _same(stars: np.ndarray, films: Biases) -> list[tuple[float, float]]:
    """Two points of the line on which a bias, put on the scale of ``stars`` (m,), equals the mean rating."""
    low, high = int(films.bias.argmin()), int(films.bias.argmax())
    if stars[low] == stars[high]:
        return []
    slope = (films.bias[high] - films.bias[low]) / (stars[high] - stars[low])
    ends = np.clip([films.mean.min(), films.mean.max()], stars[low], stars[high])
    return [(float(star), float(films.bias[low] + slope * (star - stars[low]))) for star in ends]


def _ranked(learned: Learned, table: BiasTable, rows: np.ndarray, which: str) -> None:
    facts, n = learned.facts, len(learned)
    show_table(
        {
            "Film": learned.title[rows],
            "Bias": np.asarray(facts.bias)[rows],
            "Mean": facts.mean_rating[rows],
            "Rank by mean": table.mean_rank[rows],
            "Ratings": facts.n_ratings[rows],
        },
        hide_index=True,
        **table_size(len(rows)),
        column_config={
            "Film": st.column_config.TextColumn(width="medium"),
            "Bias": st.column_config.NumberColumn(format="%+.2f", width="small"),
            "Mean": st.column_config.NumberColumn(format="%.2f", width="small"),
            "Rank by mean": st.column_config.NumberColumn(
                format="localized", width="small", help=f"1 is the highest mean of all {n:,} films."
            ),
            "Ratings": st.column_config.NumberColumn(format="localized", width="small"),
        },
        alt=f"Table of the {len(rows)} films with the {which} bias, first {learned.title[rows[0]]}.",
    )


def _apart(learned: Learned, table: BiasTable) -> None:
    facts, rows = learned.facts, table.apart
    show_table(
        {
            "Film": learned.title[rows],
            "Mean": facts.mean_rating[rows],
            "By its bias": table.stars[rows],
            "Difference": table.gap[rows],
            "Ratings": facts.n_ratings[rows],
            "Mostly because": [sentence_case(why) for why in table.why],
        },
        hide_index=True,
        **table_size(len(rows)),
        column_config={
            "Film": st.column_config.TextColumn(width="medium"),
            "Mean": st.column_config.NumberColumn(format="%.2f", width="small"),
            "By its bias": st.column_config.NumberColumn(
                format="%.2f",
                width="small",
                help="The bias in stars: put on the scale of the means by a line.",
            ),
            "Difference": st.column_config.NumberColumn(format="%+.2f", width="small"),
            "Ratings": st.column_config.NumberColumn(format="localized", width="small"),
            "Mostly because": st.column_config.TextColumn(width="large"),
        },
        alt=f"Table of the {len(rows)} films whose bias and mean differ most, first {learned.title[rows[0]]}: "
        f"{table.why[0]}.",
    )


def sentence_case(text: str) -> str:
    """A reason as it stands in a table's cell."""
    return f"{text[:1].upper()}{text[1:]}"
