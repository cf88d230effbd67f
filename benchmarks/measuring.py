"""Processes with their wall time, processor time and memory, and the machine they ran on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INTERVAL = 0.1
"""Seconds between two looks at a process's memory."""


@dataclass(frozen=True)
class Measured:
    """What a process and its children took.

    Attributes:
        began: When it was started, in seconds since the epoch.
        wall: Seconds from its start to its end.
        cpu: Seconds of processor time, all its children included.
        peak_bytes: Most memory that it and its children held at once (proportional set size:
            what they share is counted once).
    """

    began: float
    wall: float
    cpu: float
    peak_bytes: int


NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""Environment variable that has Python compile all libraries anew in every process."""


def measured(
    command: list[str], environment: dict[str, str], log: Path, interval: float = INTERVAL
) -> Measured:
    """Run a command to its end.

    Args:
        command: The command.
        environment: Variables set beside those of this process, of which ``NO_BYTECODE`` is taken
            away: on the machines of users Python keeps what it compiled.
        log: Where its output goes.
        interval: Seconds between two looks at its memory. A look stops a process of some gigabytes
            for a good part of a tenth of a second.

    Raises:
        RuntimeError: When it fails, with the end of its output.
    """
    kept = {name: value for name, value in os.environ.items() if name != NO_BYTECODE}
    before = os.times()
    began, clock, peak = time.time(), time.perf_counter(), 0
    with log.open("w") as stream:
        child = subprocess.Popen(  # noqa: S603
            command, env={**kept, **environment}, stdout=stream, stderr=subprocess.STDOUT
        )
        while child.poll() is None:
            peak = max(peak, tree_memory(child.pid))
            time.sleep(interval)
    wall = time.perf_counter() - clock
    after = os.times()
    if child.returncode:
        tail = "\n".join(log.read_text().splitlines()[-20:])
        raise RuntimeError(f"{' '.join(command)} failed ({child.returncode}):\n{tail}")
    cpu = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    return Measured(began, wall, cpu, peak)


def tree_memory(pid: int) -> int:
    """Return the proportional set size of a process and all below it, in bytes."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:  # it has ended
        return total
    return total + sum(tree_memory(child) for child in children)


def machine() -> dict[str, Any]:
    """Return what the machine is, and how fast it multiplies matrices just now."""
    import torch

    model = platform.processor() or platform.machine()
    flags: set[str] = set()
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
        if line.startswith("flags"):
            flags = set(line.split(":", 1)[1].split())
    cores = len(os.sched_getaffinity(0))
    return {
        "cpu": model,
        "cores": cores,
        "matrix_units": sorted(flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile"}),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "matrix_gflops": {
            f"{kind} {threads} threads": round(matrix_speed(kind, threads))
            for kind in ("float32", "bfloat16")
            for threads in sorted({1, cores})
        },
    }


LONGEST_PRODUCT = 0.25
"""Seconds that a matrix product may take, or smaller ones are measured."""


def matrix_speed(
    kind: str, threads: int, side: int = 1024, repeats: int = 5, device: Any = "cpu"
) -> float:
    """Return the speed of a product of square matrices, in billions of operations a second.

    Without units for a kind (bfloat16 on many processors) a product of that side would take
    seconds: it is halved until it does not.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    one = torch.randn(side, side, device=device).to(getattr(torch, kind))
    if not one.is_cuda:  # which is never slow, and whose small products tell nothing
        small = min(_product_seconds(one[:128, :128], 3))
        while side > 128 and small * (side / 128) ** 3 > LONGEST_PRODUCT:
            side //= 2
    seconds = _product_seconds(one[:side, :side].contiguous(), repeats + 1)
    torch.set_num_threads(before)
    return 2 * side**3 / min(seconds[1:]) / 1e9


def _product_seconds(matrix: Any, repeats: int) -> list[float]:
    import torch

    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        matrix @ matrix
        if matrix.is_cuda:
            torch.cuda.synchronize(matrix.device)
        seconds.append(time.perf_counter() - began)
    return seconds


def write(path: Path, value: Any) -> None:
    """Write plain data as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
