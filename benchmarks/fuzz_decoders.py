"""Ten thousand broken image files through the decoders: an image or a named drop, every time.

    python benchmarks/fuzz_decoders.py --data DATA [--files 10000] [--output FILE] [--only N]

Sound files of every kind that is read (real radiographs of DATA, files of other makers that come
with pydicom, made ones) are mutated (``mutations.py``); a tenth of the files is made to do harm
(``crafted.py``). They are decoded as ``run`` decodes, and their headers read as the DICOM sources
read them. File N is the same in every run, so that a finding can be looked at again with
``--only N``.

Exit code 1 when a file has no outcome, when an error came up that should have been a reason, or
when time or memory went beyond their bounds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crafted import CRAFTED, HEAVY
from measuring import machine, write
from mutations import mutated, sound_files
from prognobench.cohorts.dicom_headers import read_header
from prognobench.images.decode import DECODE_VERSION
from prognobench.images.decoder_process import MEMORY_BYTES, SECONDS
from prognobench.images.decoders import Outcome, decode_files, stop_decoders
from prognobench.randomness import generator

BATCH = 250
SIZE = 224
CRAFTED_SHARE = 0.1
HEADER_SECONDS = 10.0
"""No header may take longer, though it is read in the program's own process."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", type=int, help="write this one file to the working folder")
    given = parser.parse_args(arguments)
    seeds = {**sound_files(), **({} if given.data is None else real_files(given.data))}
    if given.only is not None:
        what, data = broken_file(given.only, seeds)
        Path(f"broken_{given.only}").write_bytes(data)
        print(what, len(data))
        return 0
    measured = fuzz(range(given.files), seeds)
    if given.output is not None:
        write(given.output, {"machine": machine(), **measured})
    print(json.dumps({key: measured[key] for key in measured if key != "by_kind"}, indent=2))
    return 1 if measured["violations"] else 0


def real_files(data: Path) -> dict[str, bytes]:
    """Return real radiographs: all of DICOM, and the smallest of each other kind."""
    paths = sorted((data / "dicom").rglob("*.dcm"))
    for folder in (data / "mhh" / "png", data / "cohen" / "images"):
        by_suffix: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_size):
            by_suffix.setdefault(path.suffix.lower(), []).append(path)
        paths += [path for own in by_suffix.values() for path in own[:8]]
    return {f"real {path.name}": path.read_bytes() for path in paths}


def broken_file(number: int, seeds: dict[str, bytes]) -> tuple[str, bytes]:
    """Return what kind of broken file this number is, and its bytes."""
    random = generator("fuzz decoders", number)
    if random.random() < CRAFTED_SHARE:
        # What takes a second is made once for every ten of the others.
        weights = np.array([0.1 if name in HEAVY else 1.0 for name in CRAFTED])
        kind = str(random.choice(list(CRAFTED), p=weights / weights.sum()))
        return kind, CRAFTED[kind](random)
    names = sorted(seeds)
    # Large files say little more than small ones, and cost a hundred times as much.
    weights = np.array([min(1.0, 30_000 / len(seeds[name])) for name in names])
    chosen, other = random.choice(names, size=2, p=weights / weights.sum())
    what, data = mutated(seeds[chosen], random, seeds[other])
    kind = "dicom" if "dcm" in chosen or chosen.startswith("dicom") else "picture"
    return f"{kind}: {what}", data


def fuzz(numbers: Sequence[int], seeds: dict[str, bytes]) -> dict[str, Any]:
    """Decode broken files and return what became of them."""
    outcomes: Counter[str] = Counter()
    by_kind: dict[str, Counter[str]] = {}
    headers: Counter[str] = Counter()
    violations: list[str] = []
    worst: tuple[float, int, str] = (0.0, -1, "")
    worst_header = 0.0
    began = time.perf_counter()
    # pydicom warns of odd files, as it would for a user who reads one alone.
    warnings.simplefilter("ignore")
    for start in range(0, len(numbers), BATCH):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            kinds, files = {}, {}
            for number in numbers[start : start + BATCH]:
                kind, data = broken_file(number, seeds)
                path = folder / f"{number}.dcm"
                path.write_bytes(data)
                kinds[str(number)], files[str(number)] = kind, path
                began_header = time.perf_counter()
                header = read_header(folder, path.name)
                took = time.perf_counter() - began_header
                worst_header = max(worst_header, took)
                headers["readable" if header and header.readable else "unreadable"] += 1
                if took > HEADER_SECONDS:
                    violations.append(f"{number} ({kind}): the header took {took:.1f} s")
            percentiles = (2.0, 98.0) if start // BATCH % 2 else None
            request = {"sizes": [SIZE], "percentiles": percentiles}
            seen = set()
            for own in decode_files(files, lambda *_, request=request: request):
                kind = kinds[own.name]
                seen.add(own.name)
                word = outcome_of(own)
                outcomes[word] += 1
                by_kind.setdefault(kind, Counter())[word] += 1
                worst = max(worst, (own.seconds, int(own.name), kind))
                violations += [f"{own.name} ({kind}): {text}" for text in wrong_with(own)]
            violations += [f"{name}: no outcome" for name in set(files) - seen]
        print(f"{start + len(files)} of {len(numbers)}", file=sys.stderr, flush=True)
    stop_decoders()
    # The largest of any process that was waited for, each having decoded many files.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    if peak > MEMORY_BYTES:
        violations.append(f"a process took {peak >> 20} MiB of memory")
    return {
        "files": len(numbers),
        "sound_files_mutated": len(seeds),
        "decode_version": DECODE_VERSION,
        "violations": violations,
        "outcomes": dict(outcomes.most_common()),
        "headers": dict(headers),
        "worst_seconds": round(worst[0], 2),
        "worst_file": {"number": worst[1], "kind": worst[2]},
        "limit_seconds": SECONDS,
        "worst_header_seconds": round(worst_header, 2),
        "peak_process_mib": peak >> 20,
        "limit_mib": MEMORY_BYTES >> 20,
        "wall_seconds": round(time.perf_counter() - began, 1),
        "processes": len(os.sched_getaffinity(0)),
        "by_kind": {kind: dict(own.most_common()) for kind, own in sorted(by_kind.items())},
    }


def outcome_of(outcome: Outcome) -> str:
    """Return the outcome in words, without the numbers and names that a reason may have."""
    if outcome.failure is None:
        return "decoded"
    words = re.sub(r"\d[\d.,]*", "N", outcome.failure)
    return re.sub(r"'.*'|\(.*", "...", words) if "broken (" in words else words


def wrong_with(outcome: Outcome) -> list[str]:
    """Return what about an outcome should not be."""
    found = []
    if outcome.unexpected is not None:
        found.append(f"unexpected {outcome.unexpected}")
    if outcome.failure is None:
        squares = outcome.images or []
        if [square.shape for square in squares] != [(SIZE, SIZE)]:
            found.append("decoded to something else than was asked for")
    elif not outcome.failure.strip():
        found.append("a drop without a reason")
    if outcome.seconds > 2 * SECONDS:
        found.append(f"took {outcome.seconds:.1f} s")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
