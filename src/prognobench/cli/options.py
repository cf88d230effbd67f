"""Arguments that several verbs take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from prognobench.cli.completion import complete_key


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Executor(StrEnum):
    """Who computes."""

    LOCAL = "local"
    RAY = "ray"


class Calibration(StrEnum):
    """How an exported model's probabilities are recalibrated."""

    AUTO = "auto"
    LOGISTIC = "logistic"
    INTERCEPT = "intercept"
    NONE = "none"


class Sink(StrEnum):
    """An experiment tracker that gets the results too."""

    MLFLOW = "mlflow"
    WANDB = "wandb"


SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="The benchmark file.")]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[key=value ...]",
        help="Keys that take precedence over the file's, such as recipe.epochs=3.",
        autocompletion=complete_key,
        show_default=False,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(help="The output folder.", show_default="results/ and the benchmark's name"),
]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]
ExecutorOption = Annotated[
    Executor,
    typer.Option(help="Who computes: this machine, or the nodes of a Ray cluster."),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        envvar="RAY_ADDRESS",
        show_envvar=True,
        help="The Ray cluster: ray://HOST:10001 from anywhere, HOST:6379 or auto from one of its "
        "machines.",
        show_default="Ray is started on this machine",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Do at most this many runs now, the tasks taking turns.",
        show_default="all",
    ),
]
ResultsOption = Annotated[
    str | None,
    typer.Option(
        "--results",
        metavar="URL",
        envvar="PROGNOBENCH_RESULTS",
        show_envvar=True,
        help="A PostgreSQL database (postgresql://user@host/database) that several drivers share; "
        "what is done there is copied to the output folder.",
        show_default="the output folder alone",
    ),
]
SinkOption = Annotated[
    list[Sink] | None,
    typer.Option(
        "--sink",
        help="Give the results to an experiment tracker too, as its own settings say. Its failures "
        "stop nothing.",
        show_default="none",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
