"""Titles, people, runs and files that are made to be markup or formulas are text on every page and in every table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from streamlit.testing.v1 import AppTest

from cfcore import datasets
from cfcore.export.cells import is_formula, safe
from cfcore.export.command import write_runs
from cfcore.export.script_data import own_tables
from cfcore.runs import Run
from cfcore.ui.explore.page import AXES, BIAS, FLIGHT, MAP
from cfcore.ui.learn.page import LESSONS
from cfcore.ui.recommend.exchange import to_csv
from cfcore.ui.words import cell, plain
from tests import planted
from tests.pages_support import ROOT, TIMEOUT, FakeJobs

# Markup that stands unescaped; and the fields that the browser shows as they are (the browser test looks at that).
RAW = re.compile(
    r"(?<!\\)(<img|<script|<b id|<i>|\*\*strong|\*\*u\d|\*\*mine|\[link|:red|\$x\$|\$x\^2|`code|~~gone|(?<=\s)->(?=\s))"
)
TEXT = {"Selectbox.options", "Selectbox.raw_value", "MultiSelect.options", "MultiSelect.raw_values"}
TEXT |= {"VegaLiteChart.spec", "VegaLiteChart.alt", "Dataframe.alt", "BidiComponent.json", "Code.code_text"}
NUMBER = re.compile(r"[+-]?\d*\.?\d+(e[+-]?\d+)?")


def strings(message: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a message to the browser with the names of the fields that lead to it."""
    path = path or message.DESCRIPTOR.name
    for field, value in message.ListFields():
        for each in value if field.is_repeated and not hasattr(value, "items") else [value]:
            if hasattr(each, "ListFields"):
                yield from strings(each, f"{path}.{field.name}")
            elif isinstance(each, str):
                yield f"{path}.{field.name}", each


def sent(app: AppTest) -> Iterator[tuple[str, str]]:
    for node in app._tree:
        proto = getattr(node, "proto", None)
        if proto is not None:
            yield from strings(proto)


def visit(run: Run, page: str, session: dict[str, str], **query: str) -> AppTest:
    """The page as somebody sees it who has brought the planted file and trained on it."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=TIMEOUT)
    app.session_state["dataset"] = run.request.dataset
    app.session_state["uploads"] = {run.request.dataset: planted.FILE}
    app.run()
    if page != "app.py":
        app.switch_page(page)
    for name, value in session.items():
        app.session_state[name] = value
    for name, value in ({"run": run.id, "runs": run.id} | query).items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    assert not app.error
    return app


YOU = ",".join(f"{quote(f'<i>{k}</i>', safe='')}:{1 + k % 5}" for k in range(9))
PLACES = [
    ("app.py", {}, {}),
    ("pages/data.py", {}, {}),
    ("pages/train.py", {"code-that-ran": True}, {}),
    ("pages/compare.py", {}, {}),
    *(("pages/explore.py", {"explore-tab": tab}, {"film": "<i>0</i>"}) for tab in (MAP, AXES, BIAS, FLIGHT)),
    *(("pages/learn.py", {}, {"lesson": lesson}) for lesson in LESSONS),
    *(("pages/recommend.py", {"recommend-section": name}, {}) for name in ("A user", "One pair", "Ranking quality")),
    ("pages/recommend.py", {"you-share": True}, {"you": YOU}),
]


@pytest.mark.parametrize(("page", "session", "query"), PLACES, ids=str)
def test_nothing_of_the_data_is_markup_and_no_cell_a_formula(
    page: str, session: dict[str, str], query: dict[str, str], jobs: FakeJobs
) -> None:
    """Without ``plain`` where text goes into Markdown, or with ``st.dataframe`` for ``show_table``, this fails."""
    app = visit(planted.plant(jobs), page, session, **query)
    assert [(path, text) for path, text in sent(app) if path not in TEXT and RAW.search(text)] == []
    assert any("mine" in text for _, text in sent(app))
    for table in app.dataframe:
        texts = [*table.value.columns, *table.value.index, *table.value.to_numpy().ravel()]
        assert [each for each in texts if isinstance(each, str) and cell(each) != each] == []


def test_titles_are_seen_as_they_are(jobs: FakeJobs) -> None:
    """In the table of films, but for a sign without width; with nothing lost and nothing turned around."""
    app = visit(planted.plant(jobs), "pages/data.py", {})
    shown = set(app.dataframe[0].value["Title"].str.replace("\u2060", ""))
    assert shown == {title.strip() for title in planted.TITLES}


def test_signs_stay_signs_and_nothing_turns_what_follows_around() -> None:
    """Streamlit makes arrows and dashes of these, and a title's last mark would reverse our own words after it."""
    for sign in ("->", "<-", "<->", "--", ">=", "<=", "~="):
        seen = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", plain(f"a {sign} b"))
        assert f" {sign} " not in seen
        assert seen.replace("\u2060", "") == f"a {sign} b"
    assert plain("\u202eabc\u2067") == "abc"
    assert plain("שלום 👩‍👩‍👧") == "שלום 👩‍👩‍👧"


@pytest.mark.parametrize("text", [*planted.FORMULAS, "\t=1", "\r=1", "\n=1"])
def test_every_cell_that_leaves_the_page_is_no_formula(text: str) -> None:
    """Whatever takes it away: the table's own button, or one of ours."""
    for kept in (str(cell(text)), safe(text)):
        assert not is_formula(kept)
        assert kept.endswith(text)
    assert cell("-1.5") == "-1.5"  # a number may stay one


def test_every_file_of_a_run_is_safe_in_a_spreadsheet(jobs: FakeJobs, tmp_path: Path) -> None:
    """Each CSV and TSV that can be taken away, cell by cell, as a spreadsheet would split it."""
    run = planted.plant(jobs)
    write_runs(jobs.store, [run.id], ["csv", "tsv"], tmp_path)
    ratings = datasets.load(run.request.dataset)
    for name, text in own_tables(run.request, ratings).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    titles = dict(zip(ratings.items.item_id.tolist(), ratings.items.title.tolist(), strict=True))
    (tmp_path / "you.csv").write_bytes(to_csv(dict.fromkeys(titles, 3.0), titles))
    files = [path for path in tmp_path.iterdir() if path.suffix in (".csv", ".tsv")]
    assert len(files) >= 6
    for path in files:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, delimiter="," if path.suffix == ".csv" else "\t"))
        bad = [each for row in rows for each in row if is_formula(each) and not NUMBER.fullmatch(each)]
        assert not bad, path.name
