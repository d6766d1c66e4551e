from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

from bayescam.types import InputError
from bayescam.uncertainty import (
    MonteCarloError,
    class_overlap,
    covariance_split,
    credible_interval,
    decompose,
    labelwise_variance,
    monte_carlo_error,
    variation_ratio,
)

PARTS = ("total", "aleatoric", "epistemic")
NAMES = list(MonteCarloError.__dataclass_fields__)


def measures(probs: np.ndarray) -> dict[str, np.ndarray]:
    parts, interval = decompose(probs), credible_interval(probs)
    variance, traces = labelwise_variance(probs), covariance_split(probs).traces
    return {
        "predictive_entropy": parts.predictive_entropy,
        "expected_entropy": parts.expected_entropy,
        "mutual_information": parts.mutual_information,
        "variation_ratio": variation_ratio(probs),
        "class_overlap": class_overlap(probs),
        "mean_probs": probs.mean(axis=0),
        "sd_probs": probs.std(axis=0),
        "interval_lower": interval.lower,
        "interval_upper": interval.upper,
        "labelwise_aleatoric": variance.aleatoric,
        "labelwise_epistemic": variance.epistemic,
        "total_variance": traces.total,
        "aleatoric_variance": traces.aleatoric,
        "epistemic_variance": traces.epistemic,
    }


def random_probs(seed: int, shape: tuple[int, int, int]) -> np.ndarray:
    return softmax(np.random.default_rng(seed).normal(size=shape), axis=-1)


@functools.cache
def replicates() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Measures and their errors, of 2000 images which are 200 draws from one posterior each."""
    probs = np.random.default_rng(0).dirichlet([2.0, 1.5, 1.0], size=(200, 2000))
    return measures(probs), monte_carlo_error(probs).as_dict()


@pytest.mark.parametrize("name", NAMES)
def test_errors_cover_what_other_draws_would_give(name: str) -> None:
    """Of |z| < 2 in 95.45 % of 2000 repetitions, within five standard errors of that share.

    The errors are estimates: 200 draws leave those of quantiles and of the overlap ten per cent
    of slack, those of `m * (1 - m)` fifteen where m is 0.44 and the slope small, those of the
    others three, as is allowed for here.
    """
    estimates, errors = (part[name].reshape(2000, -1) for part in replicates())
    z = (estimates - estimates.mean(axis=0)) / errors
    crude = dict.fromkeys(("interval_lower", "interval_upper", "class_overlap"), 1.1)
    slack = {**crude, "total_variance": 1.15}.get(name, 1.03)
    five = 5 * math.sqrt(0.0455 * 0.9545 / 2000)
    share = (np.abs(z) < 2).mean(axis=0)
    assert (share > 2 * stats.norm.cdf(2 / slack) - 1 - five).all()
    assert (share < 2 * stats.norm.cdf(2 * slack) - 1 + five).all()


@pytest.mark.parametrize("name", NAMES)
def test_errors_have_the_size_of_the_spread_of_the_estimates(name: str) -> None:
    estimates, errors = (part[name].reshape(2000, -1) for part in replicates())
    ratio = np.sqrt((errors**2).mean(axis=0)) / estimates.std(axis=0)
    slack = 0.15 if name in {"interval_lower", "interval_upper", "class_overlap"} else 0.03
    kurtosis = stats.kurtosis(estimates, axis=0, fisher=False)
    spread = np.sqrt((kurtosis - 1) / (4 * 2000))  # relative error of a standard deviation
    assert (np.abs(ratio - 1) < slack + 5 * spread).all()


def test_means_are_not_far_from_the_truth() -> None:
    """The mean of a Dirichlet is known: z-scores have mean 0 and sd 1."""
    estimates, errors = replicates()
    truth = np.array([2.0, 1.5, 1.0]) / 4.5
    z = (estimates["mean_probs"] - truth) / errors["mean_probs"]
    assert (np.abs(z.mean(axis=0)) < 5 / math.sqrt(2000)).all()
    # Student's t with 199 degrees of freedom
    assert (np.abs(z.std(axis=0) - stats.t.std(199)) < 5 / math.sqrt(2 * 2000)).all()


@pytest.mark.parametrize(
    "name",
    [
        "predictive_entropy",
        "mutual_information",
        "sd_probs",
        "labelwise_epistemic",
        "total_variance",
        "epistemic_variance",
    ],
)
def test_jackknife_is_the_slow_loop_over_draws(name: str) -> None:
    probs = random_probs(1, (12, 5, 4))
    left_out = np.array([measures(np.delete(probs, s, axis=0))[name] for s in range(12)])
    slow = np.sqrt(11 / 12 * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(monte_carlo_error(probs).as_dict()[name], slow, rtol=1e-9)


def test_means_have_the_error_of_a_mean_and_shares_the_binomial_one() -> None:
    probs = random_probs(2, (40, 6, 3))
    errors = monte_carlo_error(probs)
    np.testing.assert_allclose(errors.mean_probs, stats.sem(probs, axis=0), rtol=1e-12)
    entropies = stats.entropy(probs, axis=2)
    np.testing.assert_allclose(errors.expected_entropy, stats.sem(entropies, axis=0), rtol=1e-12)
    ratio = (40 * variation_ratio(probs) + 1) / 42
    np.testing.assert_allclose(errors.variation_ratio, np.sqrt(ratio * (1 - ratio) / 40))


@pytest.mark.parametrize(("num_samples", "level"), [(41, 0.5), (201, 0.9)])
def test_interval_ends_have_the_error_of_a_bootstrap(num_samples: int, level: float) -> None:
    """Here the ends are order statistics, so the closed form is the bootstrap without its noise."""
    rng, num_resamples = np.random.default_rng(3), 4000
    probs = random_probs(4, (num_samples, 1, 2))
    errors = monte_carlo_error(probs, level=level)
    again = probs[rng.integers(num_samples, size=(num_samples, num_resamples)), 0]
    ends = credible_interval(again, level=level)
    for error, end in ((errors.interval_lower, ends.lower), (errors.interval_upper, ends.upper)):
        kurtosis = stats.kurtosis(end, axis=0, fisher=False)
        noise = 5 * np.sqrt((kurtosis - 1) / (4 * num_resamples))
        assert (np.abs(end.std(axis=0) / error[0] - 1) < noise).all()


def test_draws_that_agree_have_no_error_but_the_share_of_those_that_do_not() -> None:
    errors = monte_carlo_error(np.tile([0.7, 0.2, 0.1], (30, 2, 1))).as_dict()
    smoothed = math.sqrt(1 / 32 * 31 / 32 / 30)
    np.testing.assert_allclose(errors.pop("variation_ratio"), smoothed, rtol=1e-12)
    for error in errors.values():
        np.testing.assert_allclose(error, 0.0, atol=1e-14)


def test_half_the_draws_on_either_side() -> None:
    probs = np.zeros((100, 1, 2))
    probs[:50, :, 0] = probs[50:, :, 1] = 1.0
    errors = monte_carlo_error(probs)
    assert errors.variation_ratio == pytest.approx(0.05, rel=1e-12)
    np.testing.assert_allclose(errors.mean_probs, math.sqrt(0.25 / 99), rtol=1e-12)
    assert errors.expected_entropy == 0.0
    assert errors.predictive_entropy == pytest.approx(errors.mutual_information, rel=1e-12)


def test_blocks_and_order_of_draws_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    probs = random_probs(5, (25, 11, 3))
    whole = monte_carlo_error(probs).as_dict()
    monkeypatch.setattr("bayescam.uncertainty.montecarlo._BLOCK_VALUES", 4 * 25 * 3)
    parts = monte_carlo_error(probs[::-1]).as_dict()
    for name in NAMES:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-9, atol=1e-15)


def test_one_draw_and_no_images() -> None:
    with pytest.raises(InputError, match=r"`monte_carlo_error` compares draws.*S = 1"):
        monte_carlo_error(np.full((1, 3, 2), 0.5))
    assert monte_carlo_error(np.zeros((2, 0, 3))).mean_probs.shape == (0, 3)


def test_bad_input_is_refused() -> None:
    probs = random_probs(8, (5, 2, 3))
    with pytest.raises(InputError, match=r"`level`.*got 95\. Is it a percentage\?"):
        monte_carlo_error(probs, level=95)
    with pytest.raises(InputError, match="must sum to one"):
        monte_carlo_error(0.9 * probs)
