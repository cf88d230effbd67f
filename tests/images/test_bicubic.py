"""Resizing against Pillow's own, of which it must have every bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_images import by_pillow
from PIL import Image

from prognobench.images import bicubic

SIDES = st.integers(1, 600)


def between_integers(side):
    """Return an image whose means of four are halves: how they are rounded is a matter of bits."""
    image = np.zeros((side, side), np.uint8)
    image[:, 1::2] = 3
    image[1::4] += 2
    return image


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(0, 40), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_every_bit_of_pillows(height, width, more, size, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    side = max(height, width) + more
    assert np.array_equal(bicubic.resize_square(image, side, size), by_pillow(image, side, size))


@pytest.mark.parametrize(("side", "size"), [(448, 224), (448, 448), (64, 16), (96, 192)])
def test_sums_in_the_middle_between_two_integers(side, size):
    image = between_integers(side)
    assert np.array_equal(bicubic.resize_square(image, side, size), by_pillow(image, side, size))


def test_without_the_exact_sums_bits_are_wrong(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (999, 999), dtype=np.uint8)
    right = by_pillow(image, 999, 224)
    assert np.array_equal(bicubic.resize_square(image, 999, 224), right)
    weights = bicubic._weights(999, 224)._replace(doubt=-1.0)
    monkeypatch.setattr(bicubic, "_weights", lambda *_: weights)
    assert not np.array_equal(bicubic.resize_square(image, 999, 224), right)


def test_all_sums_could_be_exact(monkeypatch):
    image = np.random.default_rng(1).integers(0, 256, (90, 70), dtype=np.uint8)
    weights = bicubic._weights(90, 20)._replace(doubt=0.5)
    monkeypatch.setattr(bicubic, "_weights", lambda *_: weights)
    monkeypatch.setattr(bicubic, "_CHUNK", 1 << 10)
    found = bicubic.resize_square(image, 90, 20)
    assert np.abs(found.astype(int) - by_pillow(image, 90, 20)).max() == 0


def test_the_longest_side():
    image = np.random.default_rng(2).integers(0, 256, (2, 65_535), dtype=np.uint8)
    # Pillow cannot hold the padded square, but rows of black stay black along rows.
    narrow = np.zeros((65_535, 8), np.uint8)
    narrow[32_766:32_768] = Image.fromarray(image).resize((8, 2), Image.Resampling.BICUBIC)
    expected = Image.fromarray(narrow).resize((8, 8), Image.Resampling.BICUBIC)
    assert np.array_equal(bicubic.resize_square(image, 65_535, 8), np.asarray(expected))
