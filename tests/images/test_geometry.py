import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_images import by_pillow

from prognobench.images.geometry import Box, crop_square, to_square

SIDES = st.integers(1, 90)


@settings(max_examples=60)
@given(SIDES, SIDES, st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_a_square_of_the_size_asked_for(height, width, size, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    before = image.copy()
    square = to_square(image, size)
    assert square.shape == (size, size)
    assert square.dtype == np.uint8
    assert np.array_equal(image, before)


@settings(max_examples=30)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(4, 64))
def test_both_axes_are_treated_alike(height, width, size):
    image = np.add.outer(np.linspace(60, 90, height), np.linspace(0, 60, width)).astype(np.uint8)
    turned = to_square(np.ascontiguousarray(image.T), size).T
    # Pillow rounds and clips between its two passes, the first of which is along rows.
    assert np.abs(turned.astype(int) - to_square(image, size)).max() <= 3


@settings(max_examples=60)
@given(SIDES, SIDES, st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_it_is_what_pillow_makes_of_the_padded_image(height, width, size, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    assert np.array_equal(to_square(image, size), by_pillow(image, max(height, width), size))


@settings(max_examples=30)
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


RAMP = np.arange(100 * 60, dtype=np.uint32).reshape(60, 100)
WIDE = (RAMP % 251).astype(np.uint8)


def test_a_box_in_pixels_is_made_square_by_what_lies_beside_it():
    cut = crop_square(WIDE, Box(20, 10, 50, 50, "pixel"))  # 30 wide, 40 high
    assert np.array_equal(cut, WIDE[10:50, 15:55])


def test_a_box_in_shares_is_the_same_at_every_size():
    for factor in (1, 2, 5):
        image = np.kron(WIDE, np.ones((factor, factor), np.uint8))
        cut = crop_square(image, Box(0.2, 10 / 60, 0.5, 50 / 60))
        assert np.array_equal(cut[::factor, ::factor], WIDE[10:50, 15:55])


def test_the_square_stays_inside_the_image():
    assert np.array_equal(crop_square(WIDE, Box(90, 0, 100, 40, "pixel")), WIDE[:40, 60:])
    assert np.array_equal(crop_square(WIDE, Box(-30, -5, 10, 5, "pixel")), WIDE[:10, :10])
    assert np.array_equal(crop_square(WIDE, Box(0, 0, 80, 10, "pixel")), WIDE[:, :80])


@pytest.mark.parametrize(
    "box", [Box(100, 0, 120, 10, "pixel"), Box(-9, 0, 0, 10, "pixel"), Box(0, 1.5, 1, 2)]
)
def test_a_box_beside_the_image_is_refused(box):
    with pytest.raises(ValueError, match="no pixel"):
        crop_square(WIDE, box)


def test_a_margin_is_a_share_of_the_box():
    assert Box(10, 20, 30, 60, "pixel").widened(0.1) == Box(8, 16, 32, 64, "pixel")


@settings(max_examples=60)
@given(st.lists(st.integers(0, 59), min_size=4, max_size=4))
def test_what_is_in_the_box_is_in_the_cut(ends):
    left, right = sorted((ends[0], ends[1] + 1))
    top, bottom = sorted((ends[2], ends[3] + 1))
    if left == right or top == bottom:
        return
    marked = np.zeros((60, 100), np.uint8)
    marked[top:bottom, left:right] = 255
    cut = crop_square(marked, Box(left, top, right, bottom, "pixel"))
    assert (cut == 255).sum() == (marked == 255).sum()
    side = max(right - left, bottom - top)
    assert cut.shape == (min(60, side), side)
