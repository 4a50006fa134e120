"""t-SNE: neighbours stay neighbours, the same inputs give the same picture, and it can be watched and ended."""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from cfcore.embeddings import fit_pca, tsne

pytestmark = pytest.mark.skipif(
    platform.machine() == "aarch64" and find_spec("openTSNE") is None,
    reason="openTSNE has no ready-made package for Linux on ARM",
)


def groups(each: int = 25, k: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Six directions with movies around each at any distance from 0, and which group each movie is of."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(6), each)
    vectors = (3 * rng.normal(size=(6, k))[of] + rng.normal(size=(len(of), k))) * rng.uniform(0.2, 2, (len(of), 1))
    return vectors.astype(np.float32), of


def lay_out(vectors: np.ndarray, perplexity: int = 15, seed: int = 0, on_progress=lambda share: None) -> np.ndarray:
    return tsne.run({"vectors": vectors, "perplexity": perplexity, "seed": seed}, on_progress)["xy"]


def test_movies_of_one_direction_lie_together_and_nearer_to_the_truth_than_in_two_components() -> None:
    vectors, of = groups()
    xy = lay_out(vectors)
    assert xy.shape == (150, 2)
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=2) + 1e9 * np.eye(len(xy))
    assert (of[distance.argmin(axis=1)] == of).mean() > 0.97
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert trustworthiness(unit, xy, n_neighbors=10) > trustworthiness(
        unit, fit_pca(unit).scores[:, :2], n_neighbors=10
    )


def test_length_does_not_count_only_direction() -> None:
    vectors, _ = groups()
    stretched = vectors * np.float32(2) ** np.random.default_rng(1).integers(-3, 4, (len(vectors), 1))
    assert np.array_equal(lay_out(vectors), lay_out(stretched))


def test_a_seed_repeats_its_picture_and_another_shakes_it_a_little() -> None:
    vectors, _ = groups()
    one, again, other = lay_out(vectors), lay_out(vectors), lay_out(vectors, seed=1)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.8  # both start from the same components


def test_progress_runs_from_0_to_1_in_small_steps() -> None:
    seen: list[float] = []
    lay_out(groups()[0], on_progress=seen.append)
    assert (seen[0], seen[-1]) == (0, 1)
    assert 0 < np.diff(seen).max() < 0.02
    assert (np.diff(seen) > 0).all()


def test_an_exception_from_whoever_watches_ends_it() -> None:
    class EnoughError(Exception):
        pass

    seen: list[float] = []

    def watch(share: float) -> None:
        seen.append(share)
        if share > 0.3:
            raise EnoughError

    with pytest.raises(EnoughError):
        lay_out(groups()[0], on_progress=watch)
    assert seen[-1] < 0.35


@pytest.mark.parametrize("vectors", [np.zeros((40, 5)), np.ones((40, 1)), np.repeat(np.eye(4), 10, axis=0)])
def test_equal_and_empty_vectors_still_get_a_place(vectors: np.ndarray) -> None:
    assert np.isfinite(lay_out(vectors.astype(np.float32), perplexity=5)).all()


@pytest.mark.parametrize(
    ("m", "perplexity", "why"), [(150, 1, "from 2 to 49"), (150, 50, "from 2 to 49"), (6, 2, "too few for t-SNE")]
)
def test_a_perplexity_that_does_not_suit_is_refused_with_what_does(m: int, perplexity: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        lay_out(groups()[0][:m], perplexity)
    assert tsne.most_perplexity(150) == 49


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    with pytest.raises(ValueError, match="pip install openTSNE"):
        lay_out(groups()[0])
