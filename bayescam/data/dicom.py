"""Decoding a DICOM file to 8-bit RGB, reading its pixel tags and no others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["decode_dicom"]

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
    "PixelData",
)


def decode_dicom(path: Path) -> NDArray[np.uint8]:
    """Return a single-frame DICOM image as uint8 RGB, shape (H, W, 3).

    Stored values go through the modality look-up table or rescale, then through the VOI look-up
    table or the first window (PS3.3 C.11.2.1.2: linear, exact linear or sigmoid). Without either,
    the full range of the stored bits is used, not the range of the values found. MONOCHROME1
    (bright means little) is inverted. Colour is scaled by its stored bits.

    Raises:
        ValueError: if there are no pixels, several frames, or tags that do not fit together.
    """
    import pydicom

    dataset = pydicom.dcmread(path, specific_tags=list(_PIXEL_TAGS))
    for name in ("PixelData", "Rows", "Columns", "PhotometricInterpretation", "BitsStored"):
        if name not in dataset:
            raise ValueError(f"DICOM without {name}")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise ValueError(f"DICOM with {frames} frames; one image per file is expected")
    if dataset.PhotometricInterpretation in ("MONOCHROME1", "MONOCHROME2"):
        shown = _display_grey(dataset)
        return np.repeat(_to_uint8(shown)[..., None], 3, axis=2)
    return _decode_colour(dataset)


def _display_grey(dataset: Dataset) -> NDArray[np.float64]:
    """Brightness in [0, 1], shape (H, W)."""
    from pydicom.pixels import apply_modality_lut

    values = apply_modality_lut(dataset.pixel_array, dataset).astype(np.float64)
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
        shown = (values - low) / (high - low)
    shown = np.clip(shown, 0, 1)
    return 1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


def _apply_window(
    values: NDArray[np.float64], center: float, width: float, function: str
) -> NDArray[np.float64]:
    """PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2, with output range [0, 1]."""
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
    bits, signed = int(dataset.BitsStored), bool(dataset.get("PixelRepresentation"))
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope = float(dataset.get("RescaleSlope") or 1)
    intercept = float(dataset.get("RescaleIntercept") or 0)
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return ends[0], ends[1]


def _decode_colour(dataset: Dataset) -> NDArray[np.uint8]:
    from pydicom.pixels import apply_color_lut

    values = dataset.pixel_array  # pydicom 3 returns YBR as RGB
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        bits = int(dataset.RedPaletteColorLookupTableDescriptor[2])
        return _to_uint8(apply_color_lut(values, dataset).astype(np.float64) / (2**bits - 1))
    if values.ndim != 3 or values.shape[2] != 3:
        raise ValueError(f"DICOM colour image of shape {values.shape}")
    return _to_uint8(values.astype(np.float64) / (2 ** int(dataset.BitsStored) - 1))


def _to_uint8(shown: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(shown * 255).astype(np.uint8)


def _first(value: object) -> float:
    """The first of one or several windows."""
    return float(value) if isinstance(value, (int, float, str)) else float(value[0])  # type: ignore[index]
