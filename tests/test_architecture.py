"""The rules of the layout: imports run one way, pages stay thin, and no page process loads torch."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from tests.conftest import printed

ROOT = Path(__file__).parents[1]
FILES = sorted([ROOT / "app.py", *ROOT.glob("pages/*.py"), *ROOT.glob("cfcore/**/*.py")])

# A module may import from the layers below its own, or from its own layer. Lowest first.
LAYERS = [
    {"config", "limits", "metrics", "memory", "models", "ratings"},
    {"training", "ranking"},
    {"approaches", "estimate"},
    {"embeddings", "foldin", "recommend", "lessons"},
    {"datasets", "database", "disk", "servers", "arrays", "outcome", "run", "runs", "worker", "outlook", "retention"}
    | {"rooms", "room_store", "standings"},
    {"jobs", "fair", "line", "aside", "cluster", "cluster_settings", "own_workers", "guests", "versions", "nanny"}
    | {"checkup"}
    | {"charts", "illustrate", "export", "sweep", "doctor"},
    {"ui", "__main__"},
    {"app", "pages"},
]
HEAVY = {"torch", "fastai"}
LIGHT = ("__init__.py", "registry.py", "settings.py")  # of the approaches: pages read these
WORKERS = (
    "bench.py",
    "descend.py",
    "lookup.py",
    "same_step.py",
    "squeeze.py",
    "tasks.py",
)  # of the lessons: they do not


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part(path: Path) -> str:
    """The name of a file's layer entry: ``runs`` for cfcore/runs.py, ``datasets`` for anything in that folder."""
    relative = path.relative_to(ROOT).with_suffix("").parts
    if relative[0] != "cfcore":
        return relative[0]
    return relative[1] if relative[1] != "__init__" else "cfcore"


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    if part(path) == "cfcore":
        assert not {name for name in imports(path) if name.startswith("cfcore.")}
        return
    own = layer(part(path))
    for name in imports(path):
        if name.startswith("cfcore."):
            target = name.split(".")[1]
            assert layer(target) <= own, f"{path.name} imports {name} from a layer above"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_ui_imports_streamlit(path: Path) -> None:
    tops = {name.split(".")[0] for name in imports(path)}
    if part(path) not in ("ui", "app", "pages"):
        assert "streamlit" not in tops


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_what_runs_on_a_worker_imports_torch(path: Path) -> None:
    tops = {name.split(".")[0] for name in imports(path)}
    if not on_a_worker(path):
        assert not tops & HEAVY, "pages read this file, so it must not load torch"


def on_a_worker(path: Path) -> bool:
    if part(path) == "lessons":
        return path.name in WORKERS
    return part(path) == "worker" or (part(path) == "approaches" and path.name not in LIGHT)


def test_no_approach_imports_another() -> None:
    lessons = {"scratch", "pytorch", "fastai_custom", "fastai_nn", "fastai_dot", "mf", "als", "bayes", "baseline"}
    for lesson in lessons:
        for name in imports(ROOT / "cfcore" / "approaches" / f"{lesson}.py"):
            parts = name.split(".")
            if parts[:2] == ["cfcore", "approaches"]:
                assert not set(parts[2:3]) & lessons, f"{lesson} imports {name}"


def test_a_page_process_never_loads_torch() -> None:
    """Import all that the pages import, in a fresh process, and look at what came with it."""
    modules = sorted(
        {
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for path in FILES
            if part(path) not in ("app", "pages", "__main__") and not on_a_worker(path)
        }
    )
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    assert printed(code) == "[]"


def test_the_train_page_does_not_wait_for_altair(tmp_path) -> None:
    """All of it, its chart included, in a fresh process that would notice."""
    code = (
        "import sys\nfrom streamlit.testing.v1 import AppTest\n"
        "test = AppTest.from_file('app.py', default_timeout=60)\n"
        "test.switch_page('pages/train.py').run()\n"
        "print([title.value for title in test.title], bool(test.get('vega_lite_chart')), 'altair' in sys.modules)"
    )
    at = {"CFCORE_OFFLINE": "1", "CFCORE_RUNS_DIR": str(tmp_path / "runs"), "CFCORE_DATA_DIR": str(tmp_path / "data")}
    assert printed(code, {**os.environ, **at}) == "['Train'] True False"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= (120 if part(path) in ("app", "pages") else 320), f"{path.name} has {lines} lines"
