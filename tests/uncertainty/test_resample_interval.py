from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from bayescam.types import InputError
from bayescam.uncertainty import (
    BIASED_SCORES,
    calibration_error_by_chance,
    expected_calibration_error,
    group_bootstrap,
    resample_interval,
)


def test_bounds_are_percentiles_without_missing_resamples() -> None:
    rng = np.random.default_rng(0)
    resamples = rng.gamma(2.0, size=(101, 3))
    resamples[::3, 1], resamples[:, 2] = np.nan, np.nan
    lower, upper = resample_interval([0.0, 1.0, 2.0], resamples, level=0.8)
    for i, column in enumerate((resamples[:, 0], resamples[np.arange(101) % 3 > 0, 1])):
        assert (lower[i], upper[i]) == pytest.approx(tuple(np.quantile(column, [0.1, 0.9])))
    assert np.isnan([lower[2], upper[2]]).all()
    alone = resample_interval(0.0, resamples[:, 0], level=0.8)
    assert alone == (lower[0], upper[0])


def test_the_bias_is_taken_off_biased_scores_alone() -> None:
    """What resamples of a sample with mean 3 would give, plus a bias of 5."""
    resamples = np.linspace(-1, 1, 401) + 8
    both = np.stack([resamples, resamples], axis=1)
    lower, upper = resample_interval([3.0, 8.0], both, level=0.9, biased=[True, False])
    np.testing.assert_allclose(lower, [2.1, 7.1])
    np.testing.assert_allclose(upper, [3.9, 8.9])
    lower, upper = resample_interval(3.0, resamples, level=0.9, biased=True, least=2.5)
    assert (lower, upper) == pytest.approx((2.5, 3.9))


@pytest.mark.parametrize("shape", [0.01, 0.3, 5.0])  # the first has its mean above 95 % of it
def test_the_estimate_lies_inside_however_skewed_the_resamples(shape: float) -> None:
    rng = np.random.default_rng(1)
    resamples, estimate = rng.gamma(shape, size=(50, 200)), rng.random(200)
    for sign in (1, -1):
        lower, upper = resample_interval(estimate, sign * resamples, biased=True, least=0.0)
        assert (lower <= estimate).all()
        assert (estimate <= upper).all()
        assert (lower >= 0).all()
    same = np.full(9, 0.1 + 0.2)
    assert resample_interval(0.1, same, biased=True) == (0.1, 0.1)


def sample(rng: np.random.Generator, temperature: float, num_images: int = 150):
    """Images that are right with the probability said if the temperature is 1."""
    confidence = expit(np.abs(rng.normal(1.5, 1.2, num_images)))
    labels = (rng.random(num_images) > expit(temperature * logit(confidence))).astype(int)
    return np.stack([confidence, 1 - confidence], axis=1), labels


def test_scores_of_calibration_lie_in_their_own_intervals() -> None:
    rng, outside = np.random.default_rng(2), 0
    for _ in range(20):
        probs, labels = sample(rng, 1.0)
        boot = group_bootstrap(probs, labels, np.arange(150), "ab", num_resamples=60)
        for name in BIASED_SCORES:
            estimate, lower, upper = boot.interval(name)
            assert lower <= estimate <= upper
            assert lower >= 0 or name == "brier_resolution"
            low = np.quantile(boot.resamples[:, boot.names.index(name)], 0.025)
            outside += int(low > estimate)
    assert outside > 0  # plain percentiles would have left some out


@pytest.mark.parametrize(("temperature", "lowest"), [(1.0, 0.95), (0.5, 0.9)])
def test_the_interval_of_ece_holds_what_as_many_other_images_score(temperature, lowest) -> None:
    """Tolerances are three standard errors of a share of 150 repetitions."""
    rng = np.random.default_rng(3)
    mean = np.mean([expected_calibration_error(*sample(rng, temperature)) for _ in range(1000)])
    found = []
    for _ in range(150):
        probs, labels = sample(rng, temperature)
        gaps = np.eye(15)[np.minimum(15 * probs[:, 0], 14).astype(int)]
        gaps *= ((labels == 0) - probs[:, 0])[:, np.newaxis]
        counts = rng.multinomial(150, np.full(150, 1 / 150), size=200)
        estimate, resamples = np.abs(gaps.sum(axis=0)).sum(), np.abs(counts @ gaps).sum(axis=1)
        bounds = resample_interval(estimate / 150, resamples / 150, biased=True, least=0.0)
        found.append((estimate / 150, *bounds))
    estimate, lower, upper = np.array(found).T
    covered = ((lower <= mean) & (mean <= upper)).mean()
    assert covered > lowest - 3 * np.sqrt(lowest * (1 - lowest) / 150)
    assert 3 < (upper - lower).mean() / estimate.std() < 6  # of a normal law 3.92
    if temperature == 1.0:
        chance = [calibration_error_by_chance(sample(rng, 1.0)[0]) for _ in range(30)]
        assert mean == pytest.approx(np.mean(chance), rel=0.05)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"`resamples` must have shape \(R, 2\).*got \(2, 3\)"):
        resample_interval([1.0, 2.0], np.zeros((2, 3)))
    with pytest.raises(InputError, match="`resamples`"):
        resample_interval(1.0, [])
    with pytest.raises(InputError, match="`level`.*got 95"):
        resample_interval(1.0, [1.0], level=95)
