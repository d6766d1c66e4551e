from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from bayescam.explain import (
    coefficient_of_variation,
    gaussian_quantiles,
    gaussian_statistics,
    intersection_map,
    map_quantiles,
    prob_above,
    summarize_maps,
    union_map,
)
from bayescam.types import InputError, MapMoments


def draws(num: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, 2, 3, 2, 4)).astype(np.float32)


def test_statistics_are_those_of_a_loop_over_the_pixels():
    cams = draws()
    summary = summarize_maps(cams)
    for n, t, i, j in np.ndindex(cams.shape[1:]):
        values = cams[:, n, t, i, j].astype(float)
        peak = max(cams[:, n, t].mean(axis=0).max(), 0.0)
        place = n, t, i, j
        assert summary.mean[place] == pytest.approx(np.mean(values), abs=1e-6)
        assert summary.sd[place] == pytest.approx(np.std(values), abs=1e-6)
        assert summary.p_relevant[place] == pytest.approx(np.mean(values > peak / 2))
        assert summary.p_positive[place] == pytest.approx(np.mean(values > 0))


def test_a_map_that_is_nowhere_positive_is_relevant_where_it_is_positive():
    cams = draws() - 2.0
    summary = summarize_maps(cams)
    assert summary.mean.max() < 0 < summary.p_positive.max()
    np.testing.assert_array_equal(summary.p_relevant, summary.p_positive)


def test_single_precision_loses_nothing_of_a_small_spread_on_a_large_mean():
    cams = (1e4 + draws(100)).astype(np.float32)
    np.testing.assert_allclose(summarize_maps(cams).sd, cams.astype(float).std(axis=0), rtol=1e-5)


def test_the_floor_bounds_the_coefficient_of_variation_where_there_is_no_evidence():
    mean = np.array([[8.0, -4.0, 0.4, 0.0]])
    sd = np.array([[2.0, 2.0, 2.0, 2.0]])
    found = coefficient_of_variation(mean, sd, floor=0.1)
    np.testing.assert_allclose(found, [[0.25, 0.5, 2 / 0.8, 2 / 0.8]])
    np.testing.assert_allclose(coefficient_of_variation(3 * mean, 3 * sd), found)
    np.testing.assert_array_equal(
        coefficient_of_variation([[0.0, 0.0]], [[1.0, 0.0]]), [[np.inf, 0.0]]
    )


def test_union_and_intersection_hold_what_some_and_what_nearly_all_draws_see():
    """19 of 20 draws see the first cell, one of 20 the second, all the third."""
    cams = np.zeros((20, 1, 1, 1, 3))
    cams[1:, ..., 0], cams[0, ..., 1], cams[..., 2] = 1.0, 1.0, 1.0
    np.testing.assert_array_equal(intersection_map(cams, share=0.1).ravel(), [1, 0, 1])
    np.testing.assert_array_equal(union_map(cams, share=0.9).ravel(), [1, 0, 1])
    np.testing.assert_array_equal(union_map(cams, share=0.999).ravel() > 0, [True, True, True])
    random = draws(50)
    assert (intersection_map(random) <= union_map(random)).all()
    np.testing.assert_allclose(intersection_map(-random), -union_map(random), atol=1e-6)


def test_quantiles_are_those_of_order_statistics():
    cams = np.random.default_rng(1).permutation(np.arange(11.0)).reshape(11, 1, 1, 1, 1)
    np.testing.assert_allclose(map_quantiles(cams, [0.0, 0.25, 1.0]).ravel(), [0, 2.5, 10])


def test_exact_statistics_agree_with_ten_thousand_draws_within_their_error():
    rng, num = np.random.default_rng(3), 10_000
    moments = MapMoments(rng.normal(size=(1, 2, 3, 3)), rng.uniform(0.1, 2.0, (1, 2, 3, 3)))
    sd = np.sqrt(moments.variance)
    cams = rng.normal(moments.mean, sd, (num, *sd.shape))
    sampled, exact = summarize_maps(cams), gaussian_statistics(moments)
    assert (np.abs(sampled.mean - exact.mean) < 5 * sd / np.sqrt(num)).all()
    assert (np.abs(sampled.sd / exact.sd - 1) < 5 / np.sqrt(2 * num)).all()
    assert (np.abs(sampled.p_positive - exact.p_positive) < 5 * 0.5 / np.sqrt(num)).all()
    for share in (0.05, 0.5, 0.9):
        error = np.sqrt(share * (1 - share) / num) / norm.pdf(norm.ppf(share)) * sd
        quantile = gaussian_quantiles(moments, [share])[0]
        assert (np.abs(map_quantiles(cams, [share])[0] - quantile) < 5 * error).all()
        np.testing.assert_allclose(prob_above(moments, quantile), 1 - share)


def test_exact_relevance_is_the_probability_of_half_the_peak():
    moments = MapMoments(np.array([[[[4.0, 1.0]]]]), np.array([[[[1.0, 0.25]]]]))
    exact = gaussian_statistics(moments)
    np.testing.assert_allclose(exact.p_relevant.ravel(), norm.cdf([2.0, -2.0]), rtol=1e-6)
    np.testing.assert_allclose(exact.p_positive.ravel(), norm.cdf([4.0, 2.0]), rtol=1e-6)


@pytest.mark.parametrize(
    ("cams", "message"),
    [
        (np.zeros((2, 1, 3, 3)), "Is the draw axis missing"),
        (np.zeros((0, 1, 1, 3, 3)), "no axis empty"),
        (np.full((2, 1, 1, 3, 3), np.nan), "`cams` must be finite"),
        (np.full((2, 1, 1, 3, 3), "a"), "must be an array of numbers"),
    ],
)
def test_maps_of_other_kinds_are_refused(cams, message):
    with pytest.raises(InputError, match=message):
        summarize_maps(cams)


def test_options_out_of_range_are_refused():
    with pytest.raises(InputError, match="`share` must lie strictly between 0 and 1; got 95"):
        union_map(draws(), share=95)
    with pytest.raises(InputError, match=r"`shares` must be a list of numbers in \[0, 1\]"):
        map_quantiles(draws(), [0.5, 1.2])
    with pytest.raises(InputError, match=r"`shares` must be a list of numbers in \(0, 1\)"):
        gaussian_quantiles(MapMoments(np.zeros((1, 1, 1, 1)), np.ones((1, 1, 1, 1))), [0.0])
    with pytest.raises(InputError, match="`floor` must be above 0"):
        coefficient_of_variation([[1.0]], [[1.0]], floor=0.0)
    with pytest.raises(InputError, match="`sd` must not be negative"):
        coefficient_of_variation([[1.0]], [[-1.0]])
    with pytest.raises(InputError, match="must have one shape"):
        coefficient_of_variation([[1.0]], [1.0])
