"""``prognobench cohort``: build a manifest, look for what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from prognobench.cli.options import JsonOption
from prognobench.errors import UserError

app = typer.Typer(help="Build and audit cohorts.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def build(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A source of `ls cohorts`.")],
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

    Example: prognobench cohort build mhh --root ../shared/data/mhh --output mhh.csv
    """
    from omegaconf import OmegaConf
    from rich.console import Console

    from prognobench.cli.tables import print_flow
    from prognobench.cohorts.load import load_cohort
    from prognobench.cohorts.manifest import write_manifest
    from prognobench.cohorts.task import participant_flow, select_task

    for option in options or ():
        if "=" not in option:
            raise UserError(f"'{option}' is no key=value: write for example table=outcomes.csv")
    given: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(options or ())))
    settings = {"source": source, **given} | ({} if root is None else {"root": root})
    cohort = load_cohort(settings)
    write_manifest(cohort, output)
    console = Console()
    print_flow(console, participant_flow(cohort), f"{cohort.name}: all images")
    for endpoint in cohort.endpoints:
        try:
            task = select_task(cohort, endpoint)
        except UserError as error:
            console.print(f"{endpoint}: {error}", markup=False, soft_wrap=True)
            continue
        events = int(task.patients["target"].sum())
        title = (
            f"{task.name}: what a benchmark uses by default (policy first), "
            f"{events} of {len(task.patients)} patients with the event"
        )
        print_flow(console, task.flow(), title)
    console.print(
        f"wrote {output} with {len(cohort.table)} images of "
        f"{cohort.table['patient_id'].nunique()} patients",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def audit(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest.")],
    endpoint: Annotated[
        str | None, typer.Option(help="The endpoint.", show_default="each of the manifest")
    ] = None,
    policy: Annotated[str, typer.Option(help="first, all_before_outcome or all.")] = "first",
    as_json: JsonOption = False,
) -> None:
    """Say what is in a cohort and what is wrong with it.

    Example: prognobench cohort audit mhh.csv --endpoint icu --json
    """
    import json

    from rich.console import Console

    from prognobench.cli.tables import print_flow
    from prognobench.cohorts.audit import audit as audit_task
    from prognobench.cohorts.manifest import read_manifest
    from prognobench.cohorts.task import select_task
    from prognobench.files import file_digest

    cohort = read_manifest(manifest)
    names = [endpoint] if endpoint else list(cohort.endpoints)
    audits = {}
    tasks = [select_task(cohort, name, policy) for name in names]
    for task in tasks:
        rows = zip(task.table["image_id"], task.table["path"], strict=True)
        digests = {image_id: file_digest(cohort.root / path) for image_id, path in rows}
        audits[task.name] = audit_task(task, digests)
    if as_json:
        print(json.dumps(audits, indent=2, default=str))
        return
    console = Console()
    for task in tasks:
        print_flow(console, task.flow(), task.name)
        for warning in audits[task.name]["warnings"]:
            console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
        for group in audits[task.name]["duplicates"]:
            images, patients = ", ".join(group["images"]), ", ".join(group["patients"])
            console.print(
                f"equal {group['compared']}: images {images} of patients {patients}",
                markup=False,
                soft_wrap=True,
            )
