"""Decoding a DICOM file to 8-bit RGB, reading its pixel tags and no others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayescam.data.images import MAX_PIXELS
from bayescam.data.quiet_dicom import quiet_dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset
    from pydicom.uid import UID

__all__ = ["DicomError", "decode_dicom", "frame_macro"]

# What decoding needs. Anything else in the file, the patient's name first, is not read.
_PIXEL_TAGS = (
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
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "PixelData",
)
_DEFERRED = 1 << 16  # bytes: larger values, the pixels above all, are not read with the tags
_WIDEST = 16  # bits


class DicomError(ValueError):
    """A DICOM file that cannot be used; the message quotes nothing of its header."""


def decode_dicom(path: Path, frame: int | None = None) -> NDArray[np.uint8]:
    """Return a DICOM image, or one frame of several, as uint8 RGB, shape (H, W, 3).

    Stored values go through the modality look-up table or rescale, then through the VOI look-up
    table or the first window (PS3.3 C.11.2.1.2: linear, exact linear or sigmoid), each frame
    through its own where it has one. Without either, the full range of the stored bits is used,
    not the range of the values found. MONOCHROME1 (bright means little) is inverted. Colour is
    scaled by its stored bits.

    Args:
        path: the file.
        frame: its number from 1; needed where there are several.

    Raises:
        DicomError: if there are no pixels, they cannot be decoded, the frame is not there or not
            named, or tags do not fit together.
    """
    import pydicom

    syntax = None
    with quiet_dicom():
        try:
            dataset = pydicom.dcmread(path, specific_tags=list(_PIXEL_TAGS), defer_size=_DEFERRED)
            syntax = dataset.file_meta.get("TransferSyntaxUID")
            number = _checked_frame(dataset, frame)
            values = _stored_values(path, number, dataset)
            return _to_picture(values, _with_frame_tags(dataset, number))
        except DicomError:
            raise
        except Exception as error:  # decoders raise nearly anything, and quote what they found
            raise DicomError(_refusal(error, syntax)) from error


def _stored_values(path: Path, frame: int, tags: FileDataset) -> NDArray[Any]:
    """The pixels of one frame; of a file with several, no other is read or decoded."""
    import pydicom
    from pydicom.pixels import pixel_array

    several = int(tags.get("NumberOfFrames") or 1) > 1
    if several and not tags.file_meta.TransferSyntaxUID.is_deflated:
        return pixel_array(path, index=frame - 1)
    whole = pydicom.dcmread(path, specific_tags=list(_PIXEL_TAGS))
    return pixel_array(whole, index=frame - 1)


def _checked_frame(dataset: Dataset, frame: int | None) -> int:
    """The number of the frame to decode, of a dataset that has all that decoding needs."""
    for name in ("PixelData", "Rows", "Columns", "PhotometricInterpretation", "BitsStored"):
        if name not in dataset:
            raise DicomError(f"DICOM without {name}")
    if not 1 <= int(dataset.BitsStored) <= int(dataset.BitsAllocated):
        raise DicomError("DICOM with more bits stored than allocated, or none")
    if int(dataset.Rows) * int(dataset.Columns) > MAX_PIXELS:
        raise DicomError(f"more than {MAX_PIXELS:,} pixels")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frame is None and frames > 1:
        raise DicomError(f"DICOM with {frames} frames; name one, like FILE#1 to FILE#{frames}")
    if frame is not None and frame > frames:
        raise DicomError(f"DICOM without frame {frame}; it has {frames}")
    return frame or 1


def _with_frame_tags(dataset: Dataset, frame: int) -> Dataset:
    """The dataset with the rescale and window of one frame where other datasets have theirs."""
    for sequence in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
        macro = frame_macro(dataset, frame, sequence)
        if macro is not None:
            for element in macro:
                dataset[element.tag] = element
    return dataset


def frame_macro(dataset: Dataset, frame: int, sequence: str) -> Dataset | None:
    """Return the functional group of a frame, its own or the shared one; `None` without."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for groups in (own[frame - 1 : frame], shared[:1]):
        if groups and groups[0].get(sequence):
            found: Dataset = groups[0][sequence][0]
            return found
    return None


def _refusal(error: Exception, syntax: UID | None) -> str:
    """Why a file cannot be decoded, in words that are ours: those of decoders quote headers."""
    if isinstance(error, NotImplementedError) or "missing dependencies" in str(error):
        why = "no decoder"
    elif "less than expected" in str(error):
        why = "fewer bytes of pixels than rows and columns need"
    elif isinstance(error, RuntimeError):
        why = "no decoder can read its pixels"
    else:
        why = f"a tag or the pixels are not as they should be, {type(error).__name__}"
    known = syntax is not None and not syntax.is_private and syntax.name != str(syntax)
    return f"DICOM that cannot be decoded: {why} ({syntax.name if known else 'unknown syntax'})"  # type: ignore[union-attr]


def _to_picture(values: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    if dataset.PhotometricInterpretation in ("MONOCHROME1", "MONOCHROME2"):
        shown = _display_grey(values, dataset)
        return np.repeat(_to_uint8(shown)[..., None], 3, axis=2)
    return _decode_colour(values, dataset)


def _display_grey(stored: NDArray[Any], dataset: Dataset) -> NDArray[np.float64]:
    """Brightness in [0, 1], shape (H, W)."""
    from pydicom.pixels import apply_modality_lut

    values = apply_modality_lut(stored, dataset).astype(np.float64)
    if dataset.get("VOILUTSequence"):
        shown = _apply_voi_table(values, dataset)
    elif dataset.get("WindowWidth") is not None and dataset.get("WindowCenter") is not None:
        shown = _apply_window(
            values,
            _first(dataset.WindowCenter),
            _first(dataset.WindowWidth),
            str(dataset.get("VOILUTFunction") or "LINEAR").upper(),
        )
    else:
        low, high = _stored_range(dataset)
        if low == high:
            raise DicomError("DICOM with a rescale slope of 0")
        shown = (values - low) / (high - low)
    shown = np.clip(shown, 0, 1)
    return 1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


def _apply_window(
    values: NDArray[np.float64], center: float, width: float, function: str
) -> NDArray[np.float64]:
    """PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2, with output range [0, 1]."""
    if not np.isfinite([center, width]).all() or (width <= 0 and function != "LINEAR"):
        raise DicomError("DICOM with a window that is not a range of numbers")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    if width <= 1:
        return (values > center - 0.5).astype(np.float64)
    return (values - (center - 0.5)) / (width - 1) + 0.5


def _apply_voi_table(values: NDArray[np.float64], dataset: Dataset) -> NDArray[np.float64]:
    from pydicom.pixels import apply_voi

    bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
    return apply_voi(values.astype(np.int64), dataset).astype(np.float64) / (2**bits - 1)


def _stored_range(dataset: Dataset) -> tuple[float, float]:
    """Lowest and highest value the format can hold, after the modality transformation."""
    table = dataset.get("ModalityLUTSequence")
    if table:
        return 0.0, float(2 ** int(table[0].LUTDescriptor[2]) - 1)
    if int(dataset.BitsStored) > _WIDEST:
        raise DicomError(
            f"DICOM with pixels of {dataset.BitsStored} bits and no window: they have no range"
        )
    bits, signed = int(dataset.BitsStored), bool(dataset.get("PixelRepresentation"))
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = (
        default if dataset.get(name) is None else float(dataset[name].value)
        for name, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return ends[0], ends[1]


def _decode_colour(values: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    """The values as RGB; pydicom has made that of YBR."""
    from pydicom.pixels import apply_color_lut

    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        bits = int(dataset.RedPaletteColorLookupTableDescriptor[2])
        return _to_uint8(apply_color_lut(values, dataset).astype(np.float64) / (2**bits - 1))
    if values.ndim != 3 or values.shape[2] != 3:
        raise DicomError(f"DICOM colour image of shape {values.shape}")
    return _to_uint8(values.astype(np.float64) / (2 ** int(dataset.BitsStored) - 1))


def _to_uint8(shown: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(shown * 255).astype(np.uint8)


def _first(value: object) -> float:
    """The first of one or several windows."""
    return float(value) if isinstance(value, (int, float, str)) else float(value[0])  # type: ignore[index]
