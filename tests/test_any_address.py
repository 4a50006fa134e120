"""Whatever stands in the address, and whatever an older version or a hand has left in a session, a page is a page."""

from __future__ import annotations

import ast
from collections.abc import Mapping

import pytest
from streamlit.testing.v1 import AppTest

from cfcore.approaches import FIELDS
from cfcore.runs import Run
from cfcore.ui.frame import FAILED, MENU, UPDATED
from cfcore.ui.link import SPLIT_NAMES
from tests.pages_support import ROOT, TIMEOUT, FakeJobs, finished, texts, trained

NASTY = (
    "",
    " ",
    "x" * 5_000,
    "1" * 5_000,  # int() of more than 4,300 digits is an error of its own
    "nan",
    "-inf",
    "1e999",
    "-1",
    "0",
    "99999999999999999999999999",
    "1,2;3 4,,",
    "true",
    "../../../etc/passwd",
    "\u202e\u0661\u0662\u0663 👩‍👩‍👧 \x00\x1b[31m\n\r\t",
    "<img id=planted src=x onerror=alert(1)> **b** [x](http://evil.example) $x$",
    "' OR 1=1 --",
    "%00%ff%F0%9F",
)
PAGES = [path for path, _, _ in MENU]
# By page, what it reads beside ``dataset``; the test below holds this list to the code.
READS = {
    "pages/learn.py": ("lesson", "hide", "run"),
    "pages/train.py": ("approach", "run", *FIELDS, *SPLIT_NAMES),
    "pages/compare.py": ("runs", "group", "view"),
    "pages/explore.py": ("run", "film"),
    "pages/recommend.py": ("run", "you"),
    "pages/classroom.py": ("room",),
}


def opened(page: str, query: Mapping[str, str | list[str]], session: Mapping[str, object] | None = None) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=TIMEOUT)
    if page != "app.py":
        app.switch_page(page)
    for name, value in (session or {}).items():
        app.session_state[name] = value
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def is_whole(app: AppTest, page: str) -> None:
    """A page with its title, no traceback, and without the sentence for what nobody foresaw."""
    assert not app.exception
    assert app.title
    assert app.title[0].value
    assert FAILED not in texts(app)
    assert UPDATED not in texts(app)
    assert page == "app.py" or len(app.main) > 3


@pytest.fixture
def runs(jobs: FakeJobs) -> list[Run]:
    """A trained run of this server, one without arrays of somebody else, and one that failed."""
    return [trained(jobs, "als"), finished(jobs, visitor="else"), finished(jobs, "failed", "why", rmse=None)]


@pytest.mark.parametrize("page", PAGES)
def test_any_value_of_every_parameter_gives_a_page(page: str, runs: list[Run]) -> None:
    """All that the page reads hold it at once; in turns also beside a run or an approach that there is, to go on."""
    names = ("dataset", *READS.get(page, ()))
    beside = [{}, {"run": runs[0].id}, {"approach": "fastai_nn"}, {"approach": "scratch", "view": "sweep"}]
    for k, value in enumerate(NASTY):
        is_whole(opened(page, dict.fromkeys(names, value) | beside[k % 4]), page)
        if page == "pages/train.py":  # without an approach it reads no setting
            is_whole(opened(page, dict.fromkeys(names, value) | beside[2 + k % 2]), page)


@pytest.mark.parametrize("page", PAGES)
def test_parameters_given_twice_and_runs_of_others_give_a_page(page: str, runs: list[Run]) -> None:
    names = ("dataset", *READS.get(page, ()))
    queries: list[Mapping[str, str | list[str]]] = [
        {name: [NASTY[4], NASTY[12], ""] for name in names},
        *(dict.fromkeys(names, run.id) for run in runs),
        {name: [run.id for run in runs] for name in names},
        {"runs": ",".join([*(run.id for run in runs), *NASTY] * 40), "group": runs[0].id, "view": "sweep"},
        dict.fromkeys((*NASTY[4:], "embed", "embed_options", "__proto__"), "x"),
    ]
    for query in queries:
        is_whole(opened(page, query), page)


def test_every_parameter_that_the_code_reads_is_tried() -> None:
    """A new ``st.query_params["..."]`` that is not in ``READS`` fails this; ``link`` reads the names of settings."""
    read = set()
    for path in [*(ROOT / "cfcore" / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "app.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Subscript | ast.Call | ast.Compare):
                read |= _names_read(node)
    assert {"dataset", "run", "film", "you"} <= read
    assert read <= {"dataset", *(name for names in READS.values() for name in names)}


def _names_read(node: ast.Subscript | ast.Call | ast.Compare) -> set[str]:
    """The texts in an expression that has to do with the address: ``query_params.get("x")``, ``"x" in params``."""
    if isinstance(node, ast.Compare):
        where, asked = node.comparators[0], node.left
    elif isinstance(node, ast.Subscript):
        where, asked = node.value, node.slice
    else:
        if not (isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args):
            return set()
        where, asked = node.func.value, node.args[0]
    of_the_address = ast.unparse(where) in ("st.query_params", "params")
    return (
        {asked.value} if of_the_address and isinstance(asked, ast.Constant) and isinstance(asked.value, str) else set()
    )


# The plain values of a session that a page reads, with what no page ever puts there.
LEFT = {
    "dataset": ["", "gone", "upload-0123456789abcdef", "../../etc/passwd", NASTY[13]],
    "run": ["", "gone", "../../etc/passwd", NASTY[2], NASTY[13]],
    "lesson": ["gone", ""],
    "learn-hide": [["gone"], []],
    "recommend-section": ["You"],
    "explore-film": ["gone", NASTY[14]],
    "explore-person": ["gone"],
    "explore-search": [NASTY[14]],
    "explore-shown": [-1, 10**9],
    "you": [{}, {"sample": {"gone": 3.0, 10**30: 9.0}}],
    "you-batch": [-1, 10**30],
    "you-link": [NASTY[14], NASTY[2]],
    "you-before": [None, [{"dataset": "gone", "ratings": {}, "taken": {}}]],
    "you-offered": [None, {"dataset": "gone", "ratings": {}}],
    "uploads": [{"gone": NASTY[14]}],
    "refused": [("gone", "gone")],
    "to_tell": [["told"]],
    "offered": [True],
    "page": ["gone", None],
    "stopping": [["gone"]],
    "compare:search": [NASTY[14]],
}


@pytest.mark.parametrize("page", PAGES)
def test_whatever_a_session_still_holds_gives_a_page(page: str, runs: list[Run]) -> None:
    """Of every value its first, then its second, and so on: of a data set, run or film that has gone meanwhile."""
    for turn in range(max(map(len, LEFT.values()))):
        session = {name: values[min(turn, len(values) - 1)] for name, values in LEFT.items()}
        is_whole(opened(page, {}, session), page)
        is_whole(opened(page, {}, session | {"dataset": "sample", "run": runs[0].id}), page)
