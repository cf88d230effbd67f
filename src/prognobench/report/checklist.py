"""The reporting guidelines, filled in with what the tool knows and open where only authors know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from prognobench import __version__
from prognobench.cohorts.outcome_kinds import Kind
from prognobench.report import checklist_regimes, checklist_spec, words
from prognobench.report.checklist_items import GUIDELINES
from prognobench.report.content import Cell, ReportContent

OPEN = "open: for the authors"


@dataclass(frozen=True)
class Checklist:
    """A guideline with its answers.

    Attributes:
        name: The guideline.
        source: Where it was published.
        rows: Number, topic, answer, and whether something is left to the authors.
        filled: How many items the tool could say something on.
    """

    name: str
    source: str
    rows: tuple[tuple[str, str, str, bool], ...]
    filled: int


def checklists(content: ReportContent, found: Sequence[Cell]) -> list[Checklist]:
    """Return the guidelines, filled in for a report."""
    known = facts(content, found)
    made = []
    for name, (items, source) in GUIDELINES.items():
        rows = []
        for item in items:
            text = known.get(item.known, "")
            left = bool(not text or item.left)
            answer = text or OPEN
            if text and item.left:
                answer = f"{text} {OPEN}: {item.left}."
            rows.append((item.number, item.topic, answer, left))
        filled = sum(bool(known.get(item.known)) for item in items)
        made.append(Checklist(name, source, tuple(rows), filled))
    return made


def facts(content: ReportContent, found: Sequence[Cell]) -> dict[str, str]:
    """Return what the tool knows, by the keys that items name; what it does not know is missing."""
    spec = yaml.safe_load(content.spec) if content.spec else {}
    spec = spec if isinstance(spec, Mapping) else {}
    recipe = spec.get("recipe") or {}
    tasks = list(dict.fromkeys(cell.task for cell in found))
    regimes = {cell.regime for cell in found}
    kinds = [kind for kind in OUTPUTS if any(cell.metric.kind == kind for cell in found)]
    known = {
        **_about_data(content, tasks, spec),
        **_about_images(content, found, spec),
        **_about_models(content),
        **_about_kinds(kinds or ["binary"]),
        **_about_regimes(found, spec, recipe),
        **_about_results(content, found),
        "aim": (
            f"To compare {words.plural(_distinct(content, 'backbone'), 'pretrained backbone')} "
            f"under {words.plural(_distinct(content, 'strategy'), 'fine-tuning strategy', 'ies')} "
            f"for {words.listing(tasks)}: development with "
            f"{checklist_regimes.testing(regimes, checklist_regimes.split_columns(spec))}."
        ),
        "spec": "The resolved benchmark file is in the appendix; splits were written to disk "
        "before any training.",
        "code": f"prognobench {__version__}, Apache-2.0; versions of all libraries are in the "
        "appendix.",
        "software": f"prognobench {__version__}; see versions and hardware in the appendix.",
        "robustness": checklist_spec.robustness(spec),
        "pseudonyms": "Patients and images have pseudonyms in this report, or no name at all.",
    }
    if not tasks:
        known.pop("aim")
    return {name: text for name, text in known.items() if text}


def _distinct(content: ReportContent, column: str) -> int:
    own = content.runs[content.runs["backbone"] != "control"]
    return int(own[column].nunique())


def _about_data(
    content: ReportContent, tasks: Sequence[str], spec: Mapping[str, Any]
) -> dict[str, str]:
    flat = _flat(content.provenance)
    titles = [str(one["title"]) for one in flat if one.get("title")]
    versions = [str(one["version"]) for one in flat if one.get("version")]
    licences = [str(one["licence"]) for one in flat if one.get("licence")]
    sizes = []
    for task in tasks:
        steps = content.flows.get(task) or ()
        if steps:
            last = steps[-1]
            events = last.get("events")
            sizes.append(
                f"{task}: {words.count(last.get('patients'))} patients"
                + ("" if events is None else f", {words.count(events)} with the event")
            )
    sites = {
        task: len(groups)
        for task, audit in content.audits.items()
        for name, groups in audit.items()
        if name.endswith(" by site") and isinstance(groups, Mapping)
    }
    missing = any("missing values" in audit for audit in content.audits.values())
    return {
        "source": ". ".join([*titles, *(f"Version {name}" for name in versions)])
        + ("." if titles or versions else ""),
        "licence": f"Licence of the data: {words.listing(dict.fromkeys(licences))}."
        if licences
        else "",
        "sites": "; ".join(
            f"{task}: {words.plural(number, 'site')}" for task, number in sites.items()
        ),
        "flow": "The participant flow counts what each rule left out, with its reason."
        if content.flows
        else "",
        "selection": "Which images of a patient are used is the policy in the spec; the flow "
        "counts "
        "the others."
        if content.flows
        else "",
        "outcome": "; ".join(
            f"{task}: {text}" for task, text in content.outcomes.items() if task in tasks
        ),
        "size": "; ".join(sizes),
        "missing": checklist_spec.missing(spec) if missing else "",
        "characteristics": "Events by sex, age band, site and view are in the audit."
        if any(" by " in name for audit in content.audits.values() for name in audit)
        else "",
    }


def _about_images(
    content: ReportContent, found: Sequence[Cell], spec: Mapping[str, Any]
) -> dict[str, str]:
    kinds = {cell.task: cell.metric.kind for cell in found}
    return {
        "timing": checklist_spec.timing(spec, list(content.flows) or list(kinds), kinds),
        "predictors": checklist_spec.predictors(spec),
        "preprocessing": checklist_spec.preprocessing(spec),
    }


def _about_models(content: ReportContent) -> dict[str, str]:
    seeds = sorted({int(seed) for seed in content.runs["seed"].dropna()})
    return {
        "splits": f"{words.count(content.runs['split'].nunique())} splits of patients, the "
        "same for "
        "every candidate; regimes are in the spec.",
        "disjoint": "Patients: no patient is in two parts of a split, checked when a split is "
        "written and when it is read.",
        "models": "Backbones with their pretraining and digests, strategies and recipe are in the "
        "appendix and the spec.",
        "initialisation": "Pretrained weights, named with their SHA-256; the head and adapters at "
        f"random, derived from each run's identity (seeds {words.listing(map(str, seeds), 12)}).",
        "ensembles": "None; a patient's prediction is the mean over the patient's images.",
        "prediction": "Each patient is predicted by the models that were not trained on the "
        "patient; "
        "predictions of several images are averaged.",
        "updating": "No model was changed after its evaluation.",
        "model_files": "With save_models: true what each run trained is kept in models/; see "
        "prognobench export.",
    }


OUTPUTS: Mapping[Kind, tuple[str, str]] = {
    "binary": (
        "A probability, and a class at a threshold fixed before the test part was seen.",
        "Discrimination, calibration, error of the probability and net benefit; each is explained "
        "in this report.",
    ),
    "ordinal": (
        "A score, rounded to the nearest level.",
        "Agreement beyond chance with differences counted by their square, and the mean error in "
        "levels.",
    ),
    "time_to_event": (
        "A log hazard, and with the baseline hazard of the training part the probability of the "
        "event until a time.",
        "Concordance and the error of the probability over time, both weighted for censoring, and "
        "calibration at one time.",
    ),
}
"""What models give and how that is measured, by the kind of the outcome."""


def _about_kinds(kinds: Sequence[Kind]) -> dict[str, str]:
    """Return what goes by the kind of the outcomes, each named where there are several."""

    def told(place: int) -> str:
        named = {kind: f"{kind.replace('_', ' ').capitalize()}: " for kind in kinds}
        return " ".join(
            (named[kind] if len(kinds) > 1 else "") + OUTPUTS[kind][place] for kind in kinds
        )

    return {"output": told(0), "metrics": told(1)}


def _about_regimes(
    found: Sequence[Cell], spec: Mapping[str, Any], recipe: Mapping[str, Any]
) -> dict[str, str]:
    """Return what goes by how much data was trained on, and who was tested."""
    regimes = {cell.regime for cell in found}
    kinds = {cell.metric.kind for cell in found} or {"binary"}
    asked = str(recipe.get("imbalance", ""))
    weighted = [checklist_regimes.imbalance(regimes, asked)] if "binary" in kinds else []
    if kinds - {"binary"} and asked != "none":
        weighted.append("Nothing is weighted where scores or times are predicted.")
    return {
        "training": checklist_regimes.training(regimes, recipe),
        "choice": checklist_regimes.choice(regimes),
        "imbalance": " ".join(weighted) if asked else "",
        "difference": checklist_regimes.difference(regimes, checklist_regimes.split_columns(spec)),
    }


def _about_results(content: ReportContent, found: Sequence[Cell]) -> dict[str, str]:
    regimes = {cell.regime for cell in found}
    subgroups = (
        list(dict.fromkeys(content.subgroups["attribute"])) if len(content.subgroups) else []
    )
    named = words.listing([name for name in subgroups if name != "everybody"])
    failed = int((content.runs["state"] == "failed").sum())
    return {
        "uncertainty": f"{words.level(content.confidence)} intervals of a bootstrap of patients; "
        "paired comparisons on the same draws by Student's t with its standard error (DeLong's "
        "test for the AUROC); Holm's correction.",
        "performance": "Every candidate with intervals in the leaderboard; the best in subgroups."
        if found
        else "",
        "subgroups": f"The best candidate by {named}." if named else "",
        "clusters": "Sites were left out one by one." if "leave_one_site_out" in regimes else "",
        "saliency": "Maps of where the best candidate looked, with a sanity check."
        if any(own.examples for own in content.saliency)
        else "",
        "failures": f"{words.plural(failed, 'run')} failed; failures, undefined metrics and "
        "collapsed runs are listed with their reasons.",
        "limitations": "What the data cannot support is said under each answer." if found else "",
    }


def _flat(provenance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    nested = [value for value in provenance.values() if isinstance(value, Mapping)]
    return nested or [provenance]


def as_table(checklist: Checklist) -> pd.DataFrame:
    """Return a checklist as a table of texts."""
    rows = [(number, topic, answer) for number, topic, answer, _ in checklist.rows]
    return pd.DataFrame(rows, columns=["Item", "Asks for", "Answer"])
