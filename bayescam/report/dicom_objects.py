"""Maps as DICOM objects on the grid of the image that they explain, written with highdicom.

Which object a map becomes is decided by what the standard asks for (PS3.3):

- an image that lies in space (CT, MR: frame of reference, position, orientation, spacing) gets a
  **Parametric Map** of float32 with the frames mean, standard deviation and P(map > c). Table
  A.75-2 makes position and orientation of each frame mandatory.
- an image that does not (projection radiographs CR and DX, photographs, ultrasound) has no position
  to give, and none is invented. It gets a **Segmentation** (section A.51) of fractional type,
  whose values are P(map > c) in steps of 1/255. That may refer to its image pixel for pixel.

Both come with a **Secondary Capture**, the coloured map on the image, for viewing.

All have the study of the image, and its frame of reference where it has one. The patient is blank
and PatientIdentityRemoved is YES, unless the source brings identifiers along.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.report.case import MapSummary
from bayescam.types import DicomSource, InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["build_map_object", "build_picture_object"]

_CT_IMAGE, _SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7"
_MAKER = "bayescam"
_UNTELLABLE = re.compile(r"[\x00-\x1f\x7f\\\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
_REMOVED = "bayescam: patient, dates and free text of the image left out"
_BLANK = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)


def build_map_object(
    source: DicomSource, maps: MapSummary, *, version: str, key: str, method: str = "gradcam"
) -> Dataset:
    """Return the distribution of a map: a Parametric Map, or a Segmentation of an image off space.

    Args:
        source: the image.
        maps: on its grid: arrays of shape `source.shape`.
        version: of the software that made the maps.
        key: names this map among those of the image; equal keys give equal unique ids.
        method: how the map was made.

    Returns:
        The object; `save_as` writes it.

    Raises:
        InputError: a map is not on the grid of the image, or not finite.
    """
    for name in ("mean", "sd", "p_relevant"):
        _check_grid(source, np.asarray(getattr(maps, name)), name)
    make = _parametric_map if source.has_plane else _segmentation
    built = make(source, maps, _equipment(source, version, key, make.__name__), method)
    return _finish(built, source)


def build_picture_object(
    source: DicomSource, picture: ArrayLike, *, title: str, version: str, key: str
) -> Dataset:
    """Return an RGB picture on the grid of an image as a Secondary Capture.

    Args:
        source: the image.
        picture: uint8 (H, W, 3), for example of `color_overlay`.
        title: what it shows.
        version: of the software that made it.
        key: names this picture among those of the image; equal keys give equal unique ids.

    Raises:
        InputError: the picture is not on the grid of the image.
    """
    from highdicom.sc import SCImage

    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.shape != (*source.shape, 3):
        raise InputError(
            f"`picture` must be uint8 of shape {(*source.shape, 3)}; got {pixels.dtype} of "
            f"{pixels.shape}. Was it resized?"
        )
    names: dict[str, Any] = {
        name: value
        for name, value in _equipment(source, version, key, "picture").items()
        if name not in ("manufacturer_model_name", "device_serial_number", "software_versions")
    }
    names |= {_keyword(tag): source.patient.get(tag) or None for tag in _BLANK}
    built = SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # asked for; what is known is set below
        study_instance_uid=source.study,
        pixel_spacing=source.spacing_mm,
        specific_character_set="ISO_IR 192",
        **names,
    )
    built["PatientOrientation"].value = ""
    built.SeriesDescription = built.ImageComments = _plain(title, 64)
    if source.shows_text:
        built.BurnedInAnnotation = "YES"
    if source.has_plane:
        built.FrameOfReferenceUID = source.frame_of_reference
        built.ImagePositionPatient = _decimals(source.position_mm)
        built.ImageOrientationPatient = _decimals(source.orientation)
    reference = _reference(source)
    built.SourceImageSequence = [reference]
    return _finish(built, source)


def _parametric_map(
    source: DicomSource, maps: MapSummary, equipment: dict[str, Any], method: str
) -> Dataset:
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from pydicom.sr.codedict import codes

    named = {
        "mean map": maps.mean,
        "sd of the map": maps.sd,
        "P(map > c)": maps.p_relevant,
    }
    explained = (
        f"mean over draws of the signed map ({method}) for {maps.target}",
        f"standard deviation over draws of the map ({method}) for {maps.target}",
        f"share of draws with map > {maps.threshold:.6g} for {maps.target}",
    )
    values = np.stack([np.asarray(part, dtype=np.float32) for part in named.values()], axis=-1)
    largest = float(np.abs(values).max()) or 1.0
    built = ParametricMap(
        source_images=[_stand_in(source)],
        pixel_array=values[np.newaxis],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            [
                RealWorldValueMapping(
                    lut_label=label,
                    lut_explanation=_plain(text, 64),
                    unit=codes.UCUM.NoUnits,
                    value_range=(-largest, largest),
                    quantity_definition=codes.cid7180.ClassActivation,
                )
            ]
            for label, text in zip(named, explained, strict=True)
        ],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.0, window_width=2 * largest)],
        content_label="CLASS_ACTIVATION",
        content_description=_plain(f"maps for {maps.target}", 64),
        **equipment,
    )
    measures = built.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.pop("SpacingBetweenSlices", None)  # of one slice there is none; highdicom says 1 mm
    return built


def _segmentation(
    source: DicomSource, maps: MapSummary, equipment: dict[str, Any], method: str
) -> Dataset:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    region = SegmentDescription(
        segment_number=1,
        segment_label=_plain(f"P(map > {maps.threshold:.3g}) for {maps.target}", 64),
        segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
        segmented_property_type=codes.DCM.ImageRegion,
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=f"{_MAKER} {method}",
            family=codes.cid7162.ArtificialIntelligence,
            version=equipment["software_versions"],
        ),
    )
    shares = np.clip(np.asarray(maps.p_relevant, dtype=np.float32), 0.0, 1.0)
    return Segmentation(
        source_images=[_stand_in(source)],
        pixel_array=shares[np.newaxis, ..., np.newaxis],
        segmentation_type="FRACTIONAL",
        fractional_type="PROBABILITY",
        max_fractional_value=255,
        segment_descriptions=[region],
        omit_empty_frames=False,
        content_label="CLASS_ACTIVATION",
        content_description=_plain(f"maps for {maps.target}", 64),
        **equipment,
    )


def _stand_in(source: DicomSource) -> Dataset:
    """The image as highdicom asks for one: a single frame, of a kind that has, or lacks, a place.

    `_finish` sets the kind that it is of, and the number of its frame.
    """
    from pydicom.dataset import Dataset

    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    for tag in _BLANK:
        setattr(image, tag, source.patient.get(tag, ""))
    image.SOPClassUID = _CT_IMAGE if source.has_plane else _SECONDARY_CAPTURE
    image.SOPInstanceUID, image.SeriesInstanceUID = source.instance, source.series
    image.StudyInstanceUID = source.study
    image.Rows, image.Columns = source.shape
    image.LossyImageCompression = "01" if source.lossy else "00"
    if source.has_plane:
        image.FrameOfReferenceUID = source.frame_of_reference
        image.ImagePositionPatient = _decimals(source.position_mm)
        image.ImageOrientationPatient = _decimals(source.orientation)
        image.SliceThickness = source.thickness_mm
    if source.spacing_mm is not None:
        image.PixelSpacing = _decimals(source.spacing_mm)
    return image


def _equipment(source: DicomSource, version: str, key: str, kind: str) -> dict[str, Any]:
    names = (source.instance, str(source.frame or 1), kind, key, version, str(bool(source.patient)))
    return {
        "series_instance_uid": _unique_id("series", *names),
        "series_number": 1,
        "sop_instance_uid": _unique_id("instance", *names),
        "instance_number": source.frame or 1,
        "manufacturer": _MAKER,
        "manufacturer_model_name": _MAKER,
        "software_versions": version,
        "device_serial_number": "0",
    }


def _finish(built: Dataset, source: DicomSource) -> Dataset:
    """The object with true references to its image, and with the patient blank or kept."""
    for reference in _references(built, source.instance):
        reference.ReferencedSOPClassUID = source.sop_class
        if source.frame is not None:
            reference.ReferencedFrameNumber = source.frame
    if source.frame_of_reference is not None:
        built.FrameOfReferenceUID = source.frame_of_reference
        built.PositionReferenceIndicator = ""
    if source.patient:
        built.PatientIdentityRemoved = "NO"
    else:
        built.PatientIdentityRemoved = "YES"
        built.DeidentificationMethod = _REMOVED
    return built


def _references(dataset: Dataset, instance: str) -> Iterator[Dataset]:
    if dataset.get("ReferencedSOPInstanceUID") == instance:
        yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _references(item, instance)


def _reference(source: DicomSource) -> Dataset:
    from pydicom.dataset import Dataset

    reference = Dataset()
    reference.ReferencedSOPClassUID = source.sop_class
    reference.ReferencedSOPInstanceUID = source.instance
    return reference


def _check_grid(source: DicomSource, values: NDArray[Any], name: str) -> None:
    if values.shape != source.shape or not np.isfinite(values).all():
        raise InputError(
            f"`maps.{name}` must be finite and of the shape of the image, {source.shape}; got "
            f"{values.shape}. Was it resized to the image?"
        )


def _unique_id(*parts: str) -> str:
    """A unique id of the root 2.25 (PS3.5 B.2) that depends on nothing but these names."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, chr(0).join((_MAKER, *parts))).int}"


def _plain(text: str, length: int) -> str:
    """Text that a value may hold: no backslash, which separates values, and nothing that hides.

    The standard counts characters, some readers bytes; it is cut to so many bytes.
    """
    coded = _UNTELLABLE.sub("_", text).encode("utf-8", "replace")
    return coded[:length].decode("utf-8", "ignore").strip()


def _decimals(numbers: Sequence[float] | None) -> list[str]:
    """Numbers in the 16 characters that a decimal string has."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(number)) for number in numbers or ()]


def _keyword(tag: str) -> str:
    """PatientBirthDate -> patient_birth_date, StudyID -> study_id."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", tag).lower()
