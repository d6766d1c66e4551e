from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.sequence import Sequence

from bayescam.data import ImageError, load_image
from tests.data.broken_files import write_dicom

GREY = np.random.default_rng(0).integers(0, 4096, (9, 14)).astype(np.uint16)


def test_full_range_of_the_stored_bits_without_window(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm", GREY, BitsStored=12)
    image = load_image(tmp_path / "x.dcm")
    np.testing.assert_array_equal(image[..., 0], np.rint(GREY / 4095 * 255))
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


def test_signed_values_and_rescale_without_window(tmp_path: Path) -> None:
    values = (GREY.astype(np.int16) - 2048).astype(np.int16)
    write_dicom(tmp_path / "x.dcm", values, BitsStored=12, RescaleSlope=2, RescaleIntercept=100)
    np.testing.assert_array_equal(
        load_image(tmp_path / "x.dcm")[..., 0], np.rint((values + 2048.0) / 4095 * 255)
    )


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_dicom(tmp_path / "x.dcm", values, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(load_image(tmp_path / "x.dcm")[..., 0], 255 - values)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_window_against_pydicom(tmp_path: Path, function: str | None, slope: float) -> None:
    path = tmp_path / "x.dcm"
    write_dicom(
        path,
        GREY,
        BitsStored=12,
        RescaleSlope=slope,
        RescaleIntercept=-300,
        WindowCenter=[700, 40],
        WindowWidth=[900, 400],
        VOILUTFunction=function,
    )
    dataset = pydicom.dcmread(path)
    low, high = -300, 4095 * slope - 300  # the output range which pydicom uses
    windowed = apply_windowing(apply_modality_lut(dataset.pixel_array, dataset), dataset, index=0)
    expected = (windowed - low) / (high - low) * 255
    assert np.abs(load_image(path)[..., 0] - expected).max() <= 0.5001


def test_look_up_table_of_the_file(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 10]
    table.LUTData = (1023 * (np.arange(4096) / 4095) ** 2).astype(np.uint16).tolist()
    table["LUTData"].VR = table["LUTDescriptor"].VR = "US"
    path = tmp_path / "x.dcm"
    # A table goes before a window.
    write_dicom(
        path,
        GREY,
        BitsStored=12,
        VOILUTSequence=Sequence([table]),
        WindowCenter=1,
        WindowWidth=2,
    )
    expected = apply_voi_lut(GREY, pydicom.dcmread(path)) / 1023 * 255
    assert np.abs(load_image(path)[..., 0] - expected).max() <= 0.5001


def test_narrowest_window_is_a_step(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm", GREY, BitsStored=12, WindowCenter=2000, WindowWidth=1)
    np.testing.assert_array_equal(load_image(tmp_path / "x.dcm")[..., 0], (GREY >= 2000) * 255)


def test_colour(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    write_dicom(tmp_path / "x.dcm", values)
    np.testing.assert_array_equal(load_image(tmp_path / "x.dcm"), values)


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    red_in_ybr = np.broadcast_to(np.array([76, 85, 255], np.uint8), (4, 4, 3)).copy()
    write_dicom(tmp_path / "x.dcm", red_in_ybr, PhotometricInterpretation="YBR_FULL")
    assert np.abs(load_image(tmp_path / "x.dcm").astype(int) - [255, 0, 0]).max() <= 2


def test_palette_colour(tmp_path: Path) -> None:
    indices = np.array([[0, 1], [2, 3]], np.uint8)
    tables = {"Red": [0, 65535, 0, 257], "Green": [0, 0, 65535, 514], "Blue": [0, 0, 0, 771]}
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, values in tables.items():
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = np.array(values, np.uint16).tobytes()
    write_dicom(tmp_path / "x.dcm", indices, **tags)
    expected = np.stack(list(tables.values()), axis=1)[indices] / 257
    np.testing.assert_array_equal(load_image(tmp_path / "x.dcm"), expected)


def test_a_frame_is_named_by_its_number(tmp_path: Path) -> None:
    frames = np.random.default_rng(2).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    path = tmp_path / "x.dcm"
    write_dicom(path, frames, frames=3)
    for number in (1, 2, 3):
        np.testing.assert_array_equal(load_image(f"{path}#{number}")[..., 0], frames[number - 1])
    with pytest.raises(ImageError, match="3 frames; name one, like FILE#1 to FILE#3"):
        load_image(path)
    with pytest.raises(ImageError, match="without frame 4; it has 3"):
        load_image(f"{path}#4")


def test_each_frame_goes_through_its_own_window(tmp_path: Path) -> None:
    frames = np.random.default_rng(2).integers(0, 4096, (2, 5, 7)).astype(np.uint16)
    own = []
    for center in (1000, 3000):
        window, groups = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = center, 500
        groups.FrameVOILUTSequence = Sequence([window])
        own.append(groups)
    rescale, shared = Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 2, -10
    shared.PixelValueTransformationSequence = Sequence([rescale])
    path = tmp_path / "x.dcm"
    write_dicom(
        path,
        frames,
        frames=2,
        BitsStored=12,
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(own),
    )
    for number, center in ((1, 1000), (2, 3000)):
        values = frames[number - 1] * 2.0 - 10
        shown = np.clip((values - (center - 0.5)) / 499 + 0.5, 0, 1)
        np.testing.assert_array_equal(load_image(f"{path}#{number}")[..., 0], np.rint(shown * 255))


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"BitsStored": 17}, "more bits stored than allocated, or none"),
        ({"Rows": 60_000, "Columns": 60_000}, "more than 89,478,485 pixels"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "rescale slope of 0"),
        (
            {"WindowCenter": 1, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
            "a window that is not a range",
        ),
        ({"PixelData": bytes(8)}, "fewer bytes of pixels than rows and columns need"),
    ],
)
def test_tags_that_do_not_fit_are_refused(
    tmp_path: Path, tags: dict[str, object], reason: str
) -> None:
    write_dicom(tmp_path / "x.dcm", GREY, **tags)
    with pytest.raises(ImageError, match=reason):
        load_image(tmp_path / "x.dcm")


def test_reasons_quote_nothing_of_the_header(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    write_dicom(path, GREY, PhotometricInterpretation="DOE JANE", BitsStored=12)
    with pytest.raises(ImageError) as caught:
        load_image(path)
    assert "DOE" not in caught.value.reason


FILES = Path(pydicom.data.__file__).parent
SHIPPED = sorted(
    path
    for folder in ("test_files", "charset_files", "palettes")
    for path in (FILES / folder).rglob("*")
    if path.is_file()
)


def test_every_file_that_pydicom_ships_decodes_or_is_refused_with_one_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Warnings are errors here, so that none is raised either."""
    decoded, refused = set(), {}
    for path in SHIPPED:
        try:
            image = load_image(path)
        except ImageError as error:
            refused[path.name] = error.reason
            continue
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        decoded.add(path.name)
    assert not [line for line in caplog.records if line.name == "pydicom"]
    assert len(decoded) + len(refused) > 100
    reasons = [re.sub(r"\d+", "N", reason) for reason in refused.values()]
    assert all(reason and "\n" not in reason and len(reason) < 150 for reason in reasons)
    assert decoded >= {
        "CT_small.dcm",  # 16 bits, signed
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_bigendian.dcm",
        "JPGExtended.dcm",  # 12 bits in JPEG
        "image_dfl.dcm",  # deflated
        "examples_palette.dcm",
        "SC_rgb_jpeg_dcmd.dcm",
        "liver_1frame.dcm",  # 1 bit
    }
    # No way round: pixels cut short, a codestream that is damaged, a header that is not one.
    broken = [name for name, reason in refused.items() if "cannot be decoded" in reason]
    assert sorted(broken) == [
        "JPEG-lossy.dcm",
        "JPEG2000-embedded-sequence-delimiter.dcm",
        "MR_truncated.dcm",
        "badVR.dcm",
    ]


@pytest.mark.parametrize("name", ["MR_small", "CT_small", "693_J2KI", "liver_1frame"])
def test_grey_files_of_pydicom_against_its_own_transformations(name: str) -> None:
    """The same brightness as pydicom's, up to the range that it is scaled to."""
    path = FILES / "test_files" / f"{name}.dcm"
    dataset = pydicom.dcmread(path)
    stored = dataset.pixel_array
    values = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(float)
    shown = load_image(path)[..., 0].astype(float)
    inside = (shown > 0) & (shown < 255)
    if inside.any():
        slope, shift = np.polyfit(values[inside], shown[inside], 1)
        assert np.abs(slope * values[inside] + shift - shown[inside]).max() < 1.01
    order = np.argsort(values, axis=None, kind="stable")
    assert (np.diff(shown.ravel()[order]) >= 0).all()


def test_patient_tags_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Dataset] = []
    read = pydicom.dcmread

    def spy(*args: object, **kwargs: object) -> Dataset:
        seen.append(read(*args, **kwargs))
        return seen[-1]

    monkeypatch.setattr(pydicom, "dcmread", spy)
    write_dicom(tmp_path / "x.dcm", GREY, BitsStored=12)
    load_image(tmp_path / "x.dcm")
    assert "PixelData" in seen[0]
    assert not {"PatientName", "PatientID"} & set(seen[0].dir())
