"""``prognobench report``: results to tables, figures and HTML."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from prognobench.cli.options import JsonOption, ResultsOption
from prognobench.errors import UserError


def report(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The output folder of a run.")],
    results: ResultsOption = None,
    images: Annotated[
        bool | None,
        typer.Option(
            "--images/--no-images",
            help="Show pictures of patients, or leave them out.",
            show_default="as the spec says",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write results.csv, leaderboard.csv and the HTML report anew from what is stored.

    With --results, what has been done in that database since is copied to the folder first.
    """
    if not (output / "results.db").is_file():
        raise UserError(f"{output} holds no results.db: name the output folder of a run")
    import json

    from prognobench.cli.console import results_console
    from prognobench.cli.log import logged
    from prognobench.report.build import build_report
    from prognobench.results.outage import told
    from prognobench.results.store import ResultsStore

    with (
        told(output),
        logged(output, "report", images=images, shared=results is not None),
        contextlib.closing(ResultsStore(output)) as store,
    ):
        if results:
            # Only what trains needs the libraries that these bring, which take seconds to load.
            from prognobench.execution.benchmark import sole_use
            from prognobench.execution.sharing import collect
            from prognobench.results.shared import SharedStore

            with sole_use(output), contextlib.closing(SharedStore(results)) as shared:
                collect(store, shared)
        built = build_report(output, store, images=images)
    if as_json:
        summary = {
            "report": str(built.page),
            "results": str(output / "results.csv"),
            "leaderboard": str(output / "leaderboard.csv"),
            "failed": built.failed,
        }
        print(json.dumps(summary, indent=2))
    else:
        results_console().print(f"report: {built.page}", highlight=False, soft_wrap=True)
