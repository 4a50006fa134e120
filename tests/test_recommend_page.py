"""The Recommend page in its states, without a browser: every number beside the engine's own."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfcore import datasets, foldin
from cfcore.approaches import fit_baseline
from cfcore.aside import Task
from cfcore.config import SplitConfig
from cfcore.metrics import Ranking
from cfcore.models import DotModel, Model
from cfcore.ratings import Ratings, Split, make_split
from cfcore.recommend import rated_by, top_n, unseen
from cfcore.runs import Run
from cfcore.ui import you
from cfcore.ui.recommend.exchange import MOST, from_csv, from_link, to_csv, to_link
from cfcore.ui.recommend.ranking import _verdict
from cfcore.ui.runs import Chosen
from cfcore.ui.you import your_vector
from tests.pages_support import FakeJobs, button, finished, open_page, param, reread, stored, texts, trained
from tests.test_recommend import counts_of

PAGE = "pages/recommend.py"
SECTIONS = ("A user", "You", "One pair", "Ranking quality")
SCRATCH: Any = {"approach": "scratch", "learning_rate": 10.0, "embedding_size": 5, "epochs": 40}
NETWORK: Any = {"approach": "pytorch", "learning_rate": 0.05, "embedding_size": 4, "hidden_size": 8}


@pytest.fixture
def run(jobs: FakeJobs) -> Run:
    return trained(jobs, **SCRATCH)


@pytest.fixture(scope="module")
def sample() -> Ratings:
    return datasets.load("sample")


@pytest.fixture(scope="module")
def split(sample: Ratings) -> Split:
    return make_split(sample, SplitConfig.of("random"))


def model_of(jobs: FakeJobs, run: Run) -> Model:
    return jobs.store.model(run.id)


def opened(run: Run, section: str = "A user", **query: str) -> AppTest:
    app = open_page(PAGE, run=run.id, **query)
    if section != "A user":
        app.segmented_control(key="recommend-section").set_value(section).run()
    assert "Something went wrong" not in texts(app)
    return app


def words(app: AppTest) -> str:
    return texts(app).replace("\\", "")


def titles(sample: Ratings, item_idx: np.ndarray) -> list[str]:
    return [str(sample.items.title[item]) for item in item_idx]


def give(app: AppTest, film: int, stars: float | None, place: str = "known") -> None:
    app.feedback(key=f"stars:{place}:sample:{film}").set_value(None if stars is None else int(stars) - 1).run()


def suggested(app: AppTest) -> list[int]:
    keys = [str(each.key) for each in app.feedback]
    return [int(key.rpartition(":")[2]) for key in keys if key.startswith("stars:known:")]


def fold(model: Model, split: Split, mine: dict[int, float]) -> DotModel:
    """The engine's own answer: the model with one user, who rated ``mine``."""
    prior = foldin.fit_prior(model, split)
    films, stars = np.array(list(mine), dtype=np.int64), np.array(list(mine.values()), dtype=float)
    found = foldin.with_users(model, foldin.run(foldin.inputs_of(model, prior, films, stars))["rows"])
    assert isinstance(found, DotModel)
    return found


# Before there is anything, and in every state of a run


def test_without_a_run_it_says_what_to_do(jobs: FakeJobs) -> None:
    app = open_page(PAGE)
    assert "Nothing has been trained yet" in texts(app)
    assert not app.segmented_control


def test_the_section_stays_when_one_comes_back_from_another_page(run: Run) -> None:
    app = opened(run, "Ranking quality")
    app.switch_page("pages/data.py").run()
    app.switch_page(PAGE).run()
    assert app.segmented_control(key="recommend-section").value == "Ranking quality"
    assert "Precision@10" in [metric.label for metric in app.metric]


@pytest.mark.parametrize("approach", ["fastai_dot", "fastai_nn", "fastai_custom", "pytorch", "scratch"])
def test_every_section_works_for_every_approach(jobs: FakeJobs, sample: Ratings, approach: str) -> None:
    """With an untrained model of the shape that the approach leaves behind."""
    run = finished(jobs, approach=approach)
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32) / 2

    n_users, n_items, k = sample.n_users, sample.n_items, 6
    arrays = {"user_factors": normal(n_users, k), "item_factors": normal(n_items, k)}
    if approach in ("scratch", "fastai_dot"):
        biases = {"user_bias": normal(n_users), "item_bias": normal(n_items)} if approach == "fastai_dot" else {}
        arrays |= {f"model_{name}": values for name, values in (arrays | biases).items()}
        arrays["model_offset"] = np.array(0.0)
        arrays |= biases
    else:
        arrays |= {"model_user_inputs": normal(n_users, k), "model_item_inputs": normal(n_items, k)}
        arrays |= {
            "model_n_factors": np.array([k, k]),
            "model_weight_0": normal(2 * k, 7),
            "model_weight_1": normal(7, 1),
        }
        arrays |= {"model_layer_bias_0": normal(7), "model_layer_bias_1": normal(1)}
    if approach in ("fastai_dot", "fastai_nn"):
        arrays["model_y_range"] = np.array([1.0, 5.0])
    jobs.store._files.save(run.id, arrays)
    app = opened(run, you="1:5,2:1,3:4,4:2,5:3")
    for section in SECTIONS:
        app.segmented_control(key="recommend-section").set_value(section).run()
        assert not app.exception
        assert "Something went wrong" not in texts(app)
        assert not app.error


def test_a_running_run_is_shown_as_of_its_last_epoch(jobs: FakeJobs, run: Run, sample: Ratings, split: Split) -> None:
    running = stored(jobs, epochs=3)
    jobs.living[running.id] = jobs.store.arrays(run.id) | {"epoch": np.array(2)}
    app = opened(running)
    assert "After epoch 2, and still training." in texts(app)
    app.segmented_control(key="recommend-section").set_value("You").run()
    give(app, suggested(app)[0], 5)
    assert len(app.dataframe[0].value) == 10
    app.segmented_control(key="recommend-section").set_value("Ranking quality").run()
    assert "measured once the run has ended" in texts(app)


def test_a_model_that_diverged_while_it_is_watched_gets_a_sentence(jobs: FakeJobs, run: Run) -> None:
    running = stored(jobs, epochs=3)
    arrays = jobs.store.arrays(run.id)
    broken = {name: np.full_like(values, np.inf) for name, values in arrays.items() if name.endswith("_factors")}
    jobs.living[running.id] = arrays | broken | {"epoch": np.array(2)}
    for section in SECTIONS[:3]:
        app = opened(running, section)
        assert not app.exception
        assert "his model has diverged" in texts(app)


# A user


def test_a_users_ratings_stand_beside_the_predictions(jobs: FakeJobs, run: Run, sample: Ratings, split: Split) -> None:
    app = opened(run)
    busiest = int(np.argmax(np.bincount(sample.user_idx)))
    expected = rated_by(model_of(jobs, run), split, busiest)
    table = app.dataframe[0].value
    assert list(table["Film"]) == titles(sample, expected.item_idx)
    np.testing.assert_allclose(table["Predicted"], expected.prediction, atol=1e-6)
    np.testing.assert_allclose(np.abs(table["Miss"]), np.sort(np.abs(table["Miss"]))[::-1])
    np.testing.assert_array_equal(table["Part"].str.contains("held out"), expected.held_out)
    assert f"user {sample.users.user_id[busiest]} · {len(table)} ratings, likes " in app.selectbox[1].options[0]


def test_another_user_gets_other_films_with_reasons(jobs: FakeJobs, run: Run, sample: Ratings, split: Split) -> None:
    app = opened(run)
    app.selectbox(key="recommend-user:sample").set_value(33).run()
    app.selectbox(key="recommend-least").set_value(1).run()
    known = sample.item_idx[sample.user_idx == 33]
    expected = top_n(model_of(jobs, run), 33, unseen(counts_of(split), known), 10)
    table = app.dataframe[1].value
    assert list(table["Film"]) == titles(sample, expected.item_idx)
    np.testing.assert_allclose(table["Predicted"], expected.prediction, atol=1e-6)
    assert app.selectbox(key="recommend-why-user").options == titles(sample, expected.item_idx)
    assert f"The sum is the prediction: **{expected.prediction[0]:.2f}** stars." in texts(app)
    liked = set(titles(sample, sample.item_idx[(sample.user_idx == 33) & (sample.rating >= 4)]))
    assert set(app.dataframe[2].value["Film"]) <= liked


def test_held_out_films_can_be_ranked_too_and_are_marked(
    jobs: FakeJobs, run: Run, sample: Ratings, split: Split
) -> None:
    app = opened(run)
    app.selectbox(key="recommend-least").set_value(1).run()
    app.toggle(key="recommend-held-out").set_value(True).run()
    busiest = int(np.argmax(np.bincount(sample.user_idx)))
    trained_on = split.train[sample.user_idx[split.train] == busiest]
    expected = top_n(model_of(jobs, run), busiest, unseen(counts_of(split), sample.item_idx[trained_on]), 10)
    table = app.dataframe[1].value
    assert list(table["Film"]) == titles(sample, expected.item_idx)
    held_out = sample.item_idx[split.valid[sample.user_idx[split.valid] == busiest]]
    np.testing.assert_array_equal(table["Rated"] != "", np.isin(expected.item_idx, held_out))


def test_a_network_says_why_it_has_no_terms(jobs: FakeJobs) -> None:
    app = opened(trained(jobs, **NETWORK))
    assert "The network mixes the user's row and the film's in its layers" in texts(app)
    assert len(app.dataframe[2].value) > 0


def test_predictions_off_the_scale_are_explained(jobs: FakeJobs) -> None:
    app = opened(trained(jobs, "scratch", epochs=1))
    assert "Some predictions lie outside of the scale from 1 to 5" in texts(app)


# You


def test_each_star_makes_the_list_anew(jobs: FakeJobs, run: Run, sample: Ratings, split: Split) -> None:
    app = opened(run, "You")
    assert "this is the list of the average user" in app.get("progress")[0].proto.text
    first = list(app.dataframe[0].value["Film"])
    films = suggested(app)[:5]
    given = dict(zip(films, (5.0, 1.0, 4.0, 2.0, 5.0), strict=True))
    for n, (film, stars) in enumerate(given.items(), start=1):
        give(app, film, stars)
        assert f"{n} rating" in app.get("progress")[0].proto.text
    app.selectbox(key="recommend-least").set_value(1).run()
    expected = top_n(fold(model_of(jobs, run), split, given), 0, unseen(counts_of(split), np.array(films)), 10)
    table = app.dataframe[0].value
    assert list(table["Film"]) == titles(sample, expected.item_idx)
    assert list(table["Film"]) != first
    np.testing.assert_allclose(table["Predicted"], expected.prediction, atol=1e-4)
    assert f"First on the list: **{titles(sample, expected.item_idx)[0]}** {expected.prediction[0]:.2f}" in words(app)
    ids = {sample.items.item_id[film].item(): stars for film, stars in given.items()}
    assert app.session_state["you"] == {"sample": ids}
    assert param(app, "you") == to_link(ids)


def test_the_list_says_how_far_each_film_moved(run: Run) -> None:
    app = opened(run, "You")
    film = suggested(app)[0]
    give(app, film, 1)
    before = list(app.dataframe[0].value["Film"])
    give(app, film, 5)
    table = app.dataframe[0].value
    for rank, (name, moved) in enumerate(zip(table["Film"], table["Moved"], strict=True)):
        up = before.index(name) - rank if name in before else None
        assert moved == ("new" if up is None else "=" if up == 0 else f"▲ {up}" if up > 0 else f"▼ {-up}")


def test_a_star_writes_to_no_other_row(run: Run) -> None:
    """What is written goes to the browser, over a star that was clicked there while this one was on its way."""
    app = opened(run, "You")
    first, *others = suggested(app)
    give(app, first, 4)
    assert not any(app.feedback(key=f"stars:known:sample:{film}").proto.set_value for film in [first, *others])


def test_a_star_can_be_taken_back(run: Run) -> None:
    app = opened(run, "You")
    film = suggested(app)[2]
    give(app, film, 4)
    assert "Your 1 rating" in texts(app)
    give(app, film, None, "yours")
    assert "Your 1 rating" not in texts(app)
    assert app.session_state["you"] == {"sample": {}}
    assert "you" not in app.query_params


def test_any_film_can_be_searched_and_rated_and_stays_rated_in_both_places(run: Run, sample: Ratings) -> None:
    app = opened(run, "You")
    film = suggested(app)[1]
    app.selectbox(key="you-search:sample").set_value(film).run()
    give(app, film, 3, "found")
    for place in ("found", "known", "yours"):
        assert app.feedback(key=f"stars:{place}:sample:{film}").value == 2
    button(app, "Clear").click().run()
    assert app.feedback(key=f"stars:known:sample:{film}").value is None


def test_cleared_stars_come_back_beside_those_given_since(run: Run) -> None:
    app = opened(run, "You")
    first, second, later = suggested(app)[:3]
    for film, stars in ((first, 5), (second, 1)):
        give(app, film, stars)
    before = app.session_state["you"]["sample"]
    button(app, "Clear").click().run()
    assert app.session_state["you"]["sample"] == {}
    assert "Your 2 ratings were cleared" in texts(app)
    give(app, later, 4)
    after = app.session_state["you"]["sample"]
    button(app, "Undo").click().run()
    assert app.session_state["you"]["sample"] == {**before, **after}
    assert app.feedback(key=f"stars:known:sample:{first}").value == 4
    assert "were cleared" not in texts(app)


def test_each_step_back_has_buttons_of_its_own(run: Run) -> None:
    """Streamlit carries out a second press when the first is done: it would be one on the next step's button."""
    app = opened(run, "You")
    seen = []
    for film in suggested(app)[:2]:
        give(app, film, 5)
        button(app, "Clear").click().run()
        seen += [button(app, "Undo").proto.id, button(app, "Dismiss").proto.id]
    assert len(set(seen)) == 4
    button(app, "Dismiss").click().run()
    button(app, "Undo").click().run()
    assert len(app.session_state["you"]["sample"]) == 1


def test_other_films_are_suggested_when_asked(run: Run) -> None:
    app = opened(run, "You")
    first = suggested(app)
    button(app, "Others").click().run()
    assert not set(first) & set(suggested(app))


def test_the_rating_that_moved_you_most_is_named(
    jobs: FakeJobs, run: Run, sample: Ratings, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(run, "You")
    given: dict[int, float] = dict(zip(suggested(app)[:3], (5.0, 1.0, 3.0), strict=True))
    for film, stars in given.items():
        give(app, film, stars)
    monkeypatch.setattr("cfcore.ui.recommend.your_list.BEST_KNOWN", 90)
    app.run()
    model, films = model_of(jobs, run), np.argsort(-counts_of(split), kind="stable")[:90]
    predictions = {}
    for left_out in (None, *given):
        others = {film: stars for film, stars in given.items() if film != left_out}
        predictions[left_out] = fold(model, split, others).predict(np.zeros(len(films), int), films)
    moved = {film: float(np.sqrt(np.mean((predictions[film] - predictions[None]) ** 2))) for film in given}
    most = max(moved, key=moved.__getitem__)
    assert f"{given[most]:g} star" in words(app)
    assert f"for {sample.items.title[most]}. Without it your predictions would differ by {moved[most]:.2f}" in words(
        app
    )
    assert "over the 90 films with the most training ratings" in texts(app)


def test_what_your_ratings_do_is_worked_out_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(run, "You", you="1:5,2:1,3:4")
    fit, fits = foldin.run, []
    monkeypatch.setattr(foldin, "run", lambda inputs: fits.append(1) or fit(inputs))
    predict, sizes = DotModel.predict, []
    monkeypatch.setattr(
        DotModel, "predict", lambda self, users, items: sizes.append(len(users)) or predict(self, users, items)
    )
    app.run()
    assert not fits
    assert max(sizes) < 100  # a list of ten films, and no leaving out over all of them
    assert "Which rating moved you most" in texts(app)


@pytest.mark.parametrize(("how", "most"), [(SCRATCH, foldin.MOST_LEFT_OUT), (NETWORK, foldin.MOST_LEFT_OUT_OF_NETS)])
def test_of_too_many_ratings_none_is_left_out(jobs: FakeJobs, how: Any, most: int) -> None:
    app = opened(trained(jobs, **how), you=",".join(f"{film}:{1 + film % 5}" for film in range(1, most + 12)))
    assert "Too many ratings to leave each one out in turn." in texts(app)
    assert "Which rating moved you most" not in texts(app)


def test_a_link_brings_its_ratings_and_names_what_is_wrong_with_it(run: Run, sample: Ratings) -> None:
    app = opened(run, you="1:5,2:4.5,*x*:3,3:9,4:nan,5,,6:2,6:3")
    assert app.segmented_control(key="recommend-section").value == "You"
    assert app.session_state["you"] == {"sample": {1: 5.0, 2: 4.5, 6: 3.0}}
    assert "‘*x*’, which is not in this data set" in words(app)
    assert "gives movie ‘3’ 9 stars; ratings run from 1 to 5" in words(app)
    assert "‘nan’, which is no number" in words(app)
    assert "‘5’ is not a movie id and a rating" in words(app)
    assert "rates movie ‘6’ again" in words(app)
    assert len(app.warning) == 1
    assert app.pills(key=f"stars:yours:sample:{list(sample.items.item_id).index(2)}:half").value == "−½"


def test_what_you_have_rated_wins_over_an_old_address(run: Run) -> None:
    app = opened(run, "You")
    give(app, suggested(app)[0], 5)
    mine = dict(app.session_state["you"]["sample"])
    app.switch_page("pages/data.py").run()
    app.switch_page(PAGE)
    app.query_params["you"] = to_link(mine)
    app.run()
    assert app.session_state["you"]["sample"] == mine
    assert "The link that you opened" not in texts(app)


def test_a_friends_link_is_offered_and_can_be_undone(run: Run) -> None:
    app = opened(run, "You")
    give(app, suggested(app)[0], 5)
    mine = dict(app.session_state["you"]["sample"])
    for take in (False, True):
        app.switch_page("pages/data.py").run()
        app.switch_page(PAGE)
        app.query_params["you"] = "1:1,2:4"
        app.run()
        assert app.session_state["you"]["sample"] == mine
        assert "The link that you opened brings 2 ratings." in texts(app)
        if not take:
            button(app, "Keep mine").click().run()
            assert "The link that you opened" not in texts(app)
    button(app, "Take these instead").click().run()
    assert app.session_state["you"]["sample"] == {1: 1.0, 2: 4.0}
    assert "Your own 1 rating can be brought back" in texts(app)
    button(app, "Undo").click().run()
    assert app.session_state["you"]["sample"] == mine
    assert "The link that you opened" not in texts(app)


def test_ratings_stay_when_one_comes_back_and_for_every_run(jobs: FakeJobs, run: Run) -> None:
    app = opened(run, "You")
    give(app, suggested(app)[0], 5)
    mine = app.session_state["visitor"]
    other = trained(jobs, **SCRATCH | {"epochs": 5}, visitor=mine)
    app.switch_page("pages/data.py").run()
    app.switch_page(PAGE).run()
    assert "Your 1 rating" in texts(app)
    app.selectbox(key="choose-run:recommend").set_value(other.id).run()
    assert "Your 1 rating" in texts(app)
    assert param(app, "run") == other.id


def test_in_a_network_a_worker_folds_you_in(jobs: FakeJobs, sample: Ratings, split: Split) -> None:
    run = trained(jobs, **NETWORK)
    app = opened(run, "You")
    given: dict[int, float] = dict(zip(suggested(app)[:3], (5.0, 1.0, 4.0), strict=True))
    for film, stars in given.items():
        give(app, film, stars)
    app.selectbox(key="recommend-least").set_value(1).run()
    model = model_of(jobs, run)
    films = np.array(list(given))
    inputs = foldin.inputs_of(model, foldin.fit_prior(model, split), films, np.array(list(given.values())))
    yours = foldin.with_users(model, foldin.run(inputs)["rows"])
    expected = top_n(yours, 0, unseen(counts_of(split), films), 10)
    assert list(app.dataframe[0].value["Film"]) == titles(sample, expected.item_idx)
    assert "the mean of the films you liked" in texts(app)


def test_while_a_worker_is_at_it_the_last_list_stays_and_a_failure_can_be_tried_again(
    jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(trained(jobs, **NETWORK), "You")
    film = suggested(app)[0]
    give(app, film, 5)
    before = list(app.dataframe[0].value["Film"])
    done, task, tries = jobs.compute, Task("slow"), []
    monkeypatch.setattr("cfcore.ui.you._MOMENT", 0.0)
    monkeypatch.setattr(jobs, "compute", lambda *args, again=False, owner="": tries.append(again) or task)
    give(app, film, 2)
    assert "A worker is finding your row in this network" in texts(app)
    assert list(app.dataframe[0].value["Film"]) == before
    task.end("failed", "The worker was lost before this was computed: try again.")
    app.run()
    assert "You could not be folded in. The worker was lost" in words(app)
    monkeypatch.setattr(jobs, "compute", lambda *args, again=False, owner="": tries.append(again) or done(*args))
    button(app, "Try again").click().run()
    assert True in tries
    assert list(app.dataframe[0].value["Film"]) != before


def test_a_network_answers_first_and_says_what_each_rating_does_after_that(
    jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tasks of two owners; the second begins from the first one's answer and may be waited for, or fail."""
    task, done, asked = Task("slow"), jobs.compute, []

    def compute(kind: str, key: str, inputs: dict[str, Any], *, again: bool = False, owner: str = "") -> Task:
        asked.append((key, inputs, owner))
        return task if inputs["leave_out"] and not again else done(kind, key, inputs)

    monkeypatch.setattr("cfcore.ui.you._LESS", 0.0)
    monkeypatch.setattr(jobs, "compute", compute)
    run = trained(jobs, **NETWORK)
    app = opened(run, you="1:5,2:1,3:4")
    assert len(app.dataframe[0].value) == 10
    assert "A worker leaves each of your ratings out in turn" in texts(app)
    (key, first, owner), (other_key, second, other_owner) = asked[0], asked[1]
    visitor = app.session_state["visitor"]
    assert (owner, other_owner) == (f"{visitor}:you", f"{visitor}:you-without")
    assert f":{run.id}:done:{len(run.history)}:" in key
    assert key != other_key
    assert not first["leave_out"]
    np.testing.assert_array_equal(second["row"], foldin.run(first)["rows"][0])
    task.end("failed", "The worker was lost before this was computed: try again.")
    app.run()
    assert "could not be left out in turn. The worker was lost" in words(app)
    button(app, "Try again").click().run()
    assert "Which rating moved you most" in texts(app)


# Keeping, sharing, bringing


def uploaded(values: list[float]) -> str:
    """A data set of one's own whose ratings are ``values``, with titles that a spreadsheet would run."""
    random = np.random.default_rng(0)
    lines = ["userId,movieId,title,rating"]
    for user in range(40):
        for item in random.choice(30, 15, replace=False):
            lines.append(f'{user},=m{item},"=HYPERLINK({item})",{values[random.integers(len(values))]}')
    return datasets.save_upload("\n".join(lines).encode(), "mine.csv")


def test_half_stars_are_given_where_the_scale_has_them(jobs: FakeJobs) -> None:
    name = uploaded([k / 2 for k in range(1, 11)])
    run = trained(jobs, **SCRATCH, dataset=name)
    app = opened(run, "You")
    film = suggested(app)[0]
    stars = app.feedback(key=f"stars:known:{name}:{film}")
    stars.set_value(3).run()
    app.pills(key=f"stars:known:{name}:{film}:half").set_value("−½").run()
    assert list(app.session_state["you"][name].values()) == [3.5]
    assert app.feedback(key=f"stars:known:{name}:{film}").value == 3
    app.pills(key=f"stars:known:{name}:{film}:half").set_value(None).run()
    assert list(app.session_state["you"][name].values()) == [4.0]


def test_any_other_scale_has_a_select_box(jobs: FakeJobs) -> None:
    name = uploaded([1, 4, 7, 10])
    run = trained(jobs, dataset=name, approach="scratch", learning_rate=1.0, embedding_size=2, epochs=5)
    app = opened(run, "You")
    key = next(str(each.key) for each in app.selectbox if str(each.key).startswith("stars:known:"))
    app.selectbox(key=key).set_value("7").run()
    assert list(app.session_state["you"][name].values()) == [7.0]
    app.selectbox(key=key).set_value("–").run()
    assert app.session_state["you"][name] == {}


def test_text_ids_survive_link_and_csv_and_no_cell_is_a_formula(jobs: FakeJobs) -> None:
    name = uploaded([1, 2, 3, 4, 5])
    ratings = datasets.load(name)
    mine: dict[int | str, float] = {str(ratings.items.item_id[3]): 5.0, str(ratings.items.item_id[8]): 2.0}
    known = {str(item): str(item) for item in ratings.items.item_id}
    assert from_link(to_link(mine) or "", known, (1, 5)).ratings == mine
    data = to_csv(mine, dict(zip(known, ratings.items.title, strict=True)))
    spaced = to_csv({7: 3.0}, {7: ' =HYPERLINK("x")'})
    assert next(csv.reader(spaced.decode("utf-8-sig").splitlines()[1:]))[1].startswith("'")
    for row in csv.reader(io.StringIO(data.decode("utf-8-sig"))):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
    assert from_csv(data, known, (1, 5)).ratings == mine
    assert from_csv(data, known, (1, 5)).problems == []


def test_a_file_is_added_to_what_you_rated_and_each_bad_row_is_named(run: Run, sample: Ratings) -> None:
    app = opened(run, "You", you="1:5,2:2")
    rows = ["movie_id;title;rating", "2;whatever;4", "3;x;3,5", "nonsense;y;3", "4;z", "5;a;six", "6;b;7", ""]
    app.file_uploader[0].set_value(("mine.csv", "\n".join(rows).encode(), "text/csv")).run()
    assert app.session_state["you"]["sample"] == {1: 5.0, 2: 4.0, 3: 3.5}
    assert "2 ratings were taken from mine.csv. 1 film you had rated otherwise" in words(app)
    assert "Line 4 names the movie ‘nonsense’" in words(app)
    assert "Line 5 has too few columns" in words(app)
    assert "Line 6 gives movie ‘5’ the rating ‘six’, which is no number" in words(app)
    assert "Line 7 gives movie ‘6’ 7 stars; ratings run from 1 to 5" in words(app)
    give(app, suggested(app)[0], 1)
    assert len(app.session_state["you"]["sample"]) >= 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty or not text"),
        (b"\x00\x01\x02", "empty or not text"),
        (b"a,b\n1,2\n", "must name the columns movie_id and rating"),
        (b"movie_id,rating\n" + b"1" * 1_100_000, "takes less than 1 MB".replace("takes", "take")),
        (b'movie_id,rating\n"' + b"1" * 140_000, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(data: bytes, says: str) -> None:
    read = from_csv(data, {"1": 1}, (1, 5))
    assert not read.ratings
    assert len(read.problems) == 1
    assert says in read.problems[0].replace("\\", "")


def test_mistakes_are_named_one_by_one_up_to_a_point_and_ratings_kept_up_to_a_limit() -> None:
    text = "movie_id,rating\n" + "\n".join(f"{item},9" for item in range(60))
    told = from_csv(text.encode(), {str(item): item for item in range(60)}, (1, 5)).told()
    assert len(told) == 21
    assert told[-1] == "And 40 more like these."
    many = {str(item): item for item in range(MOST + 5)}
    text = "movie_id,rating\n" + "\n".join(f"{item},3" for item in many)
    read = from_csv(text.encode(), many, (1, 5))
    assert (len(read.ratings), len(read.problems)) == (MOST, 5)
    assert to_link(dict.fromkeys(range(100_000, 101_000), 3.5)) is None


# One pair


def test_one_pair_has_the_baselines_answer_and_the_truth_beside_it(
    jobs: FakeJobs, run: Run, sample: Ratings, split: Split
) -> None:
    row = int(split.valid[7])
    user, item = int(sample.user_idx[row]), int(sample.item_idx[row])
    app = opened(run, "One pair")
    app.selectbox(key="pair-user:sample").set_value(user).run()
    app.selectbox(key="pair-film:sample").set_value(item).run()
    pair = np.array([user]), np.array([item])
    numbers = {metric.label: metric.value for metric in app.metric}
    assert numbers["Predicted"] == f"{model_of(jobs, run).predict(*pair)[0]:.2f}"
    assert numbers["User + movie bias"] == f"{fit_baseline('bias', split).predict(*pair)[0]:.2f}"
    assert numbers["Rated"] == f"{sample.rating[row]:g}"
    assert "This rating was held out." in texts(app)


def test_one_pair_for_you(jobs: FakeJobs, run: Run, sample: Ratings, split: Split) -> None:
    app = opened(run, you="1:5,2:1,9:4")
    app.segmented_control(key="recommend-section").set_value("One pair").run()
    app.segmented_control(key="pair-whom").set_value("You").run()
    app.selectbox(key="pair-film:sample").set_value(20).run()
    at = {int(item): index for index, item in enumerate(sample.items.item_id)}
    mine = {at[1]: 5.0, at[2]: 1.0, at[9]: 4.0}
    expected = fold(model_of(jobs, run), split, mine).predict(np.array([0]), np.array([20]))[0]
    bias = fit_baseline("bias", split)
    assert bias.item_bias is not None
    misses = [stars - bias.offset - bias.item_bias[film] for film, stars in mine.items()]
    numbers = {metric.label: metric.value for metric in app.metric}
    assert numbers["Predicted"] == f"{expected:.2f}"
    assert numbers["User + movie bias"] == f"{bias.offset + bias.item_bias[20] + sum(misses) / (15 + 3):.2f}"
    assert numbers["Rated"] == "–"
    assert "You have not rated this film." in texts(app)


# Ranking quality


def test_the_ranking_stands_beside_the_baselines(jobs: FakeJobs, run: Run) -> None:
    app = opened(run, "Ranking quality")
    metrics = reread(jobs, run).metrics
    assert metrics is not None
    assert metrics.ranking is not None
    assert metrics.baseline_bias_ranking is not None
    numbers = {metric.label: metric.value for metric in app.metric}
    assert len(numbers) == len(asdict(metrics.ranking)) - 1
    assert numbers["NDCG@10"] == f"{metrics.ranking.ndcg:.3f}"
    assert numbers["Mean popularity"] == f"{metrics.ranking.mean_popularity:,.0f}"
    assert f"User + movie bias: {metrics.baseline_bias_ranking.ndcg:.3f}" in texts(app)
    assert f"each of {metrics.ranking.n_users} users" in texts(app)
    assert "\\text{NDCG@}k" in texts(app)


def test_a_sample_of_users_is_said(jobs: FakeJobs, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Ranking(precision=0.1, recall=0.1, ndcg=0.1, hit_rate=0.5, coverage=0.1, mean_popularity=30.0, n_users=20)
    metrics = reread(jobs, run).metrics
    assert metrics is not None
    few = replace(metrics, ranking=found, baseline_bias_ranking=found)
    get = jobs.store.get_many
    monkeypatch.setattr(jobs.store, "get_many", lambda ids: [replace(run, metrics=few) for run in get(ids)])
    assert "A sample: 20 of" in texts(opened(run, "Ranking quality"))


@pytest.mark.parametrize(
    ("ndcg", "coverage", "rmse", "says", "says_not"),
    [
        (0.15, 0.3, 0.9, ("ranks better", "3.0 times as many"), ("RMSE",)),
        (0.105, 0.3, 0.9, ("about as well as",), ("times as many", "RMSE")),
        (0.05, 0.3, 1.1, ("ranks worse",), ("times as many", "RMSE")),
        (0.05, 0.03, 0.9, ("ranks worse", "Yet its RMSE is better", "hold 3.0% of the films"), ("times as many",)),
        (0.0, 0.3, None, ("ranks worse",), ("times as many", "RMSE")),
    ],
)
def test_the_verdict_says_no_more_than_the_numbers_do(
    run: Run, ndcg: float, coverage: float, rmse: float | None, says: tuple[str, ...], says_not: tuple[str, ...]
) -> None:
    bias = Ranking(precision=0.1, recall=0.1, ndcg=0.1, hit_rate=0.5, coverage=0.1, mean_popularity=30.0, n_users=20)
    assert run.metrics is not None
    metrics = replace(run.metrics, valid_rmse=rmse, baseline_bias_rmse=1.0)
    found = _verdict(metrics, replace(bias, ndcg=ndcg, coverage=coverage), bias)
    assert [part for part in says if part not in found] == []
    assert [part for part in says_not if part in found] == []


def test_a_run_from_before_the_ranking_was_measured_says_so(jobs: FakeJobs, run: Run) -> None:
    old = finished(jobs, approach="scratch")
    jobs.store._files.save(old.id, jobs.store.arrays(run.id))
    assert "it was trained before that was measured" in texts(opened(old, "Ranking quality"))


# What other pages ask


def test_your_place_among_the_films(
    jobs: FakeJobs, run: Run, sample: Ratings, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dot model's user has a place by their factors; in a network it is the mean of the films they liked."""
    at = {int(item): index for index, item in enumerate(sample.items.item_id)}
    mine = {1: 5.0, 2: 1.0, 9: 4.0}

    def place(found: Run) -> Any:
        arrays = jobs.store.arrays(found.id)
        return your_vector(Chosen(run=found, ratings=sample, split=split, arrays=arrays, epoch=1))

    monkeypatch.setattr(you, "ratings_of_you", lambda dataset: {})
    network = trained(jobs, **NETWORK)
    assert place(run) is None
    assert place(network) is None
    monkeypatch.setattr(you, "ratings_of_you", lambda dataset: mine)
    folded = fold(model_of(jobs, run), split, {at[item]: stars for item, stars in mine.items()})
    np.testing.assert_allclose(place(run), folded.user_factors[0], atol=1e-5)
    factors = model_of(jobs, network).item_factors
    np.testing.assert_allclose(place(network), factors[[at[1], at[9]]].mean(axis=0), atol=1e-6)
