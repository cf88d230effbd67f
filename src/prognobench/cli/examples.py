"""Examples of each verb, shown at the end of its help as lines that can be copied."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": (
        "prognobench demo",
        "prognobench plan benchmark.yaml",
        "prognobench run benchmark.yaml",
    ),
    "demo": (
        "prognobench demo",
        "prognobench demo --output my_demo --device cpu",
    ),
    "run": (
        "prognobench run benchmarks/mhh_icu.yaml",
        "prognobench run benchmarks/mhh_icu.yaml recipe.epochs=3 --output results/try --limit 5",
        "prognobench run benchmark.yaml --sink mlflow --json > summary.json",
    ),
    "plan": (
        "prognobench plan benchmarks/mhh_icu.yaml",
        "prognobench plan benchmarks/mhh_icu.yaml 'backbones=[demo_vit]' --json",
    ),
    "validate": (
        "prognobench validate benchmarks/mhh_icu.yaml",
        "prognobench validate benchmark.yaml cohort.root=/data/mhh --json",
    ),
    "report": (
        "prognobench report results/demo",
        "prognobench report results/demo --no-images",
    ),
    "ls": (
        "prognobench ls backbones",
        "prognobench ls strategies --json",
    ),
    "pull": ("prognobench pull resnet18 dinov2_vits14",),
    "cohort": (
        "prognobench cohort build mhh --root ../shared/data/mhh --output mhh.csv",
        "prognobench cohort audit mhh.csv",
    ),
    "cohort build": (
        "prognobench cohort build mhh --root ../shared/data/mhh --output mhh.csv",
        "prognobench cohort build csv --root images --output ours.csv table=outcomes.xlsx",
    ),
    "cohort audit": (
        "prognobench cohort audit mhh.csv --endpoint icu --json",
        "prognobench cohort audit mhh.csv cohen.csv --output audit",
    ),
    "export": (
        "prognobench export results/demo --task synthetic/mortality --output models/demo",
        "prognobench export results/mhh --backbone demo_vit --strategy lora --output models/lora",
        "prognobench export results/mhh --run 3f2a9c --output models/one-fold --json",
    ),
    "predict": (
        "prognobench predict models/demo chest.dcm more_images/ --output predictions.csv",
        "prognobench predict models/demo --patients patients.csv --json",
    ),
    "doctor": (
        "prognobench doctor",
        "prognobench doctor --json",
    ),
}
"""By verb; the empty name is the command line itself."""


def epilog(verb: str) -> str:
    """Return what stands at the end of a verb's help."""
    # The backspace keeps the lines as they are: none of them is broken, so that it can be copied.
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in EXAMPLES[verb])])
