"""``prognobench export``: one model of a benchmark, in a folder."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from prognobench.cli.completion import (
    complete_candidate_backbone,
    complete_candidate_strategy,
    complete_task,
)
from prognobench.cli.options import Calibration, Device, DeviceOption, JsonOption


def export(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The output folder of a run.")],
    *,
    model: Annotated[Path, typer.Option("--output", help="The model folder to write.")],
    task: Annotated[
        str | None,
        typer.Option(
            help="The task, DATASET/ENDPOINT.",
            show_default="the only one",
            autocompletion=complete_task,
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="The backbone, as the leaderboard names it.",
            show_default="of the best",
            autocompletion=complete_candidate_backbone,
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="The strategy, as the leaderboard names it.",
            show_default="of the best",
            autocompletion=complete_candidate_strategy,
        ),
    ] = None,
    regime: Annotated[
        str | None,
        typer.Option(
            help="full_data or leave_one_site_out.", show_default="the first of them that there is"
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            help="Export the model of this run (an id of results.csv) instead of training anew.",
            show_default="none",
        ),
    ] = None,
    calibration: Annotated[
        Calibration, typer.Option(help="How probabilities are recalibrated.")
    ] = Calibration.AUTO,
    include_backbone: Annotated[
        bool,
        typer.Option("--include-backbone", help="Carry the backbone's weights in the folder."),
    ] = False,
    device: DeviceOption = Device.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Write the best candidate of a benchmark, or the one named, as a model for `predict`.

    It is trained anew on all patients of the task, by the procedure that was measured. The folder
    holds JSON and safetensors: the adapter in peft's format or the trained weights, the head,
    preprocessing, thresholds, calibration, and a model card. For research only.
    """
    from prognobench.cli.console import results_console, talk_console
    from prognobench.cli.devices import chosen_device
    from prognobench.cli.log import logged
    from prognobench.cli.progress import progress
    from prognobench.evaluation.recalibration import METHODS
    from prognobench.export.choice import Asked
    from prognobench.export.export import export_model

    method = next((name for name in METHODS if name == calibration), None)
    errors = talk_console()
    # A folder that is no benchmark's gets no log either.
    log = logged(output, "export") if (output / "results.db").is_file() else nullcontext()
    with log, progress("reading images", errors) as step:
        written = export_model(
            output,
            model,
            Asked(task, backbone, strategy, regime, run),
            chosen_device(device),
            calibration=method,
            include_backbone=include_backbone,
            progress=lambda done, total: step(done, total, "", None),
        )
    about = written.about
    if as_json:
        summary = {
            "model": str(written.folder),
            "task": f"{about.task.dataset}/{about.task.endpoint}",
            "backbone": about.backbone.spec.name,
            "strategy": about.strategy.label,
            "run": about.origin["run"],
            "findings": list(written.findings),
            "outcome": about.outcome.model_dump(),
            "thresholds": about.thresholds and about.thresholds.model_dump(),
            "calibration": about.calibration and about.calibration.model_dump(exclude={"about"}),
            "largest_difference": written.largest_difference,
        }
        print(json.dumps(summary, indent=2))
        return
    console = results_console()
    for finding in written.findings:
        console.print(finding, highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"model: {written.folder} (its model card is {written.folder / 'README.md'})",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
