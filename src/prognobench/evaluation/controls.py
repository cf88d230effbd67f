"""Controls: what needs no pretrained backbone, and what every candidate should beat.

A model of the image that does not predict better than the patient's age, than the projection, or
than the grey values at the image's border has not been shown to read the disease (Maguolo and
Nanni 2021, Information Fusion 76:1; DeGrave et al. 2021, Nature Machine Intelligence 3:610).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prognobench.evaluation.candidates import Key
from prognobench.evaluation.comparison import bootstrap_t
from prognobench.evaluation.metric import Metric
from prognobench.evaluation.paired import Candidate, UnitsOf, paired_difference, rarer_of_both
from prognobench.evaluation.patients import Array

CONTROL = "control"
"""What stands for the backbone of a control in all tables."""

PERMUTED = "permuted_labels"
"""The control that sees what the first backbone sees, and learns from permuted outcomes."""

CONTROLS: Mapping[str, str] = {
    "prevalence": "the share of events among the training patients, the same for everybody",
    "image_statistics": "mean, spread and shape of the image",
    "view_and_site": "projection and site",
    "age_and_sex": "age and sex",
    "clinical": "all clinical columns of the cohort, age and sex among them",
    "border": "the pixels at the border of the image, where no lung is",
    PERMUTED: "a linear probe of the first backbone, trained on permuted outcomes",
}
"""The controls by name, in words."""


def is_control(row: Mapping[str, Any]) -> bool:
    """Say whether a row of a table is that of a control."""
    return bool(row["backbone"] == CONTROL)


def against_controls(
    candidates: Sequence[Candidate],
    controls: Sequence[Candidate],
    draws: Mapping[Key, Array] | None,
    metric: Metric,
    *,
    confidence: float,
    units_of: UnitsOf,
) -> None:
    """Write into each candidate's row how it compares with the best control.

    That is the control with the best estimate, those with all runs first; it is chosen after the
    fact, so that the comparison errs on the side of the control. The one with permuted outcomes
    does not take part: what it reaches by luck is no prediction. The columns are ``control``,
    ``control_difference`` with ``control_low`` and ``control_high`` (paired, over what both have
    finished; positive: the candidate's value is higher), and ``beats_controls``, true where the
    interval lies on the better side of 0.

    Args:
        candidates: The candidates; those without an estimate are left alone.
        controls: The controls of the same cell.
        draws: Multiplicities of the episodes, where there are any.
        metric: The metric.
        confidence: Share of the replicates an interval holds.
        units_of: As of :func:`~prognobench.evaluation.paired.paired_difference`.
    """
    able = [
        control
        for control in controls
        if np.isfinite(control.headline[0]) and control.row["strategy"] != PERMUTED
    ]
    if not able:
        return
    best = min(able, key=lambda control: control.standing(metric))
    for candidate in candidates:
        if not np.isfinite(candidate.headline[0]):
            continue
        difference = paired_difference(candidate, best, draws, metric, units_of)
        if difference is None:
            continue
        rarer = rarer_of_both(candidate, best, draws, metric)
        found = bootstrap_t(difference, rarer, confidence)
        candidate.row.update(
            control=best.row["strategy"],
            control_difference=found.difference,
            control_low=found.low,
            control_high=found.high,
            beats_controls=found.low > 0.0 if metric.higher_is_better else found.high < 0.0,
        )
