"""One rule from a DICOM file to 8-bit grey.

In this order: the modality LUT (or rescale slope and intercept); the first VOI LUT, or else the
first window by its own function; black to white in 256 equal bins; MONOCHROME1 inverted. Without
a VOI LUT or window the range is that of the file's depth (``BitsStored``), whatever the image
holds, so that images of one detector stay comparable. Only a depth of 16 bits is not believed,
since many files name that of the container: the depth is then the one that the values use, as in a
PNG, and that of a lookup table the one that its entries use. Padding that lies apart from the
values of the image is black, and does not count. Colour and palettes go to grey as in a PNG.

Every grey image of up to 16 bits goes through a table of its codes, so that the rule is applied to
each value that can be, not to each pixel. Each transfer syntax has one decoder.

No value of the file ever enters a message, since DICOM files name their patients.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from prognobench.cohorts.deflated_dicom import inflated, is_deflated
from prognobench.images.codestream import MAX_SCANS, frame_size, has_too_many_scans
from prognobench.images.dicom_tables import LookupTable, read_table
from prognobench.images.dicom_values import (
    all_codes,
    first_number,
    padding_codes,
    possible_values,
    stored_values,
)
from prognobench.images.pictures import colour_to_grey
from prognobench.images.raster import (
    ImageError,
    Raster,
    check_size,
    count_codes,
    to_eight_bits,
    used_depth,
)

MAX_DATASET = 500_000_000
"""Largest data set that a deflated file may hold, in bytes."""

MAX_TILES = 10_000
"""Most tiles of a JPEG 2000 image."""

_GREY = ("MONOCHROME1", "MONOCHROME2")
_UNCOMPRESSED = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
_DECODERS: dict[str, str] = {
    uid.RLELossless: "pydicom",
    uid.JPEGBaseline8Bit: "pillow",
    **dict.fromkeys(
        [
            uid.JPEGExtended12Bit,
            uid.JPEGLossless,
            uid.JPEGLosslessSV1,
            uid.JPEGLSLossless,
            uid.JPEGLSNearLossless,
            uid.JPEG2000Lossless,
            uid.JPEG2000,
            uid.HTJ2K,
            uid.HTJ2KLossless,
            uid.HTJ2KLosslessRPCL,
        ],
        "pylibjpeg",
    ),
}
_TAGS = [
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    *(
        f"{prefix}{colour}PaletteColorLookupTable{what}"
        for colour in ("Red", "Green", "Blue")
        for prefix, what in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
    ),
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
]

# pydicom's warnings about odd values quote them; here they would print identifiers.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def read_dicom(data: bytes) -> Raster:
    """Decode the bytes of a DICOM file with one grey or colour image.

    Raises:
        ImageError: When the file holds no such image or cannot be decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(io.BytesIO(_plain(data)), specific_tags=_TAGS)
            return _read(dataset)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        # The message of the cause may quote the file, its kind may not.
        raise ImageError(f"the DICOM file cannot be decoded ({type(error).__name__})") from None


def _plain(data: bytes) -> bytes:
    """Return a file of the deflated transfer syntax as a plain one, if that is not too large."""
    if not is_deflated(data):
        return data
    found = inflated(data, MAX_DATASET)
    if found is None:
        raise ImageError("the DICOM file does not say how long its first part is")
    if not found.whole:
        raise ImageError(
            f"the deflated DICOM data set is larger than {MAX_DATASET // 1_000_000} MB"
            if found.more
            else "the deflated DICOM data set ends too early"
        )
    return found.data


def _read(dataset: Any) -> Raster:
    if "PixelData" not in dataset:
        raise ImageError("the DICOM file holds no image")
    rows, columns = int(dataset.get("Rows", 0) or 0), int(dataset.get("Columns", 0) or 0)
    check_size(columns, rows)
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise ImageError(f"the DICOM file holds {frames} frames, one image was expected")
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    samples = int(dataset.get("SamplesPerPixel", 1) or 1)
    if int(dataset.BitsAllocated) not in (1, 8, 16):
        raise ImageError("the DICOM image has more than 16 bits a pixel")
    if not 1 <= int(dataset.BitsStored) <= int(dataset.BitsAllocated):
        raise ImageError("the DICOM header's Bits Stored and Bits Allocated contradict each other")
    if samples not in (1, 3) or (samples == 1 and photometric not in (*_GREY, "PALETTE COLOR")):
        raise ImageError("the DICOM image is neither grey nor of three colours")
    syntax = dataset.file_meta.TransferSyntaxUID
    stored = _pixels(dataset, syntax, (rows, columns), samples)
    if samples == 3:
        grey = colour_to_grey(stored)
        return Raster(grey, to_eight_bits(all_codes(grey), 0, int(dataset.BitsStored)))
    if stored.dtype.itemsize > 2 or stored.dtype.kind not in "ui":
        raise ImageError("the DICOM image has more than 16 bits a pixel")
    values = stored_values(dataset, stored, packed=syntax in (*_UNCOMPRESSED, uid.RLELossless))
    if photometric == "PALETTE COLOR":
        return _by_palette(stored, values, dataset)
    return _by_table(stored, values, dataset)


def _pixels(dataset: Any, syntax: str, shape: tuple[int, int], samples: int) -> npt.NDArray[Any]:
    options: dict[str, Any] = {"correct_unused_bits": False, "index": 0}
    if syntax not in _UNCOMPRESSED:
        if syntax not in _DECODERS:
            raise ImageError("the DICOM file is compressed in a way that cannot be read")
        options["decoding_plugin"] = _DECODERS[syntax]
        if syntax != uid.RLELossless:
            _check_frame(get_frame(dataset.PixelData, 0, number_of_frames=1), shape, samples)
    stored: npt.NDArray[Any] = np.asarray(pixel_array(dataset, **options))
    if stored.shape != (shape if samples == 1 else (*shape, samples)):
        raise ImageError("the DICOM pixel data have another size than the header says")
    # Big endian comes as it is stored, and codes are looked up as the machine has them.
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def _check_frame(frame: bytes, shape: tuple[int, int], samples: int) -> None:
    size = frame_size(frame)
    if size is None:
        raise ImageError("the compressed DICOM pixel data have no header")
    if (size.height, size.width) != shape or size.components != samples:
        raise ImageError("the DICOM pixel data have another size than the header says")
    if has_too_many_scans(frame):
        raise ImageError(f"the compressed DICOM pixel data are in more than {MAX_SCANS} scans")
    if size.tiles > MAX_TILES:
        raise ImageError("the compressed DICOM pixel data are in too many tiles")


def _by_palette(stored: npt.NDArray[Any], values: npt.NDArray[np.int64], dataset: Any) -> Raster:
    colour = np.asarray(apply_color_lut(values.astype(np.int32), dataset))
    grey = colour_to_grey(colour[..., :3])
    return Raster(
        _as_codes(stored), to_eight_bits(grey, 0, 8 * grey.dtype.itemsize), grey.astype(np.float64)
    )


def _by_table(stored: npt.NDArray[Any], values: npt.NDArray[np.int64], dataset: Any) -> Raster:
    bright = -1.0 if dataset.PhotometricInterpretation == "MONOCHROME1" else 1.0
    codes = _as_codes(stored)
    modality = _table(dataset, "ModalityLUTSequence", signed=bool(int(dataset.PixelRepresentation)))
    if modality is None:
        meant = _rescaled(values, dataset)
    else:
        meant = modality.look_up(values).astype(np.float64)
    lowest = meant[possible_values(values, dataset)].min()
    voi = _table(dataset, "VOILUTSequence", signed=bool(lowest < 0))
    window = _window(dataset)
    padding = padding_codes(codes, values, dataset)
    rising = bright
    if voi is not None:
        grey, falling = _by_voi_lut(meant, voi)
        rising = -bright if falling else bright
    elif window is not None:
        grey = _by_window(meant, *window)
    elif modality is not None:
        grey = to_eight_bits(meant, 0, modality.depth)
    else:
        grey = _by_depth(codes, values, padding, dataset)
    display = 255 - grey if bright < 0 else grey
    if padding is not None:
        display[padding] = 0
    return Raster(codes, display, rising * meant, padding)


def _as_codes(stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return stored.view(f"u{stored.dtype.itemsize}")


def _table(dataset: Any, name: str, signed: bool) -> LookupTable | None:
    """Return the first table of a sequence, None where there is none."""
    if not (sequence := dataset.get(name)):
        return None
    big_endian = dataset.file_meta.TransferSyntaxUID == uid.ExplicitVRBigEndian
    return read_table(sequence[0], signed, big_endian)


def _rescaled(values: npt.NDArray[np.int64], dataset: Any) -> npt.NDArray[np.float64]:
    slope, intercept = (
        first_number(dataset.get(f"Rescale{name}")) for name in ("Slope", "Intercept")
    )
    meant = values.astype(np.float64)
    return meant if slope is None or intercept is None else meant * slope + intercept


def _by_voi_lut(
    meant: npt.NDArray[np.float64], table: LookupTable
) -> tuple[npt.NDArray[np.uint8], bool]:
    """Return the grey by a VOI LUT, and whether it turns bright into dark."""
    looked_up = table.look_up(meant)
    order = np.argsort(meant, kind="stable")
    falling = bool(looked_up[order[0]] > looked_up[order[-1]])
    return to_eight_bits(looked_up, 0, table.depth), falling


def _window(dataset: Any) -> tuple[float, float, str] | None:
    centre, width = (first_number(dataset.get(f"Window{name}")) for name in ("Center", "Width"))
    function = str(dataset.get("VOILUTFunction", "") or "LINEAR").upper()
    # A window without a width is a slip of some exporters; the full range is what is left.
    least = 1.0 if function == "LINEAR" else 0.0
    if centre is None or width is None or not width > least:
        return None
    return centre, width, function


def _by_window(
    values: npt.NDArray[np.float64], centre: float, width: float, function: str
) -> npt.NDArray[np.uint8]:
    """Apply a window by the formulas of DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        share = 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)))
    elif function == "LINEAR_EXACT":
        share = (values - centre) / width + 0.5
    else:
        share = (values - (centre - 0.5)) / (width - 1.0) + 0.5
    return np.clip(np.floor(share * 256.0), 0, 255).astype(np.uint8)


def _by_depth(
    codes: npt.NDArray[Any],
    values: npt.NDArray[np.int64],
    padding: npt.NDArray[np.bool_] | None,
    dataset: Any,
) -> npt.NDArray[np.uint8]:
    depth, signed = int(dataset.BitsStored), bool(int(dataset.PixelRepresentation))
    if depth == 16:
        there = count_codes(codes) > 0
        present = values[there if padding is None else there & ~padding]
        signed = bool(present.min() < 0)
        farthest = max(int(present.max()), -1 - int(present.min()))
        depth = used_depth(2 * farthest if signed else farthest)
    low = -(2 ** (depth - 1)) if signed else 0
    grey = to_eight_bits(values, low, depth)
    return 255 - grey if (first_number(dataset.get("RescaleSlope")) or 1.0) < 0 else grey
