from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy import stats

from bayescam.types import InputError
from bayescam.uncertainty import coverage_band, expected_coverage, score_sets


def test_scores_by_hand() -> None:
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 1, 1]], dtype=bool)
    scores = score_sets(sets, [0, 2, 0, 1, 1], strata=["b", "a", "a", "b", "b"])
    assert scores.overall.coverage == pytest.approx(3 / 5)
    assert scores.overall.mean_size == pytest.approx(8 / 5)
    assert scores.overall.empty == pytest.approx(1 / 5)
    assert [part.coverage for part in scores.by_class] == [0.5, 1.0, 0.0]
    assert [part.mean_size for part in scores.by_class] == [0.5, 2.5, 2.0]
    assert [part.count for part in scores.by_class] == [2, 2, 1]
    assert list(scores.by_stratum) == ["a", "b"]
    assert scores.by_stratum["a"].coverage == 0.0
    assert scores.by_stratum["b"].coverage == 1.0
    assert scores.by_stratum["b"].mean_size == pytest.approx(6 / 3)


def test_class_without_images_has_no_coverage() -> None:
    empty = score_sets([[True, True]], [0]).by_class[1]
    assert np.isnan([empty.coverage, empty.mean_size, empty.empty]).all()
    assert empty.count == 0


def covered_probabilities(n: int, m: int, rank: int) -> list[Fraction]:
    """Of j among m new scores below the rank-th of n: all orders of n + m scores are as likely.

    j new ones lie below exactly `rank - 1` old ones and before the threshold itself.
    """
    return [
        Fraction(comb(rank - 1 + j, j) * comb(n - rank + m - j, m - j), comb(n + m, m))
        for j in range(m + 1)
    ]


@pytest.mark.parametrize(("n", "m", "alpha", "rank"), [(19, 30, 0.1, 18), (40, 7, 0.2, 33)])
def test_band_is_the_one_of_counted_orders(n, m, alpha, rank) -> None:
    probabilities = covered_probabilities(n, m, rank)
    assert sum(probabilities) == 1
    below = np.cumsum([float(p) for p in probabilities])
    expected = (np.searchsorted(below, 0.025) / m, np.searchsorted(below, 0.975) / m)
    assert coverage_band(n, m, alpha=alpha, level=0.95) == pytest.approx(expected)


def test_band_of_several_thresholds_is_the_one_of_counted_orders() -> None:
    """Two splits of 19 and 30, and one of 5 and 4 that has too few for a threshold."""
    one = np.array([float(p) for p in covered_probabilities(19, 30, 18)])
    below = np.cumsum(np.convolve(one, one))
    expected = (np.searchsorted(below, [0.005, 0.995]) + 4) / 64
    band = coverage_band([19, 5, 19], [30, 4, 30], alpha=0.1)
    assert band == pytest.approx(tuple(expected))
    mean = (2 * one @ np.arange(31) + 4) / 64
    assert expected_coverage([19, 5, 19], [30, 4, 30], alpha=0.1) == pytest.approx(mean)
    nothing = coverage_band([19, 7], [30, 0], alpha=0.1)  # a class without images in a split
    assert nothing == coverage_band(19, 30, alpha=0.1)


def test_the_mean_of_many_splits_is_normal_about_the_promise() -> None:
    n, m, splits = 250, 350, 200
    lower, upper = coverage_band([n] * splits, [m] * splits, alpha=0.1)
    rank = 226  # ceil(251 * 0.9)
    mean = rank / (n + 1)
    one = mean * (1 - mean) / (n + 2) * (n + m + 1) / m  # variance of a beta-binomial share
    width = stats.norm.ppf(0.995) * np.sqrt(one / splits)
    assert (lower, upper) == pytest.approx((mean - width, mean + width), abs=0.02 * width)
    assert expected_coverage(n, m, alpha=0.1) == pytest.approx(mean)


def test_band_narrows_to_the_promise_and_is_one_without_a_threshold() -> None:
    lower, upper = coverage_band(20_000, 20_000, alpha=0.1, level=0.99)
    assert lower == pytest.approx(0.9, abs=0.01)
    assert upper == pytest.approx(0.9, abs=0.01)
    assert lower < 0.9 < upper
    assert coverage_band(8, 100, alpha=0.1) == (1.0, 1.0)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="`sets` must be booleans.*Are these probabilities"):
        score_sets([[0.2, 0.8]], [0])
    with pytest.raises(InputError, match=r"`labels` must be class indices 0\.\.1; got 5"):
        score_sets([[True, False]], [5])
    with pytest.raises(InputError, match=r"`strata` must have shape \(1,\)"):
        score_sets([[True, False]], [0], strata=["a", "b"])
    with pytest.raises(InputError, match="`alpha`"):
        coverage_band(10, 10, alpha=1.0)
    with pytest.raises(InputError, match="`level`"):
        coverage_band(10, 10, alpha=0.1, level=99)
    with pytest.raises(InputError, match="`num_images` at least 1; got 10 and 0"):
        coverage_band(10, 0, alpha=0.1)
    with pytest.raises(InputError, match="`alpha`"):
        expected_coverage(10, 10, alpha=10)
