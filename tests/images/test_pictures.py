"""PNG and JPEG of every mode and depth, against encoders of another library and by hand."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from make_images import encoded
from PIL import Image

from prognobench.images.decode import decode_bytes

WEIGHTS = np.array([0.299, 0.587, 0.114])


def noise(bits, *shape):
    pixels = np.random.default_rng(bits).integers(0, 2**bits, shape or (20, 30))
    pixels.flat[:2] = 0, 2**bits - 1
    return pixels.astype(np.uint16 if bits > 8 else np.uint8)


def png(rows, width, depth, kind, *chunks):
    """Return a PNG of raw rows of bytes, with any chunks before the pixels."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    lines = b"".join(b"\0" + bytes(row) for row in rows)
    parts = [chunk(b"IHDR", header), *(chunk(*own) for own in chunks)]
    parts += [chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_of_few_bits_spans_black_to_white(depth):
    values = np.arange(2**depth)
    (row,) = np.packbits(
        np.unpackbits(values.astype(np.uint8)[:, None], axis=1)[:, -depth:].reshape(1, -1), axis=1
    )
    found = decode_bytes(png([row], len(values), depth, 0))
    assert found.tolist() == [(values * 255 // (2**depth - 1)).tolist()]


def test_a_palette_is_looked_up():
    colours = bytes([255, 0, 0, 0, 255, 0, 7, 7, 7])
    found = decode_bytes(png([[0, 1, 2]], 3, 8, 3, (b"PLTE", colours)))
    assert found.tolist() == [[76, 150, 7]]


def test_a_clear_colour_of_a_palette_is_black():
    colours = bytes([200, 200, 200, 90, 90, 90])
    found = decode_bytes(png([[0, 1]], 2, 8, 3, (b"PLTE", colours), (b"tRNS", b"\0\xff")))
    assert found.tolist() == [[0, 90]]


@pytest.mark.parametrize("bits", [12, 16])
def test_colour_of_sixteen_bits_is_weighted_before_it_is_shortened(bits):
    colour = noise(bits, 20, 30, 3)
    found = decode_bytes(imagecodecs.png_encode(colour))
    expected = np.floor((colour @ WEIGHTS + 0.5) / 2 ** (bits - 8))
    assert np.abs(found - expected).max() <= 1
    assert (found == expected).mean() > 0.99


def test_equal_colours_of_sixteen_bits_are_that_grey():
    grey = noise(16)
    colour = np.repeat(grey[..., None], 3, axis=2)
    assert np.array_equal(decode_bytes(imagecodecs.png_encode(colour)), grey >> 8)


@pytest.mark.parametrize("channels", [2, 4])
def test_sixteen_bits_with_alpha_lie_on_black(channels):
    pixels = noise(16, 20, 30, channels)
    found = decode_bytes(imagecodecs.png_encode(pixels))
    colour = pixels[..., :-1].astype(float)
    grey = colour[..., 0] if channels == 2 else colour @ WEIGHTS
    expected = np.floor(grey * pixels[..., -1] / 65535 / 256)
    assert np.abs(found - expected).max() <= 1
    assert (found == expected).mean() > 0.98


def test_a_clear_grey_of_sixteen_bits_is_black():
    row = np.array([65535, 4660, 256], dtype=">u2").tobytes()
    found = decode_bytes(png([row], 3, 16, 0, (b"tRNS", b"\x12\x34")))
    assert found.tolist() == [[255, 0, 1]]


def test_a_clear_colour_of_sixteen_bits_is_black():
    row = np.array([65535] * 3 + [4660, 1, 2], dtype=">u2").tobytes()
    found = decode_bytes(png([row], 2, 16, 2, (b"tRNS", b"\x12\x34\0\1\0\2")))
    assert found.tolist() == [[255, 0]]


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg(bits):
    pixels = noise(bits)
    found = decode_bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=bits))
    assert np.array_equal(found, pixels >> (bits - 8))


def test_jpeg_of_twelve_bits():
    pixels = np.add.outer(np.arange(40) * 40, np.arange(50) * 50).astype(np.uint16)
    data = imagecodecs.jpeg_encode(pixels, level=95, bitspersample=12)
    found = decode_bytes(data)
    assert np.abs(found.astype(int) - (imagecodecs.jpeg_decode(data) >> 4)).max() <= 1


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 2}, {"quality": 60}])
def test_colour_jpeg_as_imagecodecs_has_it(options):
    colour = np.zeros((32, 48, 3), dtype=np.uint8)
    colour[..., 0], colour[..., 1] = np.arange(48) * 5, np.arange(32)[:, None] * 8
    data = encoded(Image.fromarray(colour), "JPEG", **options)
    expected = imagecodecs.jpeg_decode(data) @ WEIGHTS
    assert np.abs(decode_bytes(data) - expected).max() <= 3


@pytest.mark.parametrize("stored", ["YCBCR", "RGB"])
def test_colour_jpeg_is_its_luminance(stored):
    colour = np.random.default_rng(3).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    data = imagecodecs.jpeg_encode(colour, level=95, colorspace="RGB", outcolorspace=stored)
    found = decode_bytes(data).astype(int)
    expected = imagecodecs.jpeg_decode(data, outcolorspace="GRAYSCALE")
    assert np.abs(found - expected).max() <= 1
    if stored == "YCBCR":
        assert np.array_equal(found, expected)


def test_opaque_and_clear_pixels():
    colour = np.random.default_rng(4).integers(0, 256, (9, 8, 4), dtype=np.uint8)
    colour[..., 3] = 255
    opaque = decode_bytes(encoded(Image.fromarray(colour), "PNG"))
    assert np.array_equal(opaque, np.asarray(Image.fromarray(colour[..., :3]).convert("L")))
    colour[2, 3, 3] = 0
    clear = decode_bytes(encoded(Image.fromarray(colour), "PNG"))
    assert clear[2, 3] == 0
    assert (clear != opaque).sum() == (opaque[2, 3] != 0)
