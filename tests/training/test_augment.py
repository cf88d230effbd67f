"""Augmentation: small changes, repeatable, no flips."""

from __future__ import annotations

import numpy as np
import torch
from skimage import data
from skimage.transform import resize

from prognobench.images import augment


def pictures(count=16):
    camera = resize(data.camera(), (96, 96), preserve_range=True).astype(np.uint8)
    return torch.from_numpy(np.repeat(camera[None, None], count, 0).copy())


def chest(images, seed):
    draws = augment.chest_draws(len(images), torch.Generator().manual_seed(seed))
    return augment.augment_chest(images, draws)


def test_augmented_images_are_small_changes_of_the_original():
    images = pictures()
    changed = chest(images, 0)
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    for one in changed[:, 0].numpy():
        same = np.corrcoef(one.ravel(), images[0, 0].numpy().ravel())[0, 1]
        flipped = np.corrcoef(one.ravel(), images[0, 0].numpy()[:, ::-1].ravel())[0, 1]
        assert same > flipped + 0.2
        assert not np.array_equal(one, images[0, 0].numpy())


def test_the_same_stream_gives_the_same_changes_and_each_image_its_own():
    images = pictures(4)
    one, two, three = (chest(images, seed) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert not torch.equal(one[0], one[1])


def test_without_ranges_nothing_changes(monkeypatch):
    for name in ("SHIFT", "ROTATION", "SCALE", "CONTRAST", "BRIGHTNESS"):
        monkeypatch.setattr(augment, name, 0.0)
    images = pictures(2)
    assert torch.equal(chest(images, 0), images)


def test_about_half_are_mirrored_and_the_others_left_alone():
    images = pictures(200)
    changed = augment.flip_drawn(images, augment.flip_draws(200, torch.Generator().manual_seed(0)))
    mirrored = (changed == images.flip(3)).flatten(1).all(1)
    same = (changed == images).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 70 < int(mirrored.sum()) < 130
