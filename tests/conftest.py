"""Shared fixtures: small data made by hand, and the real data where a copy of it lies beside the project."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cfcore import approaches, datasets
from cfcore.approaches import make_config
from cfcore.config import SplitConfig
from cfcore.nanny import NICENESS
from cfcore.ratings import About, Items, Ratings, Split, Users, make_split

if TYPE_CHECKING:
    from cfcore.training import Trained
    from tests.pages_support import FakeJobs

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before any test imports torch; see approaches.load

ROOT = Path(__file__).parents[1]
REAL_DATA = ROOT.parent / "shared" / "data"


SLOW = (  # files that take their time, the longest first, so that two processes end about together
    "test_neural.py",
    "browser/test_training.py",
    "browser/test_recommend.py",
    "browser/test_explore.py",
    "test_style.py",
    "browser/test_learn_runs.py",
    "browser/test_compare.py",
    "browser/test_learn.py",
    "test_foldin.py",
    "test_take_home.py",
    "browser/test_rate_finder.py",
    "browser/test_sweep.py",
    "test_embeddings_real.py",
    "browser/test_shown_as_text.py",
    "test_any_address.py",
    "test_fuzz.py",
    "test_aside.py",
    "test_store_damage.py",
    "test_jobs.py",
    "browser/test_data.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Stand beside the workers of the app, and leave files in our order.

    Workers give way to pages, of which a host has a few; here two processes of tests and a dozen of a browser took all
    there was for minutes. pytest-xdist would begin with the files of many tests, and end with the slow ones.
    """
    if sys.platform != "win32":
        os.nice(max(0, NICENESS - 1 - os.nice(0)))  # one step before them, so that a test can see the difference
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the browser tests, and put what is slow last: a plain mistake should show within seconds."""
    rank = {}
    for item in items:
        file = item.path.relative_to(Path(__file__).parent).as_posix()
        rank[item] = SLOW.index(file) if file in SLOW else -1
        if file.startswith("browser/"):
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: rank[item])


@pytest.fixture(scope="session")
def ml100k() -> Ratings:
    folder = REAL_DATA / "ml-100k"
    if not folder.exists():
        pytest.skip("no copy of MovieLens 100k beside the project")
    return datasets.load(folder)


@pytest.fixture(scope="session")
def article_split(ml100k: Ratings) -> Split:
    return make_split(ml100k, SplitConfig.of("u1"))


@pytest.fixture(scope="session")
def article_dot(article_split: Split) -> Trained:
    """The article's dot product with its preset on the published fold u1: trained once for all who look at it."""
    return approaches.train(article_split, make_config("fastai_dot"))


@pytest.fixture(scope="session")
def sample() -> Ratings:
    return datasets.load("sample")


@pytest.fixture(scope="session")
def real_or_sample() -> Ratings:
    """MovieLens 100k where it is at hand, else the built-in sample: for claims that hold on both."""
    folder = REAL_DATA / "ml-100k"
    return datasets.load(folder if folder.exists() else "sample")


@pytest.fixture(scope="session")
def sample_split(sample: Ratings) -> Split:
    return make_split(sample, SplitConfig.of("random", seed=7))


def make_ratings(
    n_users: int = 30,
    n_items: int = 20,
    n: int = 200,
    seed: int = 0,
    scale: tuple[float, float] = (1.0, 5.0),
) -> Ratings:
    """Distinct random pairs rated by a rank-2 taste model and a little noise."""
    random = np.random.default_rng(seed)
    pairs = random.choice(n_users * n_items, size=n, replace=False)
    users, items = np.divmod(pairs, n_items)
    tastes = random.normal(size=(n_users, 2)), random.normal(size=(n_items, 2))
    raw = 3 + (tastes[0][users] * tastes[1][items]).sum(1) + random.normal(scale=0.2, size=n)
    return Ratings(
        about=About(name="made", title="Made for a test"),
        user_idx=users.astype(np.int32),
        item_idx=items.astype(np.int32),
        rating=np.clip(np.round(raw), *scale).astype(np.float32),
        timestamp=random.integers(0, 10**9, size=n),
        users=Users(user_id=np.arange(n_users) + 100),
        items=Items(
            item_id=np.arange(n_items) + 1000,
            title=np.array([f"Movie {i} (2000)" for i in range(n_items)], dtype=object),
            year=np.full(n_items, 2000, dtype=np.int16),
            genres=np.zeros((n_items, 0), dtype=bool),
        ),
        scale=scale,
    )


def printed(code: str, env: Mapping[str, str] | None = None) -> str:
    """What this code prints in a Python process of its own, with ``env`` in the place of this one's environment."""
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[FakeJobs]:
    """A server of its own for a test of pages, with a queue that does nothing with its runs."""
    from tests.pages_support import fake_server

    with fake_server(tmp_path) as fake:
        yield fake


@pytest.fixture
def small_split() -> Split:
    return make_split(make_ratings(), SplitConfig.of("random", seed=1))
