"""Image files that are made to do harm: bombs, absurd sizes, deep sequences."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping

import imagecodecs
import numpy as np
from PIL import Image, PngImagePlugin
from pydicom import uid
from pydicom.dataset import Dataset

from mutations import PNG, Random, dicom, picture_file


def _chunk(name: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(name + body)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)


def _bomb(size: int) -> bytes:
    deflater = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [deflater.compress(block) for _ in range(size >> 20)]
    return b"".join(parts) + deflater.flush()


def png_dimensions(random: Random) -> bytes:
    sides = [int(2 ** random.uniform(0, 32)) for _ in range(2)]
    depth, kind = int(random.choice([1, 2, 4, 8, 16])), int(random.choice([0, 2, 3, 4, 6]))
    header = struct.pack(">IIBBBBB", *sides, depth, kind, 0, 0, int(random.integers(2)))
    return PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(1000)))


def png_bomb(random: Random) -> bytes:
    """As many pixels as are let through, or more, in some kilobytes."""
    side = int(random.choice([3000, 6000, 8900, 9100]))
    kind, depth = [(0, 8), (0, 16), (2, 8), (6, 16)][int(random.integers(4))]
    header = struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, 0)
    body = _bomb(min(side * side * 2, 120 << 20))
    return PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def png_comment_bomb(random: Random) -> bytes:
    sound = picture_file(Image.new("L", (9, 9)), "PNG", pnginfo=PngImagePlugin.PngInfo())
    body = _bomb(100 << 20)
    chunk = {
        0: (b"zTXt", b"x\0\0" + body),
        1: (b"iTXt", b"x\0\1\0\0\0" + body),
        2: (b"iCCP", b"x\0\0" + body),
    }[int(random.integers(3))]
    return sound[:33] + _chunk(*chunk) * int(random.integers(1, 4)) + sound[33:]


def jpeg_dimensions(random: Random) -> bytes:
    files = sound_jpegs()
    data = bytearray(files[int(random.integers(len(files)))])
    place = next(at for mark in range(0xC0, 0xC4) if (at := data.find(bytes([0xFF, mark]))) >= 0)
    sides = [int(random.choice([0, 1, 8000, 9000, 65535, random.integers(65536)])) for _ in "hw"]
    data[place + 5 : place + 9] = struct.pack(">HH", *sides)
    return bytes(data)


def sound_jpegs() -> list[bytes]:
    grey = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).astype(np.uint8).reshape(64, 64))
    deep = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    return [
        picture_file(grey, "JPEG"),
        picture_file(grey.convert("RGB"), "JPEG", progressive=True),
        imagecodecs.ljpeg_encode(deep, bitspersample=12),
        imagecodecs.jpeg_encode(deep, bitspersample=12),
    ]


def jpeg_of_many_scans(random: Random) -> bytes:
    """A progressive JPEG whose scans are repeated, each of which goes over all pixels."""
    side = int(random.choice([64, 4000, 8000]))
    data = picture_file(Image.new("L", (side, side)), "JPEG", progressive=True)
    start, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:start] + data[start:end] * int(random.integers(10, 3000)) + data[end:]


def dicom_numbers(random: Random) -> bytes:
    """A sound file whose numbers of rows, bits, frames and so on are others."""
    pixels = np.zeros((64, 64), np.uint16)
    numbers = [0, 1, 3, 7, 8, 9, 15, 16, 17, 32, 63, 65, 255, 30000, 65535]
    changed = {
        tag: int(random.choice(numbers))
        for tag in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel")
        if random.random() < 0.4
    }
    if random.random() < 0.3:
        changed["NumberOfFrames"] = int(random.choice([0, 1, 2, 2**31 - 1]))
    if random.random() < 0.3:
        changed["PixelRepresentation"] = int(random.choice([0, 1, 9]))
    if random.random() < 0.3:
        kinds = ["MONOCHROME1", "RGB", "YBR_FULL_422", "PALETTE COLOR", "YBR_ICT", "", "X" * 99]
        changed["PhotometricInterpretation"] = str(random.choice(kinds))
    floats = ["1e308", "-1e308", "nan", "inf", "1e-300", "0", "-0", "9" * 60]
    for tag in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"):
        if random.random() < 0.3:
            changed[tag] = str(random.choice(floats))
    syntax = uid.ExplicitVRLittleEndian
    if random.random() < 0.5:
        return dicom(pixels, syntax, None, **changed)
    frame = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k")
    return dicom(pixels, uid.JPEG2000Lossless, frame, **changed)


def dicom_tables(random: Random) -> bytes:
    """Lookup tables that say one length and have another."""
    item = Dataset()
    item.LUTDescriptor = [int(random.choice([0, 1, 2, 4096, 65535])) for _ in range(3)]
    item.LUTData = [int(value) for value in random.integers(0, 65536, random.integers(0, 300))]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    name = str(random.choice(["VOILUTSequence", "ModalityLUTSequence"]))
    return dicom(np.zeros((64, 64), np.uint16), uid.ExplicitVRLittleEndian, None, **{name: [item]})


def deep_sequences(random: Random) -> bytes:
    """Sequences within sequences, of known or unknown length, far deeper than any real file."""
    sound = dicom(np.zeros((64, 64), np.uint16), uid.ExplicitVRLittleEndian, None)
    start = sound.index(b"\x28\x00\x02\x00US")
    depth = int(10 ** random.uniform(1, 5.3))
    tag = bytes(random.choice([b"\x28\x00\x10\x30", b"\x08\x00\x40\x11", b"\x28\x00\x00\x30"]))
    unknown = b"\xff\xff\xff\xff"
    opening = tag + b"SQ\0\0" + unknown + b"\xfe\xff\x00\xe0" + unknown
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    if random.random() < 0.5:
        return sound[:start] + opening * depth + closing * depth + sound[start:]
    return sound[:start] + opening * depth + sound[start:]


def many_elements(random: Random) -> bytes:
    sound = dicom(np.zeros((64, 64), np.uint16), uid.ExplicitVRLittleEndian, None)
    start = sound.index(b"\x28\x00\x02\x00US")
    element = b"\x29\x00" + random.bytes(2) + b"LO\x02\x00AB"
    return sound[:start] + element * int(10 ** random.uniform(3, 6)) + sound[start:]


def deflated_bomb(random: Random) -> bytes:
    sound = dicom(np.zeros((8, 8), np.uint16), uid.DeflatedExplicitVRLittleEndian, None)
    start = 144 + int.from_bytes(sound[140:144], "little")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    size = int(random.choice([10, 200, 600]))
    head = b"\x29\x00\x10\x00OB\0\0" + struct.pack("<I", size << 20)
    parts = [deflater.compress(head)]
    parts += [deflater.compress(bytes(1 << 20)) for _ in range(size)]
    return sound[:start] + b"".join(parts) + deflater.flush()


def rle_bomb(random: Random) -> bytes:
    """Runs that unpack to more, or less, than the header says."""
    runs = bytes([129, 0]) * int(10 ** random.uniform(1, 6))
    segments = struct.pack("<16I", int(random.choice([0, 1, 2, 15, 99])), 64, *([64] * 14))
    side = int(random.choice([64, 1000, 8000]))
    pixels = np.zeros((64, 64), np.uint16)
    return dicom(pixels, uid.RLELossless, segments + runs, Rows=side, Columns=side)


def codestream(random: Random) -> bytes:
    """A JPEG 2000 header of absurd size, tiles, components or depth."""
    pixels = np.zeros((64, 64), np.uint16)
    frame = bytearray(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k"))
    for place in (8, 12, 16, 20, 24, 28, 32, 36):
        if random.random() < 0.3:
            frame[place : place + 4] = struct.pack(">I", int(2 ** random.uniform(0, 32)) % 2**32)
    if random.random() < 0.3:
        frame[40:42] = struct.pack(">H", int(random.choice([0, 1, 3, 4, 16384, 65535])))
    if random.random() < 0.3:
        frame[42] = int(random.integers(256))
    sides = [int.from_bytes(frame[at : at + 4], "big") % 65536 for at in (8, 12)]
    return dicom(pixels, uid.JPEG2000, bytes(frame), Columns=sides[0], Rows=sides[1])


def broken_fragments(random: Random) -> bytes:
    """Encapsulated pixels whose items have other lengths than they say."""
    pixels = np.zeros((64, 64), np.uint16)
    data = bytearray(dicom(pixels, uid.JPEGLosslessSV1, imagecodecs.ljpeg_encode(pixels)))
    places = [at for at in range(len(data) - 8) if data[at : at + 4] == b"\xfe\xff\x00\xe0"]
    for place in places:
        if random.random() < 0.7:
            value = int(random.choice([0, 1, 2, 3, 4, 6, 100, 2**31, 2**32 - 1]))
            data[place + 4 : place + 8] = struct.pack("<I", value)
    return bytes(data)


CRAFTED: Mapping[str, Callable[[Random], bytes]] = {
    "png dimensions": png_dimensions,
    "png bomb": png_bomb,
    "png comment bomb": png_comment_bomb,
    "jpeg dimensions": jpeg_dimensions,
    "jpeg of many scans": jpeg_of_many_scans,
    "dicom numbers": dicom_numbers,
    "dicom tables": dicom_tables,
    "dicom deep sequences": deep_sequences,
    "dicom of many elements": many_elements,
    "dicom deflated bomb": deflated_bomb,
    "dicom rle bomb": rle_bomb,
    "dicom codestream": codestream,
    "dicom fragments": broken_fragments,
}

HEAVY = frozenset({"png bomb", "png comment bomb", "jpeg of many scans", "dicom deflated bomb"})
"""Those of which making and decoding one takes a second or so."""
