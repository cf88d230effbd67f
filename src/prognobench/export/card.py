"""The model card: what the model is for, what was measured, and what it must not be used for.

After Mitchell et al. 2019, Model Cards for Model Reporting (FAT* 2019), with a header that the
Hugging Face hub reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from prognobench.evaluation.metrics import METRICS
from prognobench.prediction.description import Calibration, ModelDescription, Thresholds
from prognobench.prediction.model import NOTICE

LEAST = 10
"""Patients with and without the event below which nothing can be said of a group."""


def write_card(about: ModelDescription) -> str:
    """Return the model card as Markdown."""
    task = about.task
    name = f"{task.dataset}/{task.endpoint}"
    header = {
        "library_name": "prognobench",
        "license": "other",
        "license_name": f"weights of the backbone: {about.backbone.license}",
        "tags": ["chest-x-ray", "prognosis", "research-only"],
    }
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---",
        f"# {name}: {about.backbone.spec.name} with {about.strategy.label}",
        f"**{NOTICE}**",
        _section("What it predicts", _predicts(about)),
        _section("What the choice rests on", [f"- {own}" for own in about.performance["findings"]]),
        _section("Performance", _performance(about.performance)),
        *_reading(about),
        _section("Training data", _data(about.training)),
        _section("Intended use", _use(task.positive)),
        _section("Limits", _limits(about)),
        _section("Backbone and licences", _licences(about)),
        _section("Use", _usage()),
        _section("Origin", [f"- {key}: {value}" for key, value in about.origin.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}", "", *lines])


def _predicts(about: ModelDescription) -> list[str]:
    what = (
        "The probability of" if about.outcome.kind == "binary" else _PREDICTED[about.outcome.kind]
    )
    return [
        f"{what}: {about.task.positive}. Input is a frontal chest radiograph (DICOM, "
        "PNG or JPEG). In training the image policy was "
        f"`{about.task.policy}` (see the image policies in prognobench's docs/methods.md): images "
        "of another moment are another question."
    ]


def _performance(performance: Mapping[str, Any]) -> list[str]:
    events = performance["n_positive"]
    lines = [
        f"By {performance['regime']} on {performance['n_patients']} patients"
        + ("" if events is None else f", {events} with the event")
        + ". "
        + (
            "These are numbers of the procedure, measured on patients that its models had not "
            "seen; this very model was trained afterwards on all of them and has not been tested "
            "on anybody."
            if performance["refitted"]
            else "These are numbers of all runs of the candidate, of which this model is one."
        ),
        "",
        f"| metric | estimate | {100 * performance['confidence']:g} % interval | chance |",
        "|---|---|---|---|",
    ]
    for name, own in performance["metrics"].items():
        title = METRICS[name].title if name in METRICS else name
        estimate, chance = _number(own["estimate"]), _number(own["chance"])
        lines.append(f"| {title} | {estimate} | {_interval(own)} | {chance} |")
    if performance["control"]:
        control = performance["control"]
        lines += [
            "",
            f"Difference to the best control, `{control['name']}`, in "
            f"{performance['metric']}: {_number(control['difference'])} ({_interval(control)}).",
        ]
    return lines


_PREDICTED = {
    "ordinal": "A score of whole numbers",
    "time_to_event": "How soon, by a log hazard",
}


def _reading(about: ModelDescription) -> list[str]:
    """Return the section that says what the numbers mean."""
    if about.calibration is not None and about.thresholds is not None:
        lines = _probabilities(about.calibration, about.thresholds)
        return [_section("Probabilities and thresholds", lines)]
    outcome = about.outcome
    if outcome.kind == "ordinal":
        lines = [
            f"- `score` is the predicted score, 0 to {outcome.highest}; a patient's is the mean "
            "over the patient's images. Where the image tells little it lies near the mean score.",
            "- `level` is the nearest whole number to it, by which the model was judged.",
        ]
        return [_section("The score", lines)]
    lines = [
        "- `log_hazard` orders patients: the higher, the sooner; 0 is the mean of the training "
        "images. A patient's is the mean over the patient's images.",
    ]
    if outcome.horizon is not None:
        lines.append(
            f"- `risk` is the predicted probability of the event until {outcome.horizon:g} days "
            "after the image, the median of the events that were trained on, with Breslow's "
            "baseline hazard of the training patients. It was not recalibrated."
        )
    return [_section("The hazard", lines)]


def _probabilities(calibration: Calibration, thresholds: Thresholds) -> list[str]:
    fit = calibration.about
    lines = [
        "- `probability` is what the model gives: the logistic function of its logit.",
        f"- `corrected` takes back what the handling of imbalance in training added to the logit "
        f"({calibration.prior_logit_shift:.4f}).",
    ]
    if calibration.method == "none":
        why = fit.get("reason") or (
            "no recalibration had a lower log-loss on patients that it was not fitted to"
        )
        if fit.get("asked_for"):
            why = "so it was asked for, and no other method was tried"
        lines.append(f"- `calibrated` is `corrected`, not recalibrated: {why}.")
    else:
        why = (
            "by the method that was asked for; no other was tried"
            if fit.get("asked_for")
            else "and chosen by the log-loss of patients that it was not fitted to"
        )
        lines.append(
            f"- `calibrated` is `corrected` recalibrated ({calibration.method}: intercept "
            f"{calibration.intercept:.4f}, slope {calibration.slope:.4f}), fitted to the "
            f"out-of-fold predictions of {fit['patients']} patients, {fit['events']} with the "
            f"event, {why}."
        )
    for method, loss in fit.get("cross_fitted_log_loss", {}).items():
        brier = fit["cross_fitted_brier"][method]
        lines.append(f"  - {method}: cross-fitted log-loss {loss:.4f}, Brier score {brier:.4f}")
    lines += [
        "- A patient's probability is the mean over the patient's images, which is then "
        "recalibrated.",
        "- Thresholds on `probability`: "
        + ", ".join(
            f"{name} {value:.4f}"
            for name, value in thresholds.model_dump().items()
            if value is not None
        )
        + ". `fixed` is the benchmark's own; `validated` has the highest MCC and `sensitive` finds "
        "90 % of the events on the validation part of the training. None was chosen for a use.",
    ]
    return lines


def _data(training: Mapping[str, Any]) -> list[str]:
    source = training["source"]
    lines = [
        f"- Cohort: {source.get('title') or training['dataset']} "
        f"{source.get('version') or ''}".rstrip(),
        *(
            f"- {key.capitalize()}: {source[key]}"
            for key in ("licence", "citation", "url")
            if source.get(key)
        ),
        f"- Trained on {training['patients']['train']} patients ({training['images']['train']} "
        f"images), stopped and chosen on {training['patients']['val']} "
        f"({training['images']['val']} images).",
        f"- The task has {training['task_patients']} patients"
        + ("." if training["events"] is None else f", of whom {training['events']} had the event."),
    ]
    for column, groups in training["groups"].items():
        counted = ", ".join(
            f"{name} {_count(group['patients'])} ({_count(group['events'])} events)"
            for name, group in groups.items()
        )
        lines.append(f"- By {column}: {counted}")
    lines += [f"- Warning of the audit: {warning}" for warning in training["warnings"]]
    return lines


def _use(positive: str) -> list[str]:
    return [
        "- Research: to compare methods, to study what images tell of outcomes, to be validated "
        "on other cohorts.",
        "- Not: decisions on any patient, triage, allocation of care. A high number for "
        f"'{positive}' is a statement on a past cohort under its care at that time, "
        "and no statement on what would help a patient.",
        "- Not: images that are not frontal chest radiographs of the kind it was trained on. It "
        "gives a number for any image and does not say when it should not.",
    ]


def _limits(about: ModelDescription) -> list[str]:
    groups = about.training["groups"]
    small = [
        f"{column} {name}"
        for column, own in groups.items()
        for name, group in own.items()
        if min(group["events"] or 0, (group["patients"] or 0) - (group["events"] or 0)) < LEAST
    ]
    lines = [
        "- Not validated outside its own cohort: at other sites, with other devices, other care "
        "and other shares of events, both ranking and probabilities will be off.",
        "- Subgroups: performance in groups was not shown to be equal. Look at the subgroup "
        "results of the benchmark's report before any comparison.",
    ]
    if small:
        lines.append(
            f"- Fewer than {LEAST} patients with or without the event, too few to say anything: "
            f"{', '.join(small)}."
        )
    if not groups:
        lines.append("- Age, sex, view and site of the patients are not known to this card.")
    lines += [
        "- Intervals hold the choice of patients, not a repeated training, and are not corrected "
        "for choosing the best of many candidates.",
        "- Shortcuts (projection, devices, marks on the image) may carry a part of what it "
        "predicts; compare it with the controls above.",
    ]
    return lines


def _licences(about: ModelDescription) -> list[str]:
    backbone = about.backbone
    where = (
        "Its weights lie in this folder."
        if backbone.included
        else "Its weights do not lie in this folder and are found by their SHA-256: "
        f"`prognobench pull {backbone.spec.name}`."
    )
    return [
        f"- {backbone.spec.name}, {backbone.origin}. Licence of its weights: {backbone.license}. "
        f"SHA-256 {backbone.identity.get('weights')}. {where}",
        "- What was trained here is derived from these weights and from the cohort: the licences "
        "and terms of both bind whoever passes it on.",
    ]


def _usage() -> list[str]:
    return [
        "```",
        "prognobench predict THIS_FOLDER image.dcm folder_of_images/ --output predictions.csv",
        "```",
        "",
        "```python",
        "import prognobench",
        "",
        'predictions = prognobench.load_model("THIS_FOLDER").predict("folder_of_images")',
        "```",
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(own: Mapping[str, Any]) -> str:
    if own["low"] is None:
        return "no interval"
    return f"{own['low']:.3f} to {own['high']:.3f}"


def _count(number: int | None) -> str:
    return "few" if number is None else str(number)
