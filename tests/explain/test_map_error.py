from __future__ import annotations

import numpy as np
import pytest

from bayescam.explain import draws_enough, map_errors
from bayescam.types import InputError

LAWS = {
    "gaussian": lambda rng, shape: rng.normal(2.0, 3.0, shape),
    "skewed": lambda rng, shape: rng.gamma(3.0, 1.0, shape),
}


@pytest.mark.parametrize("law", sorted(LAWS))
def test_errors_are_the_spread_over_repetitions(law):
    """1,600 sets of 200 draws, one in each cell: the sd of an estimate, and its mean error."""
    num, sets, shares = 200, 1600, (0.1, 0.5)
    cams = LAWS[law](np.random.default_rng(0), (num, 1, 1, 1, sets))
    errors = map_errors(cams, shares=shares)
    found = {
        "mean": (cams.mean(axis=0), errors.mean),
        "sd": (cams.std(axis=0), errors.sd),
        **{s: (np.quantile(cams, s, axis=0), errors.quantiles[q]) for q, s in enumerate(shares)},
    }
    for name, (estimates, claimed) in found.items():
        assert np.sqrt(np.mean(claimed**2)) / estimates.std() == pytest.approx(1, abs=0.12), name


def test_the_error_of_a_mean_is_the_textbook_one():
    cams = np.random.default_rng(1).normal(size=(7, 2, 1, 2, 2))
    expected = cams.std(axis=0, ddof=1) / np.sqrt(7)
    np.testing.assert_allclose(map_errors(cams).mean, expected)


def test_the_error_of_a_median_is_the_sd_of_its_bootstrap():
    rng = np.random.default_rng(2)
    values = np.sort(rng.normal(size=25))
    resampled = np.median(rng.choice(values, (40_000, 25)), axis=1)
    error = map_errors(values.reshape(-1, 1, 1, 1, 1), shares=[0.5]).quantiles.item()
    assert error == pytest.approx(resampled.std(), rel=0.03)


def test_draws_that_agree_have_no_error():
    errors = map_errors(np.full((4, 1, 1, 2, 2), 3.0))
    assert max(errors.mean.max(), errors.sd.max(), errors.quantiles.max()) == 0


def test_enough_draws_reach_the_tolerance_and_one_fewer_do_not():
    """Two values at equal distance: the sd has no error of first order, the mean a known one."""
    cams = np.zeros((100, 1, 1, 1, 2))
    cams[:, ..., 0] = np.repeat([9.0, 11.0], 50).reshape(100, 1, 1, 1)
    needed = draws_enough(cams, tolerance=0.01)
    sd = cams[..., 0].std(ddof=1)
    assert sd / np.sqrt(needed.mean.item()) <= 0.01 * 10 < sd / np.sqrt(needed.mean.item() - 1)
    assert needed.sd.item() == 1


def test_enough_draws_for_the_sd_of_a_gaussian_are_half_the_inverse_square():
    cams = np.random.default_rng(0).normal(size=(20_000, 1, 1, 1, 2)) * [5.0, 0.01]
    assert draws_enough(cams, tolerance=0.05).sd.item() == pytest.approx(200, rel=0.1)


def test_a_flat_mean_is_never_resolved_and_equal_draws_always_are():
    cams = np.stack([np.ones((1, 1, 2, 2)), -np.ones((1, 1, 2, 2))])
    assert draws_enough(cams).mean.item() == np.iinfo(np.int64).max
    same = np.broadcast_to(np.arange(4.0).reshape(1, 1, 2, 2), (3, 1, 1, 2, 2))
    assert (draws_enough(same).mean.item(), draws_enough(same).sd.item()) == (1, 1)


def test_one_draw_has_no_error():
    with pytest.raises(InputError, match="`map_errors` compares draws, and `cams` has only one"):
        map_errors(np.zeros((1, 1, 1, 2, 2)))
    with pytest.raises(InputError, match="`tolerance` must lie strictly between"):
        draws_enough(np.zeros((2, 1, 1, 2, 2)), tolerance=2)
