"""Does the audit find the Hannover images that are hidden in the Cohen dataset?

104 images of the covid-chestxray-dataset are images of the Hannover repository, cropped to a
square and windowed otherwise; ``cohen/overlap_with_mhh.csv`` names them. The two cohorts are
audited together, and every pair across them that is called one radiograph is compared with that
list. Beside it stands what simpler methods reach: perceptual hashes alone, and the candidates
before they are laid over each other. Pairs within a cohort are listed; the README of the data
knows four of them.

    python benchmarks/near_duplicates.py --data DATA --output near_duplicates.json

``--changed`` looks for copies of the Hannover images that are made here, cropped, stretched and
both (:mod:`copied`), each under another id, and tells which kinds are found. ``--synthetic 2000
8000`` tells how long the search takes for as many synthetic radiographs, of which one in forty is
such a copy of another one; rendering them is not counted.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from copied import CHANGES, changed
from measuring import machine, write
from prognobench.audit import near_duplicates as module
from prognobench.audit.candidates import candidate_pairs
from prognobench.audit.images import SIDE, AuditedImages, audited_images
from prognobench.audit.registration import compare
from prognobench.audit.views import perceptual_hash
from prognobench.cohorts.load import load_cohort
from prognobench.demo.patients import draw_patient
from prognobench.execution.environment import describe_environment
from prognobench.images.decode import decode
from prognobench.images.geometry import to_square

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
HASH_BITS = (0, 6, 10, 14)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--changed", action="store_true")
    parser.add_argument("--synthetic", type=int, nargs="+", default=[])
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    measured: dict[str, Any]
    if given.synthetic:
        about = machine()
        measured = {"machine": about, "sizes": [measure_synthetic(n) for n in given.synthetic]}
    elif given.data is None:
        parser.error("--data is needed")
    else:
        measured = measure_changed(given.data) if given.changed else measure(given.data)
    write(given.output, measured)
    print(json.dumps(measured.get("pairs", measured), indent=2))


def measure(data: Path) -> dict[str, Any]:
    """Search the two cohorts and compare with the list, as plain data."""
    cohorts = [load_cohort({"source": name, "root": data / name}) for name in ("mhh", "cohen")]
    began = time.perf_counter()
    images = audited_images(cohorts).images
    decoded = time.perf_counter()
    features = module.part_features(images)
    hashes = np.stack([perceptual_hash(image) for image in images.pixels])
    pairs = candidate_pairs(features, hashes, images.cohorts, images.patients)
    searched = time.perf_counter()
    matches = compare(images.pixels, pairs)
    compared = time.perf_counter()
    truth = _truth(data, images)
    across = {
        pair: match.correlation
        for pair, match in zip(pairs, matches, strict=True)
        if images.cohorts[pair[0]] != images.cohorts[pair[1]]
    }
    own = [row for row in range(len(images.cohorts)) if images.cohorts[row] == "mhh"]
    other = [row for row in range(len(images.cohorts)) if images.cohorts[row] != "mhh"]
    distance = (hashes[own][:, None] != hashes[other][None]).sum(2)

    def by_hash(bits: int) -> set[tuple[int, int]]:
        places = np.argwhere(distance <= bits)
        return {(min(own[a], other[b]), max(own[a], other[b])) for a, b in places}

    found = {pair for pair, value in across.items() if value >= module.LEAST_CORRELATION}
    wrong = [value for pair, value in across.items() if pair not in truth]
    right = [value for pair, value in across.items() if pair in truth]
    return {
        "cohorts": {cohort.name: len(cohort.table) for cohort in cohorts},
        "environment": describe_environment(torch.device("cpu")),
        "pairs": _scores(found, truth),
        "by_threshold": {
            str(least): _scores({pair for pair, value in across.items() if value >= least}, truth)
            for least in THRESHOLDS
        },
        "correlation": {"lowest of a true pair": min(right), "highest of another": max(wrong)},
        "candidates_alone": _scores(set(across), truth),
        "perceptual_hash_alone": {str(bits): _scores(by_hash(bits), truth) for bits in HASH_BITS},
        "missed": [_names(images, pair) for pair in sorted(truth - found)],
        "within_cohorts": [
            {**_names(images, pair), "correlation": round(match.correlation, 3)}
            for pair, match in zip(pairs, matches, strict=True)
            if pair not in across and match.correlation >= module.LEAST_CORRELATION
        ],
        "compared": len(pairs),
        "seconds": {
            "decoding": round(decoded - began, 1),
            "candidates": round(searched - decoded, 1),
            "comparing": round(compared - searched, 1),
        },
    }


def measure_changed(data: Path) -> dict[str, Any]:
    """Search for changed copies of every second image of Hannover, as plain data."""
    cohort = load_cohort({"source": "mhh", "root": data / "mhh"})
    kinds = list(CHANGES)
    rows = [
        _Row("mhh", patient, image_id, decode(cohort.root / path))
        for image_id, patient, path in zip(
            cohort.table["image_id"],
            cohort.table["patient_id"],
            cohort.table["path"],
            strict=True,
        )
    ]
    truth = {}
    for place, row in enumerate(rows[::2]):
        kind = kinds[place % len(kinds)]
        truth[2 * place, len(rows)] = kind
        rows.append(
            _Row("copies", f"c{place}", f"{row.image_id}, {kind}", changed(row.pixels, kind))
        )
    found = _searched(_audited(rows)).found
    return {"by_change": _by_kind(found, truth), "pairs": _scores(_called(found), set(truth))}


def measure_synthetic(count: int) -> dict[str, Any]:
    """Search among synthetic radiographs, and say how long it takes, as plain data."""
    kinds, rows, truth = list(CHANGES), [], {}
    copies = count // 40
    number = 0
    while len(rows) < count - copies:
        patient = draw_patient(7, number)
        number += 1
        for visit in range(len(patient.visits)):
            name = f"{patient.patient_id}-{visit}"
            rows.append(_Row("synthetic", patient.patient_id, name, patient.pixels(visit)))
    del rows[count - copies :]
    for place in range(copies):
        kind, row = kinds[place % len(kinds)], 40 * place
        truth[row, len(rows)] = kind
        pixels = changed(rows[row].pixels, kind)
        rows.append(_Row("synthetic", f"c{place}", f"copy {place}", pixels))
    found, seconds, processor = _searched(_audited(rows))
    each = 1000 / len(rows)
    return {
        "images": len(rows),
        "compared": len(found),
        "seconds": seconds,
        "processor_seconds": processor,
        "seconds_per_1000_images": round(each * sum(seconds.values()), 1),
        "processor_seconds_per_1000_images": round(each * sum(processor.values()), 1),
        "pairs": _scores(_called(found), set(truth)),
        "by_change": _by_kind(found, truth),
    }


class _Row(NamedTuple):
    cohort: str
    patient_id: str
    image_id: str
    pixels: npt.NDArray[np.uint8]


def _audited(rows: Sequence[_Row]) -> AuditedImages:
    pixels = np.stack([to_square(row.pixels, SIDE) for row in rows])
    return AuditedImages(
        tuple(row.cohort for row in rows),
        tuple(row.patient_id for row in rows),
        tuple(row.image_id for row in rows),
        pixels,
        tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in pixels),
    )


class _Searched(NamedTuple):
    """What a search found, and its stages in seconds by the clock and of all processors."""

    found: dict[tuple[int, int], float]
    seconds: dict[str, float]
    processor_seconds: dict[str, float]


def _searched(images: AuditedImages) -> _Searched:
    moments = [(time.perf_counter(), time.process_time())]
    features = module.part_features(images)
    moments.append((time.perf_counter(), time.process_time()))
    hashes = np.stack([perceptual_hash(image) for image in images.pixels])
    pairs = candidate_pairs(features, hashes, images.cohorts, images.patients)
    moments.append((time.perf_counter(), time.process_time()))
    matches = compare(images.pixels, pairs)
    moments.append((time.perf_counter(), time.process_time()))
    stages = ("features", "candidates", "comparing")
    clock, processor = (
        {name: round(moments[n + 1][of] - moments[n][of], 1) for n, name in enumerate(stages)}
        for of in (0, 1)
    )
    found = {pair: match.correlation for pair, match in zip(pairs, matches, strict=True)}
    return _Searched(found, clock, processor)


def _called(found: Mapping[tuple[int, int], float]) -> set[tuple[int, int]]:
    return {pair for pair, value in found.items() if value >= module.LEAST_CORRELATION}


def _by_kind(
    found: Mapping[tuple[int, int], float], truth: Mapping[tuple[int, int], str]
) -> dict[str, dict[str, Any]]:
    called = _called(found)
    kinds = {}
    for kind in CHANGES:
        own = [pair for pair, changed_by in truth.items() if changed_by == kind]
        kinds[kind] = {
            "copies": len(own),
            "candidates": sum(pair in found for pair in own),
            "found": sum(pair in called for pair in own),
        }
    return kinds


def _truth(data: Path, images: AuditedImages) -> set[tuple[int, int]]:
    rows = {
        (cohort, Path(name).stem): row
        for row, (cohort, name) in enumerate(zip(images.cohorts, images.image_ids, strict=True))
    }
    with (data / "cohen" / "overlap_with_mhh.csv").open(encoding="utf-8") as stream:
        listed = list(csv.DictReader(stream))
    pairs = [
        (rows["mhh", own["mhh_image_id"]], rows["cohen", Path(own["cohen_filename"]).stem])
        for own in listed
    ]
    return {(min(pair), max(pair)) for pair in pairs}


def _scores(found: set[tuple[int, int]], truth: set[tuple[int, int]]) -> dict[str, Any]:
    right = len(found & truth)
    return {
        "true": len(truth),
        "found": len(found),
        "recall": right / len(truth),
        "precision": right / len(found) if found else None,
    }


def _names(images: AuditedImages, pair: tuple[int, int]) -> dict[str, str]:
    first, second = (f"{images.cohorts[row]}/{images.image_ids[row]}" for row in pair)
    return {"first": first, "second": second}


if __name__ == "__main__":
    main(sys.argv[1:])
