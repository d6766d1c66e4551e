"""Scores of `covid_xray.py`, with intervals from resampled patients, and the verdict they give.

In each seed every image is judged once, by a network that saw no image of its patient. Scores are
means over the seeds. The patients are the same in each, and so are their resamples, so an interval
is that of the mean, and differences of two rows are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from covid_data import COVID, VARIANTS, VIEWS, Images
from covid_units import LOCAL_SCORES, MAPS
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bayescam.report import format_interval, format_number
from bayescam.types import Array
from bayescam.uncertainty import (
    BIASED_SCORES,
    bootstrap_auroc,
    bootstrap_means,
    credible_interval,
    group_bootstrap,
    resample_interval,
)

SCORES = {
    "accuracy": "accuracy",
    "balanced accuracy": "balanced_accuracy",
    "AUC of COVID-19": f"auc_{COVID}",
    "negative log-likelihood": "negative_log_likelihood",
    "expected calibration error": "expected_calibration_error",
}
PROBE_PENALTY = 0.01  # C of scikit-learn, on standardised features

Interval = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Pooled:
    """One seed of one variant, all folds together, in the order of the records.

    Attributes:
        rows: (n,), images with a class.
        probs: (5, n, K), mean probabilities in each of `VIEWS`.
        foreign: (m,), other images of the COVID-19 collection.
        foreign_probs: (m, K).
        masked: (l,), images with a lung mask.
        scores: `draw_energy` (S, l), and `<baseline>/<score>` (l,).
    """

    rows: Array
    probs: Array
    foreign: Array
    foreign_probs: Array
    masked: Array
    scores: dict[str, Array]


@dataclass(frozen=True)
class Sampled:
    """A score of one seed, or of the mean of several: on the sample and on R resamples of it."""

    estimate: float
    resamples: Array
    biased: bool = False

    def __sub__(self, other: Sampled) -> Sampled:
        return Sampled(self.estimate - other.estimate, self.resamples - other.resamples)

    def interval(self) -> Interval:
        """Estimate, lower and upper bound."""
        least = 0.0 if self.biased else -np.inf
        bounds = resample_interval(self.estimate, self.resamples, biased=self.biased, least=least)
        return (self.estimate, *map(float, bounds))


def pool(units: Sequence[dict[str, Array]]) -> Pooled:
    """The folds of one seed together."""

    def join(name: str, axis: int, order: Array) -> Array:
        return np.take(np.concatenate([unit[name] for unit in units], axis), order, axis)

    test, foreign, masked = (
        np.argsort(np.concatenate([unit[name] for unit in units]))
        for name in ("test", "foreign", "masked")
    )
    names = [f"{name}/{score}" for name in MAPS for score in LOCAL_SCORES]
    return Pooled(
        join("test", 0, test),
        join("probs", 1, test),
        join("foreign", 0, foreign),
        join("foreign_probs", 0, foreign),
        join("masked", 0, masked),
        {"draw_energy": join("draw_energy", 1, masked)}
        | {name: join(name, 0, masked) for name in names},
    )


def mean_over_seeds(seeds: Sequence[Pooled], score: Callable[[Pooled], Sampled]) -> Sampled:
    """The mean of a score over seeds, whose resamples are those of the same patients."""
    found = [score(pooled) for pooled in seeds]
    return Sampled(
        float(np.mean([one.estimate for one in found])),
        np.mean([one.resamples for one in found], axis=0),
        found[0].biased,
    )


def score_variant(
    images: Images, variant: str, seeds: Sequence[Pooled]
) -> tuple[dict[str, Sampled | float], dict[str, Interval]]:
    """All scores of a variant by name, and the credible intervals over its draws."""
    groups, labels = images.groups(), images.labels(variant)
    rows, masked = seeds[0].rows, seeds[0].masked
    shares = np.bincount(labels[rows]) / len(rows)
    found: dict[str, Sampled | float] = {
        "images": len(rows),
        "patients": len(np.unique(groups[rows])),
        "accuracy of the most common class": float(shares.max()),
    }

    def averaged(score: Callable[[Pooled], Sampled]) -> Sampled:
        return mean_over_seeds(seeds, score)

    for name, key in SCORES.items():
        found[name] = averaged(lambda p, key=key: class_score(images, variant, p, 0, key))
    found |= score_own_source(images, averaged)
    for place in (1, 2):
        for name in ("accuracy", "AUC of COVID-19"):
            key = SCORES[name]
            seen = averaged(lambda p, k=key, v=place: class_score(images, variant, p, v, k))
            found[f"{VIEWS[place]}: {name}"] = seen
            found[f"{VIEWS[place]}: change of {name}"] = seen - found[name]
    difference = "only the lung field - lung field blacked out: AUC of COVID-19"
    found[difference] = (
        found[f"{VIEWS[2]}: AUC of COVID-19"] - found[f"{VIEWS[1]}: AUC of COVID-19"]
    )
    for place in (3, 4):
        found[f"{VIEWS[place]}: change of p(true class)"] = averaged(
            lambda p, v=place: change_of_true(images, variant, p, v)
        )
    found["images with lung masks"] = len(masked)
    found["lungs, share of the image"] = mean_of(
        images.masks[masked].mean(axis=(1, 2)), groups[masked]
    )
    for name in MAPS:
        for score in LOCAL_SCORES:
            found[f"{score} in the lungs: {name}"] = averaged(
                lambda p, k=f"{name}/{score}": mean_of(p.scores[k], groups[masked])
            )
    for name in MAPS[1:]:
        found[f"energy in the lungs: maps - {name}"] = (
            found["energy in the lungs: maps"] - found[f"energy in the lungs: {name}"]
        )
    draws = np.concatenate([np.nanmean(p.scores["draw_energy"], axis=1) for p in seeds])
    credible = credible_interval(draws)
    bounds = float(draws.mean()), float(credible.lower), float(credible.upper)
    return found, {"energy in the lungs: maps of draws (credible interval)": bounds}


def class_score(images: Images, variant: str, pooled: Pooled, place: int, key: str) -> Sampled:
    """One score of `group_bootstrap` in one view."""
    scores = group_bootstrap(
        pooled.probs[place],
        images.labels(variant)[pooled.rows],
        images.groups()[pooled.rows],
        VARIANTS[variant],
    )
    where = scores.names.index(key)
    return Sampled(float(scores.estimate[where]), scores.resamples[:, where], key in BIASED_SCORES)


def score_own_source(
    images: Images, averaged: Callable[[Callable[[Pooled], Sampled]], Sampled]
) -> dict[str, Sampled]:
    """What a model makes of the other findings in the collection that COVID-19 is from."""
    groups, truth = images.groups(), (images.records["label"] == COVID).to_numpy()
    inside = (images.records["source"] == "collection").to_numpy()

    def within(pooled: Pooled) -> tuple[Array, Array]:
        rows = np.concatenate([pooled.rows, pooled.foreign])
        probs = np.concatenate([pooled.probs[0], pooled.foreign_probs])
        order = np.argsort(rows)
        order = order[inside[rows[order]]]
        return rows[order], probs[order]

    def auc(pooled: Pooled) -> Sampled:
        rows, probs = within(pooled)
        found = bootstrap_auroc({"p": probs[:, 0]}, truth[rows], groups[rows])["p"]
        return Sampled(found.auroc, found.resamples)

    def called(pooled: Pooled) -> Sampled:
        rows, probs = within(pooled)
        others = ~truth[rows]
        return mean_of(probs[others].argmax(axis=1) == 0, groups[rows[others]])

    return {
        "AUC of COVID-19 against other findings of its own source": averaged(auc),
        "other findings of its own source called COVID-19": averaged(called),
    }


def change_of_true(images: Images, variant: str, pooled: Pooled, place: int) -> Sampled:
    """How much the probability of the true class changes in a view, on images with lung masks."""
    chosen = np.flatnonzero(images.has_mask[pooled.rows])
    rows = pooled.rows[chosen]
    true = images.labels(variant)[rows]
    change = pooled.probs[place, chosen, true] - pooled.probs[0, chosen, true]
    return mean_of(change, images.groups()[rows])


def mean_of(values: Array, groups: Array) -> Sampled:
    """A mean over images."""
    found = bootstrap_means(values, groups)
    return Sampled(float(found.estimate), found.resamples)


def probe(features: Array, positive: Array, groups: Array, seeds: Sequence[int]) -> Sampled:
    """The cross-validated AUC of a logistic regression on features (N, F), folds by patient."""
    found = []
    for seed in seeds:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=PROBE_PENALTY, max_iter=1000))
        cutter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        scores = cross_val_predict(
            model, features, positive, groups=groups, cv=cutter, method="decision_function"
        )
        found.append(bootstrap_auroc({"probe": scores}, positive, groups)["probe"])
    resamples = np.mean([one.resamples for one in found], axis=0)
    return Sampled(float(np.mean([one.auroc for one in found])), resamples)


def probe_variant(
    images: Images, variant: str, seen: Array, seeds: Sequence[int]
) -> dict[str, Sampled]:
    """What a linear model can learn of an image, of the rest without lungs, and of the lungs.

    As published it tells which collection an image is from, corrected whether it is COVID-19.
    """
    inside = (images.records["source"] == "collection").to_numpy()
    positive = inside if variant == "as published" else images.labels(variant) == 0
    used = np.flatnonzero(np.ones_like(inside) if variant == "as published" else inside)
    groups = images.groups()[used]
    return {
        f"{VIEWS[place]}: linear probe, AUC": probe(
            seen[place, used], positive[used], groups, seeds
        )
        for place in (0, 1, 2)
    }


def verdict(variant: str, found: dict[str, Sampled | float], draws: Interval) -> str:
    """One sentence: does the model look at the lungs?

    Its maps point there if they have more energy in the lungs than a centred blob; it needs them
    if it tells COVID-19 better by the lungs alone than by the rest alone. Both by intervals that
    leave zero out.
    """
    gain = found["energy in the lungs: maps - centred Gaussian"]
    need = found["only the lung field - lung field blacked out: AUC of COVID-19"]
    points, needs = gain.interval()[1] > 0, need.interval()[1] > 0
    words = {
        (True, True): "looks at the lungs",
        (False, False): "does not look at the lungs",
        (True, False): "points at the lungs but does not need them",
        (False, True): "needs the lungs but does not point at them",
    }[points, needs]
    energy, blob = (
        found[f"energy in the lungs: {name}"].estimate for name in ("maps", "centred Gaussian")
    )
    without, only = (found[f"{VIEWS[place]}: AUC of COVID-19"].estimate for place in (1, 2))
    whole = found["AUC of COVID-19"].estimate
    return (
        f"{variant}: the model {words}: {energy:.1%} of the energy of its maps lies in the lungs "
        f"(draws {draws[1]:.1%} to {draws[2]:.1%}; a centred blob {blob:.1%}), and its AUC of "
        f"COVID-19 is {whole:.3f}, {without:.3f} without the lungs and {only:.3f} with nothing "
        "else."
    )


def table_of(columns: dict[str, dict[str, Sampled | float | Interval]]) -> pd.DataFrame:
    """One column per variant, intervals in brackets."""

    def cell(value: Sampled | float | Interval) -> str:
        if isinstance(value, Sampled):
            return format_interval(*value.interval())
        if isinstance(value, tuple):
            return format_interval(*value)
        return str(value) if isinstance(value, int) else format_number(value)

    made = {name: {k: cell(v) for k, v in scores.items()} for name, scores in columns.items()}
    return pd.DataFrame(made).rename_axis("score")
