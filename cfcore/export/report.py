"""A run on one printed page: what ran, how the loss fell, what it came to beside the baselines, and the map of films.

One HTML file with everything in it: no script, no font, no picture from elsewhere, so that it opens without a network
and looks the same in years. Every word that comes from data or a person is escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import numpy as np

from cfcore.approaches import acting, describe
from cfcore.charts.scales import against, short
from cfcore.datasets import SOURCES
from cfcore.doctor import diagnose
from cfcore.embeddings import fit_pca, make_space
from cfcore.embeddings.axes import correlation
from cfcore.export.cells import one_line
from cfcore.export.pictures import film_map, loss_picture
from cfcore.metrics import Ranking
from cfcore.ranking import liked_from
from cfcore.ratings import Ratings, make_split
from cfcore.runs import Run

_STYLE = Path(__file__).with_name("report.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # whatever a title may hold, nothing is fetched or run
_NO_MAP = "There is no map:"


def to_report(run: Run, ratings: Ratings | None, arrays: Mapping[str, np.ndarray]) -> str:
    """The report as HTML.

    ``ratings`` are those of the run's data set, for the titles on the map, and ``arrays`` what the run has learned:
    those that the run doctor looks at, ``item_factors`` (M, k) among them. Without ratings or factors a sentence
    stands in the map's place.
    """
    config = run.request.config
    title = f"{run.name or describe(config.approach).title} on {run.dataset_title or run.request.dataset}"
    body = (
        f"<header><h1>{_plain(title)}</h1><p>{_plain(_verdict(run))}</p></header>"
        f"<section><h2>What ran</h2>{_facts(run)}</section>"
        f"<section><h2>Errors on the held-out ratings</h2>{_errors(run, ratings)}</section>"
        f"<section><h2>Loss (mean squared error) by epoch</h2>{_losses(run)}</section>"
        f"{_diagnosis(run, ratings, arrays)}"
        f"<section><h2>What it learned</h2>{_map(run, ratings, arrays.get('item_factors'))}</section>"
        f"<footer>{_small_print(run, ratings)}</footer>"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{_plain(title)}</title><style>\n{_STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def _verdict(run: Run) -> str:
    """The outcome in a sentence or two."""
    said = [f"{run.message.rstrip('.')}."] if run.message else []
    m = run.metrics
    if m is not None and m.valid_rmse is not None:
        said.append(
            f"RMSE {short(m.valid_rmse)} stars on ratings it had not seen: "
            f"{against(m.valid_rmse, m.baseline_bias_rmse, 'user + movie bias')}, "
            f"{against(m.valid_rmse, m.baseline_mean_rmse, 'the global mean')}."
        )
    return " ".join(said) or f"The run is {run.status}."


def _facts(run: Run) -> str:
    request = run.request
    facts = {"Approach": describe(request.config.approach).title, "Data": run.dataset_title or request.dataset}
    if run.n_train and run.n_valid:
        facts["Trained on"], facts["Held out"] = f"{run.n_train:,} ratings", f"{run.n_valid:,} ratings"
    facts["Split"] = run.split_how or request.split.kind
    for name, setting in acting(request.config).items():
        value = getattr(request.config, name)
        words = ", ".join(
            f"{each:g}" if isinstance(each, float) else str(each) for each in np.atleast_1d(value).tolist()
        )
        facts[setting.label] = (setting.when_left_out or "none") if value is None else words
    if len(run.history) != request.config.epochs:
        facts["Epochs finished"] = f"{len(run.history)}, {run.status}"
    if run.fit_seconds is not None:
        facts["Training took"] = f"{run.fit_seconds:.3g} s"
    if run.peak_memory_mb is not None:
        facts["Peak memory"] = f"{run.peak_memory_mb:,.0f} MB"
    facts["Run"] = run.id
    facts["Started"] = datetime.fromtimestamp(run.started or run.created, UTC).strftime("%Y-%m-%d %H:%M UTC")
    rows = (f"<div><dt>{_plain(name)}</dt><dd>{_plain(value)}</dd></div>" for name, value in facts.items())
    return f"<dl>{''.join(rows)}</dl>"


def _errors(run: Run, ratings: Ratings | None) -> str:
    m = run.metrics
    if m is None:
        return "<p>Nothing was measured, because the run did not end.</p>"
    rows = {
        "This run": (m.valid_rmse, m.valid_mae, m.ranking),
        "User + movie bias": (m.baseline_bias_rmse, m.baseline_bias_mae, m.baseline_bias_ranking),
        "Global mean": (m.baseline_mean_rmse, m.baseline_mean_mae, None),
    }
    heads = ("", "RMSE", "MAE", "Precision", "Recall", "NDCG", "Hit rate", "Coverage")
    lines = [
        f'<tr><th scope="row">{name}</th><td>{_error(rmse)}</td><td>{_error(mae)}</td>{_ranking(ranking)}</tr>'
        for name, (rmse, mae, ranking) in rows.items()
    ]
    columns = "".join(f'<th scope="col">{name}</th>' for name in heads)
    note = "RMSE and MAE in stars, lower is better."
    if m.ranking is not None:
        liked = f"gave {liked_from(ratings.scale):g} or more" if ratings is not None else "rated highly"
        note += (
            f" The others judge the ten films put first for each of {m.ranking.n_users:,} users. Precision: the share "
            f"of the ten that the user liked ({liked}, held out); recall: the share of those liked that is among the "
            "ten; NDCG: the same, but a hit counts more the higher it stands; hit rate: the share of users with at "
            "least one; higher is better. Coverage: the share of all films that is shown to anybody."
        )
    return (
        f"<table><thead><tr>{columns}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        f'<p class="quiet">{note} The global mean puts films in no order.</p>'
    )


def _losses(run: Run) -> str:
    baselines = {"user + movie bias": run.baseline_bias_mse, "global mean": run.baseline_mean_mse}
    return (
        loss_picture(run.history, baselines) or "<p>There is no picture: no epoch has left a loss that is a number.</p>"
    )


def _diagnosis(run: Run, ratings: Ratings | None, arrays: Mapping[str, np.ndarray]) -> str:
    """What the run doctor says on the pages, with what it would try."""
    found = diagnose(run, arrays, None if ratings is None else ratings.scale)
    lines = (
        f"<p><strong>{_plain(each.title)}.</strong> {_plain(each.sentence)}"
        f"{f' {_plain(each.fix.label)}.' if each.fix else ''}</p>"
        for each in found
    )
    return f"<section><h2>Run doctor</h2>{''.join(lines)}</section>" if found else ""


def _error(value: float | None) -> str:
    return short(value) if value is not None and math.isfinite(value) else "–"


def _ranking(ranking: Ranking | None) -> str:
    names = ("precision", "recall", "ndcg", "hit_rate", "coverage")
    values = ("–" if ranking is None else f"{getattr(ranking, name):.3f}" for name in names)
    return "".join(f"<td>{value}</td>" for value in values)


def _map(run: Run, ratings: Ratings | None, item_factors: np.ndarray | None) -> str:
    if run.status == "diverged":
        return f"<p>{_NO_MAP} the factors of a run that diverged say nothing about films.</p>"
    if ratings is None:
        return f"<p>{_NO_MAP} the data set with the titles is not on the computer that made this page.</p>"
    if item_factors is None:
        return f"<p>{_NO_MAP} the run has left no factors.</p>"
    if len(item_factors) != ratings.n_items:
        return f"<p>{_NO_MAP} the data set has changed since the run.</p>"
    try:
        space, split = make_space(item_factors), make_split(ratings, run.request.split)
    except ValueError as problem:
        return f"<p>{_NO_MAP} {_plain(problem)}.</p>"
    _, items, given = split.part(split.train)
    n = np.bincount(items, minlength=ratings.n_items)[space.item_idx]
    mean = np.bincount(items, given, minlength=ratings.n_items)[space.item_idx] / np.maximum(n, 1)
    pca = fit_pca(space.vectors)
    scores, shares = pca.scores[:, :2], pca.shares[:2]
    signs = [-1.0 if (correlation(each, mean) or 0) < 0 else 1.0 for each in scores.T]  # as Explore turns them
    known = np.argsort(-n, kind="stable")
    xy = np.zeros((len(space), 2))
    xy[:, : scores.shape[1]] = scores * signs
    titles = [one_line(title) for title in ratings.items.title[space.item_idx][known]]
    return (
        film_map(xy[known], titles, shares)
        + f'<p class="quiet">Each of {len(space):,} films by the two directions in which what was learned of them '
        "differs most (principal components of the factors): films that lie near each other were rated alike. Named "
        "are those with the most ratings, where there is room.</p>"
    )


def _small_print(run: Run, ratings: Ratings | None) -> str:
    source = SOURCES.get(run.request.dataset)
    about = ratings.about if ratings is not None else source.about() if source is not None else None
    said = [
        "Loss is the mean squared error between predicted and given ratings; RMSE is its square root. The global mean "
        "predicts the mean training rating for everybody; user + movie bias adds how generous the user is and how well "
        "liked the movie.",
    ]
    if about is not None:
        said += [f"{_plain(about.title)}: {_plain(about.licence)} {_linked(about.citation)}"]
    return "".join(f"<p>{each}</p>" for each in said)


def _linked(citation: str) -> str:
    """Escaped, with the address at its end as a link."""
    return re.sub(r"https://\S+", lambda found: f'<a href="{found[0]}">{found[0]}</a>', _plain(citation))


def _plain(words: object) -> str:
    return escape(one_line(words))
