import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prognobench.images.geometry import to_square

SIDES = st.integers(1, 90)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_a_square_of_the_size_asked_for(height, width, size, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    before = image.copy()
    square = to_square(image, size)
    assert square.shape == (size, size)
    assert square.dtype == np.uint8
    assert np.array_equal(image, before)


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(4, 64))
def test_both_axes_are_treated_alike(height, width, size):
    image = np.add.outer(np.linspace(60, 90, height), np.linspace(0, 60, width)).astype(np.uint8)
    turned = to_square(np.ascontiguousarray(image.T), size).T
    # Pillow rounds and clips between its two passes, the first of which is along rows.
    assert np.abs(turned.astype(int) - to_square(image, size)).max() <= 3


@settings(max_examples=30, deadline=None)
@given(SIDES, st.integers(1, 64), st.integers(0, 255))
def test_an_even_image_stays_even(side, size, value):
    assert np.all(to_square(np.full((side, side), value, np.uint8), size) == value)


def test_the_size_itself_changes_nothing():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert np.array_equal(to_square(image, 8), image)


def test_the_longer_side_fills_and_the_rest_is_black_on_both_sides():
    square = to_square(np.full((100, 50), 255, np.uint8), 40)
    middle = square[20]
    assert np.all(middle[:9] == 0)
    assert np.all(middle[31:] == 0)
    assert np.all(square[:, 12:28] == 255)
    assert np.array_equal(square, square[:, ::-1])


@pytest.mark.parametrize("side", [64, 128, 256])
def test_fine_lines_do_not_alias(side):
    stripes = np.zeros((side, side), np.uint8)
    stripes[:, ::2] = 255
    small = to_square(stripes, side // 4).astype(int)
    assert np.abs(small[2:-2, 2:-2] - 127.5).max() < 10
