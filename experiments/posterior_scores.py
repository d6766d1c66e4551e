"""The scores of `posterior_comparison.py`: one head on one test split, and heads side by side.

Intervals are of the mean over splits (and seeds): lesions or patients are resampled within each
test split, the same for every head, so that differences between heads are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax

from bayescam.report import format_interval
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
MEAN_FIELD = "mean-field"
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
    parts = {name: decompose(draws) for name, draws in probs.items()}
    found = {}
    for name in [name for name in probs if name != "test"]:
        inside, outside = parts["test"], parts[name]
        found[f"{name} by entropy"] = detect_shift(
            inside.predictive_entropy, outside.predictive_entropy
        ).auroc
        if len(probs[name]) > 1:
            found[f"{name} by information"] = detect_shift(
                inside.mutual_information, outside.mutual_information
            ).auroc
        found[f"{name} by distance"] = detect_shift(by_distance["test"], by_distance[name]).auroc
    return found


def compare_heads(
    scores: Sequence[HeadScores], references: Sequence[str], variational: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The table, one row a head, and what it says in words.

    All heads are compared with the one of the best likelihood on validation images, since the best
    of many on test images would look better than it is.

    Args:
        scores: Of all heads, seeds and splits.
        references: Heads that are no posteriors to choose from, but may be compared with.
        variational: The heads that are one posterior, judged as one.
    """
    heads = list(dict.fromkeys(score.head for score in scores))
    means = {head: mean_scores([s for s in scores if s.head == head]) for head in heads}
    family = [head for head in variational if head in heads]
    judged = {head: means[head] for head in heads if head not in family}
    if family:
        judged[MEAN_FIELD] = mean_scores([s for s in scores if s.head in family])
    choices = [head for head in judged if head not in references]
    best = min(choices, key=lambda head: judged[head][0][VALIDATION])
    keys = dict.fromkeys(key for head in heads for key in means[head][0])
    columns = [key for key in keys if not key.endswith("by distance")]
    table = pd.DataFrame({head: pd.Series(means[head][0]) for head in heads}).T[columns]
    table["sd of NLL over seeds"] = [seed_noise(scores, head) for head in heads]
    table[f"NLL - {best}"] = [interval_of(means[h], judged[best], "NLL") for h in heads]
    verdict = [
        f"Best likelihood on validation images: {best}. On test images, minus each other, with "
        "95 % intervals:"
    ]
    for head in (head for head in judged if head != best):
        verdict.append(f"- {head}: " + ", ".join(differences(judged[best], judged[head])))
    if len(family) > 1:
        verdict.append(describe_noise(means, family, scores))
    return table.rename_axis("head"), verdict + distance_lines(means[heads[0]][0])


MeanScores = tuple[dict[str, float], dict[str, Array]]


def mean_scores(scores: Sequence[HeadScores]) -> MeanScores:
    """Estimates and resamples, the mean over the seeds of each split and then over the splits."""
    splits = sorted({score.split for score in scores})
    by_split = [[score for score in scores if score.split == split] for split in splits]
    estimates = [pd.DataFrame([s.estimate for s in part]).mean() for part in by_split]
    resamples = {
        key: np.mean([np.mean([s.resamples[key] for s in part], axis=0) for part in by_split], 0)
        for key in OUTCOMES
    }
    return pd.DataFrame(estimates).mean().to_dict(), resamples


def seed_noise(scores: Sequence[HeadScores], head: str) -> float:
    """Standard deviation of the NLL over the seeds of one split, averaged over splits."""
    table = pd.DataFrame([(s.split, s.estimate["NLL"]) for s in scores if s.head == head])
    return float(table.groupby(0)[1].std().mean())


def interval_of(one: MeanScores, other: MeanScores, key: str) -> str:
    """The paired difference of an outcome with its interval."""
    difference = one[1][key] - other[1][key]
    return format_interval(
        one[0][key] - other[0][key], *np.nanpercentile(difference, (2.5, 97.5)), digits=4
    )


def differences(best: MeanScores, other: MeanScores) -> list[str]:
    """The differences in words: better, worse, or not to be told apart."""
    said = []
    for key in ("NLL", "accuracy", KEPT[1], MISSED):
        low, high = np.nanpercentile(best[1][key] - other[1][key], (2.5, 97.5))
        sign = -1 if key in BETTER_LOW else 1
        clear = low > 0 or high < 0
        word = ("better" if sign * (low + high) > 0 else "worse") if clear else "no difference"
        said.append(f"{key} {interval_of(best, other, key)} ({word})")
    return said


def describe_noise(
    means: Mapping[str, MeanScores], family: Sequence[str], scores: Sequence[HeadScores]
) -> str:
    """The spread between gradient estimators of one posterior beside that between their seeds."""
    between = np.std([means[head][0]["NLL"] for head in family], ddof=1)
    within = np.mean([seed_noise(scores, head) for head in family])
    return (
        f"{', '.join(family)} are one posterior; the sd of NLL between the three is "
        f"{between:.4f}, between seeds of one {within:.4f}: optimisation noise, no winner"
    )


def distance_lines(estimate: Mapping[str, float]) -> list[str]:
    """What the distance in feature space reaches, the score to beat."""
    found = [
        f"{k.removesuffix(' by distance')} {v:.3f}" for k, v in estimate.items() if "dist" in k
    ]
    return [f"AUROC of foreign images by Mahalanobis distance of features: {', '.join(found)}"]
