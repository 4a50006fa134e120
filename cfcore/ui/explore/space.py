"""What Explore knows of one run at one epoch: its space of movies, all its components, and the facts; computed once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import streamlit as st

from cfcore.charts.labels import short_title
from cfcore.embeddings import Axis, Facts, Projection, Space, describe_axes, film_facts, fit_pca, make_space
from cfcore.embeddings.axes import correlation
from cfcore.ui.runs import Chosen

MOST_GENRES = 6
MOST_OFFERED = 2000
BEST_KNOWN = 300


@dataclass(frozen=True, eq=False, kw_only=True)
class Learned:
    """Everything counts the rows of ``space``, the movies that were trained, from 0 to m.

    ``item_id`` (m,) their raw ids and ``title`` (m,) their titles; ``known`` (m,) the rows from the most training
    ratings to the fewest; ``genre_text`` (m,) their genres in words.
    """

    space: Space
    pca: Projection
    facts: Facts
    item_id: np.ndarray
    title: np.ndarray
    genre_text: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.item_id)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of a raw id, written as text."""
        return {str(item): row for row, item in enumerate(self.item_id)}

    @cached_property
    def short(self) -> np.ndarray:
        """(m,) titles as they are written on the map."""
        return np.array([short_title(str(title)) for title in self.title], dtype=object)

    @cached_property
    def spoken(self) -> np.ndarray:
        """(m,) titles as they are written in a sentence."""
        return np.array([short_title(str(title), longest=60) for title in self.title], dtype=object)

    @cached_property
    def options(self) -> dict[str, int]:
        """Every movie by a text of its own, best known first: titles that occur twice carry their id."""
        titles = [str(self.title[row]) for row in self.known]
        seen: dict[str, int] = {}
        for title in titles:
            seen[title] = seen.get(title, 0) + 1
        return {
            title if seen[title] == 1 else f"{title} · id {self.item_id[row]}": int(row)
            for title, row in zip(titles, self.known, strict=True)
        }

    @cached_property
    def offered(self) -> list[str]:
        """The texts that a select box offers: a browser takes seconds to search more of them at each key."""
        return list(self.options)[:MOST_OFFERED]

    def find(self, text: str) -> int | None:
        """The row of the movie with this text, or else of the best known one whose title has it."""
        if text in self.options:
            return self.options[text]
        wanted = text.casefold().strip()
        return next((int(row) for row in self.known if wanted and wanted in self.searched[row]), None)

    @cached_property
    def searched(self) -> list[str]:
        """(m,) both ways to write each title, in small letters."""
        return [f"{title}\n{spoken}".casefold() for title, spoken in zip(self.title, self.spoken, strict=True)]

    @cached_property
    def option_of(self) -> dict[int, str]:
        return {row: text for text, row in self.options.items()}

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """What each component follows; at its ends, the best known half of the movies."""
        among = self.known[: max(100, len(self) // 2)]
        names = [f"PC{number}" for number in range(1, len(self.pca.components) + 1)]
        return describe_axes(self.pca.scores, self.facts, names, among)

    @cached_property
    def common_genres(self) -> tuple[str, ...]:
        """The genres of most of the best known movies."""
        counts = self.facts.genres[self.known[:BEST_KNOWN]].sum(axis=0)
        return tuple(self.facts.genre_names[g] for g in np.argsort(-counts, kind="stable")[:MOST_GENRES] if counts[g])

    @cached_property
    def telling_genres(self) -> tuple[str, ...]:
        """The genres whose movies lie apart from the others most, the share of variance that each explains deciding."""
        has, X = self.facts.genres, self.space.vectors.astype(np.float64)
        counts = has.sum(axis=0)
        enough = np.flatnonzero((counts >= 5) & (counts <= len(self) - 5))
        centred = X - X.mean(axis=0)
        between = [
            counts[g] * len(self) / (len(self) - counts[g]) * np.square(centred[has[:, g]].mean(axis=0)).sum()
            for g in enough
        ]
        best = enough[np.argsort(between)[::-1][:MOST_GENRES]]
        return tuple(self.facts.genre_names[g] for g in best)


def learned(chosen: Chosen) -> Learned:
    """What this run has learned as of now; computed once for everybody who looks at it.

    Raises:
        ValueError: it has no vectors that could be drawn.
    """
    return _learned(chosen.version, chosen)


# Only what identifies the entry is hashed; a run that trains makes a new entry each epoch, and old ones fall out.
@st.cache_resource(max_entries=30, show_spinner="Finding the principal components")
def _learned(version: str, _chosen: Chosen) -> Learned:
    space = make_space(_chosen.arrays["item_factors"])
    bias = _chosen.arrays.get("item_bias")
    facts = film_facts(_chosen.split, space, bias, None if bias is None else _chosen.arrays["user_factors"])
    items, at = _chosen.ratings.items, space.item_idx
    return Learned(
        space=space,
        pca=_upright(fit_pca(space.vectors), facts),
        facts=facts,
        item_id=items.item_id[at],
        title=items.title[at],
        genre_text=items.genre_text()[at],
        known=np.argsort(-facts.n_ratings, kind="stable"),
    )


def _upright(pca: Projection, facts: Facts) -> Projection:
    """The same components, each turned so that well rated movies are to the right, or up: a sign means nothing."""
    signs = np.array([-1.0 if (correlation(scores, facts.mean_rating) or 0) < 0 else 1.0 for scores in pca.scores.T])
    return replace(pca, components=pca.components * signs[:, None], scores=pca.scores * signs)


def plain_id(value: Any) -> int | str:
    """A raw id as Arrow and JSON know it."""
    return int(value) if isinstance(value, int | np.integer) else str(value)
