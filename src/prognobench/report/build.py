"""From an output folder to its tables and its report; nothing is trained."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
from pyarrow.compute import Expression, field

from prognobench.errors import UserError
from prognobench.evaluation.choice import IMPOSSIBLE
from prognobench.evaluation.detail import Details
from prognobench.evaluation.metrics import SHOWN, headline_of
from prognobench.files import file_digest
from prognobench.plan import search_note
from prognobench.report.content import ReportContent, Saliency
from prognobench.report.evaluating import (
    collecting_nothing,
    comparison_tables,
    evaluate_candidates,
    planned,
    result_tables,
)
from prognobench.report.page import write_report
from prognobench.report.remembered import evaluation_key, facts, keep, recall
from prognobench.results.records import RunState
from prognobench.results.store import ResultsStore
from prognobench.saliency.folder import DESCRIPTION, task_folder
from prognobench.spec import BenchmarkSpec, load_spec
from prognobench.splits.split import split_path

Tables: TypeAlias = dict[str, pd.DataFrame]
"""Tables by their file names."""


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
    with _beside() as writing:
        made, written = _evaluated(output, store, writing, whole=whole)
        written.result()
    return made


@contextlib.contextmanager
def _beside() -> Iterator[Callable[..., Future[None]]]:
    """Give what keeps tables while the block goes on; Ctrl-C does not wait for it."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as beside:

        def write(output: Path, key: str, tables: Tables, others: Future[Tables]) -> Future[None]:
            return beside.submit(keep, output, key, tables, others, stop)

        try:
            yield write
        except KeyboardInterrupt:
            stop.set()
            raise


def _evaluated(
    output: Path, store: ResultsStore, writing: Callable[..., Future[None]], *, whole: bool
) -> tuple[Evaluated, Future[None]]:
    """Return the tables of an output folder, which are written meanwhile where they are new."""
    asked = load_spec(output / "benchmark.yaml").evaluation
    written: Future[None] = Future()
    with collecting_nothing():
        runs = store.runs(without=["run_info", "train_info", "started", "finished"])
        told = facts(output, runs)
        key = evaluation_key(output, told, asked.model_dump(mode="json"))
        tables = recall(output, key, None if whole else _shown(asked.metric))
        if tables is None:
            plan = planned(output, runs, told, asked)
    if tables is None:
        found = evaluate_candidates(output, store, plan)
        with collecting_nothing():
            tables = result_tables(plan, found)
            others: Future[Tables] = Future()
            try:
                written = writing(output, key, tables, others)
                others.set_result(comparison_tables(output, store, plan, found, asked))
            except BaseException as error:
                others.set_exception(error)
                raise
            tables = {**tables, **others.result()}
    else:
        written.set_result(None)
    results = tables["results.csv"]
    if not whole:
        results = results[_is_shown(results, asked.metric)].reset_index(drop=True)
    words = [name for name, kind in results.dtypes.items() if kind == "category"]
    made = Evaluated(
        runs,
        results.astype(dict.fromkeys(words, object)),
        tables["leaderboard.csv"],
        tables["ranks.csv"],
        Details(tables["curves.csv"], tables["subgroups.csv"]),
    )
    return made, written


def _shown(metric: str) -> Expression:
    """Say which rows of ``results.csv`` the report looks at."""
    ranking = _ranking(metric)
    return field("metric").isin(ranking) | field("value").is_null() | field("flag").is_valid()


def _is_shown(results: pd.DataFrame, metric: str) -> pd.Series[bool]:
    """Say of each row of ``results.csv`` whether the report looks at it, as :func:`_shown`."""
    ranking = results["metric"].isin(_ranking(metric))
    return ranking | results["value"].isna() | results["flag"].notna()


def _ranking(metric: str) -> list[str]:
    """Return the metrics that rank, of all kinds of outcome."""
    return sorted({headline_of(kind, metric) for kind in SHOWN})


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
    with _beside() as writing:
        written: Future[None] | None = None
        if evaluated is None:
            # Tables of millions of rows are written while the page is drawn.
            evaluated, written = _evaluated(output, store, writing, whole=False)
        with collecting_nothing():
            page = _page(output, evaluated, images)
        if written:
            written.result()
    failed = int((evaluated.runs["state"] == RunState.FAILED).sum())
    return Built(page, evaluated.leaderboard, failed)


def _page(output: Path, made: Evaluated, images: bool | None) -> Path:
    """Write ``report/``, and return the page."""
    spec = load_spec(output / "benchmark.yaml")
    about = _read(output / "cohort" / "cohort.json")
    audits = _read(output / "cohort" / "audit.json")
    done = made.runs[made.runs["state"] == RunState.DONE]
    return write_report(
        output,
        ReportContent(
            title=spec.name,
            leaderboard=made.leaderboard,
            ranks=made.ranks,
            results=made.results,
            runs=made.runs,
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
            contact_sheets=_contact_sheets(output / "cohort", len(about["cohorts"])),
            images=spec.report.images if images is None else images,
            saliency=_saliency(output, about["flows"]) if spec.report.saliency else [],
            curves=made.details.curves,
            subgroups=made.details.subgroups,
            digests=_digests(output, made.runs),
            environment=_environments(done),
            backbones=_backbones(spec),
        ),
    )


def _contact_sheets(folder: Path, cohorts: int) -> list[Path]:
    """Return the contact sheets that are there of this many cohorts, and none of earlier ones."""
    others = (f"contact_sheet_{number}.png" for number in range(2, cohorts + 1))
    return [folder / name for name in ("contact_sheet.png", *others) if (folder / name).is_file()]


def _saliency(output: Path, tasks: Iterable[str]) -> list[Saliency]:
    """Return the maps of these tasks; a folder that cannot be read has none."""
    found = []
    for path in sorted(task_folder(output, task) / DESCRIPTION for task in tasks):
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


def _digests(output: Path, runs: pd.DataFrame) -> dict[str, str]:
    """Return digests of what decides the results: of splits those that runs could be done on."""
    used = runs.loc[~runs["state"].isin(IMPOSSIBLE), ["dataset", "endpoint", "split"]]
    places = used.drop_duplicates().itertuples(index=False, name=None)
    paths = (
        split_path(output / "splits", f"{dataset}/{endpoint}", str(split))
        for dataset, endpoint, split in places
    )
    splits = sorted(path for path in paths if path.is_file())
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
