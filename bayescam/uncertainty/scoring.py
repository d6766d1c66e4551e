"""How good the mean probabilities are: discrimination, calibration, clinical rates.

Everything scikit-learn has comes from scikit-learn. All scores refer to the same predictions: the
most probable class of the mean probabilities, the first one of equals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    recall_score,
    roc_auc_score,
)

from bayescam.types import InputError
from bayescam.uncertainty.brier import brier_decomposition
from bayescam.uncertainty.reliability import (
    classwise_calibration_error,
    expected_calibration_error,
)
from bayescam.uncertainty.validation import check_labels, check_mean_probs

__all__ = [
    "CALIBRATION_SCORES",
    "OVERALL_SCORES",
    "PredictionScores",
    "score_names",
    "score_predictions",
]

OVERALL_SCORES = (
    "accuracy",
    "balanced_accuracy",
    "macro_auc",
    "negative_log_likelihood",
    "expected_calibration_error",
    "brier_score",
)
CALIBRATION_SCORES = (
    "equal_mass_calibration_error",
    "classwise_calibration_error",
    "brier_reliability",
    "brier_resolution",
    "brier_uncertainty",
)
_CLASS_SCORES = ("auc", "sensitivity", "specificity")


@dataclass(frozen=True)
class PredictionScores:
    """Scores of N images over K classes.

    Attributes:
        accuracy: share of right images.
        balanced_accuracy: mean sensitivity over the classes present among the labels.
        macro_auc: mean of the one-vs-rest areas over the classes present.
        negative_log_likelihood: mean of `-log p_label`, nats; probabilities are clipped at the
            float64 machine epsilon, as scikit-learn does.
        expected_calibration_error: top label, 15 bins of equal width.
        brier_score: mean of `sum_k (p_k - [k == label])^2`, between 0 and 2.
        equal_mass_calibration_error: top label, 15 bins of equal mass.
        classwise_calibration_error: mean over the classes, 15 bins of equal width.
        brier_reliability: as `brier_decomposition`, 15 bins of equal width, summed over classes.
        brier_resolution: its generalized resolution, so that
            `brier_score = brier_reliability - brier_resolution + brier_uncertainty` exactly.
        brier_uncertainty: `1 - sum_k share_k^2`, of the labels alone.
        auc: (K,), one-vs-rest area under the ROC curve.
        sensitivity: (K,), share of the images of the class that are called so.
        specificity: (K,), share of the images of other classes that are not called so.
        count: (K,), images of each class.
        class_names: K names.

    A class without images has sensitivity and AUC NaN; a class that holds all images has
    specificity and AUC NaN. Such classes are left out of the means.
    """

    accuracy: float
    balanced_accuracy: float
    macro_auc: float
    negative_log_likelihood: float
    expected_calibration_error: float
    brier_score: float
    equal_mass_calibration_error: float
    classwise_calibration_error: float
    brier_reliability: float
    brier_resolution: float
    brier_uncertainty: float
    auc: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    specificity: NDArray[np.float64]
    count: NDArray[np.int64]
    class_names: tuple[str, ...]

    def as_dict(self) -> dict[str, float]:
        """All scores by the names of `score_names`: overall, calibration, then class by class."""
        values = [getattr(self, name) for name in (*OVERALL_SCORES, *CALIBRATION_SCORES)]
        for name in _CLASS_SCORES:
            values.extend(getattr(self, name))
        return dict(zip(score_names(self.class_names), map(float, values), strict=True))


def score_predictions(
    mean_probs: ArrayLike, labels: ArrayLike, class_names: Sequence[str]
) -> PredictionScores:
    """The scores of mean probabilities against the labels.

    Args:
        mean_probs: (N, K), the mean over draws; rows sum to one.
        labels: (N,), class indices 0..K-1.
        class_names: K names, in the order of the columns.

    Raises:
        InputError: bad probabilities, labels or number of names.

    Example:
        >>> scores = score_predictions([[0.9, 0.1], [0.4, 0.6]], [0, 1], ["nv", "mel"])
        >>> scores.accuracy, scores.macro_auc, round(scores.brier_score, 3)
        (1.0, 1.0, 0.17)
    """
    probs = check_mean_probs(mean_probs)
    truth = check_labels(labels, *probs.shape)
    classes = np.arange(_check_names(class_names, probs.shape[1]))
    predicted = probs.argmax(axis=1)
    sensitivity = recall_score(truth, predicted, labels=classes, average=None, zero_division=np.nan)
    brier = brier_decomposition(probs, truth)
    auc = np.array([_one_vs_rest_auc(probs[:, k], truth == k) for k in classes])
    return PredictionScores(
        accuracy=float(accuracy_score(truth, predicted)),
        balanced_accuracy=float(np.nanmean(sensitivity)),
        macro_auc=_mean_of_present(auc),
        negative_log_likelihood=float(log_loss(truth, probs, labels=classes)),
        expected_calibration_error=expected_calibration_error(probs, truth),
        brier_score=_brier_score(probs, truth, classes),
        equal_mass_calibration_error=expected_calibration_error(probs, truth, binning="equal-mass"),
        classwise_calibration_error=classwise_calibration_error(probs, truth),
        brier_reliability=float(brier.reliability.sum()),
        brier_resolution=float(brier.generalized_resolution.sum()),
        brier_uncertainty=float(brier.uncertainty.sum()),
        auc=auc,
        sensitivity=sensitivity,
        specificity=_specificity(truth, predicted, classes),
        count=np.bincount(truth, minlength=len(classes)).astype(np.int64),
        class_names=tuple(class_names),
    )


def score_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """The names under which `PredictionScores.as_dict` and `group_bootstrap` give the scores."""
    by_class = (f"{score}_{name}" for score in _CLASS_SCORES for name in class_names)
    return (*OVERALL_SCORES, *CALIBRATION_SCORES, *by_class)


def _one_vs_rest_auc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    if positive.all() or not positive.any():
        return float("nan")
    return float(roc_auc_score(positive, score))


def _mean_of_present(values: NDArray[np.float64]) -> float:
    return float("nan") if np.isnan(values).all() else float(np.nanmean(values))


def _brier_score(
    probs: NDArray[np.float64], truth: NDArray[np.int64], classes: NDArray[np.int64]
) -> float:
    return float(brier_score_loss(truth, probs, labels=classes, scale_by_half=False))


def _specificity(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: NDArray[np.int64]
) -> NDArray[np.float64]:
    table = confusion_matrix(truth, predicted, labels=classes)
    others = table.sum() - table.sum(axis=1)
    false_alarms = table.sum(axis=0) - np.diag(table)
    with np.errstate(invalid="ignore"):
        return 1.0 - false_alarms / others


def _check_names(class_names: Sequence[str], num_classes: int) -> int:
    if len(class_names) != num_classes or len(set(class_names)) != num_classes:
        raise InputError(
            f"`class_names` must be {num_classes} different names, one a column of `mean_probs`; "
            f"got {list(class_names)}."
        )
    return num_classes
