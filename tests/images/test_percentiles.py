"""Cutting off at percentiles, against NumPy's own percentiles of the values."""

import numpy as np
import pytest
from make_images import dicom, encoded

from prognobench.images.decode import decode_bytes

VALUES = np.random.default_rng(0).gamma(3.0, 300.0, (50, 70)).clip(0, 4095).astype(np.uint16)


def expected(values, lower, upper):
    black, white = np.percentile(values, [lower, upper])
    share = (np.clip(values.astype(float), black, white) - black) / (white - black)
    return np.minimum(np.floor(share * 256), 255)


@pytest.mark.parametrize("percentiles", [(2, 98), (0, 100), (0.5, 99.9), (30, 31)])
def test_the_percentiles_are_numpys(percentiles):
    found = decode_bytes(dicom(VALUES), percentiles)
    assert np.array_equal(found, expected(VALUES, *percentiles))
    assert (found.min(), found.max()) == (0, 255)


def test_eight_bits_are_stretched_too():
    values = (VALUES >> 5).astype(np.uint8)
    assert np.array_equal(decode_bytes(encoded(values), (2, 98)), expected(values, 2, 98))


def test_monochrome1_has_its_bright_values_dark():
    found = decode_bytes(dicom(VALUES, PhotometricInterpretation="MONOCHROME1"), (2, 98))
    assert np.array_equal(found, expected(4095 - VALUES.astype(int), 2, 98))


def test_a_window_plays_no_part_and_a_slope_only_by_its_sign():
    plain = decode_bytes(dicom(VALUES), (2, 98))
    tags = {"WindowCenter": 100, "WindowWidth": 50, "RescaleSlope": 2, "RescaleIntercept": -5}
    assert np.array_equal(decode_bytes(dicom(VALUES, **tags), (2, 98)), plain)
    falling = decode_bytes(dicom(VALUES, RescaleSlope=-1, RescaleIntercept=0), (2, 98))
    assert np.array_equal(falling, expected(-VALUES.astype(int), 2, 98))


def test_where_both_percentiles_are_one_value_the_whole_range_is_taken():
    values = np.zeros((10, 10), np.uint8)
    values[0, 0] = 9
    assert decode_bytes(encoded(values), (2, 98))[0, 0] == 255
    assert decode_bytes(encoded(np.full((10, 10), 7, np.uint8)), (2, 98)).max() == 0
