"""The command line: one module a verb, heavy imports inside the verb."""

from __future__ import annotations

import sys

import typer

from prognobench.cli import (
    cohort,
    demo,
    doctor,
    export,
    ls,
    plan,
    predict,
    pull,
    report,
    run,
    validate,
)
from prognobench.cli.examples import epilog
from prognobench.cli.mistakes import in_a_sentence
from prognobench.errors import UserError
from prognobench.execution.interruption import heard

EXIT_USER_ERROR = 2

EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="prognobench",
    help="Which pretrained backbone, adapted by which fine-tuning strategy, to trust for a cohort "
    "of chest X-rays with outcomes.",
    epilog=epilog(""),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(name="demo", epilog=epilog("demo"))(demo.demo)
app.command(name="run", epilog=epilog("run"))(run.run)
app.command(name="plan", epilog=epilog("plan"))(plan.plan)
app.command(name="validate", epilog=epilog("validate"))(validate.validate)
app.command(name="report", epilog=epilog("report"))(report.report)
app.command(name="ls", epilog=epilog("ls"))(ls.ls)
app.command(name="pull", epilog=epilog("pull"))(pull.pull)
app.add_typer(cohort.app, name="cohort", epilog=epilog("cohort"))
app.command(name="export", epilog=epilog("export"))(export.export)
app.command(name="predict", epilog=epilog("predict"))(predict.predict)
app.command(name="doctor", epilog=epilog("doctor"))(doctor.doctor)


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and exit code 2."""
    try:
        with heard():
            code = app(prog_name="prognobench", standalone_mode=False)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = EXIT_USER_ERROR
    except typer.TyperException as error:
        print(in_a_sentence(error), file=sys.stderr)
        code = EXIT_USER_ERROR
    if code == EXIT_INTERRUPTED:
        print("interrupted", file=sys.stderr)
    raise SystemExit(code or 0)
