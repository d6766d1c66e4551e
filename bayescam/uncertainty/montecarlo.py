"""How far the printed measures would move with other draws: Monte Carlo standard errors.

A mean over draws has the error `sd / sqrt(S)`. Other measures are computed again without each
draw, for all draws at once, and the jackknife gives the error (Efron and Tibshirani 1993, equation
11.5): `sqrt((S - 1) / S * sum_s (theta_-s - mean(theta_-s))^2)`. Ends of intervals, for which the
jackknife fails, have the errors of `interval_error`, whole matrices those of `covariance_error`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import check_share
from bayescam.uncertainty.decomposition import entropy
from bayescam.uncertainty.intervals import error_of_quantile
from bayescam.uncertainty.overlap import overlap_without_each_draw
from bayescam.uncertainty.validation import check_several_draws
from bayescam.uncertainty.variation import modal_share

__all__ = ["MEASURES", "MonteCarloError", "monte_carlo_error"]

_BLOCK_VALUES = 1_000_000  # probabilities in one block of images, 8 MB


@dataclass(frozen=True)
class MonteCarloError:
    """Monte Carlo standard errors, each in the unit of its measure.

    Attributes:
        predictive_entropy: (N,), nats; jackknife.
        expected_entropy: (N,), nats; `sd / sqrt(S)`.
        mutual_information: (N,), nats; jackknife.
        variation_ratio: (N,); `sqrt(v * (1 - v) / S)` with `v = (disagreeing + 1) / (S + 2)`, so
            that draws which happen to agree do not claim an error of zero.
        class_overlap: (N,); jackknife, the bins held fixed; too large rather than too small when
            S is below 100.
        mean_probs: (N, K); `sd / sqrt(S)`.
        sd_probs: (N, K); jackknife.
        interval_lower: (N, K), of the equal-tailed interval; as `interval_error`.
        interval_upper: (N, K), as `interval_lower`.
        labelwise_aleatoric: (N, K), of `labelwise_variance`; `sd / sqrt(S)`.
        labelwise_epistemic: (N, K), likewise; jackknife.
        total_variance: (N,), of `covariance_traces`; jackknife.
        aleatoric_variance: (N,), likewise; `sd / sqrt(S)`.
        epistemic_variance: (N,), likewise; jackknife.
    """

    predictive_entropy: NDArray[np.float64]
    expected_entropy: NDArray[np.float64]
    mutual_information: NDArray[np.float64]
    variation_ratio: NDArray[np.float64]
    class_overlap: NDArray[np.float64]
    mean_probs: NDArray[np.float64]
    sd_probs: NDArray[np.float64]
    interval_lower: NDArray[np.float64]
    interval_upper: NDArray[np.float64]
    labelwise_aleatoric: NDArray[np.float64]
    labelwise_epistemic: NDArray[np.float64]
    total_variance: NDArray[np.float64]
    aleatoric_variance: NDArray[np.float64]
    epistemic_variance: NDArray[np.float64]

    def as_dict(self) -> dict[str, NDArray[np.float64]]:
        """The errors by the name of their measure."""
        return {name: getattr(self, name) for name in MEASURES}


MEASURES = tuple(field.name for field in fields(MonteCarloError))


def monte_carlo_error(probs: ArrayLike, *, level: float = 0.95) -> MonteCarloError:
    """The Monte Carlo standard error of every measure of every image.

    The draws are taken as independent, as those of `draw_posterior` are. The errors are estimates
    themselves: crude below some ten draws, and those of the interval below `2 / (1 - level)`
    draws, where its ends are the extremes. For highest-density intervals see `interval_error`.

    Args:
        probs: draws of class probabilities, shape (S, N, K); rows sum to one.
        level: of the equal-tailed credible interval whose ends are judged.

    Raises:
        InputError: as `decompose`, when there is only one draw, or `level` is outside (0, 1).

    Example:
        >>> probs = np.array([[[1.0, 0.0]], [[0.0, 1.0]]] * 50)
        >>> monte_carlo_error(probs).variation_ratio
        array([0.05])
    """
    draws = check_several_draws(probs, "monte_carlo_error")
    check_share("level", level)
    blocks = [_errors(block, level) for block in _blocks(draws)]
    return MonteCarloError(
        *(np.concatenate([getattr(block, name) for block in blocks]) for name in MEASURES)
    )


def _errors(draws: NDArray[np.float64], level: float) -> MonteCarloError:
    """The errors of draws (S, n, K), n images at a time."""
    num_samples = len(draws)
    each, noise = entropy(draws), draws * (1.0 - draws)
    without = _mean_without_each(draws)
    of_variance = _variance_without_each(draws)
    total = entropy(without)
    tail = (1.0 - level) / 2.0
    ordered = np.sort(draws, axis=0)
    return MonteCarloError(
        predictive_entropy=_jackknife(total),
        expected_entropy=_error_of_mean(each),
        mutual_information=_jackknife(total - _mean_without_each(each)),
        variation_ratio=_error_of_share(1.0 - modal_share(draws), num_samples),
        class_overlap=_jackknife(overlap_without_each_draw(draws)),
        mean_probs=_error_of_mean(draws),
        sd_probs=_jackknife(np.sqrt(of_variance)),
        interval_lower=error_of_quantile(ordered, tail),
        interval_upper=error_of_quantile(ordered, 1.0 - tail),
        labelwise_aleatoric=_error_of_mean(noise),
        labelwise_epistemic=_jackknife(of_variance),
        total_variance=_jackknife((without**2).sum(axis=2)),
        aleatoric_variance=_error_of_mean(noise.sum(axis=2)),
        epistemic_variance=_jackknife(of_variance.sum(axis=2)),
    )


def _jackknife(left_out: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard error from the S values without each draw, first axis."""
    return np.sqrt(len(left_out) - 1.0) * left_out.std(axis=0)


def _error_of_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.std(axis=0, ddof=1) / np.sqrt(len(values))


def _error_of_share(share: NDArray[np.float64], num_samples: int) -> NDArray[np.float64]:
    """The binomial error of a share, smoothed towards one half by one success and one failure."""
    smooth = (share * num_samples + 1.0) / (num_samples + 2.0)
    return np.sqrt(smooth * (1.0 - smooth) / num_samples)


def _mean_without_each(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means over all draws but one, of the shape of `values` (S, ...)."""
    return (values.sum(axis=0) - values) / (len(values) - 1)


def _variance_without_each(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The variances over all draws but one (divided by S - 1, the draws that remain)."""
    left = len(values) - 1
    squares = (values - values.mean(axis=0)) ** 2
    variance = (squares.sum(axis=0) - squares * len(values) / left) / left
    return np.maximum(variance, 0.0)


def _blocks(draws: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Images in blocks of bounded size; one empty block when there are none."""
    size = max(1, _BLOCK_VALUES // (draws.shape[0] * draws.shape[2]))
    for start in range(0, max(1, draws.shape[1]), size):
        yield draws[:, start : start + size]
