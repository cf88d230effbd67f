"""``prognobench run``: do what a benchmark file asks, or what is left of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prognobench.cli.options import (
    Device,
    DeviceOption,
    LimitOption,
    OutputOption,
    OverridesArgument,
    SpecArgument,
)
from prognobench.errors import UserError

EXIT_INTERRUPTED = 130

if TYPE_CHECKING:
    from prognobench.spec import BenchmarkSpec


def run(
    spec: SpecArgument,
    overrides: OverridesArgument = None,
    output: OutputOption = None,
    limit: LimitOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Run a benchmark, or what is left of it, and write its report.

    Runs that are done are not done again: start the same command once more after an interruption.
    Exit code 0: all runs are done. 1: some failed. 2: the input is wrong. 130: interrupted.

    Example: prognobench run benchmarks/mhh_icu.yaml recipe.epochs=3 --output results/mhh
    """
    from prognobench.spec import load_spec

    loaded = load_spec(spec, overrides or ())
    run_spec(loaded, output or default_output(loaded), limit, device)


def default_output(spec: BenchmarkSpec) -> Path:
    """Return the folder that holds a benchmark's results unless another is named."""
    return Path("results") / (re.sub(r"[^\w.-]+", "-", spec.name).strip("-.") or "benchmark")


def run_spec(spec: BenchmarkSpec, output: Path, limit: int | None, device: Device) -> None:
    """Run a spec in an output folder, with progress on the terminal; exits 1 if runs failed."""
    from rich.console import Console

    from prognobench.cli.leaderboard import print_leaderboard
    from prognobench.cli.progress import progress
    from prognobench.execution.benchmark import (
        register,
        run_benchmark,
        sole_use,
        write_preparation,
    )
    from prognobench.execution.environment import choose_device
    from prognobench.execution.local import Progress
    from prognobench.execution.prepare import prepare
    from prognobench.plan import Run
    from prognobench.report.build import build_report
    from prognobench.results.store import ResultsStore

    console = Console()
    try:
        place = choose_device(device.value)
    except ValueError as error:
        raise UserError(f"--device {device.value}: {error}, use --device cpu") from error
    with sole_use(output):
        with progress("reading images", console) as step:
            prepared = prepare(spec, lambda done, total: step(done, total, "", None))
        store = ResultsStore(output)
        write_preparation(prepared, output)
        todo = register(prepared, store)
        runs = [run for run in todo if isinstance(run, Run)]
        # The limit is on what costs; controls take a moment, and no table goes without them.
        pending = [run for run in todo if not isinstance(run, Run)] + runs[:limit]
        done = len(prepared.runs) - len(runs[:limit])
        console.print(
            f"{len(prepared.runs)} runs planned, {done} need no work now, {len(runs[:limit])} "
            f"to do, besides {len(prepared.controls)} fits of controls",
            highlight=False,
        )
        with progress("training", console) as step:

            def show(state: Progress) -> None:
                one = state.run
                last = f"{one.backbone} {one.strategy} {one.split.name}"
                step(state.finished, state.total, last, state.seconds_left)
                if state.failed:
                    console.print(f"failed: {last}: {state.failed}", style="red", markup=False)

            try:
                run_benchmark(prepared, pending, store, place, show)
            except KeyboardInterrupt:
                console.print("interrupted: what is finished is kept, run again to go on")
                raise typer.Exit(EXIT_INTERRUPTED) from None
        built = build_report(output, store)
        store.close()
    print_leaderboard(built.leaderboard, console)
    console.print(f"report: {built.page}", highlight=False, soft_wrap=True)
    if built.failed:
        console.print(f"{built.failed} runs failed; their reasons are in the report", style="red")
        raise typer.Exit(1)
