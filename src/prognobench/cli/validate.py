"""``prognobench validate``: read everything, train nothing."""

from __future__ import annotations

from prognobench.cli.options import OverridesArgument, SpecArgument


def validate(spec: SpecArgument, overrides: OverridesArgument = None) -> None:
    """Read a benchmark file, its cohort, images and weights; train nothing.

    Example: prognobench validate benchmarks/mhh_icu.yaml
    """
    from rich.console import Console

    from prognobench.backbones.backbone import load_backbone
    from prognobench.cli.tables import print_flow
    from prognobench.execution.benchmark import require_weights
    from prognobench.execution.prepare import prepare
    from prognobench.spec import load_spec

    loaded = load_spec(spec, overrides or ())
    prepared = prepare(loaded)
    console = Console()
    for task in prepared.tasks:
        print_flow(console, task.flow(), task.name)
        for warning in task.warnings:
            console.print(f"warning: {warning}", style="yellow", markup=False)
    entries = [backbone.entry() for backbone in loaded.backbones]
    require_weights(entries)
    for entry in entries:
        load_backbone(entry)
    console.print(f"valid: {len(prepared.runs)} runs", highlight=False)
