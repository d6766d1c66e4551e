"""Images unlike the training images: distances in feature space, and how well a score finds them.

Throughout, a larger score means more unlike the training images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial.distance import cdist
from sklearn.covariance import empirical_covariance, ledoit_wolf, shrunk_covariance
from sklearn.metrics import roc_auc_score

from bayescam.types import InputError
from bayescam.uncertainty.validation import check_labels

__all__ = [
    "DiagonalDistance",
    "MahalanobisDistance",
    "ShiftDetection",
    "detect_shift",
    "detect_shift_by_score",
    "fit_mahalanobis",
]


@dataclass(frozen=True)
class ShiftDetection:
    """How well one score tells images from elsewhere (outside) from ordinary ones (inside).

    Attributes:
        auroc: probability that an outside image scores higher than an inside one, ties half;
            0.5 says nothing, below 0.5 the direction is reversed.
        false_positive_rate: share of outside images taken for inside ones, that is with a score at
            most `threshold` (Liang et al. 2018, "FPR at 95 % TPR").
        true_positive_rate: share of inside images taken for inside ones; with ties above the rate
            asked for.
        threshold: the smallest score at which that rate is reached.
    """

    auroc: float
    false_positive_rate: float
    true_positive_rate: float
    threshold: float


def detect_shift(
    inside: ArrayLike, outside: ArrayLike, *, true_positive_rate: float = 0.95
) -> ShiftDetection:
    """How well a score tells outside images from inside ones.

    The direction: larger scores mean outside. For the area, outside images are the positives; for
    the false-positive rate, as Liang et al. 2018 have it, inside images are the
    positives, accepted up to a threshold, and outside images that are accepted are the false ones.
    Images tied at the threshold are all accepted, as a threshold must do: a constant score has a
    rate of 1.

    Args:
        inside: (N,), scores of ordinary images.
        outside: (M,), scores of images from elsewhere.
        true_positive_rate: least share of inside images to accept, in (0, 1].

    Raises:
        InputError: scores that are empty or not finite, a rate outside (0, 1].

    Example:
        >>> detect_shift([1, 2, 3, 4], [3, 5, 6, 7], true_positive_rate=0.75)
        ShiftDetection(auroc=0.90625, false_positive_rate=0.25, true_positive_rate=0.75,
        threshold=3.0)
    """
    ordinary, foreign = _check_scores(inside, "inside"), _check_scores(outside, "outside")
    if not 0.0 < true_positive_rate <= 1.0:
        hint = " Is it a percentage?" if true_positive_rate > 1 else ""
        raise InputError(
            f"`true_positive_rate` must be above 0 and at most 1; got {true_positive_rate}.{hint}"
        )
    is_outside = np.repeat([False, True], [len(ordinary), len(foreign)])
    accepted = max(1, int(np.ceil(true_positive_rate * len(ordinary) - 1e-9)))
    threshold = np.partition(ordinary, accepted - 1)[accepted - 1]
    return ShiftDetection(
        auroc=float(roc_auc_score(is_outside, np.concatenate([ordinary, foreign]))),
        false_positive_rate=float((foreign <= threshold).mean()),
        true_positive_rate=float((ordinary <= threshold).mean()),
        threshold=float(threshold),
    )


def detect_shift_by_score(
    inside: Mapping[str, ArrayLike],
    outside: Mapping[str, ArrayLike],
    *,
    true_positive_rate: float = 0.95,
) -> dict[str, ShiftDetection]:
    """`detect_shift` of each score, by name.

    Args:
        inside: name -> (N,), scores of ordinary images.
        outside: the same names -> (M,), scores of images from elsewhere.
        true_positive_rate: as in `detect_shift`.

    Raises:
        InputError: other names outside than inside, or as `detect_shift`.
    """
    if not inside or set(inside) != set(outside):
        raise InputError(
            f"`inside` and `outside` must hold the same scores, at least one; got "
            f"{sorted(inside)} and {sorted(outside)}."
        )
    return {
        name: detect_shift(values, outside[name], true_positive_rate=true_positive_rate)
        for name, values in inside.items()
    }


@dataclass(frozen=True)
class MahalanobisDistance:
    """Distance from the nearest class of the training images, in pooled standard deviations.

    Attributes:
        classes: (C,), indices of the classes that had training images.
        class_means: (C, F).
        covariance: (F, F), of the features about their class means, shrunk.
        shrinkage: weight of the multiple of the identity, from 0 to 1.
    """

    classes: NDArray[np.int64]
    class_means: NDArray[np.float64]
    covariance: NDArray[np.float64]
    shrinkage: float

    def distance(self, features: ArrayLike) -> NDArray[np.float64]:
        """The distance (N,) of features (N, F) from the nearest class mean.

        `min_c sqrt((f - mean_c)' covariance^-1 (f - mean_c))`: the square root of the negative
        score of Lee et al. 2018, equation 2.
        """
        array = _check_features(features, self.class_means.shape[1])
        root = cholesky(self.covariance, lower=True)
        origin = self.class_means.mean(axis=0)
        white = solve_triangular(root, (array - origin).T, lower=True).T
        means = solve_triangular(root, (self.class_means - origin).T, lower=True).T
        return cdist(white, means).min(axis=1)


@dataclass(frozen=True)
class DiagonalDistance:
    """Distance from the mean of the training images where features are taken as uncorrelated.

    Knows neither classes nor correlations; `feature_statistics.npz` of a run holds what it needs.

    Attributes:
        mean: (F,).
        sd: (F,), standard deviations, not negative. Features of no spread are left out, since no
            distance from them has a unit.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    def distance(self, features: ArrayLike) -> NDArray[np.float64]:
        """`sqrt(sum_f ((feature_f - mean_f) / sd_f)^2)`, (N,), for features (N, F)."""
        mean, sd = _check_features([self.mean], name="mean")[0], np.asarray(self.sd, np.float64)
        if sd.shape != mean.shape or not np.isfinite(sd).all() or (sd < 0).any():
            raise InputError(
                f"`sd` must be {len(mean)} finite numbers, none negative; got shape {sd.shape}."
            )
        array, spread = _check_features(features, len(mean)), sd > 0
        return np.linalg.norm((array - mean)[:, spread] / sd[spread], axis=1)


def fit_mahalanobis(
    features: ArrayLike, labels: ArrayLike, *, shrinkage: float | None = None
) -> MahalanobisDistance:
    """Class means and one covariance for all classes, from training features.

    Lee et al. 2018, equation 1: `covariance = sum_n (f_n - mean_label) (f_n - mean_label)' / N`.
    Unlike theirs it is shrunk, `(1 - s) * covariance + s * trace(covariance) / F * identity`, with
    `s` of Ledoit and Wolf 2004 (scikit-learn), so that it can be inverted with few images. Without
    shrinkage the distance is the same for any invertible affine change of the features; with it,
    features should be of comparable scale.

    Args:
        features: (N, F), what the backbone hands to the head; of training images.
        labels: (N,), class indices.
        shrinkage: `s`, from 0 to 1; None chooses it as Ledoit and Wolf do.

    Raises:
        InputError: features that are not finite, bad labels, a shrinkage outside [0, 1], or a
            covariance that cannot be inverted.

    Example:
        >>> fitted = fit_mahalanobis([[0.0], [2.0], [9.0], [11.0]], [0, 0, 1, 1], shrinkage=0)
        >>> fitted.distance([[3.0], [10.0]])
        array([2., 0.])
    """
    array = _check_features(features)
    truth = np.asarray(labels)
    highest = max(0, int(truth.max())) if truth.size and truth.dtype.kind in "iu" else 0
    truth = check_labels(truth, len(array), highest + 1)
    if shrinkage is not None and not 0.0 <= shrinkage <= 1.0:
        raise InputError(f"`shrinkage` must lie between 0 and 1; got {shrinkage}.")
    classes, codes = np.unique(truth, return_inverse=True)
    means = np.stack([array[codes == c].mean(axis=0) for c in range(len(classes))])
    covariance, weight = _shrunk_covariance(array - means[codes], shrinkage)
    return MahalanobisDistance(classes, means, covariance, weight)


def _shrunk_covariance(
    residuals: NDArray[np.float64], shrinkage: float | None
) -> tuple[NDArray[np.float64], float]:
    if shrinkage is None:
        covariance, weight = ledoit_wolf(residuals, assume_centered=True)
    else:
        plain, weight = empirical_covariance(residuals, assume_centered=True), shrinkage
        covariance = shrunk_covariance(plain, shrinkage)
    if np.linalg.matrix_rank(covariance, hermitian=True) < len(covariance):
        num_images, num_features = residuals.shape
        raise InputError(
            f"`features` of {num_images} images give a covariance of {num_features} features that "
            f"cannot be inverted with shrinkage {weight:.3g}. Are features constant, or is "
            "`shrinkage` too small?"
        )
    return covariance, float(weight)


def _check_scores(values: ArrayLike, name: str) -> NDArray[np.float64]:
    score = np.asarray(values, dtype=np.float64)
    if score.ndim != 1 or len(score) == 0 or not np.isfinite(score).all():
        raise InputError(f"`{name}` must be one finite number an image; got shape {score.shape}.")
    return score


def _check_features(
    features: ArrayLike, num_features: int | None = None, *, name: str = "features"
) -> NDArray[np.float64]:
    array = np.asarray(features, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"`{name}` must have shape (N, F); got {array.shape}.")
    if not np.isfinite(array).all():
        raise InputError(f"`{name}` must be finite; got NaN or infinity.")
    if num_features is not None and array.shape[1] != num_features:
        raise InputError(
            f"`{name}` must have {num_features} columns, as the training features had; got "
            f"{array.shape[1]}."
        )
    return array
