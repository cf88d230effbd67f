"""demo_vit: the embedded weights are the right ones, and pretraining pays on the demo cohort."""

import functools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prognobench.backbones.backbone import Backbone, create_network, load_backbone
from prognobench.backbones.catalog import get_entry
from prognobench.demo import vit
from prognobench.demo.outcomes import ceilings
from prognobench.demo.patients import Patient, draw_patient
from prognobench.demo.radiograph import GENERATOR_VERSION
from prognobench.files import file_digest
from prognobench.images.geometry import to_square
from prognobench.training.features import extract_features

Numbers = NDArray[np.float64]


def backbone(pretrained: bool) -> Backbone:
    entry = get_entry("demo_vit")
    if pretrained:
        return load_backbone(entry)
    torch.manual_seed(0)
    return Backbone(entry, create_network(entry))


@functools.lru_cache(maxsize=4)
def cohort(patients: int) -> list[Patient]:
    return [draw_patient(0, number) for number in range(patients)]


@functools.lru_cache(maxsize=4)
def images(patients: int) -> NDArray[np.uint8]:
    """The first image of each patient of seed 0, as the image store keeps it."""
    return np.stack([to_square(patient.pixels(0), vit.INPUT_SIZE) for patient in cohort(patients)])


@functools.lru_cache(maxsize=4)
def latent(patients: int) -> Numbers:
    """Extent and age of each patient, shape [patients, 2]."""
    return np.array([[patient.extent, patient.age] for patient in cohort(patients)])


def outcome(patients: int, endpoint: str = "mortality") -> NDArray[np.int64]:
    return np.array([int(p.outcome_days[endpoint] is not None) for p in cohort(patients)])


@functools.lru_cache(maxsize=8)
def features(patients: int, pretrained: bool) -> Numbers:
    pixels = torch.from_numpy(images(patients))[:, None]
    return extract_features(backbone(pretrained), pixels).astype(np.float64)


def probe(inputs: Numbers, target: NDArray[np.int64], penalty: float = 1.0) -> Numbers:
    """Scores of a linear probe for patients it was not trained on, by five folds."""
    classifier = LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=3000)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    pipeline = make_pipeline(StandardScaler(), classifier)
    scores = cross_val_predict(pipeline, inputs, target, cv=folds, method="decision_function")
    return np.asarray(scores)


def difference_interval(target: NDArray[np.int64], one: Numbers, other: Numbers) -> Numbers:
    """95 % interval of the difference of two AUROC, by a paired bootstrap of the patients."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(target), (1000, len(target)))
    times = np.array([np.bincount(index, minlength=len(target)) for index in drawn], dtype=float)
    # AUROC is the share of pairs in the right order; each pair counts as often as it was drawn.
    positive, negative = times[:, target == 1], times[:, target == 0]
    wins = [
        np.greater.outer(score[target == 1], score[target == 0]).astype(float)
        for score in (one, other)
    ]
    gained = ((positive @ (wins[0] - wins[1])) * negative).sum(axis=1)
    differences = gained / (positive.sum(axis=1) * negative.sum(axis=1))
    return np.quantile(differences, [0.025, 0.975])


def test_the_weights_are_those_that_were_published() -> None:
    assert file_digest(vit.WEIGHTS) == vit.WEIGHTS_SHA256
    assert vit.WEIGHTS.stat().st_size < 6_000_000
    with safe_open(vit.WEIGHTS, "pt") as stored:
        metadata = stored.metadata()
        assert {stored.get_tensor(name).dtype for name in stored.keys()} == {torch.float16}  # noqa: SIM118
    assert metadata["generator_version"] == str(GENERATOR_VERSION)
    assert int(metadata["training_images"]) > 20_000
    assert float(metadata["held_out_r2_extent"]) > 0.9


def test_the_network_is_a_small_plain_transformer() -> None:
    model = backbone(pretrained=True).network
    assert sum(parameter.numel() for parameter in model.parameters()) < 3_000_000
    modules = dict(model.named_modules())
    for block in range(6):
        for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
            assert isinstance(modules[f"blocks.{block}.{name}"], torch.nn.Linear)


def test_pretraining_beats_random_weights() -> None:
    target = outcome(200)
    pretrained, random = (probe(features(200, flag), target) for flag in (True, False))
    low, high = difference_interval(target, pretrained, random)
    assert 0 < low < high
    # The ceiling is that of many patients; these 200 have theirs.
    ceiling = roc_auc_score(target, latent(200)[:, 0])
    regularised = probe(features(200, pretrained=True), target, penalty=100)
    assert roc_auc_score(target, regularised) > ceiling - 0.05


def test_permuted_labels_cannot_be_predicted() -> None:
    found = []
    for seed in range(10):
        target = np.random.default_rng(seed).permutation(outcome(200))
        found.append(roc_auc_score(target, probe(features(200, pretrained=True), target)))
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("endpoint", ["mortality", "icu"])
def test_the_truth_behind_the_images_reaches_the_ceiling(endpoint: str) -> None:
    known = ceilings(endpoint, patients=200_000)
    target = outcome(1000, endpoint)
    both, extent = probe(latent(1000), target), probe(latent(1000)[:, :1], target)
    # The standard error of an AUROC of 1000 patients is about 0.013.
    assert roc_auc_score(target, both) == pytest.approx(known.with_age, abs=0.03)
    assert roc_auc_score(target, extent) == pytest.approx(known.image_only, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["mortality", "icu"])
def test_with_many_patients_a_probe_approaches_the_ceiling_of_the_image(endpoint: str) -> None:
    target = outcome(1000, endpoint)
    score = probe(features(1000, pretrained=True), target, penalty=100)
    reached = roc_auc_score(target, score)
    assert reached > ceilings(endpoint, patients=200_000).image_only - 0.03
    assert reached < ceilings(endpoint, patients=200_000).with_age + 0.03
