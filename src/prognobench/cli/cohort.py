"""``prognobench cohort``: build a manifest, look for what is wrong with it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prognobench.cli.completion import complete_source
from prognobench.cli.examples import epilog
from prognobench.cli.options import JsonOption
from prognobench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(help="Build and audit cohorts.", no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog=epilog("cohort build"))
def build(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A source of `ls cohorts`.", autocompletion=complete_source
        ),
    ],
    output: Annotated[Path, typer.Option(help="The manifest to write, .csv or .parquet.")],
    root: Annotated[
        Path | None, typer.Option(help="The folder as downloaded.", show_default="none")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[key=value ...]", help="Further options of the source."),
    ] = None,
) -> None:
    """Read a cohort in its original layout and write it as a manifest.

    The manifest keeps every frontal image with the day it was taken and the day of each outcome;
    which of them a benchmark uses (those up to the outcome, by default) is its image policy.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from prognobench.cli.console import results_console
    from prognobench.cli.tables import print_flow
    from prognobench.cohorts.load import load_cohort, paths_read
    from prognobench.cohorts.manifest import check_manifest_place, write_manifest
    from prognobench.cohorts.participant_flow import participant_flow
    from prognobench.cohorts.task import select_task

    for option in options or ():
        if "=" not in option:
            raise UserError(f"'{option}' is no key=value: write for example table=outcomes.csv")
        try:
            OmegaConf.from_dotlist([option])
        except (YAMLError, OmegaConfBaseException) as error:
            raise UserError(
                f"the value of '{option}' cannot be read as YAML, of which a text, a number or a "
                "list was expected: put it in quotes"
            ) from error
    given: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(options or ())))
    settings = {"source": source, **given} | ({} if root is None else {"root": root})
    check_manifest_place(output, paths_read(settings))
    cohort = load_cohort(settings)
    write_manifest(cohort, output)
    console = results_console()
    print_flow(console, participant_flow(cohort), f"{cohort.name}: all images")
    for endpoint in cohort.all_endpoints:
        try:
            task = select_task(cohort, endpoint)
        except UserError as error:
            console.print(f"{endpoint}: {error}", markup=False, soft_wrap=True)
            continue
        title = f"{task.name}: what a benchmark uses by default (policy first), "
        if task.kind != "ordinal":
            events = int((task.patients["target"] > 0).sum())
            title += f"{events} of {len(task.patients)} patients with the event"
        else:
            title += f"{len(task.patients)} patients"
        print_flow(console, task.flow(), title)
        for warning in task.warnings:
            console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    console.print(
        f"wrote {output} with {len(cohort.table)} images of "
        f"{cohort.table['patient_id'].nunique()} patients",
        highlight=False,
        soft_wrap=True,
    )


@app.command(epilog=epilog("cohort audit"))
def audit(
    manifests: Annotated[
        list[Path],
        typer.Argument(
            metavar="MANIFEST ...", help="One or several: leaks between them are looked for too."
        ),
    ],
    endpoint: Annotated[
        str | None, typer.Option(help="The endpoint.", show_default="each of the manifest")
    ] = None,
    policy: Annotated[str, typer.Option(help="first, all_before_outcome or all.")] = "first",
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write audit.json, contact sheets and a sheet of the copies there.",
            show_default="none",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is in cohorts and what is wrong with them, in each and between them.

    Images and patients are named by the ids of the manifests. Every image is decoded once, and
    copies are searched among all of them.
    """
    import json

    from prognobench.audit.cohorts import audit_cohorts
    from prognobench.audit.sheets import write_audit
    from prognobench.cli.audited import print_audit
    from prognobench.cli.console import results_console, talk_console
    from prognobench.cli.progress import progress
    from prognobench.cohorts.manifest import read_manifest
    from prognobench.cohorts.task import check_policy
    from prognobench.files import require_writable

    check_policy(policy)
    with _told(output):
        if output is not None:
            require_writable(output, folder=True)
    cohorts = [read_manifest(path) for path in manifests]
    with progress("images decoded", talk_console()) as step:
        found = audit_cohorts(
            cohorts, endpoint, policy, lambda done, total: step(done, total, "", None)
        )
    with _told(output):
        written = [] if output is None else write_audit(found, cohorts, output)
    if as_json:
        print(json.dumps(found.data, indent=2, default=str))
        return
    console = results_console()
    print_audit(console, found)
    for path in written:
        console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _told(output: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"--output {output} cannot be written ({error.strerror or error}): name another folder"
        ) from error
