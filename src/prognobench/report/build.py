"""From an output folder to its tables and its report; nothing is trained."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow.compute import Expression, field

from prognobench.cohorts.combine import MEMBER_COLUMN
from prognobench.errors import UserError
from prognobench.evaluation.detail import Details, details
from prognobench.evaluation.finished import Runs
from prognobench.evaluation.metrics import SHOWN, headline_of
from prognobench.evaluation.rank_table import rank_table
from prognobench.evaluation.tables import (
    in_order,
    leaderboard,
    leaderboard_columns,
    run_metrics,
    tested_patients,
)
from prognobench.evaluation.workers import on_all_cores
from prognobench.files import file_digest
from prognobench.plan import search_note
from prognobench.report.content import ReportContent, Saliency
from prognobench.report.kept_cells import KeptCell, KeptCells, drawn_from
from prognobench.report.page import write_report
from prognobench.report.remembered import evaluation_key, keep, recall
from prognobench.results.records import RunState
from prognobench.results.store import ResultsStore
from prognobench.saliency.folder import DESCRIPTION, FOLDER
from prognobench.spec import BenchmarkSpec, EvaluationSpec, load_spec


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


@dataclass(frozen=True)
class Evaluated:
    """The tables of an output folder.

    Attributes:
        runs: One row a run.
        results: ``results.csv``.
        leaderboard: ``leaderboard.csv``.
        ranks: ``ranks.csv``.
        details: Curves and subgroups of the best candidates.
    """

    runs: pd.DataFrame
    results: pd.DataFrame
    leaderboard: pd.DataFrame
    ranks: pd.DataFrame
    details: Details


def evaluate(output: Path, store: ResultsStore, *, whole: bool = True) -> Evaluated:
    """Write the tables of an output folder from what is stored.

    They are ``results.csv``, ``results_by_image.csv``, ``leaderboard.csv``, ``ranks.csv``,
    ``curves.csv`` and ``subgroups.csv``. Where nothing has changed since the last time, they are
    those of that time (:mod:`prognobench.report.remembered`).

    Args:
        output: The output folder of a run.
        store: Its store.
        whole: Whether all of ``results.csv`` is returned, or what the report shows of it: the
            metric that ranks, what is undefined and what is flagged.

    Raises:
        UserError: When the folder lacks what a run writes before training.
    """
    asked = load_spec(output / "benchmark.yaml").evaluation
    runs = store.runs()
    key = evaluation_key(output, runs, asked.model_dump(mode="json"))
    tables = recall(output, key, None if whole else _shown(asked.metric))
    if tables is None:
        tables = _evaluate(output, store, runs, asked)
        keep(output, key, tables)
    return Evaluated(
        runs,
        tables["results.csv"],
        tables["leaderboard.csv"],
        tables["ranks.csv"],
        Details(tables["curves.csv"], tables["subgroups.csv"]),
    )


def _shown(metric: str) -> Expression:
    """Say which rows of ``results.csv`` the report looks at."""
    ranking = sorted({headline_of(kind, metric) for kind in SHOWN})
    return field("metric").isin(ranking) | field("value").is_null() | field("flag").is_valid()


def _evaluate(
    output: Path, store: ResultsStore, runs: pd.DataFrame, asked: EvaluationSpec
) -> dict[str, pd.DataFrame]:
    """Return the tables of an output folder by their file names."""
    cells = KeptCells(output, runs, asked.model_dump(mode="json"))
    kept = cells.recall()
    # Each table is of the same predictions: they are read once.
    with on_all_cores(_done(cells, kept)) as mapped:
        predictions = Runs(store.predictions, mapped, store.source)
        tested = {key: cell.tested for key, cell in kept.items()}
        for key, own in cells.runs.items():
            if key not in kept:
                tested[key] = tested_patients(own, predictions)
        patients: dict[tuple[str, str], dict[str, float]] = {}
        for key, own in cells.runs.items():
            patients.setdefault(_task(own), {}).update(tested[key])
        drawn = {task: drawn_from(own) for task, own in patients.items()}
        for key, own in cells.runs.items():
            if key in kept and kept[key].drawn == drawn[_task(own)]:
                continue
            tables = {
                "leaderboard": leaderboard(
                    own,
                    predictions,
                    asked.metric,
                    asked.replicates,
                    asked.confidence,
                    further=patients,
                ),
                "results": run_metrics(own, predictions),
                "results_by_image": run_metrics(own, predictions, "image"),
            }
            kept[key] = KeptCell(tables, tested[key], drawn[_task(own)])
            cells.keep(key, kept[key])
        predictions.map = map
    for folder in cells.others():
        shutil.rmtree(folder, ignore_errors=True)
    together = {
        # A column without any text in one cell has texts in another: its kind is found anew.
        name: pd.concat(
            [kept[key].tables[name] for key in cells.runs], ignore_index=True
        ).infer_objects()
        for name in ("leaderboard", "results", "results_by_image")
    }
    kinds = set(runs["kind"]) if "kind" in runs else ()
    columns = leaderboard_columns(asked.metric, kinds)
    table = in_order(together["leaderboard"].reindex(columns=columns))
    looked = details(
        runs,
        predictions,
        table,
        _images(output),
        replicates=asked.replicates,
        confidence=asked.confidence,
    )
    return {
        "results.csv": _as_planned(together["results"], runs),
        "results_by_image.csv": _as_planned(together["results_by_image"], runs),
        "leaderboard.csv": table,
        "ranks.csv": rank_table(table),
        "curves.csv": looked.curves,
        "subgroups.csv": looked.subgroups,
    }


def _done(cells: KeptCells, kept: Mapping[str, KeptCell]) -> int:
    """Return how many runs have to be evaluated."""
    return sum(
        int((own["state"] == RunState.DONE).sum())
        for key, own in cells.runs.items()
        if key not in kept
    )


def _task(runs: pd.DataFrame) -> tuple[str, str]:
    return str(runs["dataset"].iloc[0]), str(runs["endpoint"].iloc[0])


def _as_planned(results: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return results in the order of the runs."""
    place = pd.Series(range(len(runs)), index=runs["run"])
    order = results["run"].map(place).to_numpy().argsort(kind="stable")
    return results.take(order).reset_index(drop=True)


def build_report(
    output: Path,
    store: ResultsStore,
    *,
    evaluated: Evaluated | None = None,
    images: bool | None = None,
) -> Built:
    """Write the tables and ``report/`` of an output folder from what is stored.

    Args:
        output: The output folder of a run.
        store: Its store.
        evaluated: Its tables, where they were made already.
        images: Whether pictures of patients are shown; as the spec says when None.

    Raises:
        UserError: When the folder lacks what a run writes before training.
    """
    spec = load_spec(output / "benchmark.yaml")
    about = _read(output / "cohort" / "cohort.json")
    audits = _read(output / "cohort" / "audit.json")
    made = evaluated or evaluate(output, store, whole=False)
    runs = made.runs
    done = runs[runs["state"] == RunState.DONE]
    page = write_report(
        output,
        ReportContent(
            title=spec.name,
            leaderboard=made.leaderboard,
            ranks=made.ranks,
            results=made.results,
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
            audits={task: _audit_facts(audits[task]) for task in about["flows"] if task in audits},
            audit=audits,
            contact_sheets=sorted((output / "cohort").glob("contact_sheet*.png")),
            images=spec.report.images if images is None else images,
            saliency=_saliency(output / FOLDER) if spec.report.saliency else [],
            curves=made.details.curves,
            subgroups=made.details.subgroups,
            digests=_digests(output),
            environment=_environments(done),
            backbones=_backbones(spec),
        ),
    )
    return Built(page, made.leaderboard, int((runs["state"] == RunState.FAILED).sum()))


def _images(output: Path) -> dict[str, pd.DataFrame]:
    """Return what is known of the images of each cohort; nothing where it cannot be read."""
    path = output / "cohort" / "manifest.parquet"
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read: do `prognobench run` on its folder again"
        ) from error
    return {str(name): own for name, own in table.groupby(MEMBER_COLUMN, sort=False)}


def _saliency(folder: Path) -> list[Saliency]:
    """Return the maps of an output folder; a folder that cannot be read has none."""
    found = []
    for path in sorted(folder.glob(f"*/{DESCRIPTION}")):
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
            examples = [
                {**one, "picture": path.parent / Path(one["file"]).name}
                for one in about.pop("examples")
            ]
            found.append(Saliency(about["task"], about, examples))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _digests(output: Path) -> dict[str, str]:
    """Return digests of what decides the results."""
    splits = sorted((output / "splits").rglob("*.csv"))
    named = "".join(f"{path.relative_to(output)} {file_digest(path)}\n" for path in splits)
    found = {}
    for name in ("benchmark.yaml", "cohort/manifest.parquet"):
        if (output / name).is_file():
            found[name] = file_digest(output / name)
    if splits:
        digest = hashlib.sha256(named.encode()).hexdigest()
        found[f"splits ({len(splits)} files, names with their digests)"] = digest
    return found


def _environments(done: pd.DataFrame) -> dict[str, Any]:
    """Return versions and hardware of the last run, and every device with its number of runs."""
    known = [own for own in done["environment"] if isinstance(own, Mapping)]
    if not known:
        return {}
    devices = Counter(str(own.get("device_name", own.get("device"))) for own in known)
    seconds = float(done["train_seconds"].sum())
    return {
        "devices": [f"{name} ({count} runs)" for name, count in devices.most_common()],
        "training time of all runs": f"{seconds / 3600:.2f} hours",
        **{name: value for name, value in known[-1].items() if name != "device_name"},
    }


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
