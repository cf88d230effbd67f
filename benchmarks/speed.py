"""How much faster a benchmark is than the usual way, and at what accuracy and memory.

``python benchmarks/speed.py [--quick] [--json] [--cells NAME ...] [--output FOLDER]``

Each side is a process of its own, one after the other, the sides taking turns; what counts is the
time from its start to its end, so that starting Python and importing libraries is part of it on
both. Libraries are imported once before, since on the machines of users Python keeps the bytecode
that it compiled them to. Our side starts with an empty cache: decoding the images, computing
features and measuring how many runs fit together is inside. Where doing all of the peer's runs
would take hours, some of each kind are timed and the others are taken to cost their mean; its start
is counted once.

Peers: A, transformers' Trainer with peft (``peers/trainer.py``); B, kaiko-eva's linear probe on
cached embeddings (``peers/eva.py``), where an environment with it is named by ``--eva PYTHON``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from cells import Cell, cells, kind, peer_job, prepared, sampled
from measuring import Measured, machine, measured, write
from prognobench.execution.prepare import Prepared
from prognobench.plan import Run
from prognobench.results.store import ResultsStore

HERE = Path(__file__).parent
GOALS = {"grid": 10.0, "linear": 20.0, "adapters": 2.5, "full": 2.0}
"""How many times as fast as peer A in its defaults."""


def our_side(spec: Path, runs: Sequence[Run], folder: Path) -> dict[str, Any]:
    """Do all runs of a spec and return what it took."""
    out = folder / "ours.json"
    command = [sys.executable, str(HERE / "ours.py"), str(spec), str(folder / "out"), str(out)]
    took = measured(command, {"PROGNOBENCH_CACHE": str(folder / "cache")}, folder / "ours.log")
    known = json.loads(out.read_text())
    store = ResultsStore(folder / "out")
    aurocs, precision = {}, set()
    for run in runs:
        table = store.predictions(run.id)
        test = table[table["part"] == "test"]
        aurocs[run.id] = float(roc_auc_score(test["target"], test["logit"]))
    for info in store.runs()["train_info"]:
        precision.add(info["precision"])
    store.close()
    return {
        **plain(took),
        "startup_seconds": known["started"] - took.began,
        "stages": known["stages"],
        "precision": sorted(precision),
        "aurocs": aurocs,
    }


def peer_side(
    made: Prepared, runs: Sequence[Run], chosen: Sequence[Run], precision: str, folder: Path
) -> dict[str, Any]:
    """Do some of the peer's runs and return what all of them would take."""
    job, out = folder / f"peer-{precision}.json", folder / f"peer-{precision}-out.json"
    jobs = [peer_job(run, made, folder.parent) for run in chosen]
    write(job, {"precision": precision, "runs": jobs})
    command = [sys.executable, str(HERE / "peers" / "trainer.py"), str(job), str(out)]
    took = measured(command, {}, folder / "peer.log")
    known = json.loads(out.read_text())
    seconds: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for run, result in zip(chosen, known["runs"], strict=True):
        seconds[kind(run)].append(result["seconds"])
    spent = sum(sum(own) for own in seconds.values())
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for run in runs:
        counts[kind(run)] += 1
    whole = sum(statistics.mean(seconds[own]) * count for own, count in counts.items())
    return {
        **plain(took),
        "startup_seconds": took.wall - spent,
        "peer_runs_timed": len(chosen),
        "peer_runs_total": len(runs),
        "wall_of_all_runs": took.wall - spent + whole,
        "seconds_by_kind": {
            " ".join(str(part) for part in own if part is not None): statistics.mean(values)
            for own, values in seconds.items()
        },
        "aurocs": {
            result["run"]: float(roc_auc_score(result["labels"], result["logits"]))
            for result in known["runs"]
        },
    }


def plain(took: Measured) -> dict[str, Any]:
    return {"wall": took.wall, "cpu": took.cpu, "peak_mib": round(took.peak_bytes / 2**20)}


def compared(cell: Cell, repeats: int, folder: Path, eva: str | None = None) -> dict[str, Any]:
    """Let the sides take turns on one cell; peer B has its turn at the linear probes only."""
    spec, made = prepared(cell, folder)
    runs = made.runs
    ours, peers = [], defaultdict(list)
    for turn in range(repeats):
        for side in ("ours", *cell.timed):
            own = folder / f"{cell.name}-{turn}-{side}"
            own.mkdir()
            if side == "ours":
                ours.append(our_side(spec, runs, own))
            else:
                chosen = sampled(runs, cell.timed[side])
                peers[side].append(peer_side(made, runs, chosen, side, own))
            say(f"{cell.name}: {side} {turn + 1}/{repeats} done")
    found = summary(cell, ours, peers)
    if eva and cell.name == "linear":
        chosen = sampled(runs, 3)
        found["peer_b"] = eva_side(eva, made, chosen, ours[0], folder / f"{cell.name}-0-ours")
        say(f"{cell.name}: peer B done")
    return found


def summary(
    cell: Cell, ours: Sequence[dict[str, Any]], peers: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Return a cell's figures: medians, ratios, accuracy on the same runs, memory."""
    own = statistics.median(side["wall"] for side in ours)
    walls = {
        precision: statistics.median(side["wall_of_all_runs"] for side in sides)
        for precision, sides in peers.items()
    }
    first = next(iter(cell.timed))
    default = peers[first]
    pairs = [(ours[0]["aurocs"][run], auroc) for run, auroc in default[0]["aurocs"].items()]
    gaps = np.array([mine - other for mine, other in pairs])
    error = gaps.std(ddof=1) / len(gaps) ** 0.5 if len(gaps) > 1 else float("nan")
    found = {
        "about": cell.about,
        "runs": default[0]["peer_runs_total"],
        "peer_runs_timed": default[0]["peer_runs_timed"],
        "peer_runs_total": default[0]["peer_runs_total"],
        "ours_wall": own,
        "ours_precision": ours[0]["precision"],
        "peer_wall": walls,
        "ratio": walls[first] / own,
        "ratio_by_precision": {name: wall / own for name, wall in walls.items()},
        # As if the peer's users started a script for each run, which most of them do.
        "ratio_a_script_a_run": statistics.median(
            side["wall_of_all_runs"] + (side["peer_runs_total"] - 1) * side["startup_seconds"]
            for side in default
        )
        / own,
        "ratio_without_startup": statistics.median(
            side["wall_of_all_runs"] - side["startup_seconds"] for side in default
        )
        / statistics.median(side["wall"] - side["startup_seconds"] for side in ours),
        "peak_mib": {
            "ours": max(side["peak_mib"] for side in ours),
            **{name: max(side["peak_mib"] for side in sides) for name, sides in peers.items()},
        },
        "auroc": {
            "ours": float(np.mean([mine for mine, _ in pairs])),
            "peer": float(np.mean([other for _, other in pairs])),
            "difference": float(gaps.mean()),
            "standard_error": float(error),
            "runs": len(pairs),
        },
        "stages": ours[0]["stages"],
        "details": {"ours": ours, **peers},
    }
    embedding = ours[0]["stages"]["embedding"]
    if cell.name == "linear" and embedding:
        found["over_embedding"] = statistics.median(
            side["stages"]["runs"] / side["stages"]["embedding"] for side in ours
        )
    return found


def eva_side(
    python: str, made: Prepared, chosen: Sequence[Run], ours: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """Time peer B's linear probes on our embeddings, which it is given ready.

    Args:
        python: Python of an environment with kaiko-eva.
        made: The benchmark.
        chosen: The runs that are timed.
        ours: What our side took.
        folder: The folder of our side, whose cache has the embeddings.
    """
    (features,) = (folder / "cache" / "features").glob("*.npy")
    jobs = []
    for run in chosen:
        table = next(own for own in made.tasks if own.name == run.task.name).table
        rows: dict[str, list[list[int]]] = {"train": [], "test": []}
        for row, (patient, target) in enumerate(
            zip(table["patient_id"], table["target"], strict=True)
        ):
            if run.split.parts.get(patient):
                rows[run.split.parts[patient]].append([row, int(target)])
        recipe = {
            "steps": run.recipe.few_shot_steps,
            "batch": run.recipe.batch_size,
            "lr": run.recipe.head_lr,
        }
        jobs.append({"run": run.id, "seed": run.seed, "rows": rows, **recipe})
    job, out = folder / "eva-job.json", folder / "eva.json"
    write(job, {"features": str(features), "runs": jobs})
    measured([python, str(HERE / "peers" / "eva.py"), str(job), str(out)], {}, folder / "eva.log")
    results = json.loads(out.read_text())["runs"]
    theirs = statistics.median(result["seconds"] for result in results)
    stages = ours["stages"]
    own = (stages["runs"] - stages["embedding"]) / len(ours["aurocs"])
    return {
        "seconds_a_probe": theirs,
        "ours_seconds_a_probe": own,
        "ratio": theirs / own,
        "probes_timed": len(results),
        "auroc": float(np.mean([result["scores"]["test/auroc"] for result in results])),
    }


def table(found: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| cell | runs | ours, s | peer A, s | ratio | goal | peer A in bf16 | memory, ours "
        "| peer A | AUROC, ours | peer A |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, cell in found["cells"].items():
        low = cell["ratio_by_precision"].get("bfloat16")
        first = next(iter(cell["peer_wall"]))
        lines.append(
            f"| {name} | {cell['runs']} | {cell['ours_wall']:.1f} | {cell['peer_wall'][first]:.1f} "
            f"| {cell['ratio']:.1f} | {GOALS[name]} | {f'{low:.1f}' if low else ''} "
            f"| {cell['peak_mib']['ours']} MiB | {cell['peak_mib'][first]} MiB "
            f"| {cell['auroc']['ours']:.3f} | {cell['auroc']['peer']:.3f} |"
        )
    return "\n".join(lines)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 15 minutes on two cores")
    parser.add_argument("--json", action="store_true", help="print the whole object, no table")
    parser.add_argument("--cells", nargs="+", choices=list(GOALS), default=list(GOALS))
    parser.add_argument("--repeats", type=int, help="turns of each side; 1 if quick, else 3")
    parser.add_argument("--eva", help="Python of an environment with kaiko-eva")
    parser.add_argument("--output", type=Path, help="a folder to keep everything in")
    parser.add_argument("--save", type=Path, help="a file for the object")
    given = parser.parse_args(arguments)
    repeats = given.repeats or (1 if given.quick else 3)
    with contextlib.ExitStack() as stack:
        if given.output:
            given.output.mkdir(parents=True, exist_ok=True)
            folder = given.output.resolve()
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        for place, module in ((HERE, "ours"), (HERE / "peers", "trainer")):
            code = f"import sys; sys.path.insert(0, {str(place)!r}); import {module}"
            measured([sys.executable, "-c", code], {}, folder / "imports.log")
        began = time.perf_counter()
        found: dict[str, Any] = {"machine": machine(), "quick": given.quick, "repeats": repeats}
        found["cells"] = {
            cell.name: compared(cell, repeats, folder, given.eva)
            for cell in cells(folder, quick=given.quick)
            if cell.name in given.cells
        }
        found["ratios"] = {name: cell["ratio"] for name, cell in found["cells"].items()}
        found["goals"] = GOALS
        found["seconds"] = time.perf_counter() - began
    if given.save:
        write(given.save, found)
    print(json.dumps(found, indent=2) if given.json else table(found))


if __name__ == "__main__":
    main()
