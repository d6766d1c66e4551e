from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pydicom
import pytest

from bayescam.data import load_image, resize_image, seal_path
from bayescam.report import MapSummary, upsample_map
from bayescam.types import InputError
from bayescam.workflows.dicom_maps import on_image_grid, write_dicom_maps
from tests.data.broken_files import write_dicom

RNG = np.random.default_rng(5)
MAPS = MapSummary("mel", *(RNG.random((3, 4, 5)).astype(np.float32)), threshold=0.5)
IDS = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "SOPInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.4",
    "StudyInstanceUID": "1.2.5",
}
PLANE = {
    "FrameOfReferenceUID": "1.2.6",
    "ImagePositionPatient": [10, 20, 30],
    "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
    "PixelSpacing": [0.5, 0.25],
}


def write_source(path: Path, **tags: object) -> Path:
    pixels = RNG.integers(0, 256, (61, 97), dtype=np.uint8)
    write_dicom(path, pixels, **{**IDS, **PLANE, **tags})
    return path


def write_maps(folder: Path, path: Path | str, maps: MapSummary = MAPS) -> list[pydicom.Dataset]:
    folder.mkdir()
    written = write_dicom_maps(folder, str(path), [maps], stem="x", method="gradcam", key="k")
    assert sorted(folder.iterdir()) == sorted(written)
    return [pydicom.dcmread(file) for file in written]


def test_a_map_that_is_written_and_read_has_its_values_on_the_grid_of_the_image(
    tmp_path: Path,
) -> None:
    """The second implementation is the interpolation in NumPy that draws figures."""
    path = write_source(tmp_path / "x.dcm")
    values, picture = write_maps(tmp_path / "out", seal_path(path))
    source = pydicom.dcmread(path)
    found = values.pixel_array
    assert found.shape == (3, 61, 97)
    for frame, part in zip(found, (MAPS.mean, MAPS.sd, MAPS.p_relevant), strict=True):
        np.testing.assert_allclose(frame, upsample_map(part, (61, 97)), atol=2e-6)
    groups = values.PerFrameFunctionalGroupsSequence[0]
    shared = values.SharedFunctionalGroupsSequence[0]
    assert groups.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
    assert (
        shared.PlaneOrientationSequence[0].ImageOrientationPatient == source.ImageOrientationPatient
    )
    assert shared.PixelMeasuresSequence[0].PixelSpacing == source.PixelSpacing
    assert picture.pixel_array.shape == (61, 97, 3)


@pytest.mark.parametrize("shape", [(61, 97), (30, 200)])
def test_the_way_back_undoes_the_way_to_the_input_of_the_model(shape: tuple[int, int]) -> None:
    """What a spot in the image becomes at the input lies, put back, where the spot is."""
    spot = np.zeros((*shape, 3), np.uint8)
    rows, columns = shape[0] // 4, 3 * shape[1] // 4
    spot[rows - 4 : rows + 4, columns - 6 : columns + 6] = 255
    seen = resize_image(spot, (32, 32))[..., 0].astype(np.float32)
    maps = MapSummary("a", seen, seen, seen / 255, 0.5)
    back = on_image_grid(maps, shape).mean
    for axis, size in enumerate(shape):
        places = np.arange(size) + 0.5
        centres = [
            (part.sum(axis=1 - axis) * places).sum() / part.sum()
            for part in (spot[..., 0].astype(float), back)
        ]
        assert centres[0] == pytest.approx(centres[1], abs=0.02 * size)


def test_a_radiograph_gets_a_segmentation_and_a_map_without_evidence_no_picture(
    tmp_path: Path,
) -> None:
    none = dict.fromkeys(PLANE)
    path = write_source(tmp_path / "x.dcm", **none, ImagerPixelSpacing=[0.14, 0.14])
    blank = MapSummary("mel", *(RNG.random((3, 4, 5))), threshold=0.5, has_evidence=False)
    (found,) = write_maps(tmp_path / "out", path, blank)
    assert found.SOPClassUID.name == "Segmentation Storage"
    shares = np.clip(upsample_map(blank.p_relevant, (61, 97)), 0, 1)
    assert np.abs(found.pixel_array / 255 - shares).max() <= 0.5001 / 255


def test_other_formats_have_none_and_an_image_without_ids_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    assert write_maps(tmp_path / "out", tmp_path / "a.png") == []
    path = write_source(tmp_path / "x.dcm", SeriesInstanceUID=None)
    with pytest.raises(InputError, match="no valid SeriesInstanceUID"):
        write_maps(tmp_path / "none", path)


def test_the_picture_is_the_image_where_the_map_is_not_positive(tmp_path: Path) -> None:
    path = write_source(tmp_path / "x.dcm")
    half = np.concatenate([np.full((4, 3), -1.0), np.ones((4, 2))], axis=1)
    maps = MapSummary("mel", half, abs(half), abs(half), threshold=0.5)
    _, picture = write_maps(tmp_path / "out", path, maps)
    shown, image = picture.pixel_array, load_image(path)
    grown = upsample_map(half, (61, 97))
    np.testing.assert_array_equal(shown[grown <= 0], image[grown <= 0])
    largest = np.array(mpl.colormaps["inferno"](1.0, bytes=True)[:3])
    expected = 0.3 * image[grown >= 1] + 0.7 * largest
    assert np.abs(shown[grown >= 1] - expected).max() <= 0.5001
