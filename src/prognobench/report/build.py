"""From an output folder to its tables and its report; nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from prognobench.errors import UserError
from prognobench.evaluation.rank_table import rank_table
from prognobench.evaluation.tables import leaderboard, run_metrics
from prognobench.files import atomic_path
from prognobench.plan import search_note
from prognobench.report.content import ReportContent
from prognobench.report.page import write_report
from prognobench.results.records import RunState
from prognobench.results.store import ResultsStore
from prognobench.spec import BenchmarkSpec, load_spec


@dataclass(frozen=True)
class Built:
    """What was written.

    Attributes:
        page: The HTML report.
        leaderboard: The table of ``leaderboard.csv``.
        failed: How many runs failed.
    """

    page: Path
    leaderboard: pd.DataFrame
    failed: int


def build_report(output: Path, store: ResultsStore) -> Built:
    """Write ``results.csv``, ``leaderboard.csv`` and ``report/index.html`` from what is stored.

    Args:
        output: The output folder of a run.
        store: Its store.

    Raises:
        UserError: When the folder lacks what a run writes before training.
    """
    spec = load_spec(output / "benchmark.yaml")
    runs = store.runs()
    results = run_metrics(runs, store.predictions)
    table = leaderboard(
        runs,
        store.predictions,
        spec.evaluation.metric,
        spec.evaluation.replicates,
        spec.evaluation.confidence,
    )
    ranks = rank_table(table)
    by_image = run_metrics(runs, store.predictions, "image")
    tables = {
        "results.csv": results,
        "results_by_image.csv": by_image,
        "leaderboard.csv": table,
        "ranks.csv": ranks,
    }
    for name, own in tables.items():
        with atomic_path(output / name) as temporary:
            own.to_csv(temporary, index=False)
    about = _read(output / "cohort" / "cohort.json")
    done = runs[runs["state"] == RunState.DONE]
    page = write_report(
        output,
        ReportContent(
            title=spec.name,
            leaderboard=table,
            ranks=ranks,
            results=results,
            runs=runs,
            confidence=spec.evaluation.confidence,
            spec=spec.as_yaml(),
            search_note=search_note(spec),
            provenance=_provenance(about["cohorts"]),
            outcomes={
                f"{own['name']}/{endpoint}": words
                for own in about["cohorts"]
                for endpoint, words in own["endpoints"].items()
            },
            flows=about["flows"],
            audits={
                task: _audit_facts(audit)
                for task, audit in _read(output / "cohort" / "audit.json").items()
            },
            contact_sheet=output / "cohort" / "contact_sheet.png",
            environment=done["environment"].iloc[-1] if len(done) else {},
            backbones=_backbones(spec),
        ),
    )
    return Built(page, table, int((runs["state"] == RunState.FAILED).sum()))


def _provenance(cohorts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return where the cohorts came from, by its facts, or by cohort where there are several."""
    if len(cohorts) == 1:
        return dict(cohorts[0]["provenance"])
    return {own["name"]: own["provenance"] for own in cohorts}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read: do `prognobench run` on its folder again"
        ) from error
    return found


def _audit_facts(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an audit the report shows; the participant flow has a table of its own."""
    facts: dict[str, Any] = {"warnings": audit["warnings"], "images": audit["images"]}
    facts["groups of duplicate images"] = len(audit["duplicates"])
    facts["missing values"] = audit["missing"]
    for endpoint, about in audit["endpoints"].items():
        for column, groups in about["by"].items():
            facts[f"{endpoint} by {column}"] = {
                name: f"{group['events']} of {group['patients']} patients"
                for name, group in groups.items()
            }
        for found in about["shortcuts"]:
            told = found["reason"]
            if found["auroc"] is not None:
                told = (
                    f"AUROC {found['auroc']:.2f} "
                    f"(95 % interval {found['ci_low']:.2f} to {found['ci_high']:.2f})"
                )
            facts[f"{endpoint} from {found['column']} alone"] = told
    return facts


def _backbones(spec: BenchmarkSpec) -> pd.DataFrame:
    rows = []
    for backbone in spec.backbones:
        entry = backbone.entry()
        rows.append(
            {
                "name": backbone.label,
                "architecture": entry.architecture,
                "features": entry.feature_dim,
                "input": f"{entry.input_size} px",
                "pretraining": entry.pretraining,
                "licence": entry.license,
                "weights (SHA-256)": entry.weights.sha256[:16],
            }
        )
    return pd.DataFrame(rows)
