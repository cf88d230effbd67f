"""What is lost when a benchmark is killed again and again.

``python benchmarks/faults.py [--kills 100] [--seed 0] [--json]``

A tiny benchmark is killed by ``kill -9`` ten times, each time gone on with by the same command,
then left alone until it ends, and compared with one that was never killed; then the next one
starts, in a new output folder with an empty cache, until there were kills enough. Every phase is a
target, a place in it is drawn from the seed: of the writing of results which result, and how far
into it. Before some kills of the driver one of its processes is killed that trains or decodes, and
the driver has to go on without it.

After each kill it is checked that every run that was finished, or that the driver said was
finished, is still there with the same digest and time stamp (else it is lost, or was done twice),
and that no file is there in part.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from measuring import machine, write
from prognobench.randomness import generator
from prognobench.spec import load_spec
from watched import (
    PHASES,
    Driver,
    Kept,
    broken_files,
    differences,
    finished_runs,
    leftovers,
)

HERE = Path(__file__).parent
SPEC = HERE / "faults.yaml"
RESULT = HERE / "results" / "faults.json"

TARGETS = (
    *("decoding", "decoding", "splits"),
    *("training", "writing", "training", "writing", "writing"),
    *("evaluation", "report"),
)
"""Where each of the kills of a benchmark is aimed; the kinds in the middle row are shuffled."""

FAULTS = ("lost", "duplicated", "broken_files", "differing", "temporary_files_left")

ALSO_ITS_PROCESS = 0.4
"""Share of kills in decoding and training before which a process of the driver is killed."""


@dataclass
class Counts:
    """What happened."""

    kills: Counter[str] = field(default_factory=Counter)
    processes: Counter[str] = field(default_factory=Counter)
    benchmarks: int = 0
    ended_before: int = 0
    finished_runs: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    largest_difference: float = 0.0

    @property
    def faults(self) -> list[str]:
        """All that should not have happened."""
        return [*self.lost, *self.duplicated, *self.broken, *self.differing, *self.left]


@dataclass(frozen=True)
class Course:
    """How a benchmark goes that nobody disturbs: seconds of each phase, and how often it comes."""

    seconds: dict[str, float]
    times: dict[str, int]


class Killed:
    """One benchmark that is killed again and again."""

    def __init__(self, number: int, seed: int, folder: Path, course: Course, counts: Counts):
        self.random = generator("faults", seed, number)
        self.output, self.scratch = folder / "out", folder / "copy"
        self.log, self.cache = folder / "log", folder / "cache"
        self.course, self.counts = course, counts
        self.known: dict[str, Kept] = {}
        self.said: Counter[str] = Counter()
        self.name = f"benchmark {number}"

    def start(self) -> Driver:
        """Start the benchmark, or go on with it."""
        return start(self.output, self.cache, self.log)

    def targets(self) -> list[str]:
        """Return where its kills are aimed, in their order."""
        middle = [TARGETS[place] for place in 2 + self.random.permutation(6)]
        return [*TARGETS[:2], *middle, *TARGETS[8:]]

    def kill_once(self, target: str) -> None:
        """Start the benchmark, kill it at a random moment of a phase, and look at what is left."""
        driver = self.start()
        left = max(1, self.course.times["writing"] - len(self.known))
        # A later start of a phase is drawn where it comes once a run; training has so much less
        # left as runs are done.
        which = int(self.random.integers(1, left + 1)) if target == "writing" else 1
        share = left / self.course.times["writing"] if target == "training" else 1.0
        moment = float(self.random.uniform()) * share * self.course.seconds[target]
        also = self.random.uniform() < ALSO_ITS_PROCESS and target in ("decoding", "training")
        alive = driver.wait_for(target, which)
        if alive and also:
            self.kill_a_process(driver, "decoders" if target == "decoding" else "workers")
        if alive and driver.linger(moment):
            self.counts.kills[driver.kill()] += 1
        else:
            self.must_be(driver.end(), 0)
            self.counts.ended_before += 1
        self.look(driver)

    def kill_a_process(self, driver: Driver, kind: str) -> None:
        """Kill one of the driver's processes, a random while after there are any."""
        while not driver.children()[kind]:
            if not driver.linger(0.002):
                return
        share = 1 / 4 if kind == "workers" else 1 / 2
        driver.linger(float(self.random.uniform()) * share * self.course.seconds[driver.phase])
        if pids := driver.children()[kind]:
            os.kill(int(self.random.choice(pids)), signal.SIGKILL)
            self.counts.processes[kind] += 1

    def look(self, driver: Driver) -> None:
        """Compare what is there with what was there before, and with what the driver said."""
        try:
            found = finished_runs(self.output, self.scratch)
        except AssertionError as error:
            self.counts.lost.append(f"{self.name}: {error}")
            return
        self.said.update(driver.finished)
        self.counts.lost += [
            f"{self.name}: {run}" for run in {*self.known, *self.said} - found.keys()
        ]
        again = [run for run, before in self.known.items() if found.get(run, before) != before]
        again += [run for run, times in self.said.items() if times > 1]
        again += [run for run in driver.finished if run in self.known]
        self.counts.duplicated += [f"{self.name}: {run}" for run in set(again)]
        self.counts.broken += [f"{self.name}: {path}" for path in broken_files(self.output)]
        self.known = found

    def end(self, expected: Path) -> None:
        """Leave it alone until it ends, and compare it with one that was never killed."""
        driver = self.start()
        self.must_be(driver.end(), 0)
        self.look(driver)
        found, largest = differences(self.output, expected)
        self.counts.differing += [f"{self.name}: {what}" for what in found]
        self.counts.largest_difference = max(self.counts.largest_difference, largest)
        self.counts.left += leftovers(self.output)
        self.counts.benchmarks += 1
        self.counts.finished_runs += len(self.known)

    def must_be(self, code: int, wanted: int) -> None:
        """Note an exit code that is not as it must be."""
        if code != wanted:
            said = "\n".join(self.log.read_text().splitlines()[-20:])
            self.counts.differing.append(f"{self.name}: exit code {code}: {said}")


def start(output: Path, cache: Path, log: Path) -> Driver:
    environment = {"PROGNOBENCH_CACHE": str(cache), "PROGNOBENCH_PROCESSES": "2"}
    return Driver(["run", str(SPEC), "--output", str(output)], log, environment)


def undisturbed(folder: Path) -> Course:
    """Run the benchmark to its end, and return how long each phase takes and how often it comes."""
    folder.mkdir()
    driver = start(folder / "out", folder / "cache", folder / "log")
    if code := driver.end():
        raise RuntimeError(f"exit code {code}: {(folder / 'log').read_text()}")
    spent: dict[str, list[float]] = {phase: [] for phase in PHASES}
    marks = [mark for mark in driver.marks if mark.kind != "finished"]
    whole = 0.0
    for mark, following in itertools.pairwise(marks):
        spent[mark.what].append(following.at - mark.at)
        whole += spent[mark.what][-1] if mark.what in ("training", "writing") else 0.0
    entered = Counter(mark.what for mark in marks if mark.kind == "enter")
    # What comes once a run counts by one; of the rest, all of it. The last one ends unseen.
    seconds = {phase: sum(own) for phase, own in spent.items()} | {
        "writing": float(np.median(spent["writing"])),
        "training": whole,
    }
    last = marks[-1]
    seconds[last.what] = max(seconds[last.what], 0.01)
    return Course(seconds, dict(entered))


def measured(kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill until there were so many kills; return the figures."""
    began = time.perf_counter()
    course = undisturbed(folder / "undisturbed")
    counts, number = Counts(), 0
    while counts.kills.total() < kills and not counts.faults:
        own = folder / f"killed-{number}"
        own.mkdir()
        killed = Killed(number, seed, own, course, counts)
        for target in killed.targets():
            if counts.kills.total() < kills:
                killed.kill_once(target)
        killed.end(folder / "undisturbed" / "out")
        if not counts.faults:
            shutil.rmtree(own)
        number += 1
        print(f"{counts.kills.total()} of {kills} kills: {dict(counts.kills)}", flush=True)
    seconds = round(time.perf_counter() - began)
    return {
        # Not before: threads of torch do not survive a fork.
        "machine": machine(),
        "seed": seed,
        "runs_of_a_benchmark": course.times["writing"],
        "seconds_of_phases_undisturbed": {k: round(v, 4) for k, v in course.seconds.items()},
        "kills_of_the_driver": counts.kills.total(),
        "kills_by_phase": dict(counts.kills),
        "kills_of_its_processes": dict(counts.processes),
        "benchmarks_compared_with_the_undisturbed": counts.benchmarks,
        "finished_runs_compared": counts.finished_runs,
        "ended_before_its_kill": counts.ended_before,
        "lost": counts.lost,
        "duplicated": counts.duplicated,
        "broken_files": counts.broken,
        "differing": counts.differing,
        "temporary_files_left": counts.left,
        "largest_difference_of_logits": counts.largest_difference,
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help=f"write {RESULT.name}")
    asked = parser.parse_args()
    load_spec(SPEC)
    # Libraries are loaded once, here, and are there in every process that is forked.
    import prognobench.execution.benchmark
    import prognobench.execution.sharing
    import prognobench.report.build  # noqa: F401

    with tempfile.TemporaryDirectory(prefix="prognobench-faults-") as folder:
        found = measured(asked.kills, asked.seed, Path(folder))
    if asked.json:
        write(RESULT, found)
    print({key: value for key, value in found.items() if key != "machine"})
    if any(found[key] for key in FAULTS):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
