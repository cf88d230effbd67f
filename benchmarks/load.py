"""How much one driver can carry: 100,000 runs planned, and handed out to 1,000 workers.

``python benchmarks/load.py [--part plan|scheduler] [--runs N] [--output FILE]``

Each part is a process of its own, so that its memory is its own. Results are written with the
machine named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import load_plan
import load_scheduler
from measuring import machine, write

HERE = Path(__file__).parent
GOALS = {
    "plan": {"expand_seconds": 10.0, "peak_gib": 1.0},
    "scheduler": {"utilisation": 0.95},
}
WORKERS = 1000
PARTS = ("plan", "scheduler")


def scheduler(runs: int) -> dict[str, Any]:
    """Measure the store, then the loop with it."""
    store = load_scheduler.store_cost()
    took = store["milliseconds_a_result"] / 1000
    return {"store": store, **load_scheduler.measure(runs, WORKERS, took)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "load.json")
    asked = parser.parse_args()
    if asked.part:
        parts = {"plan": load_plan.measure, "scheduler": scheduler}
        print(json.dumps(parts[asked.part](asked.runs)))
        return
    found: dict[str, Any] = {"machine": machine(), "goals": GOALS}
    for part in PARTS:
        command = [sys.executable, __file__, "--part", part, "--runs", str(asked.runs)]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
        found[part] = json.loads(ended.stdout.splitlines()[-1])
        print(part, json.dumps(found[part], indent=1), flush=True)
        write(asked.output, found)


if __name__ == "__main__":
    main()
