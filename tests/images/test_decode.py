import io
import shutil
import zlib

import numpy as np
import pytest
from make_images import encoded, gradient
from PIL import Image

from prognobench.images import decode as module
from prognobench.images.decode import ImageError, decode, decode_bytes

GREY = gradient()


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(GREY),
        Image.fromarray(GREY).convert("RGB"),
        Image.fromarray(GREY).convert("RGBA"),
        Image.fromarray(GREY).convert("LA"),
        Image.fromarray(GREY).convert("RGB").convert("P", palette=Image.Palette.WEB),
    ],
    ids=lambda picture: picture.mode,
)
def test_eight_bits_come_through_unchanged(picture):
    expected = np.asarray(picture.convert("RGB").convert("L"))
    found = decode_bytes(encoded(picture))
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)
    if picture.mode != "P":
        assert np.array_equal(found, GREY)


def test_one_bit_is_black_or_white():
    picture = Image.fromarray(GREY).convert("1")
    assert np.array_equal(decode_bytes(encoded(picture)), np.asarray(picture) * np.uint8(255))


def test_what_is_transparent_is_black():
    picture = Image.fromarray(np.full((4, 4), 200, np.uint8)).convert("RGBA")
    picture.putalpha(0)
    assert decode_bytes(encoded(picture)).max() == 0


def test_colour_goes_to_grey_by_its_brightness():
    red = Image.new("RGB", (3, 3), (255, 0, 0))
    assert decode_bytes(encoded(red)).tolist() == [[76] * 3] * 3


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_sixteen_bit_files_are_scaled_by_the_depth_that_they_use(depth):
    values = np.linspace(0, 2**depth - 1, 600).astype(np.uint16).reshape(20, 30)
    found = decode_bytes(encoded(Image.fromarray(values)))
    assert np.array_equal(found, values >> (depth - 8))
    assert (found.min(), found.max()) == (0, 255)


def test_jpeg_is_told_by_content_and_turned_upright(tmp_path):
    path = tmp_path / "radiograph.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    path.write_bytes(encoded(GREY, "JPEG", quality=100, exif=exif))
    found = decode(path)
    assert found.shape == (30, 20)
    assert np.abs(found.astype(int) - np.rot90(GREY, -1)).max() <= 3


def test_cmyk_jpeg_is_read():
    picture = Image.fromarray(GREY).convert("RGB").convert("CMYK")
    assert decode_bytes(encoded(picture, "JPEG")).shape == GREY.shape


def test_the_real_files_are_read_whatever_their_extension(data_folder):
    folder = data_folder / "cohen" / "images"
    wrong = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() != ".png" and path.read_bytes()[:4] == b"\x89PNG"
    ]
    assert wrong
    for path in wrong:
        assert min(decode(path).shape) > 100


BROKEN_CHECKSUM = bytearray(encoded(GREY))
BROKEN_CHECKSUM[60] ^= 0xFF


def bomb(width: int = 100_000, height: int = 100_000) -> bytes:
    """A PNG of few bytes that says it is huge."""
    data = bytearray(encoded(GREY))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def text_bomb() -> bytes:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("x", "y" * 80_000_000, zip=True)
    return encoded(Image.fromarray(GREY), pnginfo=info)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither PNG"),
        (b"not an image", "neither PNG"),
        (encoded(GREY, "TIFF"), "neither PNG"),
        (encoded(GREY, "GIF"), "neither PNG"),
        (encoded(GREY)[:8], "broken"),
        (encoded(GREY)[:60], "broken"),
        (encoded(GREY)[:-40], "broken"),
        (encoded(GREY, "JPEG")[:-300], "broken"),
        (encoded(GREY, "JPEG")[:30], "broken"),
        (bytes(BROKEN_CHECKSUM), "broken"),
        (bomb(), "pixels|broken"),
        (bomb(9_000, 9_000), "9000 x 9000 pixels, more than"),
        (bomb(70_000, 100), "70000 x 100 pixels, more than 65,535 on a side"),
        (b"\0" * 128 + b"DICM", "DICOM"),
        (b"\0" * 128 + b"DICM" + b"\xff" * 500, "DICOM"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore:End of file")
def test_what_cannot_be_used_has_a_short_reason(data, words):
    with pytest.raises(ImageError, match=words) as caught:
        decode_bytes(data)
    assert len(str(caught.value)) < 160


def test_a_bomb_in_a_comment_is_refused():
    with pytest.raises(ImageError, match="broken"):
        decode_bytes(text_bomb())


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(ImageError, match="does not exist"):
        decode(tmp_path / "none.png")
    with pytest.raises(ImageError, match="cannot be read"):
        decode(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match="is empty"):
        decode(tmp_path / "empty.png")
    (tmp_path / "large.png").write_bytes(encoded(GREY))
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(ImageError, match="larger than"):
        decode(tmp_path / "large.png")


def test_noise_never_gets_past_as_another_error():
    random = np.random.default_rng(0)
    sound = encoded(GREY)
    for _ in range(200):
        data = bytearray(sound)
        for place in random.integers(8, len(data), 5):
            data[place] = random.integers(256)
        try:
            assert decode_bytes(bytes(data)).dtype == np.uint8
        except ImageError:
            continue


def test_decoding_leaves_the_file_alone(tmp_path, data_folder):
    path = tmp_path / "x.png"
    shutil.copy(data_folder / "mhh" / "png" / "006f3a8a.png", path)
    before = path.read_bytes()
    assert np.array_equal(decode(path), np.asarray(Image.open(io.BytesIO(before))))
    assert path.read_bytes() == before
