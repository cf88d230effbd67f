"""Arguments that several verbs take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="The benchmark file.")]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[key=value ...]",
        help="Keys that take precedence over the file's, such as recipe.epochs=3.",
        show_default=False,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(help="The output folder.", show_default="results/ and the benchmark's name"),
]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]
LimitOption = Annotated[
    int | None,
    typer.Option(min=0, help="Do at most this many runs now.", show_default="all"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
