import numpy as np
import pytest
from make_images import NAME_OF_A_PATIENT, dicom
from pydicom.dataset import Dataset

from prognobench.images.decode import ImageError, decode, decode_bytes

TWELVE = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def test_the_derived_file_is_its_source_exactly(data_folder):
    found = decode(data_folder / "dicom" / "derived" / "mhh_006f3a8a_mono1_jpeg_lossless_sv1.dcm")
    assert np.array_equal(found, decode(data_folder / "mhh" / "png" / "006f3a8a.png"))


@pytest.mark.parametrize(
    ("name", "shape"),
    [("RG1_J2KI.dcm", (1955, 1841)), ("gdcm-CR-MONO1-10-chest.dcm", (440, 440))],
)
def test_real_radiographs_have_bright_bone_and_dark_lungs(data_folder, name, shape):
    found = decode(data_folder / "dicom" / name)
    assert found.shape == shape
    height, width = shape
    rows = slice(height // 4, height // 2)
    spine = found[rows, width * 47 // 100 : width * 53 // 100].mean()
    lung = found[rows, width * 22 // 100 : width * 32 // 100].mean()
    assert spine > lung + 30


def test_without_a_window_the_depth_is_the_range():
    found = decode_bytes(dicom(TWELVE))
    assert np.array_equal(found, TWELVE >> 4)
    assert decode_bytes(dicom(TWELVE // 8)).max() == 31


def test_monochrome1_is_inverted():
    found = decode_bytes(dicom(TWELVE, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(found, 255 - (TWELVE >> 4))


def test_signed_values_start_at_their_own_lowest():
    signed = (TWELVE.astype(np.int16) - 2048).astype(np.int16)
    assert np.array_equal(decode_bytes(dicom(signed)), TWELVE >> 4)


def test_a_negative_slope_inverts():
    found = decode_bytes(dicom(TWELVE, RescaleSlope=-1, RescaleIntercept=4095))
    assert np.array_equal(found, 255 - (TWELVE >> 4))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT"])
def test_a_window_cuts_off_and_spreads(function):
    tags = {"WindowCenter": 1000, "WindowWidth": 512, "VOILUTFunction": function}
    found = decode_bytes(dicom(TWELVE, **tags)).ravel()
    assert (found[700], found[1300]) == (0, 255)
    assert abs(int(found[1000]) - 128) <= 1
    assert np.all(np.diff(found.astype(int)) >= 0)
    assert len(np.unique(found)) == 256


def test_the_first_of_several_windows_on_rescaled_values():
    tags = {"WindowCenter": [500, 9], "WindowWidth": [256, 9]}
    found = decode_bytes(dicom(TWELVE, RescaleSlope=0.5, RescaleIntercept=0, **tags)).ravel()
    assert abs(int(found[1000]) - 128) <= 1


def test_a_sigmoid_window():
    tags = {"WindowCenter": 2000, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"}
    found = decode_bytes(dicom(TWELVE, **tags)).ravel()
    # 1 / (1 + exp(-4 * (2250 - 2000) / 1000)) = 0.731
    assert (found[2000], found[2250]) == (128, 187)


@pytest.mark.parametrize("width", [0, 1, -5])
def test_a_window_without_a_width_is_no_window(width):
    found = decode_bytes(dicom(TWELVE, WindowCenter=1000, WindowWidth=width))
    assert np.array_equal(found, TWELVE >> 4)


def lut(first, values, bits):
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.LUTData = values
    item["LUTDescriptor"].VR = "US"
    item["LUTData"].VR = "US"
    return item


def test_a_voi_lut_goes_before_a_window():
    values = list(range(1023, -1, -1))
    tags = {"VOILUTSequence": [lut(0, values, 10)], "WindowCenter": 10, "WindowWidth": 5}
    found = decode_bytes(dicom(TWELVE // 4, bits=12, **tags))
    assert np.array_equal(found, 255 - (TWELVE >> 4))


def test_a_modality_lut_has_its_own_depth():
    tags = {"ModalityLUTSequence": [lut(0, list(range(0, 65536, 256)), 16)]}
    found = decode_bytes(dicom(TWELVE % 256, **tags))
    assert np.array_equal(found, TWELVE % 256)


def test_colour_goes_to_grey():
    colours = np.zeros((4, 4, 3), dtype=np.uint8)
    colours[..., 0] = 255
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    assert decode_bytes(dicom(colours, bits=8, **tags)).tolist() == [[76] * 4] * 4


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (dicom(TWELVE)[:-100], "cannot be decoded"),
        (dicom(TWELVE, NumberOfFrames=3), "3 frames"),
        (dicom(TWELVE, Rows=60_000, Columns=60_000), "60000 x 60000 pixels"),
        (dicom(TWELVE, Rows=0), "no pixels"),
        (dicom(TWELVE, PhotometricInterpretation="PALETTE COLOR"), "cannot be decoded"),
        (dicom(TWELVE, BitsStored=77), "contradict each other"),
        (dicom(TWELVE, Rows=65), "cannot be decoded"),
    ],
)
def test_what_cannot_be_used_has_a_reason_without_identifiers(data, words):
    with pytest.raises(ImageError, match=words) as caught:
        decode_bytes(data)
    assert NAME_OF_A_PATIENT not in str(caught.value)


def test_a_file_without_an_image():
    from io import BytesIO

    import pydicom

    dataset = pydicom.dcmread(BytesIO(dicom(TWELVE)))
    del dataset.PixelData
    stream = BytesIO()
    pydicom.dcmwrite(stream, dataset)
    with pytest.raises(ImageError, match="holds no image"):
        decode_bytes(stream.getvalue())


def test_odd_values_are_not_printed(recwarn, capsys):
    decode_bytes(dicom(TWELVE).replace(b"1.2.3\0", b"Secret"))
    assert not [str(warning.message) for warning in recwarn if "Secret" in str(warning.message)]
    assert "Secret" not in "".join(capsys.readouterr())
