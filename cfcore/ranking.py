"""How good is the top of the list: the ten films that a model puts first for a user, against held-out ratings.

RMSE asks how well every rating is predicted. A recommender shows ten films, so this asks only about those ten.
For each user with at least one relevant film R (held out, and rated at least ``liked_from``), the candidates (films
with a training rating, without the user's own training films) are ranked by prediction, and the first k are L:

    precision@k = |L and R| / k            recall@k = |L and R| / |R|            hit rate = share of users with a hit
    NDCG@k = sum over ranks r of hits in L of 1 / log2(r + 1), divided by the same sum for a perfect list
    coverage = share of candidate films in anybody's L         mean popularity = mean training ratings of films in L

All are means over users. A relevant film without a training rating cannot be recommended: it counts as a miss. Why each
is defined so stands in ``docs/ranking.md``. Source of the measures: Herlocker et al., "Evaluating collaborative
filtering recommender systems" (2004); NDCG: Jarvelin and Kekalainen (2002).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cfcore.metrics import Ranking
from cfcore.models import DotModel, Model
from cfcore.ratings import Split

AT = 10  # films on the list
SEED = 0  # of the sample of users, where not all can be scored
_BLOCK = 2_000_000  # numbers in the largest array of a block of users: 8 MB
_MOST_PRODUCTS = 2e11  # multiply-adds: a wide network is asked about fewer users, rather than for minutes


def liked_from(scale: tuple[float, float]) -> float:
    """The rating from which a film counts as liked: 4 on scales that end at 5, else three quarters of the way up."""
    low, high = scale
    return 4.0 if high == 5 and low < 4 else low + 0.75 * (high - low)


def users_to_ask(split: Split, model: Model, *, most_pairs: int = 8_000_000) -> np.ndarray:
    """The ``user_idx`` (u,) ascending whose lists are measured: those with a relevant held-out film.

    Where users x films are more than ``most_pairs``, or would take a network too long, they are a seeded sample. What
    is compared must be measured for the same users: choose them once, for the slowest model.
    """
    users, _, ratings = split.part(split.valid)
    asked = np.unique(users[ratings >= liked_from(split.ratings.scale)])
    n_candidates = max(1, int(split.seen_items.sum()))
    most_users = max(1, int(min(most_pairs, _MOST_PRODUCTS / _products(model)) // n_candidates))
    if len(asked) > most_users:
        asked = np.sort(np.random.default_rng(SEED).choice(asked, most_users, replace=False))
    return asked


def rank_metrics(model: Model, split: Split, asked: np.ndarray, *, k: int = AT) -> Ranking | None:
    """Measure the first ``k`` films that ``model`` puts first for each user of ``asked`` (u,).

    Who is asked says :func:`users_to_ask`. ``None`` when nobody is asked, or a prediction is not a number.
    """
    if not len(asked):
        return None
    users, items, ratings = split.part(split.valid)
    liked = ratings >= liked_from(split.ratings.scale)
    candidates = np.flatnonzero(split.seen_items)
    popularity = np.bincount(split.ratings.item_idx[split.train], minlength=split.ratings.n_items)
    wanted = np.zeros(split.ratings.n_users, dtype=bool)
    wanted[asked] = True
    relevant = _Pairs(users[liked], items[liked], wanted)
    known = _Pairs(*split.part(split.train)[:2], wanted)
    hits, lists = [], []
    for block, scores in score_blocks(model, asked, candidates):
        if not np.isfinite(scores).all():
            return None
        scores = known.mark(block, candidates, scores, -np.inf)
        top = first(scores, k)  # (u, k), columns of candidates; -1 where a user has fewer than k candidates
        good = relevant.mark(block, candidates, np.zeros(scores.shape, bool), True)
        hits.append(np.take_along_axis(good, np.maximum(top, 0), axis=1) & (top >= 0))
        lists.append(top)
    return _means(np.concatenate(hits), np.concatenate(lists), relevant.counts[asked], popularity[candidates])


def score_blocks(model: Model, user_idx: np.ndarray, item_idx: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of users (u,) with their scores (u, m) of ``item_idx`` (m,), one block at a time to bound the memory.

    A score is the prediction before the sigmoid into ``y_range``: the order is the same, and what float32 would round
    to the top of the range stays apart.
    """
    widest = 1 if isinstance(model, DotModel) else max(weight.shape[1] for weight in model.weights)
    step = max(1, _BLOCK // (len(item_idx) * widest))
    items = _item_side(model, item_idx)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model: the caller looks at what comes out
        for start in range(0, len(user_idx), step):
            block = user_idx[start : start + step]
            yield block, _scores(model, block, item_idx, items)


def first(scores: np.ndarray, k: int) -> np.ndarray:
    """The columns of the ``k`` highest ``scores`` (u, m) in each row, best first; equal scores by column; (u, k).

    ``-inf`` is no candidate: where a row has fewer than ``k``, the rest is -1.
    """
    u, m = scores.shape
    top = np.full((u, k), -1)
    if m <= k:
        order = np.argsort(-scores, axis=1, kind="stable")
    else:
        order = np.argpartition(-scores, k - 1, axis=1)[:, :k]  # not the whole order: many times faster
        values = np.take_along_axis(scores, order, axis=1)
        last = values.min(axis=1, keepdims=True)
        tied = (scores == last).sum(axis=1) > (values == last).sum(axis=1)  # the partition took any of the equal ones
        order[tied] = np.argsort(-scores[tied], axis=1, kind="stable")[:, :k]
        order.sort(axis=1)
        values = np.take_along_axis(scores, order, axis=1)
        order = np.take_along_axis(order, np.argsort(-values, axis=1, kind="stable"), axis=1)
    possible = np.isfinite(np.take_along_axis(scores, order, axis=1))
    top[:, : order.shape[1]] = np.where(possible, order, -1)
    return top


def _means(hits: np.ndarray, lists: np.ndarray, n_relevant: np.ndarray, popularity: np.ndarray) -> Ranking:
    """From ``hits`` and ``lists`` (u, k), ``n_relevant`` (u,) and the candidates' ``popularity`` (m,)."""
    k = hits.shape[1]
    gains = 1 / np.log2(np.arange(2, k + 2))  # rank 1 counts in full, rank 2 for 0.63, rank 10 for 0.29
    ideal = np.cumsum(gains)[np.minimum(n_relevant, k) - 1]
    n_hits = hits.sum(axis=1)
    recommended = lists[lists >= 0]
    return Ranking(
        precision=float((n_hits / k).mean()),
        recall=float((n_hits / n_relevant).mean()),
        ndcg=float((hits @ gains / ideal).mean()),
        hit_rate=float((n_hits > 0).mean()),
        coverage=len(np.unique(recommended)) / len(popularity),
        mean_popularity=float(popularity[recommended].mean()) if len(recommended) else 0.0,
        n_users=len(hits),
    )


class _Pairs:
    """The user-item pairs of the ``wanted`` (U,) users, sorted by user, so that those of a block are found at once."""

    def __init__(self, users: np.ndarray, items: np.ndarray, wanted: np.ndarray) -> None:
        users, items = users[wanted[users]], items[wanted[users]]
        self._items = items[np.argsort(users, kind="stable")]
        self.counts = np.bincount(users, minlength=len(wanted))
        self._ends = np.cumsum(self.counts)

    def mark(self, block: np.ndarray, candidates: np.ndarray, matrix: np.ndarray, value: float | bool) -> np.ndarray:
        """Set ``value`` in ``matrix`` (len(block), len(candidates)) at the pairs of these users; gives it back."""
        for row, user in enumerate(block):
            own = self._items[self._ends[user] - self.counts[user] : self._ends[user]]
            columns = np.searchsorted(candidates, own)
            there = columns < len(candidates)
            there[there] = candidates[columns[there]] == own[there]  # a film without a training rating is no candidate
            matrix[row, columns[there]] = value
        return matrix


def _products(model: Model) -> int:
    """Multiply-adds to score one more pair."""
    if isinstance(model, DotModel):
        return max(1, model.item_factors.shape[1])
    return sum(weight.size for weight in model.weights[1:]) or 1  # the first layer is taken apart, see _item_side


def _item_side(model: Model, item_idx: np.ndarray) -> np.ndarray:
    """What the items bring to every score, computed once."""
    if isinstance(model, DotModel):
        return np.ascontiguousarray(model.item_factors[item_idx].T)  # (k, m)
    # W [x ; y] = W_x x + W_y y: both halves are needed once a user and once an item, not once a pair
    width = model.user_inputs.shape[1]
    return (model.item_inputs[item_idx] @ model.weights[0][width:] + model.biases[0]).astype(np.float32)  # (m, h)


def _scores(model: Model, block: np.ndarray, item_idx: np.ndarray, items: np.ndarray) -> np.ndarray:
    if isinstance(model, DotModel):
        scores = model.user_factors[block] @ items  # (u, m)
        if model.item_bias is not None:
            scores = scores + model.item_bias[item_idx]
        return scores  # the offset and the user's bias move a whole row, and so no film past another
    users = (model.user_inputs[block] @ model.weights[0][: model.user_inputs.shape[1]]).astype(np.float32)
    x = (users[:, None, :] + items[None, :, :]).reshape(-1, items.shape[1])  # (u m, h): one product for all pairs
    for weight, bias in zip(model.weights[1:], model.biases[1:], strict=True):
        x = np.maximum(x, 0) @ weight + bias
    return x[:, 0].reshape(len(block), len(item_idx))
