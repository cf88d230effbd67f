"""What the image store costs beyond decoding its files.

    python benchmarks/decode_rate.py --data DATA [--rounds 5] [--enlarged 24] [--output FILE]

All radiographs of DATA are decoded by the libraries alone (Pillow; pydicom with its plugins), in
as many processes as there are cores, each file to an array that is thrown away: no checks, no
rule, no square, nothing written. Then the store is built of the same files into an empty folder,
as ``run`` does it: read, hashed, checked, decoded by the rule, made square, resized, sent to the
process that writes, written. A third side decodes by the libraries alone and resizes, which the
images of any model need: files as small as those of the public cohorts, of 700 pixels a side, take
half as long to resize as to decode. The sides take turns, each with its processes already started,
and the median of the rounds counts. Starting the processes is told beside it.

``--enlarged 24`` measures the same with so many of the radiographs enlarged to the size that
detectors have, in each of the formats of the public cohorts (:mod:`detector_files`).
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image

from detector_files import write_detector_files
from measuring import machine, write
from prognobench.images.decoders import stop_decoders
from prognobench.images.store import build_store

GOAL = 1.3
SIZES = {"models": [224], "models and audit": [224, 448]}
"""What backbones of 224 pixels take, and what ``run`` asks for, whose audit looks closer."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--enlarged", type=int)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args(arguments)
    about = machine()
    if given.enlarged is not None:
        measured = measure_enlarged(given.data, given.enlarged, given.rounds)
        ratios = {name: own["store"]["models"]["ratio"] for name, own in measured.items()}
    else:
        measured = measure(radiographs(given.data), given.rounds)
        ratios = {"all": measured["store"]["models"]["ratio"]}
    if given.output is not None:
        write(given.output, {"machine": about, **measured})
    print(json.dumps(measured, indent=2))
    return 0 if max(ratios.values()) <= GOAL else 1


def radiographs(data: Path) -> list[Path]:
    """Return the image files of the real data."""
    folders = (data / "mhh" / "png", data / "cohen" / "images")
    files = [path for folder in folders for path in sorted(folder.iterdir())]
    return [*files, *sorted((data / "dicom").rglob("*.dcm"))]


def decode_bare(path: Path) -> int:
    """Decode a file by a library alone, and return how many pixels it has."""
    data = path.read_bytes()
    if data[128:132] == b"DICM":
        return int(pydicom.dcmread(io.BytesIO(data)).pixel_array.size)
    with Image.open(io.BytesIO(data)) as picture:
        return int(np.asarray(picture).size)


def decode_to_square(path: Path) -> int:
    """Decode a file by a library alone and resize it to the square that models take."""
    data = path.read_bytes()
    if data[128:132] == b"DICM":
        pixels = pydicom.dcmread(io.BytesIO(data)).pixel_array
        picture = Image.fromarray(
            (pixels >> max(0, int(pixels.max()).bit_length() - 8)).astype("u1")
        )
    else:
        picture = Image.open(io.BytesIO(data)).convert("L")
    side = SIZES["models"][0]
    return int(np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)).size)


def measure_enlarged(data: Path, count: int, rounds: int) -> dict[str, Any]:
    """Return what :func:`measure` does, by format, of files of a detector's size."""
    sources = radiographs(data)[: 4 * count : 4]
    with tempfile.TemporaryDirectory() as folder:
        written = write_detector_files(sources, Path(folder))
        return {name: measure(list(files.values()), rounds) for name, files in written.items()}


def measure(files: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Return the seconds of both sides, and how they compare."""
    cores = len(os.sched_getaffinity(0))
    named = {f"{place:05}": path for place, path in enumerate(files)}
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        pool.map(decode_bare, files[: 4 * cores], chunksize=1)
        start_bare = time.perf_counter() - began
        bare: list[float] = []
        squares: list[float] = []
        store: dict[str, list[float]] = {name: [] for name in SIZES}
        began = time.perf_counter()
        _build(dict(list(named.items())[: 16 * cores]), SIZES["models"])
        start_store = time.perf_counter() - began
        for _ in range(rounds):
            began = time.perf_counter()
            pool.map(decode_bare, files, chunksize=4)
            bare.append(time.perf_counter() - began)
            began = time.perf_counter()
            pool.map(decode_to_square, files, chunksize=4)
            squares.append(time.perf_counter() - began)
            for name, sizes in SIZES.items():
                store[name].append(_build(named, sizes))
    stop_decoders()
    middle, square = statistics.median(bare), statistics.median(squares)
    return {
        "files": len(files),
        "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 1),
        "processes": cores,
        "rounds": rounds,
        "goal": GOAL,
        "bare": {
            "seconds": _rounded(bare),
            "median": round(middle, 3),
            "files_a_second": round(len(files) / middle, 1),
            "first_files_and_start_seconds": round(start_bare, 2),
        },
        "bare_and_resized": {
            "seconds": _rounded(squares),
            "median": round(square, 3),
            "files_a_second": round(len(files) / square, 1),
        },
        "store": {
            name: {
                "sizes": SIZES[name],
                "seconds": _rounded(own),
                "median": round(statistics.median(own), 3),
                "files_a_second": round(len(files) / statistics.median(own), 1),
                "ratio": round(statistics.median(own) / middle, 3),
                "ratio_to_resized": round(statistics.median(own) / square, 3),
            }
            for name, own in store.items()
        },
        "store_first_files_and_start_seconds": round(start_store, 2),
    }


def _build(files: dict[str, Path], sizes: list[int]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        made = build_store(files, sizes, Path(folder))
        took = time.perf_counter() - began
    if made.failures:
        raise RuntimeError(f"files that cannot be decoded: {made.failures}")
    return took


def _rounded(seconds: Sequence[float]) -> list[float]:
    return [round(own, 3) for own in seconds]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
