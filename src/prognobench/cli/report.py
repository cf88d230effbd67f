"""``prognobench report``: results to tables, figures and HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prognobench.errors import UserError


def report(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The output folder of a run.")],
) -> None:
    """Write results.csv, leaderboard.csv and the HTML report anew from what is stored.

    Example: prognobench report results/demo
    """
    if not (output / "results.db").is_file():
        raise UserError(f"{output} holds no results.db: name the output folder of a run")
    from rich.console import Console

    from prognobench.report.build import build_report
    from prognobench.results.store import ResultsStore

    store = ResultsStore(output)
    built = build_report(output, store)
    store.close()
    Console().print(f"report: {built.page}", highlight=False, soft_wrap=True)
