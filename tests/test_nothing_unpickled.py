"""No file can run code: nothing in the project unpickles, and a pickle in the place of any file it reads stays shut."""

from __future__ import annotations

import ast
import io
import pickle
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcore.arrays import ArrayFiles
from cfcore.database import StoreError
from cfcore.datasets import DataError, load, save_upload
from tests import layouts
from tests.pages_support import ROOT, FakeJobs, open_page, texts, trained

FILES = [ROOT / "app.py", *(path for name in ("cfcore", "pages", "benchmarks") for path in (ROOT / name).rglob("*.py"))]
MODULES = {
    "pickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
    "jsonpickle",
    "pandas.io.pickle",
}
CALLS = {"read_pickle", "to_pickle", "unsafe_load", "load_learner", "HDFStore", "read_hdf"}


def unsafe(source: str) -> list[str]:
    """What in a module could unpickle, or pickle what somebody else then has to unpickle."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += [name for name in names if name in MODULES or name.split(".")[0] in MODULES]
        if isinstance(node, ast.Call):
            said = {word.arg: word.value for word in node.keywords}
            whose, _, name = ast.unparse(node.func).rpartition(".")
            allows = said.get("allow_pickle")
            weights = said.get("weights_only")
            safe_weights = isinstance(weights, ast.Constant) and weights.value is True
            if name in CALLS or (
                name in ("load", "save") and whose == "torch" and not (name == "load" and safe_weights)
            ):
                found.append(ast.unparse(node))
            if allows is not None and not (isinstance(allows, ast.Constant) and allows.value is False):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_unpickles(path: Path) -> None:
    assert unsafe(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import yaml",
        "import shelve",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.savez(path, allow_pickle=flag)",
        "pd.read_pickle(path)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert unsafe(source)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "sprung"


def trap(marker: Path) -> object:
    """An object whose pickle touches ``marker`` when it is read."""

    class Trap:
        def __reduce__(self):
            return Path.touch, (marker,)

    return Trap()


def npz_of_objects(marker: Path) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, item_factors=np.array([trap(marker)], dtype=object))
    return file.getvalue()


def npz_of_a_pickle(marker: Path) -> bytes:
    return layouts.into_zip({"item_factors.npy": pickle.dumps(trap(marker)), "data.pkl": pickle.dumps(trap(marker))})


def npy_of_objects(marker: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([trap(marker)], dtype=object), allow_pickle=True)
    return file.getvalue()


def npz_too_large(marker: Path) -> bytes:
    """Arrays that say they have 10^15 numbers."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    return layouts.into_zip({"item_factors.npy": file.getvalue()})


ARRAYS = [npz_of_objects, npz_of_a_pickle, npy_of_objects, npz_too_large, lambda marker: pickle.dumps(trap(marker))]


def test_the_trap_springs_where_it_is_unpickled(marker: Path) -> None:
    pickle.loads(pickle.dumps(trap(marker)))
    assert marker.exists()


@pytest.mark.parametrize("content", ARRAYS)
def test_arrays_that_are_pickles_stay_shut_and_the_pages_say_so(
    content: Callable[[Path], bytes], jobs: FakeJobs, marker: Path
) -> None:
    """With ``allow_pickle=True`` in ``ArrayFiles.load`` the trap springs."""
    run = trained(jobs, "als")
    (jobs.store.root / "arrays" / f"{run.id}.npz").write_bytes(content(marker))
    with pytest.raises(StoreError, match=r"are damaged .* train it again"):
        jobs.store.arrays(run.id)
    for page in ("pages/explore.py", "pages/recommend.py"):
        assert "are damaged" in texts(open_page(page, run=run.id))
    for page in ("pages/train.py", "pages/compare.py"):
        assert "Something went wrong" not in texts(open_page(page, run=run.id, runs=run.id))
    assert not marker.exists()


@pytest.mark.parametrize("column", ["request", "metrics", "name", "message", "created"])
@pytest.mark.parametrize("broken", [False, True])
def test_a_pickle_in_the_database_stays_shut_and_takes_no_other_run_along(
    column: str, broken: bool, jobs: FakeJobs, marker: Path
) -> None:
    """Without the guard in ``run.run_of`` one such cell makes every list of runs, and so every page, fail."""
    other, run = trained(jobs, "als"), trained(jobs, "als")
    content = "{" if broken and column in ("request", "metrics") else pickle.dumps(trap(marker))
    with sqlite3.connect(jobs.store.root / "runs.sqlite3") as db:
        db.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", (content, run.id))
    db.close()
    assert jobs.store.get(run.id) is None
    assert [each.id for each in jobs.store.list()] == [other.id]
    for page in ("pages/train.py", "pages/explore.py"):
        assert "There is no run with this link here" in texts(open_page(page, run=run.id))
    assert not marker.exists()


@pytest.mark.parametrize("what", ["data", "json"])
def test_an_upload_that_is_a_pickle_stays_shut(what: str, jobs: FakeJobs, marker: Path) -> None:
    """As the file itself, and in the place of what is kept beside it."""
    content = pickle.dumps(trap(marker))
    with pytest.raises(DataError):
        save_upload(content, "ratings.csv")
    with pytest.raises(DataError):
        save_upload(layouts.into_zip({"ratings.csv": content, "data.pkl": content}), "ratings.zip")
    table = layouts.table([("user", "item", "rating"), *(row[:3] for row in layouts.some_rows(8, 9))])
    name = save_upload(table, "mine.csv")
    path = next(jobs.store.root.parent.rglob(name))
    (path if what == "data" else path.with_name(f"{name}.json")).write_bytes(content)
    with pytest.raises(DataError):
        load(name)
    assert not marker.exists()


@pytest.fixture(scope="module")
def good() -> bytes:
    file = io.BytesIO()
    np.savez(file, item_factors=np.ones((3, 2), dtype=np.float32), epoch=np.array(3))
    return file.getvalue()


def test_a_damaged_file_of_arrays_is_read_or_refused(tmp_path: Path, good: bytes) -> None:
    """Whatever byte is another: numpy and zipfile raise some ten kinds of errors, of which all become ours."""
    files = ArrayFiles(tmp_path / "arrays")
    path = tmp_path / "arrays" / f"{'a' * 16}.npz"

    @settings(max_examples=300, derandomize=True, database=None, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), min_size=1, max_size=4))
    def check(changes: list[tuple[int, int]]) -> None:
        data = bytearray(good)
        for at, byte in changes:
            data[at] = byte
        path.write_bytes(data)
        try:
            arrays = files.load("a" * 16)
        except StoreError:
            return
        assert all(array.dtype.kind != "O" for array in arrays.values())

    check()
