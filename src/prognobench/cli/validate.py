"""``prognobench validate``: read everything, train nothing."""

from __future__ import annotations

from prognobench.cli.options import JsonOption, OverridesArgument, SpecArgument


def validate(
    spec: SpecArgument, overrides: OverridesArgument = None, as_json: JsonOption = False
) -> None:
    """Read a benchmark file, its cohort, images and weights; train nothing."""
    import json
    from dataclasses import asdict

    from prognobench.backbones.backbone import load_backbone
    from prognobench.cli.console import results_console, talk_console
    from prognobench.cli.progress import progress
    from prognobench.cli.tables import print_flow
    from prognobench.execution.benchmark import require_weights
    from prognobench.execution.prepare import prepare
    from prognobench.spec import load_spec

    loaded = load_spec(spec, overrides or ())
    with progress("reading images", talk_console()) as step:
        prepared = prepare(loaded, lambda done, total: step(done, total, "", None))
    console = results_console()
    if not as_json:
        for task in prepared.tasks:
            print_flow(console, task.flow(), task.name)
            for warning in task.warnings:
                console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    entries = [backbone.entry() for backbone in loaded.backbones]
    require_weights(entries)
    for entry in entries:
        load_backbone(entry)
    if not as_json:
        console.print(f"valid: {len(prepared.runs)} runs", highlight=False)
        return
    tasks = [
        {
            "name": task.name,
            "patients": len(task.patients),
            "events": task.flow()[-1].events,
            "images": len(task.table),
            "flow": [asdict(step) for step in task.flow()],
            "warnings": list(task.warnings),
        }
        for task in prepared.tasks
    ]
    print(json.dumps({"valid": True, "runs": len(prepared.runs), "tasks": tasks}, indent=2))
