"""Lookup tables of DICOM files, against pydicom where it has them right and by hand elsewhere."""

import io

import imagecodecs
import numpy as np
import pydicom
import pytest
from make_images import NAME_OF_A_PATIENT, dicom, encapsulated
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
)

from prognobench.images.decode import ImageError, decode_bytes
from prognobench.images.dicom_tables import read_table

TWELVE = np.arange(4096, dtype=np.uint16).reshape(64, 64)
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
SEQUENCES = ["ModalityLUTSequence", "VOILUTSequence"]
by_syntax = pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
by_sequence = pytest.mark.parametrize("sequence", SEQUENCES)


def table(first, entries, bits, vr="US", data=None, order="<", count=None):
    """Return an item; numbers are written as they are (US) or as words in an order (OW)."""
    item = Dataset()
    size = len(entries) if count is None else count
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [size, first, bits])
    if data is None:
        data = [int(value) for value in entries]
        data = data if vr == "US" else np.array(data).astype(f"{order}u2").tobytes()
    item.add_new("LUTData", vr, data)
    return item


def packed(entries, order="<"):
    """Return entries of 8 bits as words, the first of two in the lower byte."""
    entries = np.asarray(entries)
    return (entries[::2] + 256 * entries[1::2]).astype(f"{order}u2")


def order_of(syntax):
    return ">" if syntax == ExplicitVRBigEndian else "<"


@by_syntax
@by_sequence
@pytest.mark.parametrize("how", ["words", "packed words", "packed numbers", "bytes"])
def test_entries_of_eight_bits(sequence, syntax, how):
    # Neighbours differ, so that two entries in the wrong order show.
    entries, order = TWELVE.ravel() * 7 % 256, order_of(syntax)
    if how == "words":
        item = table(0, entries, 8, "OW", order=order)
    elif how == "packed words":
        item = table(0, entries, 8, "OW", packed(entries, order).tobytes())
    elif how == "packed numbers":
        item = table(0, entries, 8, "US", packed(entries).tolist())
    else:
        item = table(0, entries, 8, "OB", entries.astype(np.uint8).tobytes())
    found = decode_bytes(dicom(TWELVE, syntax=syntax, **{sequence: [item]}))
    assert np.array_equal(found.ravel(), entries)


def test_an_odd_number_of_entries_of_eight_bits():
    entries = np.array([7, 100, 255], dtype=np.uint8)
    for data in (entries.tobytes(), entries.tobytes() + b"\0"):
        read = read_table(table(0, entries, 8, "OB", data), signed=False, big_endian=False)
        assert read.look_up(np.arange(-1, 5)).tolist() == [7, 7, 100, 255, 255, 255]


def test_entries_that_are_written_signed():
    entries = TWELVE.ravel().astype(np.int64) * 16 + 15
    item = table(0, entries, 16, "SS", entries.astype(np.int16).tolist())
    assert np.array_equal(decode_bytes(dicom(TWELVE, VOILUTSequence=[item])), TWELVE >> 4)


@by_syntax
@pytest.mark.parametrize("bits", [10, 11, 12, 13, 14, 15])
def test_a_modality_lut_of_each_depth(bits, syntax):
    entries = TWELVE.ravel().astype(int) * 2**bits // 4096
    item = table(0, entries, bits, "OW", order=order_of(syntax))
    found = decode_bytes(dicom(TWELVE, syntax=syntax, ModalityLUTSequence=[item]))
    assert np.array_equal(found, TWELVE >> 4)


@by_syntax
@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_a_voi_lut_as_pydicom_has_it(bits, vr, syntax):
    entries = np.random.default_rng(bits).integers(0, 2**bits, 3000)
    entries[0], entries[-1] = 0, 2**bits - 1
    item = table(700, entries, bits, vr, order=order_of(syntax))
    data = dicom(TWELVE, syntax=syntax, VOILUTSequence=[item])
    expected = apply_voi(TWELVE, pydicom.dcmread(io.BytesIO(data)))
    assert expected.ravel()[699] == 0
    assert expected.ravel()[3700] == 2**bits - 1
    assert np.array_equal(decode_bytes(data), expected >> (bits - 8))


@by_syntax
@pytest.mark.parametrize("bits", [8, 16])
def test_a_modality_lut_before_a_window_as_pydicom_has_it(bits, syntax):
    entries = np.random.default_rng(bits).integers(0, 2**bits, 4096)
    item = table(0, entries, bits, "OW", order=order_of(syntax))
    tags = {"WindowCenter": 100, "WindowWidth": 120, "VOILUTFunction": "LINEAR_EXACT"}
    data = dicom(TWELVE, syntax=syntax, ModalityLUTSequence=[item], **tags)
    meant = apply_modality_lut(TWELVE, pydicom.dcmread(io.BytesIO(data))).astype(float)
    share = (meant - 100) / 120 + 0.5
    assert np.array_equal(decode_bytes(data), np.clip(np.floor(share * 256), 0, 255))


@by_syntax
@pytest.mark.parametrize("vr", ["US", "SS"])
def test_a_voi_lut_of_rescaled_values_begins_below_zero(vr, syntax):
    item = table(-1024, TWELVE.ravel(), 12, "OW", order=order_of(syntax))
    item["LUTDescriptor"].VR = vr
    item["LUTDescriptor"].value = [4096, -1024 if vr == "SS" else 65536 - 1024, 12]
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "VOILUTSequence": [item]}
    assert np.array_equal(decode_bytes(dicom(TWELVE, syntax=syntax, **tags)), TWELVE >> 4)


@by_syntax
@pytest.mark.parametrize("first", [-2048, 65536 - 2048])
def test_a_table_of_signed_values_begins_below_zero(first, syntax):
    item = table(-2048, TWELVE.ravel(), 12, "OW", order=order_of(syntax))
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item["LUTDescriptor"].value = [4096, first, 12]
    signed = (TWELVE.astype(int) - 2048).astype(np.int16)
    for sequence in SEQUENCES:
        found = decode_bytes(dicom(signed, syntax=syntax, **{sequence: [item]}))
        assert np.array_equal(found, TWELVE >> 4)


@by_syntax
@by_sequence
def test_a_table_of_signed_values_that_ends_below_zero(sequence, syntax):
    item = table(-1000, np.arange(256), 8, "OW", order=order_of(syntax))
    signed = (TWELVE.astype(int) - 2048).astype(np.int16)
    found = decode_bytes(dicom(signed, syntax=syntax, **{sequence: [item]}))
    assert np.array_equal(found, np.clip(signed + 1000, 0, 255))


def test_a_table_that_begins_below_zero_for_values_that_do_not():
    item = table(-1000, np.arange(5096), 13, "OW")
    found = decode_bytes(dicom(TWELVE, VOILUTSequence=[item]))
    assert np.array_equal(found, (TWELVE + 1000) >> 5)


@by_syntax
def test_a_table_of_unsigned_values_begins_above_half(syntax):
    values = TWELVE * 16
    item = table(40_000, np.arange(25_536) // 100, 8, "OW", order=order_of(syntax))
    found = decode_bytes(dicom(values, 16, syntax, VOILUTSequence=[item]))
    assert np.array_equal(found, np.clip(values.astype(int) - 40_000, 0, None) // 100)
    # Signed pixels that a rescale makes unsigned: the first value is not negative either.
    signed = (values.astype(int) - 32768).astype(np.int16)
    tags = {"RescaleSlope": 1, "RescaleIntercept": 32768, "VOILUTSequence": [item]}
    assert np.array_equal(decode_bytes(dicom(signed, 16, syntax, **tags)), found)


def test_a_container_that_is_larger_than_the_depth_makes_no_value_negative():
    item = table(40_000, np.arange(25_536) // 100, 8, "OW")
    tags = {"RescaleSlope": -16, "RescaleIntercept": 65535, "VOILUTSequence": [item]}
    frame = imagecodecs.ljpeg_encode(TWELVE, bitspersample=12)
    found = decode_bytes(encapsulated(TWELVE, frame, JPEGLosslessSV1, 12, **tags))
    assert np.array_equal(found, decode_bytes(dicom(TWELVE, **tags)))
    assert len(np.unique(found)) > 200


@by_sequence
def test_a_table_of_all_values_of_sixteen_bits(sequence):
    item = table(0, np.arange(65536)[::-1], 16, "OW", count=0)
    values = TWELVE * 16 + 15
    found = decode_bytes(dicom(values, 16, **{sequence: [item]}))
    assert np.array_equal(found, 255 - (values >> 8))


@by_sequence
@pytest.mark.parametrize("used", [8, 10, 12, 14, 16])
def test_a_depth_of_sixteen_is_the_one_that_the_entries_use(sequence, used):
    entries = TWELVE.ravel().astype(int) * 2**used // 4096
    item = table(0, entries, 16, "OW")
    assert np.array_equal(decode_bytes(dicom(TWELVE, **{sequence: [item]})), TWELVE >> 4)
    # It is that of the table, not of the image, so that a dark image stays dark.
    assert np.array_equal(decode_bytes(dicom(TWELVE // 8, **{sequence: [item]})), TWELVE >> 7)


def test_a_falling_table_turns_percentiles_around():
    item = table(0, 255 - TWELVE.ravel() // 16, 8, "OW")
    found = decode_bytes(dicom(TWELVE, VOILUTSequence=[item]), (0, 100))
    assert np.all(np.diff(found.ravel().astype(int)) <= 0)
    assert (found.max(), found.min()) == (255, 0)


def without(tag, item):
    del item[tag]
    return item


@by_sequence
@pytest.mark.parametrize(
    ("item", "words"),
    [
        (table(0, range(100), 12, count=4096), "fewer entries"),
        (table(0, range(100), 12, "OW", count=0), "fewer entries"),
        (table(0, range(100), 8, "OW", count=201), "fewer entries"),
        (table(0, range(4096), 12, "OB", b""), "fewer entries"),
        (table(0, range(4096), 0), "depth that cannot be"),
        (table(0, range(4096), 17), "depth that cannot be"),
        (without("LUTDescriptor", table(0, range(4096), 12)), "no valid descriptor"),
        (without("LUTData", table(0, range(4096), 12)), "fewer entries"),
    ],
)
def test_a_broken_table_has_a_reason(sequence, item, words):
    with pytest.raises(ImageError, match=words) as caught:
        decode_bytes(dicom(TWELVE, **{sequence: [item]}))
    assert NAME_OF_A_PATIENT not in str(caught.value)


@by_sequence
def test_a_descriptor_of_two_values(sequence):
    item = table(0, range(4096), 12)
    item["LUTDescriptor"].value = [4096, 0]
    with pytest.raises(ImageError, match="no valid descriptor"):
        decode_bytes(dicom(TWELVE, **{sequence: [item]}))


@pytest.mark.parametrize("tags", [{"RescaleSlope": None}, {"RescaleIntercept": None}])
def test_an_empty_slope_or_intercept_is_none(tags):
    given = {"RescaleSlope": 1, "RescaleIntercept": 0, **tags}
    assert np.array_equal(decode_bytes(dicom(TWELVE, **given)), TWELVE >> 4)
