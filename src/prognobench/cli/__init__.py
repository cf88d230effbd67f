"""The command line: one module a verb, heavy imports inside the verb."""

from __future__ import annotations

import sys

import typer

from prognobench.cli import cohort, demo, doctor, ls, plan, pull, report, run, validate
from prognobench.errors import UserError

EXIT_USER_ERROR = 2

app = typer.Typer(
    name="prognobench",
    help="Which pretrained backbone, adapted by which fine-tuning strategy, to trust for a cohort "
    "of chest X-rays with outcomes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(name="demo")(demo.demo)
app.command(name="run")(run.run)
app.command(name="plan")(plan.plan)
app.command(name="validate")(validate.validate)
app.command(name="report")(report.report)
app.command(name="ls")(ls.ls)
app.command(name="pull")(pull.pull)
app.add_typer(cohort.app, name="cohort")
app.command(name="doctor")(doctor.doctor)


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(EXIT_USER_ERROR) from None
