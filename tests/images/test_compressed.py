"""Every compression that is read, against encoders of another library (imagecodecs)."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from make_images import dicom, encapsulated
from pydicom import uid
from pydicom.data import get_testdata_file

from prognobench.images.decode import ImageError, decode, decode_bytes

ENCODERS = {
    uid.JPEGLossless: imagecodecs.ljpeg_encode,
    uid.JPEGLosslessSV1: imagecodecs.ljpeg_encode,
    uid.JPEGLSLossless: lambda pixels, bitspersample: imagecodecs.jpegls_encode(pixels),
    uid.JPEG2000Lossless: lambda pixels, bitspersample: imagecodecs.jpeg2k_encode(
        pixels, level=0, codecformat="j2k", reversible=True, bitspersample=bitspersample
    ),
    uid.JPEG2000: lambda pixels, bitspersample: imagecodecs.jpeg2k_encode(
        pixels, level=0, codecformat="j2k", reversible=True, bitspersample=bitspersample
    ),
    uid.HTJ2KLossless: lambda pixels, bitspersample: imagecodecs.htj2k_encode(
        pixels, reversible=True
    ),
}


def noise(bits, shape=(40, 50)):
    pixels = np.random.default_rng(bits).integers(0, 2**bits, shape)
    pixels[0, :2] = 0, 2**bits - 1
    return pixels.astype(np.uint16 if bits > 8 else np.uint8)


@pytest.mark.parametrize("bits", [8, 10, 11, 12, 14, 15, 16])
@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: syntax.name)
def test_every_depth_of_every_lossless_compression(syntax, bits):
    pixels = noise(bits)
    frame = ENCODERS[syntax](pixels, bitspersample=bits)
    found = decode_bytes(encapsulated(pixels, frame, syntax, bits))
    assert np.array_equal(found, pixels >> (bits - 8))
    inverted = encapsulated(pixels, frame, syntax, bits, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(decode_bytes(inverted), 255 - (pixels >> (bits - 8)))


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: syntax.name)
def test_windows_and_slopes_hold_for_compressed_pixels_too(syntax):
    pixels = noise(12)
    tags = {"WindowCenter": 900, "WindowWidth": 700, "RescaleSlope": 0.5, "RescaleIntercept": -10}
    frame = ENCODERS[syntax](pixels, bitspersample=12)
    found = decode_bytes(encapsulated(pixels, frame, syntax, 12, **tags))
    assert np.array_equal(found, decode_bytes(dicom(pixels, **tags)))
    assert len(np.unique(found)) > 200


def run_lengths(pixels, bits):
    from pydicom.pixels.encoders import RLELosslessEncoder

    return RLELosslessEncoder.encode(
        pixels,
        encoding_plugin="pydicom",
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=8 * pixels.dtype.itemsize,
        bits_stored=bits,
        pixel_representation=int(pixels.dtype.kind == "i"),
        photometric_interpretation="MONOCHROME2",
    )


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_rle(bits):
    pixels = noise(bits)
    frame = run_lengths(pixels, bits)
    found = decode_bytes(encapsulated(pixels, frame, uid.RLELossless, bits))
    assert np.array_equal(found, pixels >> (bits - 8))


def signed_noise(bits):
    """Return values from the lowest to the highest, and where they lie from black to white."""
    above = noise(bits).astype(np.int64)
    pixels = above - 2 ** (bits - 1)
    return pixels.astype(np.int16 if bits > 8 else np.int8), above >> (bits - 8)


@pytest.mark.parametrize("bits", [8, 10, 12, 15, 16])
@pytest.mark.parametrize("extended", [False, True], ids=["stored bits", "whole container"])
@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: syntax.name)
def test_signed_pixels_of_every_compression(syntax, extended, bits):
    pixels, expected = signed_noise(bits)
    codes = pixels.view(f"u{pixels.dtype.itemsize}")
    precision = 8 * codes.dtype.itemsize
    if not extended:
        codes, precision = codes & (2**bits - 1), bits
    frame = ENCODERS[syntax](codes, bitspersample=precision)
    assert np.array_equal(decode_bytes(encapsulated(pixels, frame, syntax, bits)), expected)
    tags = {"WindowCenter": 0, "WindowWidth": 2**bits, "VOILUTFunction": "LINEAR_EXACT"}
    found = decode_bytes(encapsulated(pixels, frame, syntax, bits, **tags))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_signed_pixels_of_a_signed_jpeg_2000(bits):
    pixels, expected = signed_noise(bits)
    frame = ENCODERS[uid.JPEG2000Lossless](pixels, bitspersample=bits)
    found = decode_bytes(encapsulated(pixels, frame, uid.JPEG2000Lossless, bits))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_signed_pixels_in_the_files_own_container(bits):
    pixels, expected = signed_noise(bits)
    assert np.array_equal(decode_bytes(dicom(pixels, bits)), expected)
    codes = pixels.view(f"u{pixels.dtype.itemsize}") & (2**bits - 1)
    assert np.array_equal(decode_bytes(dicom(codes.view(pixels.dtype), bits)), expected)
    frame = run_lengths(codes, bits)
    found = decode_bytes(encapsulated(pixels, frame, uid.RLELossless, bits))
    assert np.array_equal(found, expected)
    unused = 8 * codes.dtype.itemsize - bits
    high = (codes << unused).view(pixels.dtype)
    found = decode_bytes(dicom(high, bits, HighBit=bits - 1 + unused))
    assert np.array_equal(found, expected)


def test_signed_pixels_that_lossy_compression_took_beyond_their_depth():
    pixels = np.array([[-2048, -2051, 0, 2047, 2050]], dtype=np.int16)
    frame = ENCODERS[uid.JPEG2000](pixels, bitspersample=16)
    found = decode_bytes(encapsulated(pixels, frame, uid.JPEG2000, 12))
    assert found.tolist() == [[0, 0, 128, 255, 255]]


def test_jpeg_of_eight_bits_as_imagecodecs_has_it():
    pixels = np.add.outer(np.arange(40) * 3, np.arange(50) * 2).astype(np.uint8)
    frame = imagecodecs.jpeg_encode(pixels, level=90)
    found = decode_bytes(encapsulated(pixels, frame, uid.JPEGBaseline8Bit, 8))
    assert np.abs(found.astype(int) - imagecodecs.jpeg_decode(frame)).max() <= 1


def test_jpeg_of_twelve_bits_as_imagecodecs_has_it():
    pixels = np.add.outer(np.arange(40) * 40, np.arange(50) * 50).astype(np.uint16)
    frame = imagecodecs.jpeg_encode(pixels, level=95, bitspersample=12)
    expected = imagecodecs.jpeg_decode(frame)
    assert expected.max() > 255
    found = decode_bytes(encapsulated(pixels, frame, uid.JPEGExtended12Bit, 12))
    assert np.abs(found.astype(int) - (expected >> 4)).max() <= 1


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE",
        "MR_small_jp2klossless",
        "MR_small_jpeg_ls_lossless",
        "MR_small_implicit",
        "MR_small_bigendian",
        "MR_small_expb",
    ],
)
def test_one_image_in_the_files_of_several_makers(name):
    plain, other = (
        decode(Path(str(get_testdata_file(f"{own}.dcm")))) for own in ("MR_small", name)
    )
    assert np.array_equal(other, plain)
    assert len(np.unique(plain)) > 50


def test_a_frame_that_is_larger_than_the_header_says_is_not_decoded():
    pixels = noise(12)
    frame = imagecodecs.jpeg2k_encode(noise(12, (400, 500)), level=0, codecformat="j2k")
    with pytest.raises(ImageError, match="another size"):
        decode_bytes(encapsulated(pixels, frame, uid.JPEG2000Lossless, 12))
