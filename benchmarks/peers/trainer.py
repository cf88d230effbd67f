"""Peer A: runs one after another with transformers' ``Trainer`` and peft, as its users write it.

A dataset that opens each file with Pillow whenever it is asked for, torchvision transforms, a timm
network with a head, ``get_peft_model``, ``TrainingArguments`` with an evaluation and a checkpoint
an epoch, early stopping, ``load_best_model_at_end``, and a prediction of the test part. What its
defaults are stays so (no workers that load data, float32). All runs are done in one process,
which imports everything once; that favours this side, whose users mostly start a script a run.

Started as ``python trainer.py JOB.json OUT.json``. Nothing of prognobench is used here.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import timm
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from torch import nn
from torchvision import transforms
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments, set_seed


class Radiographs(torch.utils.data.Dataset):
    """Image files with labels."""

    def __init__(self, images: list[list[Any]], transform: transforms.Compose) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> dict[str, Any]:
        path, label = self.images[number]
        with Image.open(path) as image:
            pixels = self.transform(image.convert("L"))
        return {"pixel_values": pixels, "labels": float(label)}


class Classifier(nn.Module):
    """A timm network with one logit, and the class-weighted cross-entropy."""

    def __init__(self, backbone: dict[str, Any], class_weights: tuple[float, float]) -> None:
        super().__init__()
        options = {"num_classes": 0, **backbone["options"]}
        self.network = timm.create_model(backbone["architecture"], **options)
        self.network.load_state_dict(load_file(backbone["weights"]))
        self.outcome_head = nn.Linear(self.network.num_features, 1)
        nn.init.normal_(self.outcome_head.weight, std=0.01)
        nn.init.zeros_(self.outcome_head.bias)
        self.class_weights = class_weights

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return loss and logits, as the Trainer wants them."""
        logits = self.outcome_head(self.network(pixel_values)).squeeze(1).float()
        weight = torch.where(labels > 0.5, *reversed(self.class_weights))
        losses = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        return {"loss": (weight * losses).sum() / weight.sum(), "logits": logits}


def image_transforms(backbone: dict[str, Any], augmented: bool) -> transforms.Compose:
    """Return what is done to an image; its augmentation is what prognobench does too."""
    side = backbone["input_size"]
    mean, std = backbone["mean"], backbone["std"]
    steps: list[Any] = [transforms.Resize((side, side))]
    if augmented:
        steps += [
            transforms.RandomAffine(
                degrees=7,
                translate=(0.05, 0.05),
                scale=(0.9, 1.1),
                interpolation=transforms.InterpolationMode.BILINEAR,
            ),
            transforms.ColorJitter(brightness=0.1, contrast=0.15),
        ]
    steps.append(transforms.ToTensor())
    if len(mean) == 3:
        steps.append(transforms.Lambda(lambda pixels: pixels.expand(3, -1, -1)))
    return transforms.Compose([*steps, transforms.Normalize(mean, std)])


def adapted(model: Classifier, strategy: dict[str, Any]) -> nn.Module:
    """Return the model with what a strategy trains made trainable."""
    if strategy["name"] == "lora":
        config = LoraConfig(
            r=strategy["r"],
            lora_alpha=strategy["lora_alpha"],
            lora_dropout=strategy["lora_dropout"],
            target_modules=strategy["target_modules"],
            modules_to_save=["outcome_head"],
        )
        return get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = (
            name.startswith("outcome_head.")
            or strategy["name"] == "full"
            or (strategy["name"] == "bitfit" and name.endswith("bias"))
        )
    return model


def metrics(prediction: Any) -> dict[str, float]:
    logits = prediction.predictions
    return {"auroc": float(roc_auc_score(prediction.label_ids, expit(logits)))}


def run(job: dict[str, Any], precision: str, folder: str) -> dict[str, Any]:
    """Train, keep the best epoch and predict the test part."""
    began = time.perf_counter()
    set_seed(job["seed"])
    recipe, backbone, strategy = job["recipe"], job["backbone"], job["strategy"]
    parts = job["images"]
    events = sum(label for _, label in parts["train"]) / len(parts["train"])
    model = adapted(Classifier(backbone, (0.5 / (1 - events), 0.5 / events)), strategy)
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    head = [p for name, p in trained if re.search(r"\boutcome_head\.", name)]
    inside = [p for name, p in trained if not re.search(r"\boutcome_head\.", name)]
    groups = [{"params": head, "lr": recipe["head_lr"], "weight_decay": 0.0}]
    if inside:
        decay = strategy["weight_decay"]
        groups.append({"params": inside, "lr": strategy["lr"], "weight_decay": decay})
    batch = min(recipe["batch_size"], len(parts["train"]))
    plain = image_transforms(backbone, augmented=False)
    augmented = image_transforms(backbone, augmented=recipe["augmentation"] == "chest")
    judged = bool(parts["val"])
    if judged:
        steps = recipe["epochs"] * -(-len(parts["train"]) // batch)
        length: dict[str, Any] = {
            "num_train_epochs": recipe["epochs"],
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "save_total_limit": 1,
            "save_only_model": True,
            "load_best_model_at_end": True,
            "metric_for_best_model": "loss",
        }
    else:
        steps = recipe["few_shot_steps"]
        length = {"max_steps": steps, "save_strategy": "no"}
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=64,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, round(recipe["warmup"] * steps)),
        max_grad_norm=recipe["gradient_clip"],
        bf16=precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        seed=job["seed"],
        label_names=["labels"],
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
        **length,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=Radiographs(parts["train"], augmented),
        eval_dataset=Radiographs(parts["val"], plain) if judged else None,
        compute_metrics=metrics,
        optimizers=(torch.optim.AdamW(groups), None),
        callbacks=[EarlyStoppingCallback(recipe["patience"])] if judged else [],
    )
    trainer.train()
    test = trainer.predict(Radiographs(parts["test"], plain))
    return {
        "run": job["run"],
        "seconds": time.perf_counter() - began,
        "train_seconds": trainer.state.log_history[-1].get("train_runtime"),
        "steps": trainer.state.global_step,
        "logits": test.predictions.tolist(),
        "labels": test.label_ids.tolist(),
    }


def main() -> None:
    job, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    results = []
    started = time.time()
    for own in job["runs"]:
        with tempfile.TemporaryDirectory() as folder:
            results.append(run(own, job["precision"], folder))
    out.write_text(json.dumps({"started": started, "ended": time.time(), "runs": results}))


if __name__ == "__main__":
    main()
