"""The data of the map of films, table by table: what is drawn where, how large, and which titles are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cfcore.charts.film_map import MANY, Limits
from cfcore.charts.labels import place_titles
from cfcore.charts.map_style import OTHERS

MOST_DRAWN = 2500  # films: more would make every step of a zoom slow
_CANDIDATES = 160  # best known films in sight that may get a title
_PLOT = np.array([640.0, 440.0])  # pixels, about: what decides whether one film hides another
_CELL = 2.5  # pixels: the least distance at which two films are told apart
_SMALLEST, _LARGEST = 22.0, 230.0  # square pixels of a point
_SMALLEST_OF_MANY, _LARGEST_OF_MANY = 14.0, 130.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Drawn:
    """The films that are drawn: ``item`` (n,) raw ids, ``xy`` (n, 2), ``title`` (n,) as written on the map.

    ``size`` (n,) square pixels; ``group`` (n,) the category or ``value`` (n,) the number that gives the colour;
    ``chosen`` is the position of the film that was chosen, ``near`` those of its nearest and ``liked`` those of a
    person's favourites. The best known film comes first. ``person`` is where that person stands, and the name.
    ``way`` (2, 2) is the direction of a person in a dot model: where all factors are 0, and where the person stands.
    """

    item: np.ndarray
    xy: np.ndarray
    title: np.ndarray
    size: np.ndarray
    group: np.ndarray | None = None
    value: np.ndarray | None = None
    chosen: int | None = None
    near: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    liked: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    person: tuple[float, float, str] | None = None
    way: np.ndarray | None = None

    @property
    def marked(self) -> np.ndarray:
        """Positions of all that stand out, the chosen film first."""
        first = [] if self.chosen is None else [self.chosen]
        return np.array(list(dict.fromkeys([*first, *self.near.tolist(), *self.liked.tolist()])), dtype=np.int64)


def point_sizes(n_ratings: np.ndarray, *, by_popularity: bool) -> np.ndarray:
    """Square pixels of each point (n,): the square root of the ratings decides, so that the tail can still be seen."""
    many = len(n_ratings) > MANY
    low, high = (_SMALLEST_OF_MANY, _LARGEST_OF_MANY) if many else (_SMALLEST, _LARGEST)
    if not by_popularity:
        return np.full(len(n_ratings), low * (1.6 if many else 2.4))
    share = np.sqrt(n_ratings / max(1, n_ratings.max(initial=1)))
    return low + (high - low) * share


def first_group(genres: np.ndarray, names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """One category for each film (n,): of the wanted genres that it has, the rarest among ``genres`` (n, G)."""
    columns = [names.index(name) for name in wanted]
    group = np.full(len(genres), OTHERS, dtype=object)
    for column in sorted(columns, key=lambda c: -int(genres[:, c].sum())):  # the rarest comes last and stays
        group[genres[:, column]] = names[column]
    return group


def told_apart(xy: np.ndarray, limits: Limits, shown: Limits | None, most: int = MOST_DRAWN) -> np.ndarray:
    """Which of ``xy`` (n, 2), best known first, are drawn: all where there are few, else what can be told apart.

    As on a road map, a film that would lie under a better known one waits until the reader zooms in. What lies within
    half the width of the part in sight around it is drawn as well, so that the map can be moved.
    """
    if len(xy) <= most:
        return np.arange(len(xy))
    x0, x1, y0, y1 = shown or limits
    unit = (xy - (x0, y0)) / np.maximum((x1 - x0, y1 - y0), 1e-12)
    near = np.flatnonzero(((unit >= -0.5) & (unit <= 1.5)).all(axis=1))
    cell = _CELL
    while True:
        cells = np.floor(unit[near] * _PLOT / cell).astype(np.int64)
        _, first = np.unique(cells[:, 0] * 2**31 + cells[:, 1], return_index=True)
        if len(first) <= most:
            return near[np.sort(first)]
        cell *= 1.25


def map_tables(drawn: Drawn, facts: pd.DataFrame, limits: Limits, shown: Limits | None, heights: Sequence[float]):
    """The named data sets of the map but for ``people``.

    Args:
        facts: (n,) one row a film, with the column ``Movie id`` and what its tooltip says.
        limits: all of the map; ``shown`` is the part in sight, for which titles are placed.
        heights: of the plot, at least, for each of ``WIDTHS``.
    """
    keep = np.union1d(told_apart(drawn.xy, limits, shown), drawn.marked)
    return {
        "frame": pd.DataFrame({"x": limits[:2], "y": limits[2:]}),
        "films": _films(drawn, keep),
        # Streamlit sends a numbered index along as a column, which the tooltip would show; one of text it leaves out.
        "facts": facts.iloc[keep].set_axis(facts["Movie id"].iloc[keep].astype(str)),
        "links": _links(drawn),
        "way": _way(drawn),
        "rings": _rings(drawn),
        "titles": _titles(drawn, shown or limits, heights),
    }


def people_table(xy: np.ndarray, names: Sequence[str], chosen: int | None = None) -> pd.DataFrame:
    """People at ``xy`` (n, 2); the chosen one is larger and drawn last."""
    order = np.arange(len(xy)) if chosen is None else np.append(np.delete(np.arange(len(xy)), chosen), chosen)
    is_chosen = np.zeros(len(xy), dtype=bool) if chosen is None else order == chosen
    return pd.DataFrame(
        {
            "x": xy[order, 0],
            "y": xy[order, 1],
            "name": np.array(names, dtype=object)[order],
            "size": np.where(is_chosen, 480.0, 100.0),
            "alpha": np.where(is_chosen, 1.0, 0.4),
        }
    )


def _films(drawn: Drawn, keep: np.ndarray) -> pd.DataFrame:
    """Points in the order they are drawn: grey ones first, then the large before the small, the marked last."""
    n = len(drawn.item)
    marked = np.zeros(n, dtype=bool)
    marked[drawn.marked] = True
    alpha = np.where(marked | (not marked.any()), 0.85, 0.3)
    grey = np.zeros(n, dtype=bool) if drawn.group is None else drawn.group == OTHERS
    order = keep[np.lexsort((-drawn.size[keep], ~grey[keep], marked[keep]))]
    table = {"item": drawn.item, "x": drawn.xy[:, 0], "y": drawn.xy[:, 1], "size": drawn.size, "alpha": alpha}
    if drawn.group is not None:
        table["group"] = drawn.group
    if drawn.value is not None:
        table["value"] = drawn.value
    return pd.DataFrame({name: values[order] for name, values in table.items()})


def _links(drawn: Drawn) -> pd.DataFrame:
    """Lines from the chosen film to its nearest; they carry the id of their far end, so that a tap follows them."""
    if drawn.chosen is None:
        return pd.DataFrame({"item": drawn.item[:0], **{name: np.zeros(0) for name in ("x", "y", "x2", "y2")}})
    (x, y), ends = drawn.xy[drawn.chosen], drawn.xy[drawn.near]
    return pd.DataFrame(
        {"item": drawn.item[drawn.near], "x": x, "y": y, "x2": ends[:, 0], "y2": ends[:, 1]},
    )


def _way(drawn: Drawn) -> pd.DataFrame:
    """The line of ``drawn.way``, on and on until it has left the films behind."""
    if drawn.way is None or not np.ptp(drawn.way, axis=0).any():
        return pd.DataFrame({name: np.zeros(0) for name in ("x", "y", "x2", "y2")})
    zero, person = drawn.way
    reach = np.ptp(np.concatenate([drawn.xy, drawn.way]), axis=0).max() / np.linalg.norm(person - zero)
    return pd.DataFrame([[*zero, *(zero + 2 * reach * (person - zero))]], columns=["x", "y", "x2", "y2"])


def _rings(drawn: Drawn) -> pd.DataFrame:
    at = drawn.marked
    is_chosen = at == (-1 if drawn.chosen is None else drawn.chosen)
    return pd.DataFrame(
        {
            "item": drawn.item[at],
            "x": drawn.xy[at, 0],
            "y": drawn.xy[at, 1],
            "size": drawn.size[at] + np.where(is_chosen, 190.0, 60.0),
            "stroke": np.where(is_chosen, 2.6, 1.3),
        }
    )


def _titles(drawn: Drawn, shown: Limits, heights: Sequence[float]) -> pd.DataFrame:
    """Where titles are written: the person's name first, then what stands out, then the best known in sight."""
    n, xy, texts = len(drawn.item), drawn.xy, drawn.title
    radius = np.sqrt(drawn.size / np.pi)
    radius[drawn.marked] += np.where(drawn.marked == drawn.chosen, 5.0, 3.0)  # their rings
    first = drawn.marked.tolist()
    if drawn.person is not None:  # stands behind the last film, as if it were one
        x, y, name = drawn.person
        xy, texts, radius = np.concatenate([xy, [[x, y]]]), np.append(texts, name), np.append(radius, 12.0)
        first = [n, *first]
    (x0, x1, y0, y1), least = shown, 1e-12
    unit = (xy - (x0, y0)) / (max(x1 - x0, least), max(y1 - y0, least))
    inside = np.flatnonzero(((unit[:n] >= 0) & (unit[:n] <= 1)).all(axis=1))[:_CANDIDATES]
    at = np.array(list(dict.fromkeys([*first, *inside.tolist()])), dtype=np.int64)
    placed = place_titles(unit[at], [str(t) for t in texts[at]], radius[at], heights=heights, always=len(first))
    row = at[placed.row]
    stands_out = np.isin(row, first) if first else np.ones(len(row), dtype=bool)
    # A tap on a person's name is a tap on no film: null.
    items = pd.array([*drawn.item.tolist(), None], dtype="Int64" if drawn.item.dtype.kind == "i" else "object")
    return pd.DataFrame(
        {
            "item": items.take(row),
            "x": xy[row, 0],
            "y": xy[row, 1],
            "text": texts[row],
            "dx": placed.dx,
            "dy": placed.dy,
            "align": placed.align,
            "least": placed.least,
            "below": placed.below,
            # The crowd's titles stand back, or one of them would seem to belong to a ring beside it.
            "alpha": np.where(stands_out, 1.0, 0.45),
            "strong": (row == n) | (row == (-1 if drawn.chosen is None else drawn.chosen)),
        }
    )
