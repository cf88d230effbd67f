"""``prognobench demo``: the whole way on the embedded cohort, with no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prognobench.cli.options import Device, DeviceOption, JsonOption, LimitOption


def demo(
    output: Annotated[Path, typer.Option(help="The output folder.")] = Path("results/demo"),
    *,
    limit: LimitOption = None,
    device: DeviceOption = Device.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Run the demonstration: synthetic radiographs, two backbones, four strategies.

    It needs no network and a few minutes on two cores. Start it again after an interruption and
    it goes on where it was.
    """
    from importlib.resources import as_file, files

    from prognobench.cli.run import run_spec
    from prognobench.spec import load_spec

    with as_file(files("prognobench.demo") / "demo.yaml") as path:
        spec = load_spec(path)
    run_spec(spec, output, limit, device, as_json=as_json, verb="demo")
