"""The Compare page in its states: what is listed, marked, shared, deleted and started, and whose runs are whose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from types import SimpleNamespace

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from cfcore.config import RunRequest, SplitConfig
from cfcore.metrics import Ranking
from cfcore.runs import Run
from cfcore.sweep import FIVE, five_ways, grid_of
from cfcore.ui.compare.rows import (
    COLUMNS,
    best_cells,
    differences,
    kept_earlier_text,
    names_of,
    ranked_apart,
    rows_of,
    split_text,
)
from cfcore.ui.compare.table import styled
from tests.pages_support import FakeJobs, button, finished, open_page, param, reread, stored, texts
from tests.test_sweep import RATES, SIZES_K, measured, swept

PAGE = "pages/compare.py"

pytestmark = pytest.mark.usefixtures("jobs")


def visit(*, runs: Iterable[Run] = (), **query: str) -> AppTest:
    """The page by a link to these runs, or by the menu."""
    ids = ",".join(run.id for run in runs)
    return open_page(PAGE, **({"runs": ids} if ids else {}), **query)


def mine(app: AppTest, jobs: FakeJobs, **how) -> Run:
    """A finished run of this visit."""
    return finished(jobs, visitor=app.session_state["visitor"], **how)


def table(app: AppTest) -> pd.DataFrame:
    return app.dataframe[0].value


def again(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


# The table


def test_without_runs_the_page_says_what_to_press() -> None:
    app = visit()
    assert "Nothing to compare yet" in texts(app)
    assert not button(app, "Five ways, one split").disabled
    assert len(app.dataframe) == 0
    assert "5 runs take roughly" in texts(app)


def test_runs_and_baselines_stand_in_the_table_with_the_numbers_of_the_store(jobs: FakeJobs) -> None:
    app = visit()
    run = mine(app, jobs, rmse=0.8)
    rows = table(again(app))
    assert list(rows["Run"]) == ["From scratch", "User + movie bias", "Global mean"]
    first = rows.iloc[0]
    assert run.metrics is not None
    assert first["RMSE"] == run.metrics.valid_rmse
    assert first["MAE"] == run.metrics.valid_mae
    assert first["Last loss"] == run.history[-1].valid_loss
    assert first["Best loss"] == min(result.valid_loss for result in run.history)
    assert first["Seconds"] == run.fit_seconds
    assert first["Status"] == "done"
    assert rows.iloc[1]["RMSE"] == pytest.approx(0.9)  # the root of the 0.81 that the run was measured beside


def test_a_run_under_way_fills_its_row_as_it_goes(jobs: FakeJobs) -> None:
    app = visit()
    run = stored(jobs, epochs=2, visitor=app.session_state["visitor"])
    row = table(again(app)).iloc[0]
    assert row["Status"] == "running, 2 of 2"
    assert row["Last loss"] == run.history[-1].valid_loss
    assert pd.isna(row["RMSE"])
    assert button(app, "Stop 1")


def test_runs_of_others_come_by_link_and_can_only_be_looked_at(jobs: FakeJobs) -> None:
    run = finished(jobs, visitor="somebody else")
    app = visit(runs=[run])
    assert table(app).iloc[0]["Run"] == "From scratch"
    assert "1 chosen run is of somebody else, to look at and export only." in texts(app)
    assert button(app, "Delete").disabled
    assert button(app, "Stop").disabled
    assert param(app, "runs") == run.id
    assert [each.label for each in app.text_input if each.label == "Name of this run"] == []


def test_unknown_runs_in_a_link_are_named_in_a_sentence(jobs: FakeJobs) -> None:
    run = finished(jobs)
    app = open_page(PAGE, runs=f"{run.id},AAAAAAAAAAAAAAAA,**bold**")
    assert "The link names runs that are not here (AAAAAAAAAAAAAAAA, \\*\\*bold\\*\\*)" in texts(app)
    assert param(app, "runs") == run.id


def test_the_choice_survives_a_page_change_and_stands_in_the_address(jobs: FakeJobs) -> None:
    first, second, third = (finished(jobs, epochs=k) for k in (2, 3, 4))
    app = visit(runs=[third, first])
    app.switch_page("pages/data.py").run()
    app.switch_page(PAGE).run()
    assert not app.exception
    assert param(app, "runs") == f"{third.id},{first.id}"
    assert second.id not in param(app, "runs")


def test_runs_can_be_chosen_by_name_as_well(jobs: FakeJobs) -> None:
    runs = [finished(jobs, learning_rate=rate) for rate in (1.0, 3.0, 10.0)]
    app = visit(runs=runs)
    app.multiselect(key="compare:chosen").set_value([runs[2].id, runs[0].id]).run()
    assert not app.exception
    assert param(app, "runs") == f"{runs[2].id},{runs[0].id}"
    assert list(app.dataframe[1].value["Learning rate"]) == ["10", "1"]
    app.multiselect(key="compare:chosen").set_value([]).run()
    assert "Tick one or more runs in the table, or choose them by name" in texts(app)
    assert "runs" not in app.query_params


# The run doctor


def test_the_doctor_speaks_of_every_chosen_run_and_its_fix_is_drawn_beside_them(jobs: FakeJobs) -> None:
    diverged = finished(jobs, "diverged", rmse=None, learning_rate=5000.0, visitor="somebody else")
    slow = finished(jobs, approach="pytorch", rmse=(4 / 3 + 0.1) ** 0.5)  # of its last epoch
    well = finished(jobs, "stopped", approach="fastai_custom", epochs=6)
    for run, name in ((diverged, "*Bold* one"), (slow, "Slow one"), (well, "Good one")):
        jobs.store.rename(run.id, name)
    app = visit(runs=[diverged, slow, well])
    said = texts(app)
    assert "**\\*Bold\\* one: learning rate too high.** The loss stopped being a number in epoch 4" in said
    assert "**Slow one: learning rate too low.** After 3 epochs the valid loss of 1.433 is above the 1.210" in said
    assert "Nothing is wrong with Good one." in said
    app.button(key=f"fix:{diverged.id}:rate_too_high").click().run()
    assert not app.exception
    rerun = jobs.store.list(visitor=app.session_state["visitor"])[0]
    assert rerun.request.config == diverged.request.config.with_settings(learning_rate=10.0)
    assert param(app, "runs") == ",".join([diverged.id, slow.id, well.id, rerun.id])


def test_the_search_and_the_filters_leave_the_others_out(jobs: FakeJobs) -> None:
    runs = [finished(jobs), finished(jobs, approach="fastai_dot"), stored(jobs, approach="fastai_nn")]
    app = visit(runs=runs)
    assert len(table(app)) == 3 + 2
    app.text_input(key="compare:search").set_value("dot PRODUCT").run()
    assert list(table(app)["Run"]) == ["fastai, dot product", "User + movie bias", "Global mean"]
    assert "2 chosen runs are hidden by the filter." in texts(app)
    app.text_input(key="compare:search").set_value("(*none").run()
    assert "No run fits the search and the filter." in texts(app)
    app.text_input(key="compare:search").set_value("").run()
    app.session_state["compare:statuses"] = ["running"]
    assert list(table(again(app))["Run"]) == ["fastai, neural net", "User + movie bias", "Global mean"]


# What is marked


def test_the_best_is_marked_among_rows_of_the_same_split_only(jobs: FakeJobs) -> None:
    good, bad = finished(jobs, rmse=0.7), finished(jobs, rmse=0.95)
    elsewhere = moved(jobs, finished(jobs, rmse=0.2))
    runs = [good, bad, elsewhere]
    rows = rows_of(runs, names_of(runs))
    best = {rows[k].run_id or rows[k].name for k, column in best_cells(rows) if column == "RMSE"}
    assert best == {good.id, elsewhere.id}
    app = visit(runs=runs)
    assert "measured on 2 different data sets or splits, whose errors do not compare" in texts(app)
    assert "the heights of their curves do not compare" in texts(app)


def test_the_mark_is_a_star_beside_the_number_and_bold_not_a_colour(jobs: FakeJobs) -> None:
    runs = [finished(jobs, rmse=rmse, epochs=k) for k, rmse in ((2, 0.7), (3, 0.95))]
    table = styled(rows_of(runs, names_of(runs)))
    words = table.to_string(delimiter="|")
    assert "|0.700 ★|" in words
    assert "|0.950|" in words
    assert words.count("★") == len(best_cells(rows_of(runs, names_of(runs))))
    assert "font-weight: 700" in table.to_html()
    assert "color" not in table.to_html()


def test_a_baseline_that_is_best_wears_the_mark_itself(jobs: FakeJobs) -> None:
    rows = rows_of([run := finished(jobs, rmse=1.5)], {run.id: "bad"})
    assert [rows[k].name for k, column in best_cells(rows) if column == "RMSE"] == ["User + movie bias"]


def test_rankings_are_compared_only_where_as_many_users_were_ranked(jobs: FakeJobs) -> None:
    runs = [ranked(jobs, ndcg, n_users=n) for ndcg, n in ((0.2, 40), (0.3, 40), (0.9, 7))]
    rows = rows_of(runs, names_of(runs))
    best = best_cells(rows)
    assert {rows[k].run_id for k, column in best if column == "NDCG@10"} == {runs[1].id}
    assert {rows[k].run_id for k, column in best if column == "Precision@10"} == set(), "all that compare are the same"
    assert [row.run_id for row in ranked_apart(rows)] == [runs[2].id]
    assert "1 row was ranked for another number of users" in texts(visit(runs=runs))
    assert "another number of users" not in texts(visit(runs=runs[:2]))
    few = rows_of([runs[0], runs[2]], names_of(runs))
    assert {k for k, column in best_cells(few) if column == "NDCG@10"} == set()


def test_which_run_is_best_is_said_in_words(jobs: FakeJobs) -> None:
    good, poor = (finished(jobs, rmse=rmse, approach=key) for rmse, key in ((0.72, "fastai_dot"), (0.95, "scratch")))
    words = texts(visit(runs=[good, poor]))
    assert "predicts best: RMSE 0.720, 20% better than user + movie bias." in words  # the baseline has 0.9
    assert "Not better than that baseline: From scratch" in words


def test_a_diverged_run_is_best_at_nothing(jobs: FakeJobs) -> None:
    runs = [finished(jobs, status="diverged", rmse=None), finished(jobs, epochs=2)]
    rows = rows_of(runs, names_of(runs))
    loss = {column for k, column in best_cells(rows) if rows[k].run_id == runs[0].id and "loss" in column}
    assert loss == set()
    assert {column.name for column in COLUMNS} == set(rows[0].values)


def test_a_model_of_an_earlier_epoch_than_its_line_ends_at_is_said(jobs: FakeJobs) -> None:
    """Else the number at the line's end and the one in the table contradict each other without a word."""
    last = finished(jobs).history[-1].valid_loss ** 0.5
    same, earlier = finished(jobs, rmse=last), finished(jobs, rmse=0.9 * last)
    assert kept_earlier_text([("same", same)]) == ""
    assert kept_earlier_text([("same", same), ("a*b", earlier)]) == (
        f"The model is that of an earlier epoch than the line ends at: a\\*b (RMSE {0.9 * last:.3f})."
    )
    assert not finished(jobs, "stopped", rmse=0.9 * last).kept_earlier, "it ended within an epoch"


def test_every_run_has_a_name_of_its_own_that_says_what_differs(jobs: FakeJobs) -> None:
    alike = [finished(jobs, learning_rate=rate) for rate in (1.0, 3.0)]
    same = [finished(jobs, approach="pytorch"), finished(jobs, approach="pytorch")]
    jobs.store.rename(same[1].id, "mine")
    names = names_of([*alike, same[0], reread(jobs, same[1])])
    assert [names[run.id] for run in alike] == ["From scratch, rate 1", "From scratch, rate 3"]
    assert [names[run.id] for run in same] == ["PyTorch", "mine"]
    twice = names_of(same)
    assert sorted(twice.values()) == ["PyTorch (1)", "PyTorch (2)"]


def test_a_renamed_run_still_says_its_approach(jobs: FakeJobs) -> None:
    run = finished(jobs)
    assert "Approach" not in styled(rows_of([run], names_of([run]))).data  # its name says it
    jobs.store.rename(run.id, "mine")
    again = reread(jobs, run)
    table = styled(rows_of([again], names_of([again]))).data
    assert table[["Run", "Approach"]].iloc[0].tolist() == ["mine", "From scratch"]


def test_differences_hold_just_what_differs(jobs: FakeJobs) -> None:
    one = finished(jobs, learning_rate=1.0)
    other = finished(jobs, approach="fastai_nn", epochs=3)
    differing, shared = differences([one, other])
    assert differing["Approach"] == ["From scratch", "fastai, neural net"]
    assert differing["Learning rate"] == ["1", "0.001"]
    assert differing["Embedding size"] == ["50", "by fastai's rule"]
    assert differing["Lookup"] == ["index", "–"]
    assert "Epochs" not in differing
    assert shared == {"Data": "Sample (simulated)", "Split": "random 20%, seed 42", "Epochs": "3", "Seed": "42"}
    assert differences([one, one])[0] == {}


@pytest.mark.parametrize(
    ("split", "text"),
    [
        (SplitConfig.of("random", valid_fraction=0.125, seed=3), "random 12.5%, seed 3"),
        (SplitConfig.of("first10"), "first 10%, random 25%, seed 42"),
        (SplitConfig.of("u3"), "published fold u3"),
        (SplitConfig.of("time"), "each user's last 20%"),
    ],
)
def test_a_split_in_a_few_words(split: SplitConfig, text: str) -> None:
    assert split_text(split) == text


def test_the_page_shows_the_differences_of_what_is_chosen(jobs: FakeJobs) -> None:
    runs = [finished(jobs, learning_rate=rate) for rate in (1.0, 3.0)]
    app = visit(runs=runs)
    assert list(app.dataframe[1].value.columns) == ["Run", "Learning rate"]
    assert list(app.dataframe[1].value["Learning rate"]) == ["1", "3"]
    assert "embedding size 50" in texts(app)


# Rename, delete, undo


def test_a_run_gets_a_name_that_is_plain_text_everywhere(jobs: FakeJobs) -> None:
    app = visit()
    run = mine(app, jobs)
    again(app)
    app.text_input(key=f"compare:name:{run.id}").set_value("  =SUM(1) *bold*  ").run()
    assert not app.exception
    assert reread(jobs, run).name == "=SUM(1) *bold*"
    assert table(app).iloc[0]["Run"] == "\u2060=SUM(1) *bold*"  # a sign without width before it: no formula


def test_a_deleted_run_is_gone_until_it_is_taken_back(jobs: FakeJobs) -> None:
    app = visit()
    run, other = mine(app, jobs), mine(app, jobs, approach="pytorch")
    jobs_delete(again(app), 2)
    assert "2 runs deleted." in texts(app)
    assert jobs.store.get_many([run.id, other.id]) == []
    assert "Nothing to compare yet" in texts(app)
    button(app, "Undo").click().run()
    assert {each.id for each in jobs.store.get_many([run.id, other.id])} == {run.id, other.id}
    assert "deleted." not in texts(app)


def test_a_run_under_way_is_stopped_before_it_is_deleted(jobs: FakeJobs) -> None:
    app = visit()
    run = stored(jobs, visitor=app.session_state["visitor"])
    jobs_delete(again(app), 1)
    assert jobs.stopped == [run.id]
    assert "Nothing to compare yet" in texts(app)
    assert jobs.store.get(run.id) is not None, "it has not ended yet"
    jobs.store.fail(run.id, "ended")
    again(app)
    assert jobs.store.get(run.id) is None


def jobs_delete(app: AppTest, n: int) -> None:
    button(app, f"Delete {n}").click().run()
    assert not app.exception


# Five ways, and a sweep


def test_five_ways_queues_all_five_on_the_same_ratings(jobs: FakeJobs) -> None:
    app = visit()
    app.session_state["compare-ground"] = {"kind": "random", "seed": 7}
    button(again(app), "Five ways, one split").click().run()
    assert not app.exception
    runs = jobs.store.list(visitor=app.session_state["visitor"])
    wanted = five_ways("sample", SplitConfig.of("random", seed=7), seed=7, scale=(1.0, 5.0), that_learn=True)
    assert {run.request.config.approach for run in runs} == set(FIVE)
    assert {run.request.split for run in runs} == {wanted[0].split}
    assert {run.request.config.seed for run in runs} == {7}
    assert len({run.group for run in runs}) == 1
    assert set(param(app, "runs").split(",")) == {run.id for run in runs}
    assert list(table(app)["Status"]) == ["waiting"] * 5


def test_five_ways_as_in_the_article(jobs: FakeJobs) -> None:
    app = visit()
    app.session_state["compare:five"] = "article"
    button(again(app), "Five ways, one split").click().run()
    rates = {run.request.config.approach: run.request.config.learning_rate for run in jobs.store.list()}
    assert rates["scratch"] == 1.5
    assert rates["pytorch"] == 1e-3


def test_a_visit_has_one_group_under_way(jobs: FakeJobs) -> None:
    app = visit()
    button(app, "Five ways, one split").click().run()
    assert button(app, "Five ways, one split").disabled
    assert "There are 5 runs left of what you started last. One group at a time" in texts(app)
    five = jobs.store.list(visitor=app.session_state["visitor"])
    app.session_state["compare"] |= {"view": "sweep"}
    assert button(again(app), "Start 12 runs").disabled
    assert "One group at a time" in texts(app)
    button(app, "Show it").click().run()
    assert app.session_state["compare"]["view"] == "runs"
    assert set(param(app, "runs").split(",")) == {run.id for run in five}
    for run in five:
        jobs.store.fail(run.id, "ended")
    assert not button(again(app), "Five ways, one split").disabled
    assert "One group at a time" not in texts(app)


def test_a_second_press_queues_nothing(jobs: FakeJobs) -> None:
    app = visit()
    press = button(app, "Five ways, one split")
    press.click().run()
    first = param(app, "runs")
    press.click().run()  # the browser had not yet shown that the button is disabled
    assert not app.exception
    assert len(jobs.store.list()) == 5
    assert param(app, "runs") == first


def test_single_runs_and_groups_of_others_hold_nobody_up(jobs: FakeJobs) -> None:
    app = visit()
    stored(jobs, visitor=app.session_state["visitor"])
    jobs.store.create(stored(jobs).request, visitor="somebody else", group="g" * 16)
    assert not button(again(app), "Five ways, one split").disabled


def test_a_deleted_group_makes_way_at_once(jobs: FakeJobs) -> None:
    app = visit()
    button(app, "Five ways, one split").click().run()
    jobs_delete(app, 5)
    assert not button(app, "Five ways, one split").disabled


@pytest.mark.parametrize(("view", "n"), [("runs", 5), ("sweep", 12)])
def test_the_estimate_says_how_many_runs_are_before(
    view: str, n: int, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "in the queue" not in texts(visit(view=view))
    busy = SimpleNamespace(state="ready", message="", n_workers=1, queued=2, running=1)
    monkeypatch.setattr(jobs, "status", lambda: busy)
    words = texts(visit(view=view))
    assert f"{n} runs take roughly" in words
    assert "3 runs are before them in the queue." in words


def test_a_seed_that_cannot_be_used_gets_a_sentence(jobs: FakeJobs) -> None:
    app = visit()
    app.number_input(key="compare:seed").set_value(-1).run()
    assert "The seed of a split must be a whole number from 0 to 4294967295" in texts(app)
    assert button(app, "Five ways, one split").disabled


def test_a_sweep_says_what_it_takes_starts_and_can_be_stopped(jobs: FakeJobs) -> None:
    app = visit(view="sweep")
    assert "No sweep yet" in texts(app)
    app.text_input(key="compare:values:scratch:learning_rate").set_value("1, 10").run()
    app.text_input(key="compare:values:scratch:embedding_size").set_value("4 8").run()
    assert "4 runs take roughly" in texts(app)
    button(app, "Start 4 runs").click().run()
    assert not app.exception
    runs = jobs.store.list(visitor=app.session_state["visitor"])
    grid = grid_of(runs)
    assert grid is not None
    assert [axis.values for axis in grid.axes] == [(1.0, 10.0), (4, 8)]
    assert param(app, "group") == runs[0].group
    assert "From scratch: learning rate x embedding size, 4 runs" in texts(app).replace("\\", "")
    button(app, "Stop all").click().run()
    assert set(jobs.stopped) == {run.id for run in runs}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("", "Learning rate needs values to try"),
        ("1, x", "Learning rate takes numbers such as 0.001, 0.003, 0.01, not 'x'"),
        ("1, 1e9", "Learning\\_rate must be from 0.001 to 10,000"),
        ("1 2 3 4 5 6", "6 x 3 values are 18 runs, and a sweep may have 16"),
    ],
)
def test_values_that_cannot_be_swept_get_a_sentence_and_no_run(values: str, sentence: str, jobs: FakeJobs) -> None:
    app = visit(view="sweep")
    app.text_input(key="compare:values:scratch:learning_rate").set_value(values).run()
    assert sentence in texts(app)
    assert button(app, "Start the sweep").disabled


def test_one_setting_is_a_sweep_as_well(jobs: FakeJobs) -> None:
    app = visit(view="sweep")
    app.selectbox(key="compare:sweep:second").set_value("nothing else").run()
    button(app, "Start 4 runs").click().run()
    assert not app.exception
    assert "From scratch: learning rate, 4 runs" in texts(app).replace("\\", "")


def test_a_sweep_opens_by_its_link_for_anybody_and_shows_the_numbers_of_the_store(jobs: FakeJobs) -> None:
    for run in swept(RATES, SIZES_K, r1=("diverged", None)):
        outcome = {"status": run.status, "rmse": run.metrics.valid_rmse if run.metrics else None}
        finish_in_group(jobs, run.request, "g" * 16, **outcome)
    app = visit(group="g" * 16)
    assert "Best: **0.900** at learning rate 1, embedding size 4" in texts(app)
    assert "1 run diverged" in texts(app)
    assert "palest" not in texts(app)
    assert button(app, "Delete the sweep").disabled
    button(app, "Curves of the best 5").click().run()
    assert not app.exception
    assert len(param(app, "runs").split(",")) == 5
    assert "5 chosen runs are of somebody else" in texts(app)


def test_a_link_to_no_sweep_says_so() -> None:
    app = visit(group="nothing")
    assert "There is no sweep with this link here" in texts(app)


# Export


def test_what_can_be_taken_away_follows_the_choice(jobs: FakeJobs) -> None:
    ended = finished(jobs)
    app = visit(runs=[ended, stored(jobs, approach="pytorch")])
    labels = [each.proto.label for each in app.get("download_button")]
    assert labels[:3] == ["Runs, CSV", "Epochs, CSV", "All, JSON"]
    assert set(labels[3:7]) == {"Vectors, TSV", "Metadata, TSV", "Factors, npz", "safetensors"}
    assert labels[7:] == ["Python script", "Notebook", "Report"]
    assert "**2 chosen runs as tables**" in texts(app)
    app = visit(runs=[stored(jobs)])
    assert "Choose a run that has ended" in texts(app)


def moved(jobs: FakeJobs, run: Run) -> Run:
    """The same run measured on another split."""
    request = RunRequest(dataset="sample", split=SplitConfig.of("random", seed=1), config=run.request.config)
    return finish_in_group(jobs, request, "", rmse=0.2)


def ranked(jobs: FakeJobs, ndcg: float, *, n_users: int) -> Run:
    """A run whose first ten films were measured for ``n_users``."""
    run = finished(jobs)
    ranking = Ranking(
        precision=0.1, recall=0.1, ndcg=ndcg, hit_rate=0.5, coverage=0.2, mean_popularity=9.0, n_users=n_users
    )
    assert run.metrics is not None
    fresh = jobs.store.create(run.request, dataset_title="Sample (simulated)")
    jobs.store.start(
        fresh.id, split_how="random 20%", n_train=80, n_valid=20, baseline_mean_mse=1.21, baseline_bias_mse=0.81
    )
    outcome = {"status": "done", "message": "", "fit_seconds": 1.0, "peak_memory_mb": 500.0, "epochs": []}
    metrics = asdict(replace(run.metrics, ranking=ranking, baseline_bias_ranking=None))
    assert jobs.store.finish(fresh.id, {**outcome, "metrics": metrics, "arrays": {}})
    return reread(jobs, fresh)


def finish_in_group(
    jobs: FakeJobs, request: RunRequest, group: str, *, status: str = "done", rmse: float | None = 0.8
) -> Run:
    run = jobs.store.create(request, visitor="somebody else", dataset_title="Sample (simulated)", group=group)
    bias = {"baseline_mean_mse": 1.21, "baseline_bias_mse": 0.81}
    jobs.store.start(run.id, split_how="random 20%", n_train=80, n_valid=20, **bias)
    epoch = {"epoch": 1, "train_loss": 1.0, "valid_loss": 1.0, "seconds": 0.1}
    outcome = {"status": status, "message": "", "fit_seconds": 1.0, "peak_memory_mb": 500.0, "epochs": [epoch]}
    assert jobs.store.finish(run.id, {**outcome, "metrics": asdict(measured(rmse)), "arrays": {}})
    return reread(jobs, run)
