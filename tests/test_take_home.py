"""Scripts and notebooks run on their own and reproduce the losses of their run; the report says what it was."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, cast

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient
from streamlit.testing.v1 import AppTest

from cfcore import datasets
from cfcore.approaches import describe, make_config, torch_parts, train
from cfcore.config import RunConfig, RunRequest, SplitConfig
from cfcore.export.home import HOME, home_file, home_name
from cfcore.export.lesson_source import cut
from cfcore.export.notebook import to_notebook
from cfcore.export.script import requirements, to_script
from cfcore.export.script_data import data_code, own_tables, public_source, split_code
from cfcore.export.script_lessons import LARGE_BATCH, LESSONS
from cfcore.ratings import Users, make_split
from cfcore.runs import Run, RunStore
from cfcore.training import EpochResult
from tests.conftest import REAL_DATA, make_ratings
from tests.pages_support import FakeJobs, finished, open_page, reread, stored, texts
from tests.test_export import a_run

ROOT = Path(__file__).parents[1]
TOLERANCE = {
    "scratch": 1e-5,
    "pytorch": 1e-5,
    "fastai_custom": 1e-3,
    "fastai_nn": 1e-3,
    "fastai_dot": 1e-3,
    "mf": 1e-5,
    "als": 1e-5,
    "bayes": 1e-5,
}
NO_STORE = cast(RunStore, None)  # programs need none
FASTAI: dict[str, Any] = {"epochs": 2, "batch_size": 1024}
SAMPLE = {
    "scratch": make_config("scratch", epochs=4, embedding_size=8, learning_rate=10.0),
    "onehot": make_config("scratch", epochs=2, embedding_size=4, lookup="onehot"),
    "sparse": make_config("scratch", epochs=3, embedding_size=4, lookup="sparse"),
    "matrix": make_config("scratch", epochs=3, embedding_size=4, lookup="matrix"),
    "pytorch": make_config("pytorch", epochs=6, learning_rate=0.05),
    "pytorch by batches": make_config("pytorch", epochs=3, learning_rate=0.01, batch_size=512),
    "mf": make_config("mf", epochs=3, batch_size=512),
    "als": make_config("als", epochs=2, embedding_size=8),
    "bayes": make_config("bayes", epochs=2, embedding_size=8, implicit_size=4),
    "fastai_custom": make_config("fastai_custom", embedding_size=8, hidden_size=8, **FASTAI),
    "fastai_nn": make_config("fastai_nn", **FASTAI),
    "fastai_nn sized": make_config("fastai_nn", embedding_size=6, layers=(8,), **FASTAI),
    "fastai_dot": make_config("fastai_dot", embedding_size=8, **FASTAI),
    "fastai_dot bare": make_config("fastai_dot", embedding_size=8, bias="none", sigmoid="no", **FASTAI),
}
REAL = {
    f"{approach} {kind} {dataset}": (str(REAL_DATA / dataset), config, SplitConfig.of(kind))
    for approach, kind, dataset in (
        ("scratch", "u1", "ml-100k"),
        ("scratch", "time", "ml-100k"),
        ("pytorch", "first10", "ml-100k"),
        ("pytorch", "random", "ml-latest-small"),
    )
    for config in [make_config(approach, epochs=3, embedding_size=6)]
}
# Many scripts in one process, so that torch is imported once; each in its own folder and with its own names.
RUNNER = """
import contextlib, importlib.util, io, json, os, runpy, sys
if importlib.util.find_spec("cfcore"):
    sys.exit("cfcore can be imported here, so this would prove nothing")
said = {}
for path, os.environ["MOVIELENS"] in json.loads(sys.argv[1]):
    os.chdir(os.path.dirname(path))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_path(path, run_name="__main__")
    said[path] = out.getvalue()
json.dump(said, sys.stdout)
"""


@dataclass(frozen=True)
class Home:
    """A run that was trained here, and what its script said."""

    run: Run
    said: str


def really(dataset: str, config: RunConfig, split: SplitConfig | None = None) -> Run:
    """A run of this request, trained in this process."""
    request = RunRequest(dataset=dataset, split=split or SplitConfig.of("random"), config=config)
    ratings = datasets.load(dataset)
    trained = train(make_split(ratings, request.split), config)
    return a_run(request=request, history=trained.history, dataset_title=ratings.about.title)


def at_home(run: Run, kind: str, folder: Path) -> Path:
    """The program as somebody has it who has downloaded and, where need be, unpacked it."""
    name, content = home_name(run, kind, "run"), home_file(NO_STORE, run, kind, "run")
    folder.mkdir()
    (folder / name).write_bytes(content)
    if name.endswith(".zip"):
        with zipfile.ZipFile(folder / name) as archive:
            archive.extractall(folder)
        return next((folder / "run").glob("run.*"))
    return folder / name


def run_scripts(scripts: Mapping[Path, str], folder: Path) -> dict[Path, str]:
    """What each prints, given a copy of its data on disk, in a process that does not know this project."""
    runner = folder / "runner.py"
    runner.write_text(RUNNER)
    given = json.dumps([(str(script), data) for script, data in scripts.items()])
    command = [sys.executable, "-I", str(runner), given]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {Path(path): said for path, said in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Home]:
    """Every approach on the sample and, where it is at hand, on MovieLens: trained, taken home and run there."""
    folder = tmp_path_factory.mktemp("home")
    runs = {name: really("sample", config) for name, config in SAMPLE.items()}
    runs |= {name: really(*how) for name, how in REAL.items() if Path(how[0]).exists()}
    scripts = {name: at_home(run, "script", folder / name.replace(" ", "-")) for name, run in runs.items()}
    said = run_scripts({scripts[name]: run.request.dataset for name, run in runs.items()}, folder)
    return {name: Home(run, said[scripts[name]]) for name, run in runs.items()}


def losses(said: str) -> list[tuple[float, float]]:
    return [
        (float(train_loss), float(valid_loss))
        for train_loss, valid_loss in re.findall(r"^epoch +\d+   train loss (\S+)   valid loss (\S+)$", said, re.M)
    ]


@pytest.mark.parametrize("name", [*SAMPLE, *REAL])
def test_a_script_reproduces_every_epoch_of_the_run(name: str, homes: Mapping[str, Home]) -> None:
    if name not in homes:
        pytest.skip("no copy of this data set beside the project")
    run, said = homes[name].run, homes[name].said
    shown = [(result.train_loss, result.valid_loss) for result in run.history]
    assert len(shown) == run.request.config.epochs
    assert losses(said) == [pytest.approx(each, abs=TOLERANCE[run.request.config.approach]) for each in shown]
    assert f"valid loss after epoch {len(shown)}: {losses(said)[-1][1]:.6f} here, {shown[-1][1]:.6f} shown" in said


def modules(program: str) -> set[str]:
    """The packages that a program imports, without the standard library."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names


owners = cache(packages_distributions)


def stated(script: str) -> list[str]:
    """The requirements in the script's inline metadata, read as PEP 723 says."""
    found = re.search(r"^# /// script$\n(?P<body>(^#(| .*)$\n)+)^# ///$", script, re.M)
    assert found is not None
    return tomllib.loads("".join(line[2:] + "\n" for line in found["body"].splitlines()))["dependencies"]


def code_of(notebook: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]


def made_up(approach: str, dataset: str = "ml-100k", kind: str = "random", **settings) -> Run:
    config = make_config(approach, **settings)
    return a_run(request=RunRequest(dataset=dataset, split=SplitConfig.of(kind), config=config))


@pytest.mark.parametrize("approach", LESSONS)
@pytest.mark.parametrize("dataset", ["ml-100k", "ml-1m", "ml-latest-small", "sample"])
def test_all_that_a_program_imports_is_stated(approach: str, dataset: str) -> None:
    run = made_up(approach, dataset)
    for program, asked in (
        (to_script(run), stated(to_script(run))),
        ("\n".join(code_of(to_notebook(run))), requirements(run.request.config, chart=True)),
    ):
        packages = {each.partition("==")[0] for each in asked}
        for module in modules(program):
            assert packages & set(owners()[module]), f"{module} is imported, but only {packages} are asked for"
        assert f"pip install {' '.join(asked)}" in (program if program.startswith("# ///") else to_notebook(run))


def test_only_a_run_that_somebody_ended_is_said_to_go_on_to_the_last_epoch() -> None:
    """``mf`` may end by itself, and so does its script."""
    run = made_up("mf", epochs=50)
    assert len(run.history) < 50
    assert "goes on to the last" not in to_script(replace(run, status="done"))
    assert "goes on to the last" in to_script(replace(run, status="stopped"))


def test_what_is_stated_is_what_the_app_itself_is_pinned_to() -> None:
    pinned = (ROOT / "requirements.txt").read_text().split()
    for approach in LESSONS:
        assert set(requirements(make_config(approach))) <= set(pinned)


@pytest.mark.parametrize("approach", LESSONS)
def test_the_notebook_has_the_code_of_the_script_and_a_chart(approach: str) -> None:
    run = made_up(approach, kind="u1")
    script, (imports, *cells, chart) = to_script(run), code_of(to_notebook(run))
    assert all(cell in script for cell in cells)
    assert modules(imports) == modules(script) | {"matplotlib"}
    assert "plt.plot" in chart
    assert "cfcore" not in script


def test_a_notebook_runs_as_its_script_does(
    homes: Mapping[str, Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MPLBACKEND", raising=False)  # Streamlit sets it, and a kernel would inherit it
    run = homes["fastai_dot"].run
    path = at_home(run, "notebook", tmp_path / "home")
    book = nbformat.read(path, as_version=4)
    NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert said == homes["fastai_dot"].said
    assert [output for output in outputs if "image/png" in output.get("data", {})], "no chart was drawn"


def test_scripts_are_formatted_like_our_own_code(tmp_path: Path) -> None:
    for approach in LESSONS:
        for dataset, kind in (("ml-100k", "u1"), ("ml-1m", "time"), ("ml-25m", "first10"), ("sample", "random")):
            (tmp_path / f"{approach}_{kind}.py").write_text(to_script(made_up(approach, dataset, kind)))
    bare = made_up("fastai_dot", bias="none", sigmoid="no")
    (tmp_path / "bare.py").write_text(to_script(bare))
    for lookup in ("onehot", "sparse", "index", "matrix"):
        (tmp_path / f"{lookup}.py").write_text(to_script(made_up("scratch", lookup=lookup)))
    for command in (("format", "--check"), ("check",)):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_stands_in_the_script() -> None:
    run = made_up("fastai_nn", learning_rate=0.00002, layers=(31, 17), embedding_size=13, y_range=(0.25, 5.75), seed=99)
    names: dict = {}
    for node in ast.parse(to_script(run)).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with contextlib.suppress(ValueError):
                names[node.targets[0].id] = ast.literal_eval(node.value)
    config = run.request.config
    assert {name: names[name] for name in describe("fastai_nn").settings} == {
        name: list(config.layers) if name == "layers" else getattr(config, name)
        for name in describe("fastai_nn").settings
    }
    assert names["shown"] == {"epoch": 3, "train": 1 / 3, "valid": 1.25}


@pytest.mark.parametrize("name", ['evil """\nimport os #', "a `tick` \\", "tail\rimport sys", "\u2028import sys"])
def test_no_title_becomes_code(name: str) -> None:
    plain, odd = made_up("scratch"), replace(made_up("scratch"), dataset_title=name)
    assert ast.dump(ast.parse(to_script(odd))) == ast.dump(ast.parse(to_script(plain)))
    assert code_of(to_notebook(odd)) == code_of(to_notebook(plain))


def test_baselines_and_runs_without_an_epoch_have_no_script() -> None:
    with pytest.raises(ValueError, match="Global mean has no script; choose a run of scratch"):
        to_script(made_up("global_mean"))
    with pytest.raises(ValueError, match="no finished epoch"):
        to_script(replace(made_up("scratch"), history=()))


def test_a_lesson_without_the_piece_is_refused() -> None:
    assert "to_model" not in cut("embedding_net", "EmbeddingNet", without=("to_model",))
    assert cut("fastai_custom", "CollabNet").startswith("class CollabNet(EmbeddingNet):")
    with pytest.raises(ValueError, match="the lesson scratch has no lookup"):
        cut("scratch", "lookup")


def as_published(folder: Path, n: int) -> Path:
    """A folder with the names of MovieLens 100K's files, of ``n`` ratings that say nothing."""
    folder.mkdir()
    (folder / "u.data").write_text("1\t1\t3\t90\n" * n)
    (folder / "u.item").write_text("1|A (1990)|x\n")
    return folder


def test_ratings_of_movielens_never_go_along(tmp_path: Path) -> None:
    folder = as_published(tmp_path / "ml-100k", 100_000)
    packed = folder.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, f"ml-100k/{file.name}")
    for dataset in ("ml-100k", "ml-latest-small", "ml-1m", str(folder), str(packed)):
        run = made_up("scratch", dataset)
        assert home_name(run, "script", "run") == "run.py"
        program = home_file(NO_STORE, run, "script", "run").decode()
        assert f"https://files.grouplens.org/datasets/movielens/{Path(dataset).stem}.zip" in program
        assert len(program) < 12_000


def test_a_name_alone_makes_nobodys_ratings_movielens(tmp_path: Path) -> None:
    own = tmp_path / "ml-100k.csv"
    own.write_text("user,movie,rating\n" + "".join(f"{n},{n % 7},{n % 5 + 1}\n" * 2 for n in range(40)))
    fewer = as_published(tmp_path / "ml-100k", 99_999)
    (tmp_path / "ml-1m").mkdir()
    for path in (own, fewer, tmp_path / "ml-1m", tmp_path / "gone" / "ml-1m.zip", tmp_path / "sample"):
        assert public_source(str(path)) is None
        assert home_name(made_up("scratch", str(path)), "script", "run") == "run-script.zip"
    assert "grouplens" not in to_script(made_up("scratch", str(own)))
    assert public_source("upload-0") is None
    assert public_source("ml-1m") is datasets.SOURCES["ml-1m"]


def test_only_small_batches_are_kept_to_one_thread_and_no_name_stands_for_two_things() -> None:
    for size, threads in ((4095, 1), (4096, 0)):
        script = to_script(made_up("fastai_dot", batch_size=size))
        assert script.count("torch.set_num_threads(1)") == threads
        assert "if batch_size" not in script
        assert script.count("\ntable = ") == script.count("\nseed = ") == script.count("\nsplit_seed = ") == 1
    assert LARGE_BATCH == torch_parts.LARGE_BATCH
    whole, small = (to_script(made_up("pytorch", batch_size=size)) for size in (None, 64))
    assert "set_num_threads" not in whole
    assert "batch_size" not in whole
    assert small.count("torch.set_num_threads(1)") == small.count("\nbatch_size = 64\n") == 1


def test_an_upload_goes_along_with_its_order_its_unrated_movies_and_its_fold(tmp_path: Path) -> None:
    ratings = make_ratings(scale=(0.5, 9.75))
    ids = np.array([f"=cmd{number}" for number in range(ratings.n_users)], dtype=object)
    items = replace(ratings.items, title=np.array(["=1+1", "None", "NA", *ratings.items.title[3:]], dtype=object))
    ratings = replace(ratings, users=Users(user_id=ids), items=items, folds={"u2": np.array([3, 5, 8])})
    request = RunRequest(dataset="upload-0", split=SplitConfig.of("u2"), config=make_config("scratch"))
    for name, text in own_tables(request, ratings).items():
        (tmp_path / name).write_text(text)
        assert "=cmd" not in text
    names: dict = {"np": np, "pd": pd}
    with contextlib.chdir(tmp_path), contextlib.redirect_stdout(io.StringIO()):
        exec(data_code(request) + split_code(request), names)
    assert np.array_equal(names["user"], ratings.user_idx)
    assert np.array_equal(names["movie"], ratings.item_idx)
    assert np.array_equal(names["rating"], ratings.rating)
    assert names["n_movies"] == ratings.n_items
    assert list(names["valid"]) == [3, 5, 8]
    assert list(names["films"]["title"][:3]) == ["'=1+1", "None", "NA"]


def zipped_movielens() -> bytes:
    """An archive in ml-100k's layout, of ratings made here."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("ml-100k/u.data", "7\t2\t3\t90\n3\t1\t5\t91\n7\t1\t4\t92\n")
        archive.writestr("ml-100k/u.item", "1|Caf\xe9 (1990)|x\n2|B|x\n".encode("latin-1"))
    return out.getvalue()


@pytest.mark.parametrize("right", [True, False])
def test_the_archive_is_downloaded_once_and_checked(
    right: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, archive, asked = data_code(made_up("scratch").request), zipped_movielens(), []
    if right:
        code = code.replace(str(datasets.SOURCES["ml-100k"].md5), hashlib.md5(archive).hexdigest())

    def urlopen(address: str) -> io.BytesIO:
        asked.append(address)
        return io.BytesIO(archive)

    monkeypatch.delenv("MOVIELENS", raising=False)
    names = {"np": np, "pd": pd, "Path": Path, "urlopen": urlopen}
    names |= {"hashlib": hashlib, "io": io, "os": os, "zipfile": zipfile}
    with contextlib.chdir(tmp_path):
        if not right:
            with pytest.raises(RuntimeError, match="did not give the file that was published"):
                exec(code, names)
            return
        exec(code, names)
        exec(code, names)
    assert asked == ["https://files.grouplens.org/datasets/movielens/ml-100k.zip"]
    assert list(names["user"]) == [1, 0, 1]
    assert list(names["movie"]) == [1, 0, 0]
    assert names["films"]["title"][0] == "Caf\xe9 (1990)"


def offered(app: AppTest) -> list[str]:
    return [each.proto.label for each in app.get("download_button")]


def test_an_ended_run_can_be_taken_home_from_its_page(jobs: FakeJobs) -> None:
    run = finished(jobs)
    app = open_page("pages/train.py", run=run.id)
    assert offered(app) == ["Python script", "Notebook", "Report"]
    assert "each is a zip with its ratings" in texts(app)
    assert offered(open_page("pages/train.py", run=stored(jobs).id)) == [], "not while it runs"
    assert offered(open_page("pages/train.py")) == []


def test_movielens_need_not_be_here_for_its_script_to_be_taken_home(jobs: FakeJobs) -> None:
    config = make_config("pytorch", epochs=1)
    for dataset, labels in (("ml-1m", ["Python script", "Notebook", "Report"]), (f"upload-{0:016x}", ["Report"])):
        run = jobs.store.create(RunRequest(dataset=dataset, config=config), dataset_title="Some data")
        jobs.store.start(run.id, split_how="", n_train=1, n_valid=1, baseline_mean_mse=None, baseline_bias_mse=None)
        jobs.store.add_epoch(run.id, EpochResult(epoch=1, train_loss=2.0, valid_loss=1.0, seconds=0.1))
        jobs.store.fail(run.id, "The worker was lost.")
        app = open_page("pages/train.py", run=run.id)
        assert offered(app) == labels
        for kind in HOME[-len(labels) :]:
            ended = reread(jobs, run)
            assert b"epoch" in home_file(jobs.store, ended, kind, "run").lower()
            assert home_name(ended, kind, "run").endswith((".py", ".ipynb", "-report.html"))


@pytest.mark.skipif(
    os.environ.get("CFCORE_FRESH_ENVIRONMENT") != "required",
    reason="installs torch, which takes minutes: set CFCORE_FRESH_ENVIRONMENT=required",
)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["scratch", "fastai_custom", "fastai_nn"])
def test_programs_run_in_a_new_environment_with_only_what_they_ask_for(name: str, tmp_path: Path) -> None:
    run = really("sample", SAMPLE[name])
    script, notebook = (at_home(run, kind, tmp_path / kind) for kind in ("script", "notebook"))
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    for program in (script, notebook):
        jupyter = ["nbclient", "ipykernel"] if program is notebook else []  # who opens a notebook has Jupyter
        asked = str(program.parent / "requirements.txt")
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", asked, *jupyter], check=True)
        command = [python, "-I", str(program)]
        if program is notebook:
            command = [str(Path(python).with_name("jupyter-execute")), "--output", "ran.ipynb", str(program)]
        done = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said = done.stdout if program is script else (program.parent / "ran.ipynb").read_text()
        assert f"{run.history[-1].valid_loss:.6f} shown" in said
        here = float(re.findall(r"valid loss after epoch \d+: (\S+) here", said)[0])
        assert here == pytest.approx(run.history[-1].valid_loss, abs=TOLERANCE[run.request.config.approach])
