"""Folds put together, and scores of `covid_xray.py` with their resamples.

In each seed every image is judged once, by a network that saw no image of its patient. Scores are
means over the seeds. The patients are the same in each, and so are their resamples, so an interval
is that of the mean, and differences of two scores are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from covid_units import LOCAL_SCORES, MAPS

from bayescam.types import Array
from bayescam.uncertainty import bootstrap_means, resample_interval

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


def mean_of(values: Array, groups: Array) -> Sampled:
    """A mean over images."""
    found = bootstrap_means(values, groups)
    return Sampled(float(found.estimate), found.resamples)
