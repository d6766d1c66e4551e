"""The table of `posterior_comparison.py`: heads side by side, and what it says in words.

Intervals are of the mean over splits (and seeds): lesions or patients are resampled within each
test split, the same for every head, so that differences between heads are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from posterior_scores import BETTER_LOW, KEPT, MISSED, OUTCOMES, VALIDATION, HeadScores

from bayescam.report import format_interval
from bayescam.types import Array
from bayescam.uncertainty import resample_interval

MEAN_FIELD = "mean-field"


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
    table[f"NLL - {best}"] = [
        format_interval(*interval_of(means[head], judged[best], "NLL"), digits=4) for head in heads
    ]
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


def interval_of(one: MeanScores, other: MeanScores, key: str) -> tuple[float, float, float]:
    """The paired difference of an outcome with its interval."""
    gap = one[0][key] - other[0][key]
    return gap, *resample_interval(gap, one[1][key] - other[1][key])


def differences(best: MeanScores, other: MeanScores) -> list[str]:
    """The differences in words: better, worse, or not to be told apart."""
    said = []
    for key in ("NLL", "AUC", "accuracy", *KEPT, MISSED):
        gap, low, high = interval_of(best, other, key)
        sign = -1 if key in BETTER_LOW else 1
        clear = low > 0 or high < 0
        word = ("better" if sign * (low + high) > 0 else "worse") if clear else "no difference"
        said.append(f"{key} {format_interval(gap, low, high, digits=4)} ({word})")
    return said


def gain_lines(
    plain: Sequence[HeadScores], informed: Sequence[HeadScores], heads: Sequence[str], what: str
) -> list[str]:
    """What knowing something beside the image changes, head by head, paired."""
    lines = [f"With {what}, minus without:"]
    for head in heads:
        one, other = (
            mean_scores([score for score in scores if score.head == head])
            for scores in (informed, plain)
        )
        lines.append(f"- {head}: " + ", ".join(differences(one, other)))
    return lines


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
    if not found:
        return []
    return [f"AUROC of foreign images by Mahalanobis distance of features: {', '.join(found)}"]
