"""``prognobench run``: do what a benchmark file asks, or what is left of it."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from prognobench.cli.options import (
    Device,
    DeviceOption,
    Executor,
    ExecutorOption,
    JsonOption,
    LimitOption,
    OutputOption,
    OverridesArgument,
    RayAddressOption,
    ResultsOption,
    Sink,
    SinkOption,
    SpecArgument,
)

EXIT_INTERRUPTED = 130

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch
    from rich.console import Console

    from prognobench.cli.log import Log
    from prognobench.execution.drive import Progress
    from prognobench.execution.prepare import Prepared
    from prognobench.plan import ControlRun, Run
    from prognobench.report.build import Built
    from prognobench.results.store import ResultsStore
    from prognobench.sinks.sink import Sinks
    from prognobench.spec import BenchmarkSpec


def run(
    spec: SpecArgument,
    overrides: OverridesArgument = None,
    output: OutputOption = None,
    *,
    limit: LimitOption = None,
    device: DeviceOption = Device.AUTO,
    executor: ExecutorOption = Executor.LOCAL,
    ray_address: RayAddressOption = None,
    results: ResultsOption = None,
    sink: SinkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a benchmark, or what is left of it, and write its report.

    Runs that are done are not done again: start the same command once more after an interruption.
    Exit code 0: all runs are done. 1: some failed. 2: the input is wrong. 130: interrupted.
    """
    with interruptible():
        from prognobench.spec import load_spec

        loaded = load_spec(spec, overrides or ())
        run_spec(
            loaded,
            output or default_output(loaded),
            limit,
            device,
            results,
            executor=executor,
            ray_address=ray_address,
            sinks=sink or (),
            as_json=as_json,
        )


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """End at once, in a sentence and by exit code 130, when Ctrl-C is pressed.

    Yields:
        To be called between steps of the work (:mod:`prognobench.execution.interruption`).
    """
    from prognobench.execution.interruption import heard

    try:
        with heard() as check_for_interruption:
            yield check_for_interruption
    except (KeyboardInterrupt, Exception) as error:
        if not _of_an_interruption(error):
            raise
        from prognobench.cli.console import talk_console

        talk_console().print("interrupted: what is finished is kept, run again to go on")
        # No exit of typer's: its words on an interruption would follow these.
        raise SystemExit(EXIT_INTERRUPTED) from None


def _of_an_interruption(error: BaseException | None) -> bool:
    """Say whether it is one, or an error that a library ran into while it made way for one."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def default_output(spec: BenchmarkSpec) -> Path:
    """Return the folder that holds a benchmark's results unless another is named."""
    return Path("results") / (re.sub(r"[^\w.-]+", "-", spec.name).strip("-.") or "benchmark")


def run_spec(
    spec: BenchmarkSpec,
    output: Path,
    limit: int | None,
    device: Device,
    results: str | None = None,
    *,
    executor: Executor = Executor.LOCAL,
    ray_address: str | None = None,
    sinks: Sequence[Sink] = (),
    as_json: bool = False,
    verb: str = "run",
) -> None:
    """Run a spec in an output folder, with progress on the terminal; exits 1 if runs failed.

    Args:
        spec: The benchmark.
        output: The output folder.
        limit: Do at most this many runs.
        device: Where to compute.
        results: The URL of a database that other drivers share.
        executor: Who computes.
        ray_address: The Ray cluster; None starts Ray on this machine.
        sinks: The experiment trackers that shall get the results too.
        as_json: Print a summary as JSON instead of the leaderboard.
        verb: The verb that asks, for the log.
    """
    from prognobench.cli.console import talk_console
    from prognobench.cli.devices import chosen_device
    from prognobench.cli.log import logged
    from prognobench.cli.progress import progress
    from prognobench.cli.tracking import about
    from prognobench.execution.benchmark import (
        keep_foreign_files,
        register,
        run_benchmark,
        sole_use,
        write_preparation,
    )
    from prognobench.execution.environment import describe_environment
    from prognobench.execution.prepare import prepare
    from prognobench.execution.sharing import collect, collecting, share
    from prognobench.report.ahead import evaluating_ahead
    from prognobench.results.shared import SharedStore
    from prognobench.results.store import ResultsStore
    from prognobench.sinks.sink import Sinks

    keep_foreign_files(spec, output)
    talk = talk_console()
    # With Ray each node has its own device.
    place = chosen_device(Device.CPU if executor == Executor.RAY else device)

    def warn(sentence: str) -> None:
        talk.print(f"warning: {sentence}", style="yellow", markup=False, soft_wrap=True)

    trackers = Sinks.named(sinks, warn)
    with interruptible() as check_for_interruption, contextlib.ExitStack() as stack:
        stack.enter_context(_cluster(executor, ray_address))
        shared = stack.enter_context(contextlib.closing(SharedStore(results))) if results else None
        stack.enter_context(sole_use(output))
        asked = {"limit": limit, "shared": results is not None, **describe_environment(place)}
        log = stack.enter_context(logged(output, verb, **asked))
        with progress("reading images", talk) as step:
            prepared = prepare(spec, lambda done, total: step(done, total, "", None))
        _note_tasks(log, prepared)
        store = stack.enter_context(contextlib.closing(ResultsStore(output)))
        write_preparation(prepared, output)
        todo = register(prepared, store)
        if shared:
            todo = share(prepared, store, shared)
        stack.enter_context(trackers)
        trackers.begin(about(spec, output))
        with _training(prepared, todo, limit, talk, log) as (pending, show):
            failures: list[str] = []

            def tell(state: Progress) -> None:
                show(state)
                failures.extend([state.failed] if state.failed else [])
                trackers.progress(state.finished, state.total, len(failures))

            with (
                collecting(store, shared) if shared else contextlib.nullcontext(),
                evaluating_ahead(output, len(pending)),
            ):
                run_benchmark(
                    prepared,
                    pending,
                    store,
                    place,
                    tell,
                    shared=shared,
                    on_ray=device.value if executor == Executor.RAY else None,
                )
        if shared:
            collect(store, shared)
        built = _conclude(
            prepared,
            store,
            place,
            trackers,
            log,
            as_json=as_json,
            check_for_interruption=check_for_interruption,
        )
        if built.failed:
            talk.print(f"{built.failed} runs failed; their reasons are in the report", style="red")
            raise typer.Exit(1)


def _conclude(
    prepared: Prepared,
    store: ResultsStore,
    place: torch.device,
    trackers: Sinks,
    log: Log,
    *,
    as_json: bool,
    check_for_interruption: Callable[[], None],
) -> Built:
    """Write tables and report, give them to the trackers, and print what came of it all."""
    from prognobench.cli.console import results_console
    from prognobench.cli.leaderboard import print_leaderboard
    from prognobench.cli.tracking import outcome
    from prognobench.report.build import build_report, evaluate
    from prognobench.saliency.write import write_saliency

    spec, output = prepared.spec, store.output
    made = evaluate(output, store, whole=bool(trackers))
    check_for_interruption()
    if spec.report.images and spec.report.saliency:
        log.say("maps of where the best candidates looked")
        write_saliency(prepared, store, made.leaderboard, place)
        check_for_interruption()
    log.say("report")
    if trackers:
        with outcome(output, store, made) as ended:
            trackers.end(ended)
    built = build_report(output, store, evaluated=made)
    check_for_interruption()
    if as_json:
        print(json.dumps(_summary(spec, output, built, store), indent=2))
    else:
        console = results_console()
        print_leaderboard(built.leaderboard, console)
        console.print(f"report: {built.page}", highlight=False, soft_wrap=True)
    return built


@contextlib.contextmanager
def _training(
    prepared: Prepared,
    todo: Sequence[Run | ControlRun],
    limit: int | None,
    console: Console,
    log: Log,
) -> Iterator[tuple[list[Run | ControlRun], Callable[[Progress], None]]]:
    """Say what will be done, and show progress while the block does it.

    Yields:
        What shall be done, and what to call after each run.
    """
    from prognobench.cli.progress import progress
    from prognobench.plan import Run

    runs = [run for run in todo if isinstance(run, Run)]
    chosen = runs if limit is None else _in_turn(runs)[:limit]
    # The limit is on what costs; controls take a moment, and no table goes without them.
    pending = [run for run in todo if not isinstance(run, Run)] + chosen
    done = len(prepared.runs) - len(chosen)
    console.print(
        f"{len(prepared.runs)} runs planned, {done} need no work now, {len(chosen)} "
        f"to do, besides {len(prepared.controls)} fits of controls",
        highlight=False,
        soft_wrap=True,
    )
    log.say("plan", runs=len(prepared.runs), to_do=len(chosen), with_controls=len(pending))
    with progress("training", console) as step:

        def show(state: Progress) -> None:
            one = state.run
            last = f"{one.backbone} {one.strategy} {one.split.name}" if one else ""
            step(state.finished, state.total, last, state.seconds_left)
            if state.failed:
                console.print(f"failed: {last}: {state.failed}", style="red", markup=False)
            _note(log, state)

        yield pending, show


def _in_turn(runs: Sequence[Run]) -> list[Run]:
    """Return runs with the tasks taking turns, so that a few of them try every task."""
    turns: Counter[str] = Counter()
    placed = []
    for run in runs:
        placed.append((turns[run.task.name], run))
        turns[run.task.name] += 1
    return [run for _, run in sorted(placed, key=lambda own: own[0])]


def _cluster(executor: Executor, address: str | None) -> contextlib.AbstractContextManager[None]:
    """Return what holds the connection to a Ray cluster, where one is asked for."""
    if executor == Executor.LOCAL:
        return contextlib.nullcontext()
    from prognobench.execution.ray import connected

    return connected(address)


def _note_tasks(log: Log, prepared: Prepared) -> None:
    """Note the size of each task in the log."""
    for task in prepared.tasks:
        log.say("task", images=len(task.table), patients=len(task.patients), name=task.name)


def _note(log: Log, state: Progress) -> None:
    """Note the end of a run in the log."""
    if state.run is None:
        return
    facts = {"done": f"{state.finished}/{state.total}", "run": state.run.id}
    facts |= {"backbone": state.run.backbone, "strategy": state.run.strategy}
    if state.failed:
        # Its sentence may name an image; it stands in results.db.
        log.wrong("failed", **facts, kind=state.failed.partition(":")[0])
    else:
        log.say("done", **facts)


def _summary(
    spec: BenchmarkSpec, output: Path, built: Built, store: ResultsStore
) -> dict[str, Any]:
    """Return what a script wants to know of a benchmark: counts, places, and why runs failed."""
    from prognobench.evaluation.controls import CONTROL

    table = store.runs()
    own = table[table["backbone"] != CONTROL]
    counts = own["state"].astype(str).value_counts()
    failed = own[own["state"] == "failed"]
    columns = ["run", "dataset", "endpoint", "backbone", "strategy", "split", "reason"]
    return {
        "name": spec.name,
        "output": str(output),
        "runs": len(own),
        "states": {str(state): int(count) for state, count in counts.items()},
        "failures": failed[columns].to_dict("records"),
        "results": str(output / "results.csv"),
        "leaderboard": str(output / "leaderboard.csv"),
        "report": str(built.page),
    }
