"""Which images may be copies of each other: the nearest by features, and those with a like hash.

Comparing every two images pixel by pixel would take a day for some ten thousand; finding for each
the few nearest takes seconds, and only these are compared (:mod:`.registration`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

NEIGHBOURS = 5
"""Nearest images that are compared: of the own patient, the own cohort and each other cohort."""

HASH_DISTANCE = 6
"""Bits of 64 in which the perceptual hashes of copies may differ."""

MOST_BY_HASH = 20
"""Images of a like hash that are compared with one at most."""

_BLOCK = 512

_Floats = npt.NDArray[np.float32]


def candidate_pairs(
    features: _Floats,
    hashes: npt.NDArray[np.bool_],
    cohorts: Sequence[str],
    patients: Sequence[str],
) -> list[tuple[int, int]]:
    """Return the pairs of images worth comparing.

    Args:
        features: float32 [P, N, D], features of P parts of N images.
        hashes: bool [N, 64], their perceptual hashes.
        cohorts: The cohort of each image.
        patients: The patient of each image, within its cohort.

    Returns:
        Pairs of rows, the smaller first, in order.
    """
    cohort_codes = np.unique(np.asarray(cohorts, dtype=object).astype(str), return_inverse=True)[1]
    names = [f"{cohort}\x1f{patient}" for cohort, patient in zip(cohorts, patients, strict=True)]
    patient_codes = np.unique(names, return_inverse=True)[1]
    signs = np.where(hashes, 1.0, -1.0).astype(np.float32)
    pairs: set[tuple[int, int]] = set()
    for rows, nearness in _nearness(_scaled(features)):
        alike = signs[rows] @ signs.T
        own = patient_codes[rows][:, None] == patient_codes[None]
        for cohort in range(cohort_codes.max() + 1):
            there = np.broadcast_to(cohort_codes == cohort, own.shape)
            for among in (there & ~own, there & own):
                _add(pairs, rows, np.where(among, nearness, -np.inf), NEIGHBOURS)
        like = alike >= hashes.shape[1] - 2 * HASH_DISTANCE
        _add(pairs, rows, np.where(like, alike, -np.inf), MOST_BY_HASH)
    return sorted(pairs)


def _scaled(features: _Floats) -> _Floats:
    """Return features of spread 1 over the images, each vector of length 1."""
    spread = np.maximum(features.std(axis=1, keepdims=True), 1e-6)
    centred = (features - features.mean(axis=1, keepdims=True)) / spread
    length = np.maximum(np.linalg.norm(centred, axis=2, keepdims=True), 1e-6)
    scaled: _Floats = (centred / length).astype(np.float32)
    return scaled


def _nearness(features: _Floats) -> Iterator[tuple[npt.NDArray[np.int64], _Floats]]:
    """Give blocks of rows with the cosine of their nearest parts to all images but themselves."""
    count = features.shape[1]
    for start in range(0, count, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, count))
        best = np.full((len(rows), count), -np.inf, dtype=np.float32)
        for own in features:
            for other in features:
                np.maximum(best, own[rows] @ other.T, out=best)
        best[np.arange(len(rows)), rows] = -np.inf
        yield rows, best


def _add(
    pairs: set[tuple[int, int]],
    rows: npt.NDArray[np.int64],
    nearness: npt.NDArray[np.floating],
    most: int,
) -> None:
    most = min(most, nearness.shape[1] - 1)
    if most < 1:
        return
    # One that is -inf is the image itself, or is not asked for.
    nearest = np.argpartition(-nearness, most - 1, axis=1)[:, :most]
    for row, own, values in zip(rows.tolist(), nearest, nearness, strict=True):
        pairs.update(
            (min(row, other), max(row, other))
            for other in own.tolist()
            if np.isfinite(values[other]) and other != row
        )
