from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

from bayescam.types import InputError
from bayescam.uncertainty import (
    covariance_error,
    covariance_split,
    covariance_traces,
    labelwise_variance,
    monte_carlo_error,
)


def random_probs(seed: int, scale: float = 2.0) -> np.ndarray:
    return softmax(scale * np.random.default_rng(seed).normal(size=(9, 6, 5)), axis=-1)


def test_sure_but_divided_draws_are_all_epistemic() -> None:
    probs = np.zeros((10, 1, 3))
    probs[:5, :, 0] = probs[5:, :, 1] = 1.0
    split = covariance_split(probs)
    np.testing.assert_array_equal(
        split.epistemic, [[[0.25, -0.25, 0.0], [-0.25, 0.25, 0.0], [0.0, 0.0, 0.0]]]
    )
    np.testing.assert_allclose(split.aleatoric, 0.0, atol=1e-16)
    assert split.traces.epistemic == [0.5]
    assert covariance_traces(probs).epistemic == [0.5]


def test_agrees_with_a_slow_loop() -> None:
    probs = random_probs(0)
    split = covariance_split(probs)
    for n in range(6):
        mean = probs[:, n].mean(axis=0)
        aleatoric = sum(np.diag(p) - np.outer(p, p) for p in probs[:, n]) / 9
        epistemic = sum(np.outer(p - mean, p - mean) for p in probs[:, n]) / 9
        np.testing.assert_allclose(split.aleatoric[n], aleatoric, atol=1e-15)
        np.testing.assert_allclose(split.epistemic[n], epistemic, atol=1e-15)
        np.testing.assert_allclose(split.epistemic[n], np.cov(probs[:, n].T, bias=True), atol=1e-15)


@pytest.mark.parametrize("seed", range(4))
def test_total_is_multinomial_and_parts_are_covariances(seed: int) -> None:
    probs = random_probs(seed, scale=10.0 ** (seed - 1))
    split, mean = covariance_split(probs), probs.mean(axis=0)
    outer = mean[:, :, None] * mean[:, None, :]
    np.testing.assert_allclose(split.total, mean[:, :, None] * np.eye(5) - outer, atol=1e-14)
    for part in (split.aleatoric, split.epistemic):
        assert np.linalg.eigvalsh(part).min() > -1e-14
        np.testing.assert_allclose(part.sum(axis=2), 0.0, atol=1e-14)  # probabilities sum to one


def test_traces_are_the_sums_of_the_labelwise_variances() -> None:
    probs = random_probs(5)
    matrices, direct = covariance_split(probs).traces, covariance_traces(probs)
    summed = labelwise_variance(probs).sum()
    for part in ("total", "aleatoric", "epistemic"):
        np.testing.assert_allclose(getattr(matrices, part), getattr(summed, part), rtol=1e-12)
        np.testing.assert_array_equal(getattr(direct, part), getattr(summed, part))


def test_errors_are_those_of_means_and_of_a_slow_jackknife() -> None:
    probs = random_probs(6)
    aleatoric, epistemic = covariance_error(probs)
    left_out = [covariance_split(np.delete(probs, s, axis=0)) for s in range(9)]
    for name, error in (("aleatoric", aleatoric), ("epistemic", epistemic)):
        values = np.array([getattr(part, name) for part in left_out])
        slow = np.sqrt(8 / 9 * ((values - values.mean(axis=0)) ** 2).sum(axis=0))
        np.testing.assert_allclose(error, slow, rtol=1e-9)
    each = np.array([np.diag(p) - np.outer(p, p) for p in probs[:, 0]])
    np.testing.assert_allclose(aleatoric[0], stats.sem(each, axis=0), rtol=1e-9)
    errors = monte_carlo_error(probs)
    for error, known in (
        (aleatoric, errors.labelwise_aleatoric),
        (epistemic, errors.labelwise_epistemic),
    ):
        np.testing.assert_allclose(np.diagonal(error, axis1=1, axis2=2), known, rtol=1e-9)


def test_errors_have_the_size_of_the_spread_of_the_estimates() -> None:
    probs = np.random.default_rng(7).dirichlet([2.0, 1.5, 1.0], size=(100, 1500))
    split, errors = covariance_split(probs), covariance_error(probs)
    for estimate, error in zip((split.aleatoric, split.epistemic), errors, strict=True):
        ratio = np.sqrt((error**2).mean(axis=0)) / estimate.std(axis=0)
        noise = np.sqrt((stats.kurtosis(estimate, axis=0, fisher=False) - 1) / (4 * 1500))
        assert (np.abs(ratio - 1) < 0.05 + 5 * noise).all()


def test_one_draw_is_refused_by_name() -> None:
    one = np.full((1, 3, 2), 0.5)
    with pytest.raises(InputError, match=r"`covariance_split` compares draws.*S = 1"):
        covariance_split(one)
    with pytest.raises(InputError, match=r"`covariance_traces` compares draws.*S = 1"):
        covariance_traces(one)
    with pytest.raises(InputError, match=r"`covariance_error` compares draws.*S = 1"):
        covariance_error(one)
