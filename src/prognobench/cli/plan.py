"""``prognobench plan``: what a benchmark will do, and what of it is left."""

from __future__ import annotations

import json

from prognobench.cli.options import JsonOption, OutputOption, OverridesArgument, SpecArgument
from prognobench.errors import UserError


def plan(
    spec: SpecArgument,
    overrides: OverridesArgument = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the cells and runs of a benchmark, what is done, and what the rest will cost.

    Images are decoded (once, into the cache), nothing is trained. The time of the rest is
    estimated from the runs that are done in the output folder.
    """
    from prognobench.cli.console import results_console, talk_console
    from prognobench.cli.progress import duration, progress
    from prognobench.cli.run import default_output
    from prognobench.cli.tables import print_table
    from prognobench.execution.estimate import summarise_plan
    from prognobench.execution.operations import ASSUMED_RATE, sustained_seconds
    from prognobench.execution.prepare import prepare
    from prognobench.spec import load_spec

    loaded = load_spec(spec, overrides or ())
    folder = output or default_output(loaded)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output {folder} is no folder: name another")
    with progress("reading images", talk_console()) as step:
        prepared = prepare(loaded, lambda done, total: step(done, total, "", None))
    summary = summarise_plan(prepared, folder)
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    console = results_console()
    print_table(console, summary["cells"])
    if summary["search_note"]:
        console.print(summary["search_note"], highlight=False, soft_wrap=True)
    seconds = summary["estimated_seconds"]
    cost = "not known before a run of each kind is done" if seconds is None else duration(seconds)
    at_most = sustained_seconds(summary["operations"])
    short = "under 1 s" if at_most < 1 else duration(at_most)
    console.print(
        f"{summary['runs']} runs: {summary['done']} done, {summary['pending']} to do, "
        f"{summary['not_possible']} not possible. Time for the rest: {cost}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"At most {summary['operations']:.2g} floating-point operations, when no run stops early: "
        f"{short} at the {ASSUMED_RATE / 1e12:g} TFLOP/s that a single data-centre GPU "
        "sustains in such training (an assumption, not a measurement)",
        highlight=False,
        soft_wrap=True,
    )
