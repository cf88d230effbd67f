"""Pixel padding of DICOM files: black, and of no weight in what is black and white.

The oracle is the image without its padded rows, or NumPy's percentiles of the other values.
"""

import io

import imagecodecs
import numpy as np
import pydicom
import pytest
from make_images import dicom, encapsulated
from pydicom import uid
from pydicom.dataset import Dataset

from prognobench.images.decode import decode_bytes

PERCENTILES = (2, 98)
PADDED = np.s_[:10]
IMAGE = np.s_[10:]


def noise(low, high, kind, seed=0):
    drawn = np.random.default_rng(seed).integers(low, high, (60, 50))
    drawn[-1, :2] = low, high - 1
    return drawn.astype(kind)


def padded(pixels, value):
    pixels = pixels.copy()
    pixels[PADDED] = value
    return pixels


def with_element(vr, value, pixels, bits, syntax=uid.ExplicitVRLittleEndian):
    """Return a file whose Pixel Padding Value is of this kind, whatever the pixels are."""
    dataset = pydicom.dcmread(io.BytesIO(dicom(pixels, bits, syntax)))
    dataset.add_new("PixelPaddingValue", vr, value)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset)
    return stream.getvalue()


def assert_padded(found, alone):
    assert np.all(found[PADDED] == 0)
    assert np.array_equal(found[IMAGE], alone)
    assert len(np.unique(alone)) > 50


INVERTED = {"PhotometricInterpretation": "MONOCHROME1"}
FALLING = {"RescaleSlope": -1, "RescaleIntercept": 4095}
KINDS = {
    "signed 16": (np.int16, 16, -1000, 3000, -32768, {}),
    "signed 16, all above 0": (np.int16, 16, 0, 4000, -2000, {}),
    "unsigned 16": (np.uint16, 16, 1000, 4000, 65535, {}),
    "unsigned 16, MONOCHROME1": (np.uint16, 16, 0, 4000, 65535, INVERTED),
    "signed 12": (np.int16, 12, -1024, 2048, -2048, {}),
    "signed 12, MONOCHROME1": (np.int16, 12, -2000, 1800, 2047, INVERTED),
    # White, against what PS3.3, C.7.5.1.1.2, recommends.
    "MONOCHROME1 by 0": (np.uint16, 12, 300, 4096, 0, INVERTED),
    "MONOCHROME2 by the highest": (np.uint16, 12, 0, 3900, 4095, {}),
    "negative slope": (np.uint16, 12, 300, 4096, 0, FALLING),
}
by_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@by_kind
@pytest.mark.parametrize(
    "window",
    [{}, {"WindowCenter": 1000, "WindowWidth": 2500}],
    ids=["depth", "window"],
)
def test_padding_is_black_and_costs_the_image_no_greys(kind, window):
    dtype, bits, low, high, value, tags = kind
    pixels = noise(low, high, dtype)
    alone = decode_bytes(dicom(pixels[IMAGE], bits, **tags, **window))
    data = dicom(padded(pixels, value), bits, PixelPaddingValue=value, **tags, **window)
    assert_padded(decode_bytes(data), alone)


@by_kind
def test_percentiles_are_those_of_the_other_values(kind):
    dtype, bits, low, high, value, tags = kind
    pixels = noise(low, high, dtype)
    data = dicom(padded(pixels, value), bits, PixelPaddingValue=value, **tags)
    found = decode_bytes(data, PERCENTILES)
    falls = tags in (INVERTED, FALLING)
    meant = pixels[IMAGE].astype(float) * (-1 if falls else 1)
    black, white = np.percentile(meant, PERCENTILES)
    share = (np.clip(meant, black, white) - black) / (white - black)
    assert_padded(found, np.minimum(np.floor(share * 256), 255))


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
@pytest.mark.parametrize("ends", [(-32768, -32000), (-32000, -32768)])
def test_a_range_of_padding_in_either_order(syntax, ends):
    pixels = noise(-1000, 3000, np.int16)
    alone = decode_bytes(dicom(pixels[IMAGE], 16))
    pixels[PADDED] = noise(-32768, -31999, np.int16)[PADDED]
    tags = dict(zip(("PixelPaddingValue", "PixelPaddingRangeLimit"), ends, strict=True))
    assert_padded(decode_bytes(dicom(pixels, 16, syntax, **tags)), alone)


def test_a_range_of_padding_that_meets_the_image():
    pixels = noise(100, 4096, np.uint16)
    pixels[PADDED] = noise(0, 100, np.uint16)[PADDED]
    tags = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 99}
    found = decode_bytes(dicom(pixels, **tags, WindowCenter=0, WindowWidth=8000))
    assert np.all(found[PADDED] == 0)
    assert found[IMAGE].min() > 100


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_padding_of_signed_pixels_that_is_written_unsigned(syntax):
    pixels = noise(-1000, 3000, np.int16)
    data = with_element("US", 32768, padded(pixels, -32768), 16, syntax)
    assert_padded(decode_bytes(data), decode_bytes(dicom(pixels[IMAGE], 16)))


def test_padding_beyond_the_bits_that_are_stored():
    pixels = noise(0, 3900, np.uint16)
    data = dicom(padded(pixels, 65535), 12, PixelPaddingValue=65535)
    assert_padded(decode_bytes(data), pixels[IMAGE] >> 4)


def test_padding_of_signed_pixels_in_jpeg_lossless():
    pixels = noise(-1024, 2048, np.int16)
    codes = padded(pixels, -2048).view(np.uint16) & 4095
    frame = imagecodecs.ljpeg_encode(codes, bitspersample=12)
    data = encapsulated(pixels, frame, uid.JPEGLosslessSV1, 12, PixelPaddingValue=-2048)
    assert_padded(decode_bytes(data), (pixels[IMAGE].astype(int) + 2048) >> 4)


def test_padding_beside_lookup_tables():
    for sequence in ("ModalityLUTSequence", "VOILUTSequence"):
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [4096, 0, 12])
        item.add_new("LUTData", "US", list(range(4095, -1, -1)))
        pixels = noise(300, 4096, np.uint16)
        data = dicom(padded(pixels, 0), PixelPaddingValue=0, **{sequence: [item]})
        assert_padded(decode_bytes(data), 255 - (pixels[IMAGE] >> 4))


PLAIN = {
    "dark pixels of the same value": (noise(0, 4096, np.uint16), 12, 0),
    "dark pixels beside it": (padded(noise(1, 4096, np.uint16), 0), 12, 0),
    "less than a grey away": (padded(noise(16, 4096, np.uint16), 0), 12, 0),
    "dark pixels of 8 bits": (padded(noise(1, 100, np.uint8), 0), 8, 0),
    "bright pixels of the same value": (noise(0, 4096, np.uint16), 12, 4095),
    "amid the image": (padded(noise(0, 4096, np.uint16), 2000), 12, 2000),
    "between its parts": (np.concatenate([noise(0, 500, "u2"), noise(900, 4096, "u2")]), 12, 700),
    "amid a signed image": (noise(-1000, 3000, np.int16), 16, 0),
    "of no pixel": (noise(1000, 4000, np.uint16), 16, 65535),
    "of every pixel": (np.full((20, 20), 700, np.uint16), 16, 700),
}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("pixels", "bits", "value"), PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("percentiles", [None, PERCENTILES])
def test_padding_that_is_not_apart_changes_nothing(pixels, bits, value, photometric, percentiles):
    for window in ({}, {"WindowCenter": 500, "WindowWidth": 3000}):
        tags = {"PhotometricInterpretation": photometric, **window}
        plain = decode_bytes(dicom(pixels, bits, **tags), percentiles)
        found = decode_bytes(dicom(pixels, bits, PixelPaddingValue=value, **tags), percentiles)
        assert np.array_equal(found, plain)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("US", None),
        ("OB", b"\x00\x80"),
        ("LO", "none"),
        ("DS", "1e300"),
        ("FD", float("nan")),
    ],
)
def test_no_image_is_lost_for_its_padding(vr, value):
    pixels = noise(0, 4096, np.uint16)
    assert np.array_equal(decode_bytes(with_element(vr, value, pixels, 12)), pixels >> 4)


@pytest.mark.parametrize(
    "element", [b"US\x03\x00\x34\x12\x00", b"UN\x00\x00\x04\x00\x00\x00\x00\x80\x00\x80"]
)
def test_no_image_is_lost_for_padding_that_cannot_be_read(element):
    pixels = noise(0, 4096, np.uint16)
    data = with_element("US", 0x1234, pixels, 12)
    sound = b"\x28\x00\x20\x01US\x02\x00\x34\x12"
    assert data.count(sound) == 1
    broken = data.replace(sound, sound[:4] + element)
    assert np.array_equal(decode_bytes(broken), pixels >> 4)
