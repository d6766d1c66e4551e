"""What every measure asks of its input: shapes, sums, labels, groups, each refused in one line."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError, canonical_names

__all__ = [
    "check_class_names",
    "check_flags",
    "check_groups",
    "check_labels",
    "check_logits",
    "check_mean_probs",
    "check_named_scores",
    "check_probs",
    "check_scores",
    "check_several_draws",
    "check_several_groups",
    "warn_of_one_draw",
]

_SLIPS = {"f": "Are these probabilities?", "b": "Are these right or wrong calls?"}
_SUM_TOLERANCE = 1e-3  # probabilities kept in half precision still pass


def check_probs(probs: ArrayLike, *, name: str = "probs") -> NDArray[np.float64]:
    """Draws of probabilities as float64 of shape (S, N, K), rows rescaled to sum to one exactly.

    So entropies never exceed `log K`, not even those of probabilities kept in half precision.

    Raises:
        InputError: wrong number of axes, no draws or fewer than two classes, values that are not
            finite, outside [0, 1], or rows that do not sum to one.
    """
    array = _float_array(probs, name)
    if array.ndim != 3:
        hint = " Is the draw axis missing?" if array.ndim == 2 else ""
        raise InputError(f"`{name}` must have shape (S, N, K); got {array.shape}.{hint}")
    return _checked_rows(array, name)


def check_several_draws(probs: ArrayLike, measure: str) -> NDArray[np.float64]:
    """Draws of probabilities as `check_probs`, at least two of them.

    Raises:
        InputError: as `check_probs`, and when one draw is all there is, naming the measure.
    """
    array = check_probs(probs)
    if len(array) == 1:
        raise InputError(
            f"`{measure}` compares draws, and `probs` has only one (S = 1): of epistemic "
            "uncertainty one draw says nothing. Take at least two."
        )
    return array


def warn_of_one_draw(num_samples: int, measure: str, consequence: str) -> None:
    """Warn the caller of a public measure that one draw is all there is, and what follows."""
    if num_samples == 1:
        warnings.warn(
            f"`{measure}` got one draw (S = 1), which says nothing of epistemic uncertainty: "
            f"{consequence}",
            stacklevel=3,
        )


def check_mean_probs(mean_probs: ArrayLike, *, name: str = "mean_probs") -> NDArray[np.float64]:
    """Mean probabilities as float64 of shape (N, K), with rows rescaled to sum to one exactly.

    Raises:
        InputError: as `check_probs`, and when there are no images.
    """
    array = _float_array(mean_probs, name)
    if array.ndim != 2:
        hint = " Take the mean over the draw axis first." if array.ndim == 3 else ""
        raise InputError(f"`{name}` must have shape (N, K); got {array.shape}.{hint}")
    if len(array) == 0:
        raise InputError(f"`{name}` has no images: its shape is {array.shape}.")
    return _checked_rows(array, name)


def check_logits(logits: ArrayLike, *, name: str = "logits") -> NDArray[np.float64]:
    """Draws of logits as float64 of shape (S, N, K).

    Raises:
        InputError: wrong number of axes, an empty axis, or values that are not finite.
    """
    array = _float_array(logits, name)
    if array.ndim != 3:
        hint = " Is the draw axis missing?" if array.ndim == 2 else ""
        raise InputError(f"`{name}` must have shape (S, N, K); got {array.shape}.{hint}")
    if array.size == 0 or array.shape[-1] < 2:
        raise InputError(f"`{name}` needs draws, images and two classes; got {array.shape}.")
    return array


def check_labels(
    labels: ArrayLike, num_images: int, num_classes: int, *, name: str = "labels"
) -> NDArray[np.int64]:
    """Class indices as int64 of shape (N,).

    Raises:
        InputError: wrong length, or values that are not integers in 0..K-1.
    """
    array = np.asarray(labels)
    if array.shape != (num_images,):
        raise InputError(f"`{name}` must have shape ({num_images},); got {array.shape}.")
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"`{name}` must be class indices 0..{num_classes - 1}; got values of type "
            f"{array.dtype}. {_SLIPS.get(array.dtype.kind, 'Are these class names?')}"
        )
    outside = array[(array < 0) | (array >= num_classes)]
    if outside.size:
        raise InputError(
            f"`{name}` must be class indices 0..{num_classes - 1}; got {int(outside[0])}."
        )
    return array.astype(np.int64)


def check_class_names(class_names: Sequence[str] | None, num_classes: int) -> Sequence[str]:
    """The names of the K classes, their indices as text where there are none.

    Raises:
        InputError: another number of names.
    """
    if class_names is None:
        return [str(k) for k in range(num_classes)]
    if len(class_names) != num_classes:
        raise InputError(
            f"`class_names` must be {num_classes} names, one a class; got {list(class_names)}."
        )
    return class_names


def check_groups(
    groups: Sequence[object] | ArrayLike, num_images: int, *, name: str = "groups"
) -> NDArray[np.int64]:
    """Group names (lesion, patient) as codes 0..G-1, int64 of shape (N,).

    Raises:
        InputError: wrong length or a missing name.
    """
    names = np.asarray(groups, dtype=object)
    if names.shape != (num_images,):
        raise InputError(f"`{name}` must have shape ({num_images},); got {names.shape}.")
    if any(map(_is_missing, names)):
        raise InputError(f"`{name}` must name the group of every image; got a missing value.")
    return np.unique(canonical_names(names), return_inverse=True)[1].astype(np.int64)


def check_scores(values: ArrayLike, *, name: str) -> NDArray[np.float64]:
    """One number an image as float64 of shape (N,), N at least 1.

    Raises:
        InputError: another shape, or values that are not finite numbers.
    """
    array = _float_array(values, name)
    if array.ndim != 1 or len(array) == 0:
        raise InputError(f"`{name}` must be one number an image, (N,); got shape {array.shape}.")
    return array


def check_several_groups(
    groups: Sequence[object] | ArrayLike, num_images: int, *, name: str = "groups"
) -> NDArray[np.int64]:
    """Codes as `check_groups`, of at least two groups.

    Raises:
        InputError: as `check_groups`, and when all images are of one group.
    """
    codes = check_groups(groups, num_images, name=name)
    if codes.max() == 0:
        raise InputError(f"`{name}` must name at least two groups; all images are of one.")
    return codes


def check_named_scores(
    scores: Mapping[str, ArrayLike], *, name: str = "scores"
) -> dict[str, NDArray[np.float64]]:
    """Scores by name, all of the same N images: float64 (N,) each.

    Raises:
        InputError: none, another number of images in one than in another, or as `check_scores`.
    """
    if not scores:
        raise InputError(f"`{name}` must hold at least one score by name; it is empty.")
    checked = {score: check_scores(values, name=score) for score, values in scores.items()}
    sizes = {score: len(values) for score, values in checked.items()}
    if len(set(sizes.values())) > 1:
        raise InputError(f"`{name}` must be of the same images; got {sizes}.")
    return checked


def check_flags(values: ArrayLike, num_images: int, *, name: str) -> NDArray[np.bool_]:
    """One boolean an image, (N,).

    Raises:
        InputError: wrong length, or no booleans.
    """
    flags = np.asarray(values)
    if flags.shape != (num_images,) or flags.dtype != np.bool_:
        raise InputError(
            f"`{name}` must be {num_images} booleans, one an image; got {flags.dtype} of shape "
            f"{flags.shape}. Are these labels?"
        )
    return flags


def _is_missing(name: object) -> bool:
    try:
        return name is None or not bool(name == name)
    except TypeError:  # pandas.NA is neither equal to itself nor not
        return True


def _float_array(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        given = np.asarray(values)
        array = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"`{name}` must be an array of numbers: {error}.") from error
    if given.dtype.kind in "US" or values is None:  # NumPy would read text and make None NaN
        got = "None" if values is None else f"values of type {given.dtype}"
        raise InputError(f"`{name}` must be an array of numbers; got {got}.")
    finite = np.isfinite(array)
    if not finite.all():
        first = array[~finite][0]
        raise InputError(
            f"`{name}` must be finite; got NaN or infinity, {(~finite).sum()} of {array.size} "
            f"values, the first {first}."
        )
    return array


def _checked_rows(array: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Rows (last axis) not below zero and of sum one, once they are seen to be nearly so."""
    if array.shape[0] == 0 or array.shape[-1] < 2:
        raise InputError(
            f"`{name}` must have at least one draw and two classes; got {array.shape}."
        )
    if array.size and (array.min() < -_SUM_TOLERANCE or array.max() > 1 + _SUM_TOLERANCE):
        extreme = array.min() if array.min() < -_SUM_TOLERANCE else array.max()
        raise InputError(f"`{name}` must lie between 0 and 1; got {extreme:.4g}. Are these logits?")
    sums = array.sum(axis=-1)
    worst = sums.flat[np.abs(sums - 1).argmax()] if sums.size else 1.0
    if abs(worst - 1) > _SUM_TOLERANCE:
        raise InputError(
            f"Rows of `{name}` must sum to one; one sums to {worst:.4g}. Are these logits?"
        )
    clipped = np.maximum(array, 0.0)
    return clipped / clipped.sum(axis=-1, keepdims=True)
