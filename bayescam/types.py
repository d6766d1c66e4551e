"""The axis vocabulary and the small frozen results that cross subpackages.

Axes, always in this order: `S` posterior draws, `N` images, `K` classes, `T` explained targets,
`H W` pixels, `h w` map cells, `C` channels.
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "CamDraws",
    "CredibleInterval",
    "DicomSource",
    "DrawUnit",
    "InputError",
    "IntervalKind",
    "MapMoments",
    "UncertaintyDecomposition",
    "canonical_names",
    "check_share",
    "check_whole_number",
]

Array = NDArray[Any]
DrawUnit = Literal["draws", "members"]
"""What a draw is called: a member where the draws are an ensemble, which has no more of them."""
IntervalKind = Literal["equal-tailed", "highest-density"]


class InputError(ValueError):
    """Bad use or bad input: one clear line that names the argument or file, the rule and what came.

    The command line prints it as it is and ends with exit code 2.
    """


@dataclass(frozen=True)
class UncertaintyDecomposition:
    """Entropies in nats, one per image: arrays of shape (N,)."""

    predictive_entropy: NDArray[np.float64]
    expected_entropy: NDArray[np.float64]
    mutual_information: NDArray[np.float64]


@dataclass(frozen=True)
class CredibleInterval:
    """A posterior interval: arrays of the shape of the quantity, and its kind."""

    lower: Array
    upper: Array
    level: float
    kind: IntervalKind


@dataclass(frozen=True)
class MapMoments:
    """Mean and variance of a signed, unnormalised map: arrays of shape (N, T, h, w)."""

    mean: Array
    variance: Array


@dataclass(frozen=True)
class CamDraws:
    """Draws of one batch of images; entry `s` of every array comes from the same weights.

    Attributes:
        logits: (S, N, K).
        layers: By name of the layer, maps (S, N, T, h, w), signed and unnormalised, float32.
        features: (N, F), the input of the head, before any standardisation.
    """

    logits: Array
    layers: dict[str, Array]
    features: Array

    @property
    def cams(self) -> Array:
        """The maps of the first layer, (S, N, T, h, w)."""
        return next(iter(self.layers.values()))


@dataclass(frozen=True)
class DicomSource:
    """What a DICOM object says of the image that it was made from. Goes into DICOM files only.

    Attributes:
        shape: rows and columns.
        sop_class: unique id of the kind of object.
        instance: unique id of the image.
        series: unique id of its series.
        study: unique id of its study.
        frame: its number from 1 among the frames of the object; `None` where it is the only one.
        frame_of_reference: unique id of the space it lies in, if it lies in one.
        position_mm: (3,), centre of the first pixel in that space.
        orientation: (6,), directions of the rows and of the columns in that space.
        spacing_mm: between rows, between columns.
        thickness_mm: of the slice.
        lossy: whether it was ever compressed with a loss.
        shows_text: whether its pixels may hold burned-in text.
        patient: identifiers to keep, by the name of their tag; none by default.
    """

    shape: tuple[int, int]
    sop_class: str
    instance: str
    series: str
    study: str
    frame: int | None = None
    frame_of_reference: str | None = None
    position_mm: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    spacing_mm: tuple[float, float] | None = None
    thickness_mm: float | None = None
    lossy: bool = False
    shows_text: bool = False
    patient: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_plane(self) -> bool:
        """Whether it lies in space: where, which way and how large its pixels are."""
        known = (self.frame_of_reference, self.position_mm, self.orientation, self.spacing_mm)
        return all(part is not None for part in known)


def check_whole_number(name: str, value: object, *, least: int = 0) -> int:
    """A whole number as an int.

    Raises:
        InputError: another type (booleans and whole floats too), or a number below `least`.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise InputError(f"`{name}` must be a whole number, {least} or more; got {value!r}.")
    return int(value)


def check_share(name: str, value: object, *, bounds: Literal["()", "[)", "(]"] = "()") -> float:
    """A number between 0 and 1 as a float; a bracket in `bounds` includes the end.

    Raises:
        InputError: another type, or a number outside.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        share = float(value)
        above = share >= 0.0 if bounds[0] == "[" else share > 0.0
        if above and (share <= 1.0 if bounds[1] == "]" else share < 1.0):
            return share
        slip = " Is it a percentage?" if 1.0 < share <= 100.0 else ""
    else:
        slip = " Is it text?" if isinstance(value, str) else ""
    raise InputError(f"`{name}` must {_RANGES[bounds]}; got {value!r}.{slip}")


_RANGES = {
    "()": "lie strictly between 0 and 1",
    "[)": "be at least 0 and below 1",
    "(]": "be above 0 and at most 1",
}


def canonical_names(names: Iterable[object]) -> list[str]:
    """Names as text, and a whole number always alike: 7, 7.0, "7" and "7.0" are "7".

    A column of numbers becomes one of floats where a value is missing, and text in a file, so the
    name of one lesion may come in another type from another table.
    """
    return [_WHOLE.sub(r"\1", _as_text(name)) for name in names]


def _as_text(name: object) -> str:
    if isinstance(name, float | np.floating) and float(name).is_integer():
        return str(int(name))
    return str(name)


_WHOLE = re.compile(r"^(-?\d+)\.0+$")
