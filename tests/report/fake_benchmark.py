"""A benchmark that looks real and was never run: 4 backbones, 6 strategies, two regimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from prognobench.audit.concerned import under_pseudonyms
from prognobench.evaluation.choice import choose_runs
from prognobench.evaluation.detail import details
from prognobench.evaluation.finished import Runs
from prognobench.evaluation.rank_table import rank_table
from prognobench.evaluation.tables import leaderboard, patients_tested, run_metrics
from prognobench.report.content import ReportContent, Saliency

BACKBONES = {"resnet18": 0.5, "densenet121": 0.7, "dinov2_vits14": 0.9, "biomedclip": 1.1}
STRATEGIES = {
    "linear": (0.0, 769, 3.0),
    "bitfit": (0.1, 26_560, 40.0),
    "ia3": (-0.3, 65_281, 45.0),
    "vera": (0.05, 31_489, 55.0),
    "lora": (0.25, 295_681, 60.0),
    "full": (0.3, 21_700_000, 150.0),
}
CNNS = ("resnet18", "densenet121")
SPEC = """name: fake-icu
cohort: {source: mhh}
endpoints: [icu]
strategies: [full, linear, lora, vera, bitfit, ia3]
"""


SHORTCUT = {"patients": 40, "events": 10, "ci_low": None, "ci_high": None, "reason": ""}


def fake_runs(
    dataset: str, patients: int, prevalence: float, shots: tuple[int, ...], episodes: int
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    random = np.random.default_rng(11)
    target = (np.arange(patients) < round(prevalence * patients)).astype(int)
    fold = np.arange(patients) % 5
    difficulty = random.normal(size=patients)
    rows, stored = [], {}
    settings = [("full_data", pd.NA, pd.NA, number) for number in range(5)]
    settings += [("few_shot", k, e, e % 5) for k in shots for e in range(episodes)]
    for backbone, quality in BACKBONES.items():
        for strategy, (gain, parameters, seconds) in STRATEGIES.items():
            for regime, shot, episode, number in settings:
                few = regime == "few_shot"
                name = f"{regime}-{shot}-{number}-{episode}" if few else f"{regime}-fold{number}"
                run = f"{dataset}-{backbone}-{strategy}-{name}"
                row = {
                    "run": run,
                    "state": "done",
                    "reason": None,
                    "dataset": dataset,
                    "endpoint": "icu",
                    "backbone": backbone,
                    "strategy": strategy,
                    "regime": regime,
                    "shots": shot,
                    "level": float("nan"),
                    "split": name,
                    "fold": number,
                    "episode": episode,
                    "seed": 42,
                    "lr": 1e-3,
                    "validation_score": 0.5,
                    "prior_logit_shift": 0.0,
                    "trainable_parameters": parameters,
                    "train_seconds": seconds * (0.1 if few else 1.0) * random.uniform(0.9, 1.1),
                    "threshold": 0.5,
                }
                rows.append(row)
                if strategy == "vera" and backbone in CNNS:
                    row |= {"state": "not_applicable", "reason": "VeRA needs linear layers"}
                elif run.endswith("densenet121-full-full_data-fold3"):
                    row |= {"state": "failed", "reason": "the loss became infinite at step 12"}
                else:
                    share = 0.35 + 0.13 * np.log2(shot) if few else 1.0
                    effect = (quality + gain) * share
                    members = np.flatnonzero(fold == number)
                    noise = random.normal(size=len(members))
                    signal = effect * (target[members] - 0.3) + 0.8 * difficulty[members] + noise
                    logit = signal if strategy != "ia3" or backbone != "resnet18" else 0 * signal
                    stored[run] = pd.DataFrame(
                        {
                            "patient_id": [f"SECRET{m:04}" for m in members],
                            "image_id": [f"HIDDEN{m:04}" for m in members],
                            "part": "test",
                            "target": target[members],
                            "logit": logit,
                            "probability": 1 / (1 + np.exp(-logit)),
                        }
                    )
    runs = pd.DataFrame(rows).astype({"shots": "Int64", "episode": "Int64"})
    return runs, stored


def fake_images(patients: int) -> pd.DataFrame:
    """What is known of each image: a small site, two sexes, ages, views."""
    number = np.arange(patients)
    return pd.DataFrame(
        {
            "image_id": [f"HIDDEN{m:04}" for m in number],
            "patient_id": [f"SECRET{m:04}" for m in number],
            "acquired": 0.0,
            "site": np.where(number % 20 == 0, "harbour", "hill"),
            "sex": np.where(number % 2 == 0, "F", "M"),
            "age": 30 + number % 60,
            "view": np.where(number % 3 == 0, "PA", "AP"),
        }
    )


def fake_saliency(folder: Path, task: str) -> Saliency:
    """Two patients with a picture each."""
    examples = []
    for number, kind in enumerate(("true positive", "false negative")):
        path = folder / f"example{number}.png"
        shade = np.full((64, 128, 3), 60 + 100 * number, np.uint8)
        Image.fromarray(shade).save(path)
        examples.append({"kind": kind, "target": 1, "probability": 0.8 - 0.6 * number,
                         "picture": path})  # fmt: skip
    about = {"task": task, "candidate": "biomedclip with full", "method": "attention_rollout"}
    return Saliency(task, about, examples)


def fake_ranks() -> pd.DataFrame:
    """Mean ranks of four candidates over six cohorts."""
    random = np.random.default_rng(2)
    rows = [
        {
            "dataset": f"cohort{number}", "endpoint": "icu", "regime": "full_data",
            "shots": pd.NA, "level": np.nan, "backbone": "resnet18", "strategy": strategy,
            "metric": "mcc", "state": "done", "estimate": quality + 0.02 * random.normal(),
        }
        for number in range(6)
        for strategy, quality in (("full", 0.4), ("lora", 0.39), ("ia3", 0.1), ("linear", 0.2))
    ]  # fmt: skip
    return rank_table(pd.DataFrame(rows).astype({"shots": "Int64"}))


def fake_audit(task, site="<b>hill</b>"):
    """What `prognobench run` writes, in short."""
    names = [
        {"cohort": "home", "patient_id": "SECRET1", "image_id": "HIDDEN1"},
        {"cohort": "abroad", "patient_id": "SECRET2", "image_id": "HIDDEN2"},
    ]
    pair = {"first": 0, "second": 1, "compared": "registration", "correlation": 0.91}
    group = {"images": names, "pairs": [pair], "across_cohorts": True, "across_patients": True}
    shortcuts = [
        {**SHORTCUT, "column": "view", "auroc": 0.83, "ci_low": 0.72, "ci_high": 0.92,
         "warning": "view alone tells"},
        {**SHORTCUT, "column": "site", "auroc": 0.52, "ci_low": 0.4, "ci_high": 0.6, "warning": ""},
        {**SHORTCUT, "column": "file format", "auroc": None, "warning": "",
         "reason": "all patients have the same value"},
    ]  # fmt: skip
    about = {
        "patients": 40,
        "events": 10,
        "by": {"site": {site: {"patients": 30, "events": 9}}},
        "shortcuts": shortcuts,
        "contradictory_patients": 2,
        "images_after_outcome": 0,
        "images_after_outcome_left_out": 1234,
    }
    missing = {site: {"images": 20, "missing": {"crp": 5}}}
    labels = {
        "contradictory_patient_ids": ["SECRET1"],
        "after_outcome_image_ids": ["HIDDEN1", "HIDDEN3"],
    }
    cohort = {
        "images": 40,
        "missing": {"crp": 10, "age": 0},
        "missing_by": {"site": missing},
        "labels": {"icu": labels},
        "unreadable": {"the image is <i>broken</i>": ["HIDDEN4"]},
        "patient_of": {"HIDDEN1": "SECRET1", "HIDDEN3": "SECRET3", "HIDDEN4": "SECRET3"},
    }
    found = {
        task: {"warnings": [], "endpoints": {"icu": about}},
        "cohorts": {"home": cohort},
        "duplicates": [group, {**group, "across_cohorts": False}],
        "two_ids": [
            {"patients": ["home/SECRET1", "abroad/SECRET2"], "why": "images", "radiographs": 2}
        ],
        "warnings": ["1 radiograph is in more than one of these cohorts"],
    }
    return {**found, "pseudonyms": under_pseudonyms(found)[1]}


def fake_content(
    folder: Path,
    datasets: tuple[str, ...] = ("mhh",),
    patients: int = 200,
    prevalence: float = 0.2,
    shots: tuple[int, ...] = (2, 4, 8, 16),
    episodes: int = 4,
    replicates: int = 100,
) -> ReportContent:
    """Content as the benchmark would give it."""
    made = [fake_runs(name, patients, prevalence, shots, episodes) for name in datasets]
    runs = pd.concat([table for table, _ in made], ignore_index=True)
    stored = {run: table for _, own in made for run, table in own.items()}
    sheet = folder / "contact_sheet.png"
    gradient = np.add.outer(np.arange(400), np.arange(800)) % 256
    Image.fromarray(gradient.astype(np.uint8)).save(sheet)
    tasks = [f"{name}/icu" for name in datasets]
    flow = [
        {"step": "source", "reason": "listed by the source", "images": 321, "patients": 230},
        {"step": "after_outcome", "reason": "taken after admission to intensive care",
         "images": 61, "patients": 12, "events": 12},
        {"step": "view", "reason": "lateral views", "images": 0, "patients": 0, "events": 0},
        {"step": "policy", "reason": "only the first image of a patient is used",
         "images": 60, "patients": 18, "events": None},
        {"step": "task", "reason": "in the task", "images": 200, "patients": 200, "events": 40},
    ]  # fmt: skip
    audit = {
        "warnings": [
            "The view predicts the outcome: AUROC 0.71 from AP or PA alone. Models may read the "
            "view instead of the disease."
        ],
        "images": 200,
        "sites": {"A": 120, "B": 80},
        "duplicate_image_ids": ["HIDDEN0001", "HIDDEN0002"],
        "duplicates": ["HIDDEN0001", "HIDDEN0002"],
    }
    board = leaderboard(runs, stored.__getitem__, replicates=replicates)
    known = fake_images(patients)
    looked = details(
        runs,
        stored.__getitem__,
        board,
        dict.fromkeys(datasets, known),
        tested=patients_tested(choose_runs(runs), Runs.of(stored.__getitem__)),
        replicates=replicates,
        confidence=0.95,
    )
    return ReportContent(
        title="Fake benchmark: admission to intensive care",
        leaderboard=board,
        ranks=rank_table(board),
        curves=looked.curves,
        subgroups=looked.subgroups,
        saliency=[fake_saliency(folder, task) for task in tasks],
        digests={"benchmark.yaml": "ab" * 32},
        results=run_metrics(runs, stored.__getitem__),
        runs=runs,
        spec=SPEC,
        provenance={"title": "Hannover COVID-19", "licence": "CC BY 3.0", "version": "2.0"},
        outcomes=dict.fromkeys(tasks, "admitted to intensive care"),
        flows=dict.fromkeys(tasks, flow),
        audits=dict.fromkeys(tasks, audit),
        contact_sheets=[sheet],
        environment={"python": "3.11.7", "packages": {"torch": "2.11.0", "timm": "1.0.22"}},
        backbones=pd.DataFrame(
            {
                "name": list(BACKBONES),
                "feature_dim": [512, 1024, 384, 512],
                "licence": ["BSD-3", "BSD-3", "Apache-2.0", "MIT"],
                "digest": ["a1b2", "c3d4", "e5f6", None],
            }
        ),
    )
