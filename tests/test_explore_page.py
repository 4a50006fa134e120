"""The Explore page without a browser, on a run whose vectors are the true tastes: everything it says can be checked."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfcore import datasets
from cfcore.approaches import make_config
from cfcore.config import RunRequest, SplitConfig
from cfcore.embeddings import Frames, fit_pca
from cfcore.models import DotModel
from cfcore.outcome import outcome_of
from cfcore.ratings import make_split
from cfcore.runs import Run
from cfcore.training import EpochResult, Metrics, Snapshots, Trained
from cfcore.ui import state
from cfcore.ui.explore import space as explore_space
from cfcore.ui.explore.film import FILM, START
from cfcore.ui.explore.flight import flight_data
from cfcore.ui.explore.people import _place, favourites
from cfcore.ui.explore.space import Learned, learned
from cfcore.ui.explore.view import components
from cfcore.ui.runs import Chosen, look
from tests.pages_support import FakeJobs, button, open_page, param, reread, texts, trained

PAGE = "pages/explore.py"
HISTORY = tuple(
    EpochResult(epoch=epoch, train_loss=2.0 / epoch, valid_loss=2.5 / epoch, seconds=0.1) for epoch in (1, 2, 3)
)


def run_of(
    jobs: FakeJobs,
    item_factors: np.ndarray,
    item_bias: np.ndarray | None,
    user_factors: np.ndarray,
    epochs: tuple[int, ...] = (0, 1, 2, 3),
    rmse: float = 0.8,
) -> Run:
    """A finished run on the sample with these vectors, which grew from noise in a straight line."""
    ratings = datasets.load("sample")
    request = RunRequest(dataset="sample", split=SplitConfig.of("random"), config=make_config("fastai_dot"))
    split = make_split(ratings, request.split)
    run = jobs.store.create(request, visitor="somebody", dataset_title=ratings.about.title)
    jobs.store.start(
        run.id, split_how=split.how, n_train=len(split.train), n_valid=len(split.valid), baseline_mean_mse=1.2,
        baseline_bias_mse=0.8,
    )  # fmt: skip
    noise = np.random.default_rng(0).normal(size=item_factors.shape)
    steps = [noise * (1 - share) + item_factors * share for share in np.array(epochs) / 3]
    model = DotModel(user_factors=user_factors, item_factors=item_factors, item_bias=item_bias, offset=3.25)
    trained = Trained(
        status="done",
        message="",
        history=HISTORY,
        metrics=Metrics(
            valid_mse=0.64,
            valid_rmse=rmse,
            valid_mae=0.6,
            baseline_mean_rmse=1.1,
            baseline_mean_mae=0.9,
            baseline_bias_rmse=0.9,
            baseline_bias_mae=0.7,
        ),
        fit_seconds=1.0,
        peak_memory_mb=100.0,
        model=model,
        user_factors=user_factors,
        item_factors=item_factors,
        user_bias=None,
        item_bias=item_bias,
        valid_predictions=np.zeros(len(split.valid), dtype=np.float32),
        snapshots=Snapshots(
            epochs=np.array(epochs, dtype=np.int32),
            item_idx=np.arange(len(item_factors)),
            factors=np.array(steps, dtype=np.float16).reshape(len(epochs), *item_factors.shape),
        ),
    )
    assert jobs.store.finish(run.id, outcome_of(trained, split.valid))
    return reread(jobs, run)


@pytest.fixture
def truth() -> dict[str, np.ndarray]:
    return dict(datasets.load("sample").truth)


@pytest.fixture
def run(jobs: FakeJobs, truth: dict[str, np.ndarray]) -> Run:
    """A run that has found the truth."""
    return run_of(
        jobs,
        truth["item_tastes"].astype(np.float32),
        truth["item_quality"].astype(np.float32),
        truth["user_tastes"].astype(np.float32),
    )


def test_a_model_that_learned_nothing_is_not_shown_as_if_it_had(jobs: FakeJobs, truth: dict[str, np.ndarray]) -> None:
    for rmse, warned in ((1.3, True), (1.0, False)):  # the global mean's is 1.1
        tastes = [truth[f"{whose}_tastes"].astype(np.float32) for whose in ("item", "user")]
        run = run_of(jobs, tastes[0], None, tastes[1], rmse=rmse)
        app = open_page(PAGE, run=run.id)
        assert ("no better than the global mean (RMSE 1.300 against 1.100)" in texts(app)) == warned


@pytest.fixture
def chosen(run: Run) -> Chosen:
    found = look(run)
    assert found is not None
    return found


def show(run: Run, **query: str) -> AppTest:
    return open_page(PAGE, run=run.id, **query)


def box(app: AppTest, label: str) -> Any:
    kinds = (app.selectbox, app.multiselect, app.select_slider, app.toggle, app.button_group)
    found = [each for kind in kinds for each in kind if each.label == label]
    assert len(found) == 1, label
    return found[0]


def pick(app: AppTest, label: str, value) -> AppTest:
    box(app, label).set_value(value)
    app.run()
    assert not app.exception
    return app


def charts(app: AppTest) -> list:
    return list(app.get("vega_lite_chart"))


def open_tab(app: AppTest, name: str) -> AppTest:
    app.session_state["explore-tab"] = name
    app.run()
    assert not app.exception
    return app


def row_of(chosen: Chosen, title: str) -> int:
    return next(row for row, each in enumerate(learned(chosen).title) if str(each).startswith(title))


def test_the_map_is_drawn_with_its_alt_text_in_numbers(run: Run) -> None:
    app = show(run)
    (chart,) = charts(app)
    assert "Map of 300 films" in chart.proto.alt
    assert "% of the variance" in chart.proto.alt
    assert "300 films" in texts(app)
    assert "Find a film, or tap one" in texts(app)


def test_the_nearest_films_are_those_of_a_brute_force_search_in_the_full_space(run: Run, chosen: Chosen) -> None:
    space, row = learned(chosen), row_of(chosen, "Star Wars")
    app = show(run, film=str(space.item_id[row]))
    vectors = space.space.vectors.astype(np.float64)
    for metric, value in (
        ("Cosine", vectors @ vectors[row] / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(vectors[row]))),
        ("Euclidean", -np.linalg.norm(vectors - vectors[row], axis=1)),
    ):
        pick(app, "Nearest by", metric)
        expected = [space.title[other] for other in np.argsort(-value, kind="stable") if other != row][:10]
        assert list(app.dataframe[0].value["Film"]) == expected
    assert f"Nearest in the full space of {vectors.shape[1]} dimensions, not in the picture" in texts(app)


def test_neighbours_can_be_kept_to_the_films_shown(run: Run, chosen: Chosen) -> None:
    space, row = learned(chosen), row_of(chosen, "Star Wars")
    app = show(run, film=str(space.item_id[row]))
    pick(app, "Films with the most ratings", 50)
    pick(app, "Only among the films shown", True)
    shown = {str(space.title[other]) for other in space.known[:50]}
    assert set(app.dataframe[0].value["Film"]) <= shown


def test_a_film_is_found_by_search_and_stands_in_the_address(run: Run, chosen: Chosen) -> None:
    space = learned(chosen)
    app = show(run)
    title = str(space.title[space.known[3]])
    pick(app, "Film", title)
    assert title.replace("(", "\\(").replace(")", "\\)") in texts(app)
    assert param(app, "film") == str(space.item_id[space.known[3]])
    pick(app, "Film", None)
    assert "film" not in app.query_params


@pytest.mark.parametrize("wrong", ["no-such-film", "-1", "<b>"])
def test_a_link_to_an_unknown_film_is_said(run: Run, wrong: str) -> None:
    app = show(run, film=wrong)
    assert "which this run has not been trained on" in texts(app)
    assert charts(app)


def test_the_film_can_be_let_go(run: Run, chosen: Chosen) -> None:
    app = show(run, film=str(learned(chosen).item_id[0]))
    next(each for each in app.button if each.key == "film:close").click().run()
    assert app.session_state[FILM] == ""
    assert "Find a film, or tap one" in texts(app)


@pytest.mark.parametrize("by", ["Release year", "Mean rating", "Number of ratings", "Learned bias", "None"])
def test_every_colour_draws(run: Run, by: str) -> None:
    app = pick(show(run), "Colour by", by)
    assert charts(app)
    spec = charts(app)[0].proto.spec
    assert ('"gradientLength"' in spec) == (by != "None")


def test_genres_can_be_chosen_and_without_any_the_map_is_plain(run: Run) -> None:
    app = show(run)
    assert 1 <= len(list(box(app, "Genres").value)) <= 6
    pick(app, "Genres", ["Horror"])
    assert '"domain": ["Horror", "none of these"]' in charts(app)[0].proto.spec
    assert "Colours and shapes are genres: Horror" in charts(app)[0].proto.alt
    pick(app, "Genres", [])
    assert "none of these" not in charts(app)[0].proto.spec


def test_any_two_components_can_be_the_axes(run: Run, chosen: Chosen) -> None:
    app = show(run)
    across = box(app, "Across")
    assert [text.split(" ")[0] for text in across.options] == [f"PC{n}" for n in range(1, 7)]
    pick(app, "Across", across.options[3])
    pick(app, "Up", box(app, "Up").options[5])
    spec = charts(app)[0].proto.spec
    shares = fit_pca(learned(chosen).space.vectors).shares
    assert f"{shares[3]:.1%} of the variance" in spec
    assert f"{shares[5]:.1%} of the variance" in spec
    assert "PC4" in texts(app)


def test_an_axis_of_ones_own_needs_both_ends(run: Run, chosen: Chosen) -> None:
    space = learned(chosen)
    app = pick(show(run), "Axes", "Own axis")
    assert not charts(app)
    assert "Choose a film or more for each end" in texts(app)
    titles = [str(space.title[row]) for row in space.known[:2]]
    pick(app, "From", titles[:1])
    pick(app, "To", titles[:1])
    assert "same centre" in texts(app)
    pick(app, "To", titles[1:])
    assert charts(app)
    assert "This axis" in texts(app)


def test_tsne_is_asked_of_a_worker_and_drawn(run: Run) -> None:
    app = pick(show(run), "Axes", "t-SNE")
    assert "t-SNE: only who is near whom" in charts(app)[0].proto.spec


def test_a_person_stands_among_the_films_they_rated_highest(run: Run, chosen: Chosen) -> None:
    app = show(run)
    name = box(app, "A person").options[0]
    pick(app, "A person", name.split(" ·")[0])
    assert "A person stands where a film with their factors would" in texts(app)
    assert "the dashed line" in texts(app)
    user = next(
        each for each, user_id in enumerate(chosen.ratings.users.user_id) if f"user {user_id}" == name.split(" ·")[0]
    )
    users, items, stars = chosen.split.part(chosen.split.train)
    own = users == user
    best = np.sort(stars[own])[::-1][:10].min()
    space = learned(chosen)
    for row in favourites(chosen, space, user):
        assert stars[own & (items == space.space.item_idx[row])][0] >= best


def test_in_a_net_people_stand_amid_the_films_they_liked(jobs: FakeJobs) -> None:
    found = look(trained(jobs, "pytorch", epochs=2))
    assert found is not None
    space, users = learned(found), np.array([3, 5])
    view = components(space, 0, 1)
    xy, zero = _place(found, space, view, users)
    assert zero is None
    who, items, stars = found.split.part(found.split.train)
    for user, place in zip(users, xy, strict=True):
        liked = items[(who == user) & (stars >= 4)]
        np.testing.assert_allclose(place, view.xy[space.space.rows_of(liked)].mean(axis=0), atol=1e-9)


def test_all_people_can_be_shown(run: Run) -> None:
    app = pick(show(run), "All people", True)
    assert charts(app)
    assert "A person stands" in texts(app)


def test_the_axes_tab_lists_every_component(run: Run, chosen: Chosen) -> None:
    app = open_tab(show(run), "Axes")
    table = app.dataframe[0].value
    assert list(table["Component"]) == [f"PC{n}" for n in range(1, 7)]
    assert sum(table["Share"]) == pytest.approx(1)


def test_the_bias_tab_lists_the_highest_biases(run: Run, chosen: Chosen) -> None:
    app = open_tab(show(run), "Bias")
    pick(app, "Only films with at least so many training ratings", 1)
    space = learned(chosen)
    assert space.facts.bias is not None
    expected = [space.title[row] for row in np.argsort(-space.facts.bias, kind="stable")[:10]]
    assert list(app.dataframe[0].value["Film"]) == expected
    assert len(charts(app)) == 2
    assert all(len(why) > 5 for why in app.dataframe[2].value["Mostly because"])


def test_a_model_without_biases_says_so(jobs: FakeJobs, truth: dict[str, np.ndarray]) -> None:
    run = run_of(jobs, truth["item_tastes"].astype(np.float32), None, truth["user_tastes"].astype(np.float32))
    app = open_tab(show(run), "Bias")
    assert "no number of its own" in texts(app)
    assert not charts(app)


def test_the_truth_is_found_where_the_vectors_are_the_truth(run: Run) -> None:
    table = open_tab(show(run), "True tastes").dataframe[0].value
    assert min(list(table["Films"])[:-1]) > 0.95
    assert min(list(table["People"])[:-1]) > 0.95
    assert max(table["Films before training"]) < 0.3


def test_real_ratings_have_no_known_truth(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ratings = state.ratings
    monkeypatch.setattr(state, "ratings", lambda name: replace(ratings(name), truth={}))
    assert [tab.label for tab in show(run).tabs] == ["Map", "Axes", "Bias", "Trajectories"]


def test_a_run_that_trains_shows_where_it_is(jobs: FakeJobs, run: Run) -> None:
    arrays = jobs.store.arrays(run.id)
    living = jobs.store.create(run.request, visitor="somebody", dataset_title="Sample")
    jobs.store.start(
        living.id, split_how="random 20%", n_train=80, n_valid=20, baseline_mean_mse=1.2, baseline_bias_mse=0.8
    )
    jobs.store.add_epoch(living.id, HISTORY[0])
    names = ("user_factors", "item_factors", "item_bias")
    model = {name: values for name, values in arrays.items() if name.startswith("model_")}
    jobs.living[living.id] = {name: arrays[name] for name in names} | model | {"epoch": np.array(1)}
    app = show(living)
    assert charts(app)
    pick(app, "Axes", "t-SNE")
    assert "when the training has ended" in texts(app)
    open_tab(app, "Trajectories")
    assert "when the training has ended" in texts(app)


def test_a_run_that_has_hardly_learned_says_why_there_is_no_map(jobs: FakeJobs, truth: dict[str, np.ndarray]) -> None:
    factors = np.full_like(truth["item_tastes"], np.nan, dtype=np.float32)
    factors[:2] = 1
    app = show(run_of(jobs, factors, None, truth["user_tastes"].astype(np.float32)))
    assert "too few for a map" in texts(app)
    assert not charts(app)


def test_regions_can_be_given_by_numbers(run: Run, chosen: Chosen) -> None:
    app = show(run)
    fields = {each.label: each for each in app.number_input}
    for label, value in (("Across from", 0.0), ("to", 99.0), ("Up from", 0.0), ("up to", 99.0)):
        fields[label].set_value(value)
    button(app, "List the films").click().run()
    assert not app.exception
    space = learned(chosen)
    xy = space.pca.scores[space.known[:300], :2]
    n = int(((xy > 0).all(axis=1)).sum())
    assert f"In the region: {n} films" in texts(app)
    assert len(app.dataframe[0].value) == n
    button(app, "Clear").click().run()
    assert "In the region" not in texts(app)


def frames_of(space: Learned, n_frames: int) -> Frames:
    xy = np.random.default_rng(0).normal(size=(n_frames, len(space), 2))
    return Frames(epochs=np.arange(n_frames), item_idx=space.space.item_idx, xy=xy)


def test_the_flight_holds_every_film_where_it_was(chosen: Chosen) -> None:
    space = learned(chosen)
    frames = frames_of(space, 4)
    data = flight_data(HISTORY, space, frames, 100)
    packed = np.frombuffer(base64.b64decode(data["xy"]), dtype="<u2").reshape(4, 100, 2) / 65535
    real = frames.xy[:, space.known[:100]]
    for axis in (0, 1):
        assert np.corrcoef(packed[..., axis].ravel(), real[..., axis].ravel())[0, 1] > 1 - 1e-6
    assert data["titles"] == list(space.short[space.known[:100]])
    assert data["epochs"] == [0, 1, 2, 3]
    assert data["loss"] == {"epochs": [1, 2, 3], "train": [2, 1, 2 / 3], "valid": [2.5, 1.25, 2.5 / 3], "log": False}
    assert data["said"][0] == ""
    assert "train loss 1.000" in data["said"][2]


def test_the_flight_is_shown(run: Run) -> None:
    app = open_tab(show(run), "Trajectories")
    assert "on the principal components of the **last** epoch" in texts(app)
    assert "latent_lab_flight" in [each.proto.component_name for each in app.get("bidi_component")]


def test_a_run_without_snapshots_says_so(jobs: FakeJobs, truth: dict[str, np.ndarray]) -> None:
    items, users = truth["item_tastes"].astype(np.float32), truth["user_tastes"].astype(np.float32)
    app = open_tab(show(run_of(jobs, items, None, users, epochs=())), "Trajectories")
    assert "kept no picture of its epochs" in texts(app)
    assert [each.proto.component_name for each in app.get("bidi_component")] == ["latent_lab_address"]
    assert "Films before training" not in open_tab(app, "True tastes").dataframe[0].value


def test_a_region_of_no_size_is_refused_in_words(run: Run) -> None:
    app = show(run)
    for field in app.number_input:
        field.set_value(1.0)
    button(app, "List the films").click().run()
    assert "A region needs two different numbers each way" in texts(app)
    assert "In the region" not in texts(app)


def test_where_there_are_too_many_films_to_offer_any_part_of_a_title_finds_one(
    run: Run, chosen: Chosen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore_space, "MOST_OFFERED", 20)
    space = learned(chosen)
    app = show(run)
    assert len(box(app, "Film").options) == 20
    rare = int(space.known[-1])
    assert space.find(str(space.spoken[rare]).upper()) == rare
    assert space.find(str(space.title[rare])) == rare
    assert space.find("no title has this") is None
    assert space.find(" ") is None
    linked = show(run, film=str(space.item_id[rare]))
    assert box(linked, "Film").value == str(space.title[rare])


def test_the_next_tap_counts_after_a_search(run: Run, chosen: Chosen) -> None:
    """The map reports a tap only when it differs from its last: a search makes it a new widget."""
    space = learned(chosen)
    app = show(run)
    before = app.session_state[START]["count"]
    pick(app, "Film", str(space.title[space.known[0]]))
    assert app.session_state[START]["count"] == before + 1


def test_other_axes_start_with_the_whole_map(run: Run) -> None:
    app = show(run)
    next(each for each in app.button if each.key == "zoom:zoom_in").click().run()
    assert app.session_state[START]["shown"] is not None
    pick(app, "Across", box(app, "Across").options[2])
    assert app.session_state[START]["shown"] is None
