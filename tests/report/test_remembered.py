"""What has not changed is not evaluated again; what has is."""

from __future__ import annotations

import shutil
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from small_benchmark import done

from prognobench.files import file_digest
from prognobench.report import build as building
from prognobench.report import evaluating, kept_candidates
from prognobench.report.remembered import FOLDER
from prognobench.results.store import ResultsStore
from undrawn import undrawn


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return done(tmp_path_factory.mktemp("remembered") / "out")


@pytest.fixture
def evaluations(monkeypatch):
    made = []
    evaluate = building.evaluate_candidates

    def counted(*given):
        made.append(1)
        return evaluate(*given)

    monkeypatch.setattr(building, "evaluate_candidates", counted)
    return made


def report(output, *, drawn=False):
    store = ResultsStore(output)
    try:
        with nullcontext() if drawn else undrawn():
            page = building.build_report(output, store).page.read_bytes()
    finally:
        store.close()
    beside = sorted([*output.glob("*.csv"), *(output / "report").rglob("*.*")])
    return page, {path.relative_to(output): path.read_bytes() for path in beside}


def test_the_report_of_kept_tables_is_that_of_fresh_ones(output, evaluations):
    fresh = report(output, drawn=True)
    again = report(output, drawn=True)
    assert len(evaluations) == 1
    assert again == fresh


def test_tables_that_were_changed_or_removed_are_written_again(output, evaluations):
    fresh = report(output)
    count = len(evaluations)
    (output / "leaderboard.csv").unlink()
    (output / "results.csv").write_text("nothing\n")
    assert report(output) == fresh
    assert len(evaluations) == count


def other_spec(output):
    path = output / "benchmark.yaml"
    path.write_text(path.read_text().replace("confidence: 0.95", "confidence: 0.9"))


def other_code(_output):
    """The test says so: code is not changed by tests."""


def other_run(output):
    store = ResultsStore(output)
    run = store.runs()["run"].iloc[-1]
    store.fail(run, "it broke", {})
    store.close()


def damaged(output):
    path = next((output / FOLDER).glob("leaderboard.parquet"))
    path.write_bytes(path.read_bytes()[:-10] + b"0123456789")


@pytest.mark.parametrize("change", [other_spec, other_run, damaged, other_code])
def test_what_has_changed_is_evaluated_anew(output, evaluations, monkeypatch, change):
    report(output)
    count = len(evaluations)
    change(output)
    if change is other_code:
        monkeypatch.setattr("prognobench.report.remembered._code", lambda: "another")
    report(output)
    assert len(evaluations) == count + 1


def test_altered_predictions_are_noticed(output, evaluations):
    from prognobench.errors import UserError

    report(output)
    store = ResultsStore(output)
    runs = store.runs()
    store.close()
    run = runs.loc[runs["state"] == "done", "run"].iloc[0]
    path = output / "predictions" / f"{run}.parquet"
    before = path.read_bytes()
    table = pd.read_parquet(path)
    table.assign(probability=np.clip(table["probability"] + 0.1, 0, 1)).to_parquet(path)
    with pytest.raises(UserError, match="not what was written"):
        report(output)
    path.write_bytes(before)


def test_the_report_reads_what_it_shows_and_trackers_read_all(output):
    store = ResultsStore(output)
    whole = building.evaluate(output, store).results
    shown = building.evaluate(output, store, whole=False).results
    store.close()
    wanted = (whole["metric"] == "mcc") | whole["value"].isna() | whole["flag"].notna()
    assert 0 < len(shown) < len(whole)
    pd.testing.assert_frame_equal(shown, whole[wanted].reset_index(drop=True))


@pytest.fixture
def candidates_evaluated(monkeypatch):
    seen = []
    made = evaluating.evaluate

    def counted(asked):
        (regime,) = set(asked[0].runs["regime"])
        seen.append(regime)
        return made(asked)

    monkeypatch.setattr(evaluating, "evaluate", counted)
    return seen


def failed_few_shot(output):
    store = ResultsStore(output)
    runs = store.runs()
    own = runs[
        (runs["regime"] == "few_shot") & (runs["state"] == "done") & (runs["backbone"] != "control")
    ]
    store.fail(own["run"].iloc[0], "it broke now", {})
    store.close()


def damaged_candidates(output):
    failed_few_shot(output)
    for path in (output / kept_candidates.FOLDER).glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-10] + b"0123456789")


@pytest.mark.parametrize("change", [failed_few_shot, damaged_candidates])
def test_new_runs_cost_their_own_candidates_only(output, tmp_path, candidates_evaluated, change):
    own = tmp_path / "out"
    shutil.copytree(output, own)
    report(own)
    candidates_evaluated.clear()
    change(own)
    by_candidates = report(own)
    if change is failed_few_shot:
        assert candidates_evaluated == ["few_shot"]
    else:
        assert {"full_data", "few_shot"} == set(candidates_evaluated)
    for folder in (kept_candidates.FOLDER, FOLDER):
        shutil.rmtree(own / folder)
    assert report(own) == by_candidates


def test_other_runs_of_a_plan_leave_a_candidate_as_it_is(output, tmp_path, candidates_evaluated):
    """Its numbers hang on its own runs and on what is planned, not on how far the others are."""
    own = tmp_path / "out"
    shutil.copytree(output, own)
    store = ResultsStore(own)
    runs = store.runs()
    controls = runs.loc[runs["backbone"] == "control", "run"]
    for run in controls:
        store.fail(run, "not yet", {})
    store.close()
    report(own)
    part = pd.read_csv(own / "leaderboard.csv").query("backbone != 'control'")
    report(output)
    whole = pd.read_csv(output / "leaderboard.csv").query("backbone != 'control'")
    names = ["regime", "shots", "backbone", "strategy", "estimate", "ci_low", "ci_high"]
    pd.testing.assert_frame_equal(
        part[names].reset_index(drop=True), whole[names].reset_index(drop=True)
    )


def test_many_files_are_put_into_one(output, tmp_path, candidates_evaluated, monkeypatch):
    own = tmp_path / "out"
    shutil.copytree(output, own)
    shutil.rmtree(own / kept_candidates.FOLDER, ignore_errors=True)
    shutil.rmtree(own / FOLDER, ignore_errors=True)
    monkeypatch.setattr(evaluating, "KEPT_EVERY", -1.0)
    monkeypatch.setattr(kept_candidates, "MOST_FILES", 2)
    fresh = report(own)
    candidates = len(candidates_evaluated)
    assert len(list((own / kept_candidates.FOLDER).iterdir())) == candidates > 2
    shutil.rmtree(own / FOLDER)
    assert report(own) == fresh
    assert len(list((own / kept_candidates.FOLDER).iterdir())) == 1
    shutil.rmtree(own / FOLDER)
    assert report(own) == fresh
    assert len(candidates_evaluated) == candidates


def test_a_split_that_is_gone_is_named(output, tmp_path):
    from prognobench.errors import UserError

    own = shutil.copytree(output, tmp_path / "out", ignore=shutil.ignore_patterns(".evaluated*"))
    gone = next((own / "splits").glob("*full_data*fold1.csv"))
    gone.unlink()
    with pytest.raises(UserError, match=f"{gone.name} cannot be read"):
        report(own)


def test_candidates_that_disagree_on_an_outcome_are_not_compared(output, tmp_path):
    from prognobench.errors import UserError

    own = shutil.copytree(output, tmp_path / "out", ignore=shutil.ignore_patterns(".evaluated*"))
    store = ResultsStore(own)
    runs = store.runs()
    linear = (runs["strategy"] == "linear") & (runs["regime"] == "full_data")
    for run in runs.loc[linear, "run"]:
        path = store.predictions_path(run)
        table = pd.read_parquet(path)
        table.assign(target=1 - table["target"]).to_parquet(path, index=False)
        store._update(run, predictions_sha256=file_digest(path))
    store.close()
    with pytest.raises(UserError, match="disagree on a patient's outcome"):
        report(own)


def test_of_a_candidate_without_a_finished_run_nothing_is_kept(output, tmp_path, monkeypatch):
    own = shutil.copytree(output, tmp_path / "out", ignore=shutil.ignore_patterns(".evaluated*"))
    store = ResultsStore(own)
    runs = store.runs()
    for run in runs.loc[runs["strategy"] == "linear", "run"]:
        store._update(run, state="pending")
    store.close()
    report(own)
    packs = (own / kept_candidates.FOLDER).glob("*.parquet")
    kept = pd.concat([pd.read_parquet(path) for path in packs])
    assert not kept["about"].str.contains('"strategy":"linear"').any()
    board = pd.read_csv(own / "leaderboard.csv").query("strategy == 'linear'")
    assert set(board["state"]) == {"pending"} and board["estimate"].isna().all()


def test_a_split_that_names_other_patients_is_refused(output, tmp_path):
    from prognobench.errors import UserError

    own = shutil.copytree(output, tmp_path / "out", ignore=shutil.ignore_patterns(".evaluated*"))
    for path in (own / "splits").glob("*.csv"):
        table = pd.read_csv(path, dtype=str)
        table.loc[table["part"] == "test", "part"] = "train"
        table.loc[0, "part"] = "test"
        table.to_csv(path, index=False)
    with pytest.raises(UserError, match="whom no split of theirs names"):
        report(own)
