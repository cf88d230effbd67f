"""Maps of a small benchmark: written once, repeatable, naming nobody."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from prognobench.evaluation.tables import leaderboard
from prognobench.execution.benchmark import register, run_benchmark, write_preparation
from prognobench.execution.prepare import prepare
from prognobench.report.build import build_report
from prognobench.results.store import ResultsStore
from prognobench.saliency.examples import KINDS, choose_examples
from prognobench.saliency.folder import task_folder
from prognobench.saliency.picture import SIDE, overlay
from prognobench.saliency.write import write_saliency
from prognobench.spec import parse_spec

CPU = torch.device("cpu")

SPEC = {
    "name": "small",
    # Of a cohort whose model raises the risk of some: maps of nothing cannot be compared.
    "cohort": {"source": "synthetic", "patients": 30, "seed": 3, "policy": "all"},
    "audit": {"near_duplicates": False},
    "endpoints": ["icu"],
    "backbones": [{"name": "efficientnet_lite0", "input_size": 64}],
    "strategies": ["full"],
    "regimes": [{"name": "full_data", "folds": 2}],
    "recipe": {"epochs": 1},
    "evaluation": {"replicates": 100},
    "controls": ["prevalence"],
}


class Small:
    """A benchmark that is done, and what its maps are made from."""

    def __init__(self, output, **changes):
        self.prepared = prepare(parse_spec({**SPEC, **changes}, "test"))
        self.store = ResultsStore(output)
        write_preparation(self.prepared, output)
        todo = register(self.prepared, self.store)
        assert run_benchmark(self.prepared, todo, self.store, CPU, lambda _: None) == 0
        self.board = leaderboard(self.store.runs(), self.store.predictions, replicates=100)
        self.folder = task_folder(output, "synthetic/icu")

    def draw(self):
        write_saliency(self.prepared, self.store, self.board, CPU)
        return json.loads((self.folder / "saliency.json").read_text())

    def files(self):
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Small(tmp_path_factory.mktemp("maps") / "out")


def test_maps_of_the_best_candidate_are_written_and_shown(small):
    about = small.draw()
    assert "reason" not in about
    assert about["candidate"] == "efficientnet_lite0 64px with full"
    assert about["method"] == "Grad-CAM"
    assert -1 <= about["correlation_with_random_weights"] <= 1
    stored = small.store.predictions(about["run"])
    known = stored[stored["part"] == "test"].groupby("patient_id")["probability"].mean()
    assert about["examples"]
    for example in about["examples"]:
        assert example["kind"] in KINDS
        right = example["kind"].startswith("true")
        assert right == ((example["probability"] >= 0.5) == (example["target"] == 1))
        assert np.isclose(known, example["probability"]).any()
        with Image.open(small.folder / example["file"]) as picture:
            assert picture.size == (2 * SIDE, SIDE)
            assert not picture.info
    text = (small.folder / "saliency.json").read_text()
    ids = set(stored["patient_id"]) | set(stored["image_id"])
    assert not [own for own in ids if str(own) in text]
    page = build_report(small.store.output, small.store).page.read_text()
    assert page.count("Radiograph and map of patient") == len(about["examples"])
    assert "Sanity check" in page
    hidden = build_report(small.store.output, small.store, images=False).page.read_text()
    assert "Radiograph and map of patient" not in hidden


def test_maps_are_repeatable_and_kept(small):
    small.draw()
    first = small.files()
    times = {path: path.stat().st_mtime_ns for path in small.folder.iterdir()}
    small.draw()
    assert {path: path.stat().st_mtime_ns for path in small.folder.iterdir()} == times
    next(small.folder.glob("*.png")).unlink()
    small.draw()
    assert small.files() == first


def test_a_model_that_predicts_something_else_is_not_looked_at(small, monkeypatch):
    small.draw()
    stored = small.store.predictions

    def altered(run):
        table = stored(run).copy()
        table["probability"] = (table["probability"] + 0.02).clip(0, 1)
        return table

    (small.folder / "saliency.json").unlink()
    monkeypatch.setattr(small.store, "predictions", altered)
    about = small.draw()
    assert "differ by up to 0.02" in about["reason"]
    assert about["examples"] == []
    page = build_report(small.store.output, small.store).page.read_text()
    assert "There are no maps" in page


def test_nothing_is_drawn_before_the_runs_are_done(small, monkeypatch):
    runs = small.store.runs
    monkeypatch.setattr(small.store, "runs", lambda: runs().assign(state="pending"))
    assert "still to be done" in small.draw()["reason"]


def test_the_draw_is_of_each_kind_and_of_the_run():
    import pandas as pd

    random = np.random.default_rng(0)
    table = pd.DataFrame({"patient_id": [f"p{n:03}" for n in range(80)], "part": "test"})
    table["image_id"] = table["patient_id"] + "-i"
    table["target"] = np.arange(80) % 2
    table["logit"] = random.normal(size=80)
    table["probability"] = 1 / (1 + np.exp(-table["logit"]))
    found = choose_examples(table, 0.5, "run")
    assert [own.kind for own in found] == [kind for kind in KINDS for _ in range(2)]
    shuffled = table.sample(frac=1, random_state=1)
    assert choose_examples(shuffled, 0.5, "run") == found
    assert choose_examples(table, 0.5, "another") != found
    # A threshold that nobody reaches leaves negatives only.
    assert {own.kind for own in choose_examples(table, 2, "run")} == {KINDS[1], KINDS[3]}


def test_a_map_is_laid_where_the_model_looked():
    image = np.full((64, 64), 100, dtype=np.uint8)
    own = torch.zeros(4, 4)
    own[0, 3] = 5
    drawn = overlay(image, own, 1.0).astype(int)
    assert drawn.shape == (SIDE, 2 * SIDE, 3)
    assert (drawn[:, :SIDE] == 100).all()
    coloured = np.abs(drawn[:, SIDE:] - 100).max(axis=2) > 20
    rows, columns = np.nonzero(coloured)
    assert rows.max() < SIDE // 2
    assert columns.min() > SIDE // 2
    # A model that sees the middle half of the image has no map outside it.
    inner = np.abs(overlay(image, torch.ones(4, 4), 0.5).astype(int)[:, SIDE:] - 100).max(axis=2)
    quarter = SIDE // 4
    assert not inner[:quarter].any()
    assert inner[quarter:-quarter, quarter:-quarter].all()
    assert (overlay(image, torch.zeros(4, 4), 1.0) == 100).all()
