from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
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


def test_several_frames_are_refused(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm", np.zeros((3, 8, 8), np.uint8), frames=3)
    with pytest.raises(ImageError, match="3 frames; one image per file"):
        load_image(tmp_path / "x.dcm")


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
