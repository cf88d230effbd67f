"""Patients who agree in all that is known of them."""

from __future__ import annotations

import numpy as np

from build_cohort import cohort_of
from prognobench.audit.two_ids import alike_patients


def rows(count):
    random = np.random.default_rng(3)
    return [
        {
            "patient_id": f"p{number:02}",
            "icu": number % 2,
            "acquired": int(random.integers(0, 9)),
            "age": int(random.integers(30, 90)),
            "sex": "FM"[number % 2],
            "crp": round(float(random.uniform(1, 300)), 1),
        }
        for number in range(count)
    ]


def test_a_patient_under_two_ids_is_told():
    own = rows(40)
    own.append({**own[7], "patient_id": "other"})
    found = alike_patients(cohort_of(own))
    assert [each["patients"] for each in found] == [["small/other", "small/p07"]]
    assert set(found[0]["facts"]) >= {"age", "sex", "crp", "acquired", "icu"}
    own[7]["crp"] = 1.5
    assert alike_patients(cohort_of(own)) == []


def test_what_chance_explains_is_not_told():
    few = [{key: row[key] for key in ("patient_id", "icu", "sex", "acquired")} for row in rows(60)]
    names = [(row["icu"], row["sex"], row["acquired"]) for row in few]
    assert len(set(names)) < len(names)
    assert alike_patients(cohort_of(few)) == []
    assert alike_patients(cohort_of(rows(1))) == []
