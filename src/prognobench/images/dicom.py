"""One rule from a DICOM file to 8-bit grey.

In this order: the modality LUT (or rescale slope and intercept); the first VOI LUT, or else the
first window by its own function; black to white in 256 equal bins; MONOCHROME1 inverted. Without
a VOI LUT or window the range is that of the file's depth (``BitsStored``), whatever the image
holds, so that images of one detector stay comparable. Colour goes to grey as in a PNG.

No value of the file ever enters a message, since DICOM files name their patients.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from prognobench.images.decode import ImageError, check_size, to_eight_bits

_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR_WEIGHTS = np.array([19595, 38470, 7471], dtype=np.int64)

# pydicom's warnings about odd values quote them; here they would print identifiers.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def decode_dicom(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode the bytes of a DICOM file with one grey or colour image.

    Raises:
        ImageError: When the file holds no such image or cannot be decoded.
    """
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=False)
        _check(dataset)
        stored = np.asarray(dataset.pixel_array)
        if stored.shape[:2] != (int(dataset.Rows), int(dataset.Columns)):
            raise ImageError("the DICOM pixel data have another size than the header says")
        if stored.ndim == 3:
            return _colour_to_grey(stored)
        return _display(stored, dataset)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        # The message of the cause may quote the file, its kind may not.
        raise ImageError(f"the DICOM file cannot be decoded ({type(error).__name__})") from None


def _check(dataset: Any) -> None:
    if "PixelData" not in dataset:
        raise ImageError("the DICOM file holds no image")
    rows, columns = int(dataset.get("Rows", 0) or 0), int(dataset.get("Columns", 0) or 0)
    check_size(columns, rows)
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise ImageError(f"the DICOM file holds {frames} frames, one image was expected")
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    samples = int(dataset.get("SamplesPerPixel", 1) or 1)
    if samples == 1 and photometric not in _GREY:
        raise ImageError("the DICOM image is neither grey nor of three colours")
    if samples == 3 and int(dataset.BitsAllocated) != 8:
        raise ImageError("the DICOM image has colours of more than 8 bits")


def _colour_to_grey(stored: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    weighted = stored.astype(np.int64) @ _COLOUR_WEIGHTS
    return ((weighted + 0x8000) >> 16).astype(np.uint8)


def _display(stored: npt.NDArray[Any], dataset: Any) -> npt.NDArray[np.uint8]:
    window = _window(dataset)
    if dataset.get("VOILUTSequence"):
        grey = _by_voi_lut(apply_modality_lut(stored, dataset), dataset)
    elif window is not None:
        grey = _by_window(apply_modality_lut(stored, dataset), *window)
    else:
        grey = _by_depth(stored, dataset)
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _by_voi_lut(values: npt.NDArray[Any], dataset: Any) -> npt.NDArray[np.uint8]:
    depth = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
    return to_eight_bits(apply_voi(values.astype(np.int64), dataset), 0, depth)


def _window(dataset: Any) -> tuple[float, float, str] | None:
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    function = str(dataset.get("VOILUTFunction", "") or "LINEAR").upper()
    # A window without a width is a slip of some exporters; the full range is what is left.
    least = 1.0 if function == "LINEAR" else 0.0
    if centre is None or width is None or width <= least:
        return None
    return centre, width, function


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, list | tuple | pydicom.multival.MultiValue):
        return float(value[0]) if len(value) else None
    return float(value)


def _by_window(
    values: npt.NDArray[Any], centre: float, width: float, function: str
) -> npt.NDArray[np.uint8]:
    """Apply a window by the formulas of DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3."""
    x = values.astype(np.float64)
    if function == "SIGMOID":
        share = 1.0 / (1.0 + np.exp(np.clip(-4.0 * (x - centre) / width, -700.0, 700.0)))
    elif function == "LINEAR_EXACT":
        share = (x - centre) / width + 0.5
    else:
        share = (x - (centre - 0.5)) / (width - 1.0) + 0.5
    return np.clip(np.floor(share * 256.0), 0, 255).astype(np.uint8)


def _by_depth(stored: npt.NDArray[Any], dataset: Any) -> npt.NDArray[np.uint8]:
    if lut := dataset.get("ModalityLUTSequence"):
        return to_eight_bits(apply_modality_lut(stored, dataset), 0, int(lut[0].LUTDescriptor[2]))
    depth = int(dataset.BitsStored)
    low = -(2 ** (depth - 1)) if int(dataset.PixelRepresentation) else 0
    grey = to_eight_bits(stored, low, depth)
    return 255 - grey if float(dataset.get("RescaleSlope", 1) or 1) < 0 else grey
