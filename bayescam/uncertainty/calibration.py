"""Temperature and class bias, fitted on validation draws.

`calibrated = logits / temperature + class_bias`, the same for every draw, so draws stay draws.
The objective is the likelihood of what is reported: the mean over draws of the probabilities.
Temperature scaling is Guo et al. 2017, section 4.2; with a bias per class it is the "bias-corrected
temperature scaling" of Alexandari et al. 2020. A class without validation images says nothing of
its bias: it stays at 0, the mean of the other biases.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from bayescam.types import InputError, check_whole_number
from bayescam.uncertainty.validation import (
    check_class_names,
    check_groups,
    check_labels,
    check_logits,
)

__all__ = ["Calibration", "cross_fit_logits", "fit_calibration"]

_Block = tuple[NDArray[np.float64], NDArray[np.int64]]  # logits (K, S, n), labels (1, 1, n)
_BLOCK_VALUES = 500_000  # logits in one block of images, 4 MB
_LOG_TEMPERATURE_BOUND = np.log(100.0)


@dataclass(frozen=True)
class Calibration:
    """`logits / temperature + class_bias`.

    Attributes:
        temperature: positive; above 1 softens.
        class_bias: (K,), added to the logits, of sum zero; zeros when it was not fitted.
    """

    temperature: float
    class_bias: NDArray[np.float64]

    def apply(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated logits of the same shape (..., K), float64."""
        array = np.asarray(logits, dtype=np.float64)
        if array.ndim == 0 or array.shape[-1] != len(self.class_bias):
            raise InputError(
                f"`logits` must have {len(self.class_bias)} classes on the last axis; "
                f"got shape {array.shape}."
            )
        return array / self.temperature + self.class_bias


def fit_calibration(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    class_bias: bool = True,
    bias_penalty: float = 1.0,
    class_names: Sequence[str] | None = None,
) -> Calibration:
    """The temperature and class bias that make the mean probabilities most likely.

    Minimises `-sum_n log(mean_s p_sn,label) + bias_penalty / 2 * sum(class_bias^2)` with L-BFGS
    and its exact gradient. Fit on validation draws, never on those that are scored. A warning names
    the classes without images, whose bias is 0, and says when the temperature is on its bound.

    Args:
        logits: (S, N, K), draws on the validation images.
        labels: (N,), class indices.
        class_bias: fit a bias per class beside the temperature.
        bias_penalty: inverse variance of a normal prior on the biases. 1.0 only steadies classes
            with a handful of images; large values leave the temperature alone.
        class_names: K names, for the warning; class indices where omitted.

    Raises:
        InputError: bad logits, labels or names, or a negative penalty.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> honest = rng.normal(size=(1, 4000, 3))
        >>> labels = np.array([rng.choice(3, p=np.exp(z) / np.exp(z).sum()) for z in honest[0]])
        >>> bool(abs(fit_calibration(2.0 * honest, labels).temperature - 2.0) < 0.25)
        True
    """
    draws = check_logits(logits)
    truth = check_labels(labels, *draws.shape[1:])
    names = check_class_names(class_names, draws.shape[2])
    fit, present = _fit(draws, truth, class_bias, bias_penalty)
    absent = [names[k] for k in np.flatnonzero(~present & class_bias).tolist()]
    _warn("", absent, [fit.temperature])
    return fit


def cross_fit_logits(
    logits: ArrayLike,
    labels: ArrayLike,
    groups: Sequence[object] | ArrayLike,
    *,
    num_folds: int = 5,
    class_bias: bool = True,
    bias_penalty: float = 1.0,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
) -> NDArray[np.float64]:
    """Logits (S, N, K), each image calibrated by the fit of the folds its group is not in.

    So validation scores of calibrated predictions are honest, and choices (with or without class
    bias, how strong a penalty) can be made on validation data alone. A class may be missing from
    some fits, those of the folds that hold all of its images; one warning names such classes.

    Args:
        logits: (S, N, K).
        labels: (N,), class indices.
        groups: (N,), the group (lesion, patient) of each image; never split between folds.
        num_folds: from 2 to the number of groups.
        class_bias: as in `fit_calibration`.
        bias_penalty: as in `fit_calibration`.
        seed: of the assignment of groups to folds.
        class_names: as in `fit_calibration`.

    Raises:
        InputError: as `fit_calibration`, bad groups, or a number of folds outside its range.
    """
    draws = check_logits(logits)
    truth = check_labels(labels, *draws.shape[1:])
    names = check_class_names(class_names, draws.shape[2])
    codes = check_groups(groups, len(truth))
    num_groups = int(codes.max()) + 1
    if check_whole_number("num_folds", num_folds, least=2) > num_groups:
        raise InputError(
            f"`num_folds` must be from 2 to the number of groups, {num_groups}; got {num_folds}."
        )
    fold = (
        np.random.default_rng(check_whole_number("seed", seed)).permutation(num_groups) % num_folds
    )[codes]
    calibrated, everywhere = np.empty_like(draws), np.ones(draws.shape[2], dtype=bool)
    temperatures = []
    for held_out in (fold == f for f in range(num_folds)):
        fit, present = _fit(draws[:, ~held_out], truth[~held_out], class_bias, bias_penalty)
        calibrated[:, held_out] = fit.apply(draws[:, held_out])
        everywhere &= present
        temperatures.append(fit.temperature)
    absent = [names[k] for k in np.flatnonzero(~everywhere & class_bias).tolist()]
    _warn("in some fold, ", absent, temperatures)
    return calibrated


def _fit(
    draws: NDArray[np.float64], truth: NDArray[np.int64], class_bias: bool, bias_penalty: float
) -> tuple[Calibration, NDArray[np.bool_]]:
    """The fit, and which classes have images (K,)."""
    if not bias_penalty >= 0.0:
        raise InputError(f"`bias_penalty` must not be negative; got {bias_penalty}.")
    num_classes = draws.shape[2]
    present = np.bincount(truth, minlength=num_classes) > 0
    blocks, num_biases = _blocks(draws, truth), num_classes if class_bias else 0

    def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        point = np.append(parameters[0], _centred(parameters[1:], present))
        value, gradient = _objective(point, blocks, bias_penalty)
        return value, np.append(gradient[0], _centred(gradient[1:], present))

    fitted = minimize(
        objective,
        np.zeros(1 + num_biases),
        method="L-BFGS-B",
        jac=True,
        bounds=[(-_LOG_TEMPERATURE_BOUND, _LOG_TEMPERATURE_BOUND)] + [(None, None)] * num_biases,
    ).x
    bias = _centred(fitted[1:], present) if class_bias else np.zeros(num_classes)
    return Calibration(float(np.exp(fitted[0])), bias), present


def _centred(biases: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Biases about the mean of the classes that have images, 0 for the others.

    A bias common to all classes changes nothing; one common to all others would be one more for a
    class without images, and the likelihood would have it at minus infinity.
    """
    if not biases.size:
        return biases
    return np.where(present, biases - biases[present].mean(), 0.0)


def _warn(where: str, absent: Sequence[str], temperatures: Iterable[float]) -> None:
    """Warn the caller's caller of what a user has to know about the fit."""
    if absent:
        warnings.warn(
            f"{where}no validation image is of {', '.join(absent)}: a class without images has the "
            "bias 0, the mean of the others, and its probabilities are not calibrated",
            stacklevel=3,
        )
    extreme = max(temperatures, key=lambda temperature: abs(np.log(temperature)))
    if abs(np.log(extreme)) > 0.999 * _LOG_TEMPERATURE_BOUND:
        slip = "do these labels belong to these logits?" if extreme > 1 else "too few images?"
        warnings.warn(
            f"{where}the temperature ended on its bound, {extreme:.3g} ({slip})", stacklevel=3
        )


def _blocks(draws: NDArray[np.float64], truth: NDArray[np.int64]) -> list[_Block]:
    """Images in blocks of bounded size, classes first: sums over classes are then fast."""
    size = max(1, _BLOCK_VALUES // (draws.shape[0] * draws.shape[2]))
    starts = range(0, len(truth), size)
    return [
        (
            np.ascontiguousarray(draws[:, start : start + size].transpose(2, 0, 1)),
            truth[np.newaxis, np.newaxis, start : start + size],
        )
        for start in starts
    ]


def _objective(
    parameters: NDArray[np.float64], blocks: list[_Block], bias_penalty: float
) -> tuple[float, NDArray[np.float64]]:
    """The penalised mean loss per image and its gradient in (log temperature, class bias)."""
    num_classes = len(blocks[0][0])
    bias = parameters[1:] if len(parameters) > 1 else np.zeros(num_classes)
    loss, by_temperature, by_bias = 0.0, 0.0, bias_penalty * bias
    for draws, truth in blocks:
        scaled = draws * np.exp(-parameters[0])
        part, slope = _loss_and_slope(scaled + bias[:, np.newaxis, np.newaxis], truth)
        loss += part
        by_temperature -= float(np.vdot(slope, scaled))
        by_bias = by_bias + slope.sum(axis=(1, 2))
    loss += bias_penalty / 2.0 * float(bias @ bias)
    gradient = np.concatenate([[by_temperature], by_bias])[: len(parameters)]
    num_images = sum(truth.size for _, truth in blocks)
    return loss / num_images, gradient / num_images


def _loss_and_slope(
    logits: NDArray[np.float64], truth: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """The summed loss of a block (K, S, n) and its slope in every calibrated logit.

    With `r_sn = p_sn,label / sum_s p_sn,label`, the slope is `r_sn * (p_ksn - [k == label])`:
    each draw counts as much as it explains the label.
    """
    probs = softmax(logits, axis=0)
    label = np.maximum(np.take_along_axis(probs, truth, axis=0), np.finfo(np.float64).tiny)
    total = label.sum(axis=1, keepdims=True)
    is_label = np.arange(len(probs))[:, np.newaxis, np.newaxis] == truth
    slope = (probs - is_label) * (label / total)
    return -float(np.log(total / probs.shape[1]).sum()), slope
