"""The scores of `posterior_comparison.py`: one head with one seed on one test split, resampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from scipy.stats import entropy

from bayescam.types import Array
from bayescam.uncertainty import (
    bootstrap_at_referral,
    bootstrap_aurc,
    calibration_error_by_chance,
    decompose,
    detect_shift,
    group_bootstrap,
)

OVERALL = {
    "accuracy": "accuracy",
    "balanced": "balanced_accuracy",
    "AUC": "macro_auc",
    "NLL": "negative_log_likelihood",
    "ECE": "expected_calibration_error",
    "Brier": "brier_score",
}
RATES = (0.1, 0.35)
KEPT = tuple(f"accuracy, {100 * rate:.0f} % referred" for rate in RATES)
MISSED_RATE = 0.2
MISSED = f"missed silently, {100 * MISSED_RATE:.0f} % referred"
FLOOR = "ECE were it calibrated"
VALIDATION = "NLL, validation"
OUTCOMES = (*OVERALL, *KEPT, "AURC", MISSED)
BETTER_LOW = ("NLL", "ECE", "Brier", "AURC", MISSED)
NUM_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class HeadScores:
    """One head with one seed on one split.

    Attributes:
        head: Its name.
        split: Number of the split.
        seed: Of its training.
        estimate: Outcomes on the test images; beside them `FLOOR`, `VALIDATION`, the seconds,
            and the AUROC of foreign images by score.
        resamples: R values of each of `OUTCOMES`.
    """

    head: str
    split: int
    seed: int
    estimate: dict[str, float]
    resamples: dict[str, Array]


def score_head(
    logits: Mapping[str, Array],
    labels: Array,
    groups: Array,
    class_names: Sequence[str],
    *,
    head: str,
    split: int,
    seed: int,
    concern: str,
    by_distance: Mapping[str, Array],
    validation_loss: float,
    seconds: float,
) -> HeadScores:
    """Scores one head.

    Args:
        logits: Calibrated draws (S, N, K) of the "test" images and of sets of foreign images.
        labels: Classes of the test images.
        groups: Their lesions or patients.
        class_names: The K classes.
        head: Name of the head.
        split: Number of the split, the seed of the resamples.
        seed: Of its training.
        concern: Name of the class that must not be missed.
        by_distance: Distance in feature space of the "test" and the foreign images.
        validation_loss: Cross-fitted NLL of the validation images.
        seconds: Time of training and drawing.
    """
    probs = {name: softmax(np.float64(draws), axis=-1) for name, draws in logits.items()}
    mean = probs["test"].mean(axis=0)
    predicted, doubt = mean.argmax(axis=1), 1 - mean.max(axis=1)
    found = group_bootstrap(
        mean, labels, groups, class_names, num_resamples=NUM_RESAMPLES, seed=split
    )
    place = {key: list(found.names).index(name) for key, name in OVERALL.items()}
    estimate = {key: float(found.estimate[i]) for key, i in place.items()}
    resamples = {key: found.resamples[:, i] for key, i in place.items()}
    target = list(class_names).index(concern)
    referred = referral_scores(doubt, predicted, labels, target, groups, seed=split)
    estimate, resamples = estimate | referred[0], resamples | referred[1]
    estimate[FLOOR] = calibration_error_by_chance(mean)
    estimate |= foreign_estimates(probs, by_distance)
    estimate |= {VALIDATION: validation_loss, "seconds": seconds}
    return HeadScores(head, split, seed, estimate, resamples)


def referral_scores(
    doubt: Array, predicted: Array, labels: Array, target: int, groups: Array, *, seed: int
) -> tuple[dict[str, float], dict[str, Array]]:
    """Accuracy of the kept images, AURC, and how much of a class is missed silently: resampled."""
    options = {"num_resamples": NUM_RESAMPLES, "seed": seed}
    at = bootstrap_at_referral(
        {"doubt": doubt},
        predicted,
        labels,
        groups,
        class_index=target,
        rates=(*RATES, MISSED_RATE),
        **options,
    )["doubt"]
    area = bootstrap_aurc({"doubt": doubt}, predicted == labels, groups, **options)["doubt"]
    estimate = {"AURC": area.aurc, MISSED: float(at.missed_silently[-1])}
    resamples = {"AURC": area.aurc_resamples, MISSED: at.missed_silently_resamples[:, -1]}
    for i, key in enumerate(KEPT):
        estimate[key] = float(at.accuracy[i])
        resamples[key] = at.accuracy_resamples[:, i]
    return estimate, resamples


def foreign_estimates(
    probs: Mapping[str, Array], by_distance: Mapping[str, Array]
) -> dict[str, float]:
    """AUROC of each foreign set against the test images, by entropy, information and distance."""
    scores = {"distance": by_distance}
    scores["entropy"] = {
        name: entropy(draws.mean(axis=0), axis=-1) for name, draws in probs.items()
    }
    if len(probs["test"]) > 1:  # a single draw has no information
        scores["information"] = {
            name: decompose(draws).mutual_information for name, draws in probs.items()
        }
    found = {}
    for name in [name for name in probs if name != "test"]:
        for score, by_set in scores.items():
            found[f"{name} by {score}"] = detect_shift(by_set["test"], by_set[name]).auroc
    return found
