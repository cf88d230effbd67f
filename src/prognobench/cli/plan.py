"""``prognobench plan``: what a benchmark will do, and what of it is left."""

from __future__ import annotations

import json

from prognobench.cli.options import JsonOption, OutputOption, OverridesArgument, SpecArgument


def plan(
    spec: SpecArgument,
    overrides: OverridesArgument = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the cells and runs of a benchmark, what is done, and what the rest will cost.

    Images are decoded (once, into the cache), nothing is trained. The time of the rest is
    estimated from the runs that are done in the output folder.

    Example: prognobench plan benchmarks/mhh_icu.yaml --json
    """
    from rich.console import Console

    from prognobench.cli.progress import duration
    from prognobench.cli.run import default_output
    from prognobench.cli.tables import print_table
    from prognobench.execution.estimate import summarise_plan
    from prognobench.execution.operations import ASSUMED_RATE, sustained_seconds
    from prognobench.execution.prepare import prepare
    from prognobench.spec import load_spec

    loaded = load_spec(spec, overrides or ())
    summary = summarise_plan(prepare(loaded), output or default_output(loaded))
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    console = Console()
    print_table(console, summary["cells"])
    if summary["search_note"]:
        console.print(summary["search_note"], highlight=False)
    seconds = summary["estimated_seconds"]
    cost = "not known before a run of each kind is done" if seconds is None else duration(seconds)
    at_most = sustained_seconds(summary["operations"])
    console.print(
        f"{summary['runs']} runs: {summary['done']} done, {summary['pending']} to do, "
        f"{summary['not_possible']} not possible. Time for the rest: {cost}",
        highlight=False,
    )
    console.print(
        f"At most {summary['operations']:.2g} floating-point operations, when no run stops early: "
        f"{duration(at_most)} at the {ASSUMED_RATE / 1e12:g} TFLOP/s that a single data-centre GPU "
        "sustains in such training (an assumption, not a measurement)",
        highlight=False,
    )
