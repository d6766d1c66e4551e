"""What tables and written objects need of a DICOM header beside its pixels: who, where, how large.

Identifiers leave this module as keyed hashes, or inside a `DicomSource`, which only goes into DICOM
files again.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bayescam.data.dicom import frame_macro
from bayescam.data.places import find_place
from bayescam.data.quiet_dicom import quiet_dicom
from bayescam.data.sealing import keyed_hash
from bayescam.types import DicomSource, InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = [
    "image_name",
    "may_show_text",
    "modality",
    "patient_name",
    "pixel_spacing_mm",
    "read_header",
    "read_source",
]

_HEADER_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "Modality",
    "BurnedInAnnotation",
    "ConversionType",
    "LossyImageCompression",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
_PATIENT_TAGS = (
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
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_TEXT_IN_PIXELS = frozenset({"US", "IVUS", "SC", "OT", "ES", "XA", "RF", "DG"})
_UID = re.compile(r"[0-9][0-9.]{0,63}")
_SKEW = 1e-3
_MODALITIES = frozenset(
    [
        *("BDUS", "BI", "CR", "CT", "DG", "DM", "DMS", "DX", "ES", "FA", "FS", "GM", "HC", "IO"),
        *("IVOCT", "IVUS", "LS", "MG", "MR", "NM", "OCT", "OP", "OPM", "OPT", "OPTENF", "OPV"),
        *("OT", "PT", "PX", "RF", "RG", "RTDOSE", "RTIMAGE", "SC", "SEG", "SM", "ST", "TG", "US"),
        *("XA", "XC"),
    ]
)


def read_header(file: Path) -> Dataset | None:
    """Return the tags used here, without pixels; `None` where they cannot be read."""
    import pydicom

    with quiet_dicom():
        try:
            return pydicom.dcmread(file, specific_tags=list(_HEADER_TAGS), stop_before_pixels=True)
        except Exception:  # the run which cannot decode the file says so
            return None


def image_name(header: Dataset | None, path: str) -> str:
    """Return `dicom-` and a keyed hash of the image's unique id and frame.

    The id stands for the image wherever the file lies. Without one, the path does.

    Args:
        header: of `read_header`.
        path: of the image, with the frame if it names one.
    """
    frame = find_place(path).frame
    uid = _text(header, "SOPInstanceUID")
    known = f"{uid}#{frame or 1}" if uid else path
    return f"dicom-{keyed_hash('image', known)}"


def patient_name(header: Dataset | None) -> str | None:
    """Return `patient-` and a keyed hash of the patient's id and its issuer.

    Without an id, of name and date of birth; without these, of the study, whose images are of one
    patient; `None` where nothing is known.
    """
    number, issuer = _text(header, "PatientID"), _text(header, "IssuerOfPatientID")
    name, birth = _text(header, "PatientName"), _text(header, "PatientBirthDate")
    study = _text(header, "StudyInstanceUID")
    known = (
        ("id", number, issuer)
        if number
        else ("name", name, birth)
        if name.strip("^= ")
        else ("study", study)
    )
    return f"patient-{keyed_hash('patient', chr(0).join(known))}" if known[1] else None


def modality(header: Dataset | None) -> str | None:
    """Return the modality, if it is a term of the standard; anything else could be a name."""
    word = _text(header, "Modality")
    return word if word in _MODALITIES else None


def may_show_text(header: Dataset | None) -> bool:
    """Return whether pixels may hold burned-in text, such as the patient's name.

    So it says, or it says nothing and is a Secondary Capture, was digitised or photographed, or is
    of a modality whose screens are usually stored with their text, such as ultrasound.
    """
    stated = _text(header, "BurnedInAnnotation").upper()
    if stated in ("YES", "NO"):
        return stated == "YES"
    return (
        _text(header, "SOPClassUID").startswith(_SECONDARY_CAPTURE)
        or bool(_text(header, "ConversionType"))
        or _text(header, "Modality").upper() in _TEXT_IN_PIXELS
    )


def pixel_spacing_mm(header: Dataset | None, frame: int | None) -> tuple[float, float] | None:
    """Return the distance between rows and between columns in mm; `None` where it is not known.

    In the patient where that is given, else at the detector or on the scanned film, where a
    projection is larger than what it is of.
    """
    if header is None:
        return None
    macro = frame_macro(header, frame or 1, "PixelMeasuresSequence")
    for source in (macro, header):
        for tag in _SPACINGS:
            found = _numbers(source, tag, 2)
            if found is not None and min(found) > 0:
                return found[0], found[1]
    return None


def read_source(path: str | Path, *, keep_identifiers: bool = False) -> DicomSource:
    """Return what an object that is made from a DICOM image says of that image.

    Args:
        path: the image, as `load_image` takes it.
        keep_identifiers: with the patient's, for an archive that files objects by them.

    Raises:
        InputError: if the file lacks what refers to it: valid unique ids, rows or columns.
    """
    with quiet_dicom():
        return _source(path, keep_identifiers)


def _source(path: str | Path, keep_identifiers: bool) -> DicomSource:
    file, frame = find_place(path)
    header = read_header(file)
    ids = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    for tag in ids:
        if not _UID.fullmatch(_text(header, tag)):
            raise InputError(f"no object can refer to this DICOM image: it has no valid {tag}")
    assert header is not None
    space = _text(header, "FrameOfReferenceUID")
    # Without functional groups, the position in the header is that of the first frame alone.
    first = header if frame in (None, 1) else None
    place = frame_macro(header, frame or 1, "PlanePositionSequence") or first
    turn = frame_macro(header, frame or 1, "PlaneOrientationSequence") or header
    measures = frame_macro(header, frame or 1, "PixelMeasuresSequence") or header
    patient = {tag: _text(header, tag) for tag in _PATIENT_TAGS} if keep_identifiers else {}
    thickness = _numbers(measures, "SliceThickness", 1)
    return DicomSource(
        shape=_shape(header),
        sop_class=_text(header, "SOPClassUID"),
        instance=_text(header, "SOPInstanceUID"),
        series=_text(header, "SeriesInstanceUID"),
        study=_text(header, "StudyInstanceUID"),
        frame=frame,
        frame_of_reference=space if _UID.fullmatch(space) else None,
        position_mm=_numbers(place, "ImagePositionPatient", 3),
        orientation=_orientation(turn),
        spacing_mm=pixel_spacing_mm(header, frame),
        thickness_mm=None if thickness is None else thickness[0],
        lossy=_text(header, "LossyImageCompression") == "01",
        shows_text=may_show_text(header),
        patient=patient,
    )


def _shape(header: Dataset) -> tuple[int, int]:
    shape = _numbers(header, "Rows", 1), _numbers(header, "Columns", 1)
    if shape[0] is None or shape[1] is None:
        raise InputError("no object can refer to this DICOM image: it has no rows or no columns")
    return int(shape[0][0]), int(shape[1][0])


def _orientation(header: Dataset | None) -> tuple[float, ...] | None:
    """The directions of rows and columns, if they are of length 1 and at a right angle."""
    found = _numbers(header, "ImageOrientationPatient", 6)
    if found is None:
        return None
    rows, columns = np.array(found[:3]), np.array(found[3:])
    products = np.array([rows @ rows, columns @ columns, rows @ columns])
    return found if np.abs(products - [1.0, 1.0, 0.0]).max() < _SKEW else None


def _text(header: Dataset | None, tag: str) -> str:
    """A value as text without padding; empty where there is none or it cannot be read."""
    try:
        value = None if header is None else header.get(tag)
    except Exception:  # pydicom converts a value when it is asked for
        return ""
    return "" if value is None else str(value).strip(" \0")


def _numbers(header: Dataset | None, tag: str, count: int) -> tuple[float, ...] | None:
    try:
        value = None if header is None else header.get(tag)
        found = [value] if isinstance(value, int | float) else list(value or [])
        numbers = tuple(float(number) for number in found)
    except Exception:
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None
