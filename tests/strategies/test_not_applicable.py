"""A cell that cannot be: "n/a" with its reason in the plan, in the results and in the report."""

from __future__ import annotations

import html
import json

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from prognobench.cli import app
from prognobench.strategies.adapters import NO_LINEAR_LAYERS


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("not_applicable")
    data = {
        "name": "cells",
        "cohort": {"source": "synthetic", "patients": 40, "seed": 0},
        "endpoints": ["icu"],
        "backbones": ["efficientnet_lite0", "demo_vit"],
        "strategies": ["linear", "vera", {"peft": "FOURIERFT", "n_frequency": 50}],
        "regimes": [{"name": "full_data", "folds": 2}],
        "recipe": {"epochs": 1},
        "report": {"saliency": False},
        "audit": {"near_duplicates": False},
    }
    spec, output = folder / "spec.yaml", folder / "out"
    spec.write_text(yaml.safe_dump(data))
    planned = CliRunner().invoke(app, ["plan", str(spec), "--output", str(output), "--json"])
    only = "backbones=[efficientnet_lite0]"  # the other would train, which takes time
    done = CliRunner().invoke(app, ["run", str(spec), only, "--output", str(output)])
    assert done.exit_code == 0, done.output
    return json.loads(planned.stdout), output


CELLS = {"vera": NO_LINEAR_LAYERS, "peft FOURIERFT": "peft refuses: Target module Conv2d("}


def test_in_the_plan(finished):
    plan, _ = finished
    assert (plan["runs"], plan["pending"], plan["not_possible"]) == (12, 8, 4)
    states = {(c["backbone"], c["strategy"]): (c["state"], c["reason"]) for c in plan["cells"]}
    for strategy, words in CELLS.items():
        state, reason = states["efficientnet_lite0", strategy]
        assert state == "not_applicable"
        assert reason.startswith(words)
        assert states["demo_vit", strategy] == ("possible", None)


def test_in_the_results(finished):
    _, output = finished
    for name, state in (("results.csv", None), ("leaderboard.csv", "not_applicable")):
        table = pd.read_csv(output / name)
        for strategy, words in CELLS.items():
            own = table[table["strategy"] == strategy]
            assert len(own)
            assert own["reason"].str.startswith(words).all()
            assert own["value" if state is None else "estimate"].isna().all()
            assert state is None or (own["state"] == state).all()


def test_in_the_report(finished):
    _, output = finished
    page = html.unescape((output / "report" / "index.html").read_text(encoding="utf-8"))
    for words in CELLS.values():
        assert f"n/a: {words}" in page
