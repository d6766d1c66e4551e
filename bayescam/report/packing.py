"""Maps and draws as short text for a page: bytes on a common scale, in base64."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError

__all__ = ["PackedArray", "pack_positive", "pack_signed", "unpack"]

PackedArray = dict[str, object]
"""`shape`; `max`, the value of the largest byte; `signed`; `data`, the bytes in base64."""

_STEPS = {True: 127, False: 255}


def pack_signed(values: ArrayLike) -> PackedArray:
    """Values of any sign on one scale, 127 steps to the largest of them in size.

    Args:
        values: finite, any shape. Maps of several draws are packed together: each on a scale of
            its own could not be compared with the next.

    Returns:
        See `PackedArray`; the error is at most `max / 254`.
    """
    return _pack(values, signed=True)


def pack_positive(values: ArrayLike, *, largest: float | None = None) -> PackedArray:
    """Values from 0 on one scale of 255 steps; see `pack_signed`.

    Args:
        values: finite and not negative, any shape.
        largest: the end of the scale; values above it are cut. By default the largest value.
    """
    return _pack(values, signed=False, largest=largest)


def unpack(packed: PackedArray) -> NDArray[np.float64]:
    """The values of `pack_signed` or `pack_positive`, to half a step."""
    signed = bool(packed["signed"])
    raw = base64.b64decode(str(packed["data"]))
    steps = np.frombuffer(raw, dtype=np.int8 if signed else np.uint8).astype(np.float64)
    return (steps * (float(str(packed["max"])) / _STEPS[signed])).reshape(packed["shape"])  # type: ignore[call-overload]


def _pack(values: ArrayLike, *, signed: bool, largest: float | None = None) -> PackedArray:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise InputError("`values` must be finite; got NaN or an infinite number.")
    if not signed and array.size and array.min() < -1e-6:
        raise InputError(f"`values` must not be negative; got {array.min():.3g}.")
    top = float(np.abs(array).max(initial=0.0)) if largest is None else largest
    top = float(f"{top:.6g}") or 1.0
    limit = _STEPS[signed]
    steps = np.clip(np.rint(array / top * limit), -limit if signed else 0, limit)
    data = steps.astype(np.int8 if signed else np.uint8).tobytes()
    return {
        "shape": list(array.shape),
        "max": top,
        "signed": signed,
        "data": base64.b64encode(data).decode("ascii"),
    }
