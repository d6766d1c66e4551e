"""Sets of classes that hold the right one as often as promised: split-conformal prediction.

A score says how ill a class fits an image; a class enters the set unless its score exceeds a
quantile of the scores of the right classes of validation images. If these and a new image are
exchangeable (one image per lesion, the same clinic, labels that did not serve for training or for
calibrating the probabilities), the set holds the right class with probability at least `1 - alpha`,
over the draw of validation images and new image together. It holds for no single image, and for
single classes only with `class_conditional=True`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError, check_share, check_whole_number
from bayescam.uncertainty.conformal_score import ConformalMethod, ConformalScore
from bayescam.uncertainty.exchangeability import (
    Names,
    keyed_uniform,
    refuse_repeated_groups,
    refuse_shared_groups,
)
from bayescam.uncertainty.validation import (
    check_class_names,
    check_groups,
    check_labels,
    check_mean_probs,
)

__all__ = [
    "ConformalPredictor",
    "check_alpha",
    "conformal_rank",
    "fit_conformal",
]


@dataclass(frozen=True)
class ConformalPredictor:
    """Thresholds fitted on validation images; `sets` applies them.

    Attributes:
        score: how ill a class fits an image.
        alpha: the share of sets that may miss the right class.
        class_conditional: whether each class has its own threshold.
        thresholds: (K,), infinite where there were too few validation images.
        count: (K,), validation images behind each threshold.
        groups: names of the groups of the validation images; empty if they were not given.
    """

    score: ConformalScore
    alpha: float
    class_conditional: bool
    thresholds: NDArray[np.float64]
    count: NDArray[np.int64]
    groups: frozenset[str] = field(default=frozenset(), repr=False)

    def sets(
        self,
        mean_probs: ArrayLike,
        *,
        seed: int = 0,
        keys: Names | None = None,
        groups: Names | None = None,
    ) -> NDArray[np.bool_]:
        """Which classes are in the set of each image: (N, K).

        LAC and the randomised methods leave a set empty where no class fits well enough; the
        deterministic APS and RAPS always hold the most probable class.

        Args:
            mean_probs: (N, K), rows sum to one.
            seed: of the numbers that the randomised methods draw; nothing else uses it.
            keys: (N,), names of the images. The number of an image depends on seed and key alone,
                so with keys neither batches nor the order of rows matter. The row number where
                omitted.
            groups: (N,), lesions or patients, refused if one was used for fitting.

        Raises:
            InputError: bad probabilities, another number of classes, a shared group, or
                groups here and none in the fit.
        """
        probs = check_mean_probs(mean_probs)
        if probs.shape[1] != len(self.thresholds):
            raise InputError(
                f"`mean_probs` must have {len(self.thresholds)} classes, as the validation images "
                f"had; got {probs.shape[1]}."
            )
        if groups is not None and not self.groups:
            raise InputError("`groups` cannot be compared: `fit_conformal` was given none.")
        if groups is not None:
            check_groups(groups, len(probs))
            refuse_shared_groups(self.groups, groups)
        draws = keyed_uniform(len(probs), seed=seed, purpose="sets", keys=keys)
        return self.score.for_sets(probs, draws) <= self.thresholds


def fit_conformal(
    mean_probs: ArrayLike,
    labels: ArrayLike,
    *,
    alpha: float = 0.1,
    method: ConformalMethod = "lac",
    randomised: bool = True,
    penalty: float = 0.01,
    k_reg: int = 1,
    class_conditional: bool = False,
    class_names: Sequence[str] | None = None,
    groups: Names | None = None,
    seed: int = 0,
    keys: Names | None = None,
) -> ConformalPredictor:
    """The thresholds of sets that miss the right class in at most the share `alpha` of images.

    The threshold is the `ceil((n + 1) * (1 - alpha))`-th smallest of the n validation scores.
    Where that exceeds n it is infinite, and a warning says for which class.

    `p_k` the probability of class k, `above_k` the sum of the probabilities above `p_k`, `rank_k`
    the place of k, from 1 for the most probable class, and `u` uniform, one number an image:

    - `"lac"`: `1 - p_k` (Sadinle et al. 2019). The smallest sets on average.
    - `"aps"`: `above_k + u * p_k` (Romano et al. 2020, section 2). Sets grow with doubt.
    - `"raps"`: that, plus `penalty * max(rank_k - k_reg, 0)` (Angelopoulos et al. 2021, algorithms
      2 and 3). Long tails of improbable classes are cut.

    Deterministic APS and RAPS (`randomised=False`) put `u = 1` for the quantile and include the
    class at which the sum crosses it, as in algorithms 2 and 3 of Angelopoulos et al. 2021: never
    empty, and wider than promised. Classes of equal probability enter together.

    Args:
        mean_probs: (N, K), rows sum to one; of validation images.
        labels: (N,), class indices.
        alpha: strictly between 0 and 1.
        method: see above.
        randomised: whether APS and RAPS draw `u`; LAC never does.
        penalty: lambda of RAPS, not negative. Fix it beforehand or on other images.
        k_reg: classes without penalty, RAPS only.
        class_conditional: a threshold per class, from the images of that class (Vovk 2012,
            label-conditional, "Mondrian"): each class is covered as promised, rare ones too.
        class_names: K names, for the warning; class indices where omitted.
        groups: (N,), lesions or patients, one image each; `sets` then refuses them.
        seed: of `u` on the validation images, independent of the numbers of `sets`.
        keys: (N,), names of the images; `u` then follows the name, not the row.

    Raises:
        InputError: bad probabilities, labels or options, a group with several images.

    Example:
        >>> probs = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]]
        >>> conformal = fit_conformal(probs, [0, 1, 0, 0], alpha=0.4)
        >>> round(float(conformal.thresholds[0]), 3)
        0.3
        >>> conformal.sets([[0.75, 0.25], [0.5, 0.5]])
        array([[ True, False],
               [False, False]])
    """
    probs = check_mean_probs(mean_probs)
    truth = check_labels(labels, *probs.shape)
    check_alpha(alpha)
    _check_options(method, penalty, k_reg)
    names = check_class_names(class_names, probs.shape[1])
    used = frozenset() if groups is None else refuse_repeated_groups(groups, len(probs))
    raps = method == "raps"
    score = ConformalScore(
        method,
        randomised and method != "lac",
        float(penalty) if raps else 0.0,
        k_reg if raps else 0,
    )
    draws = keyed_uniform(len(probs), seed=seed, purpose="fit", keys=keys)
    right = score.for_fitting(probs, draws)[np.arange(len(probs)), truth]
    thresholds, count = _thresholds(right, truth if class_conditional else None, names, alpha)
    return ConformalPredictor(score, alpha, class_conditional, thresholds, count, used)


def conformal_rank(num_images: int, alpha: float) -> int:
    """Which of n sorted validation scores is the threshold: `ceil((n + 1) * (1 - alpha))`.

    From 1 to n + 1, where n + 1 stands for infinity. Rounding errors of the product, below 1e-9,
    do not push it to the next integer.
    """
    return max(1, int(np.ceil((num_images + 1) * (1.0 - alpha) - 1e-9)))


def check_alpha(alpha: float) -> None:
    """Make sure that `alpha` lies strictly between 0 and 1."""
    check_share("alpha", alpha)


def _thresholds(
    scores: NDArray[np.float64],
    truth: NDArray[np.int64] | None,
    names: Sequence[str],
    alpha: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Threshold and number of images of each class; of all images where `truth` is None."""
    parts = [scores if truth is None else scores[truth == k] for k in range(len(names))]
    thresholds = np.array([_quantile(part, alpha) for part in parts])
    count = np.array([len(part) for part in parts], dtype=np.int64)
    short = np.flatnonzero(np.isinf(thresholds)).tolist()
    if short:
        which = ", ".join(f"{names[k]} ({count[k]})" for k in short)
        needed = int(np.ceil((1.0 - alpha) / alpha - 1e-9))
        warnings.warn(
            f"alpha {alpha:g} needs {needed} validation images a threshold, and these classes "
            f"have fewer, so they are in every set: {which}",
            stacklevel=3,
        )
    return thresholds, count


def _quantile(scores: NDArray[np.float64], alpha: float) -> float:
    rank = conformal_rank(len(scores), alpha)
    if rank > len(scores):
        return float("inf")
    return float(np.partition(scores, rank - 1)[rank - 1])


def _check_options(method: str, penalty: float, k_reg: int) -> None:
    if method not in get_args(ConformalMethod):
        raise InputError(
            f"`method` must be one of {', '.join(get_args(ConformalMethod))}; got {method!r}."
        )
    if not 0.0 <= penalty < np.inf:
        raise InputError(f"`penalty` must be finite and not negative; got {penalty}.")
    check_whole_number("k_reg", k_reg)
