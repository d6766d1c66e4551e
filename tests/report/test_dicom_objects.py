from __future__ import annotations

import dataclasses
import io
from itertools import pairwise

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from bayescam.report import MapSummary, build_map_object, build_picture_object
from bayescam.types import DicomSource, InputError

FLAT = DicomSource((9, 14), "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3", "1.2.4", "1.2.5")
SLICE = dataclasses.replace(
    FLAT,
    sop_class="1.2.840.10008.5.1.4.1.1.4.1",
    frame=2,
    frame_of_reference="1.2.6",
    position_mm=(-10.5, 3.25, 1 / 3),
    orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    spacing_mm=(0.5, 0.25),
    thickness_mm=3.0,
)
RNG = np.random.default_rng(0)
MAPS = MapSummary(
    "mel - nv",
    RNG.normal(size=(9, 14)).astype(np.float32),
    RNG.random((9, 14)).astype(np.float32),
    RNG.random((9, 14)).astype(np.float32),
    0.25,
)
PICTURE = RNG.integers(0, 256, (9, 14, 3), dtype=np.uint8)


def read_again(built: Dataset) -> Dataset:
    stream = io.BytesIO()
    built.save_as(stream, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(stream.getvalue()))


def objects(source: DicomSource, maps: MapSummary = MAPS) -> tuple[Dataset, Dataset]:
    """The values and the picture, as another program reads them."""
    return (
        read_again(build_map_object(source, maps, version="0.1", key="k")),
        read_again(build_picture_object(source, PICTURE, title="t", version="0.1", key="k")),
    )


def test_a_parametric_map_has_the_same_values_at_the_same_place() -> None:
    found, picture = objects(SLICE)
    assert found.SOPClassUID.name == "Parametric Map Storage"
    values = found.pixel_array
    assert values.dtype == np.float32
    for frame, part in zip(values, (MAPS.mean, MAPS.sd, MAPS.p_relevant), strict=True):
        np.testing.assert_array_equal(frame, part)
    shared = found.SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    assert (measures.PixelSpacing, measures.SliceThickness) == ([0.5, 0.25], 3)
    assert "SpacingBetweenSlices" not in measures
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == list(SLICE.orientation)
    labels = []
    for groups in found.PerFrameFunctionalGroupsSequence:
        place = groups.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(place, SLICE.position_mm, rtol=1e-12)
        (meaning,) = groups.RealWorldValueMappingSequence
        assert (meaning.RealWorldValueSlope, meaning.RealWorldValueIntercept) == (1, 0)
        labels.append(meaning.LUTLabel)
    assert labels == ["mean map", "sd of the map", "P(map > c)"]
    np.testing.assert_array_equal(picture.pixel_array, PICTURE)
    assert picture.PixelSpacing == [0.5, 0.25]
    assert picture.ImagePositionPatient == pytest.approx(SLICE.position_mm)
    assert {found.FrameOfReferenceUID, picture.FrameOfReferenceUID} == {"1.2.6"}


@pytest.mark.parametrize("space", [None, "1.2.6"])
def test_an_image_off_space_gets_a_segmentation_and_no_place_is_invented(space: str | None) -> None:
    source = dataclasses.replace(FLAT, frame_of_reference=space, spacing_mm=(0.2, 0.2))
    found, picture = objects(source)
    assert found.SOPClassUID.name == "Segmentation Storage"
    assert (found.SegmentationType, found.SegmentationFractionalType) == (
        "FRACTIONAL",
        "PROBABILITY",
    )
    assert np.abs(found.pixel_array / found.MaximumFractionalValue - MAPS.p_relevant).max() <= (
        0.5001 / 255
    )
    text = str(found) + str(picture)
    assert "Image Position" not in text
    assert "Image Orientation" not in text
    assert [part.get("FrameOfReferenceUID") for part in (found, picture)] == [space, None][:1] * 2
    region = found.SegmentSequence[0]
    assert region.SegmentLabel == "P(map > 0.25) for mel - nv"


def references(dataset: Dataset) -> list[Dataset]:
    found = [dataset] if "ReferencedSOPInstanceUID" in dataset else []
    for element in dataset:
        if element.VR == "SQ":
            found += [reference for item in element.value for reference in references(item)]
    return found


@pytest.mark.parametrize("source", [FLAT, SLICE])
def test_it_refers_to_its_image_and_to_no_patient(source: DicomSource) -> None:
    for found in objects(source):
        assert found.StudyInstanceUID == "1.2.5"
        assert found.SeriesInstanceUID != "1.2.4"
        assert (found.Rows, found.Columns) == (9, 14)
        named = references(found)
        assert named
        for reference in named:
            assert reference.ReferencedSOPInstanceUID == "1.2.3"
            assert reference.ReferencedSOPClassUID == source.sop_class
            assert reference.get("ReferencedFrameNumber") == source.frame
        assert found.PatientIdentityRemoved == "YES"
        assert found.DeidentificationMethod
        for tag in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate"):
            assert found[tag].value in ("", None)


def test_kept_identifiers_are_in_the_patient_module() -> None:
    patient = {"PatientName": "Doe^Jänne", "PatientID": "47", "PatientBirthDate": "19700203"}
    for base in (FLAT, SLICE):
        for found in objects(dataclasses.replace(base, patient=patient)):
            assert found.PatientIdentityRemoved == "NO"
            assert found.PatientName == "Doe^Jänne"
            assert (found.PatientID, found.PatientBirthDate) == ("47", "19700203")


def test_what_differs_has_another_unique_id() -> None:
    ids = [
        build_map_object(source, MAPS, version="0.1", key=key)[tag].value
        for source in (FLAT, dataclasses.replace(FLAT, frame=2), SLICE)
        for key in ("k", "l")
        for tag in ("SOPInstanceUID", "SeriesInstanceUID")
    ]
    again = build_map_object(FLAT, MAPS, version="0.1", key="k").SOPInstanceUID
    assert again == ids[0]
    for source, version in (
        (FLAT, "0.2"),
        (dataclasses.replace(FLAT, patient={"PatientID": "47"}), "0.1"),
    ):
        assert build_map_object(source, MAPS, version=version, key="k").SOPInstanceUID not in ids
    assert len({*ids[:8]}) == 8
    assert all(pydicom.uid.UID(uid).is_valid for uid in ids)


@pytest.mark.parametrize(
    "name", ["<script>", "a\\b", "\u202egnp.exe", "=cmd()", "é" * 10_000, "\x00\x1b[31m"]
)
@pytest.mark.parametrize("source", [FLAT, SLICE])
def test_hostile_names_are_one_short_value(source: DicomSource, name: str) -> None:
    for found in objects(source, dataclasses.replace(MAPS, target=name)):
        for element in found.iterall():
            if element.VR == "LO":
                assert element.VM <= 1
                assert len(str(element.value)) <= 64
                assert not set(str(element.value)) & set("\\\x00\x1b\u202e")


def test_what_is_not_on_the_grid_is_refused() -> None:
    small = dataclasses.replace(MAPS, sd=MAPS.sd[1:])
    with pytest.raises(InputError, match=r"`maps.sd` must be .* \(9, 14\); got \(8, 14\)"):
        build_map_object(SLICE, small, version="0.1", key="k")
    with pytest.raises(InputError, match="Was it resized"):
        build_picture_object(SLICE, PICTURE[1:], title="t", version="0.1", key="k")


def test_a_label_of_one_map_differs_from_that_of_the_next() -> None:
    built = build_map_object(SLICE, MAPS, version="0.1", key="k")
    meanings = [
        groups.RealWorldValueMappingSequence[0].LUTExplanation
        for groups in built.PerFrameFunctionalGroupsSequence
    ]
    assert all(a != b for a, b in pairwise(meanings))
    assert "0.25" in meanings[2]
