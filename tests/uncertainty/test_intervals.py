from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayescam.types import InputError
from bayescam.uncertainty import credible_interval, interval_error, monte_carlo_error


def test_equal_tailed_interval_of_normal_draws_is_the_textbook_one() -> None:
    num_samples = 40_000
    draws = np.random.default_rng(0).normal(2.0, 3.0, size=(num_samples, 2))
    interval = credible_interval(draws, level=0.9)
    z = stats.norm.ppf(0.95)
    standard_error = 3.0 * np.sqrt(0.05 * 0.95 / num_samples) / stats.norm.pdf(z)
    np.testing.assert_allclose(interval.lower, 2.0 - 3.0 * z, atol=5 * standard_error)
    np.testing.assert_allclose(interval.upper, 2.0 + 3.0 * z, atol=5 * standard_error)
    assert (interval.level, interval.kind) == (0.9, "equal-tailed")


@pytest.mark.parametrize(("level", "inside"), [(0.95, 29), (0.5, 15), (0.9, 27), (0.01, 1)])
def test_highest_density_is_the_shortest_window_found_by_trying_all(
    level: float, inside: int
) -> None:
    draws = np.random.default_rng(1).exponential(size=(30, 2, 3))
    interval = credible_interval(draws, level=level, kind="highest-density")
    for cell in np.ndindex(2, 3):
        ordered = sorted(draws[(slice(None), *cell)])
        windows = [(ordered[i], ordered[i + inside - 1]) for i in range(30 - inside + 1)]
        expected = min(windows, key=lambda window: window[1] - window[0])
        assert (interval.lower[cell], interval.upper[cell]) == expected


def test_highest_density_of_skewed_draws_is_shorter_and_starts_lower() -> None:
    draws = np.random.default_rng(2).beta(1, 20, size=4000)
    equal = credible_interval(draws)
    shortest = credible_interval(draws, kind="highest-density")
    assert shortest.upper - shortest.lower < equal.upper - equal.lower
    assert shortest.lower < equal.lower


@pytest.mark.parametrize("kind", ["equal-tailed", "highest-density"])
def test_one_draw_has_no_width_and_order_does_not_matter(kind) -> None:
    with pytest.warns(UserWarning, match=r"`credible_interval` got one draw \(S = 1\).*no width"):
        one = credible_interval([[0.3, 0.7]], kind=kind)
    np.testing.assert_array_equal([one.lower, one.upper], [[0.3, 0.7]] * 2)
    draws = np.random.default_rng(3).normal(size=(50, 4))
    a, b = credible_interval(draws, kind=kind), credible_interval(draws[::-1], kind=kind)
    np.testing.assert_array_equal([a.lower, a.upper], [b.lower, b.upper])


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("num_samples", [30, 300])
def test_error_of_highest_density_has_the_size_of_the_spread_of_the_ends(level, num_samples):
    """1000 repetitions of two beta laws; the true error is the sd of the ends over them."""
    rng, repeats = np.random.default_rng(4), 1000
    draws = np.stack(
        [rng.beta(a, b, size=(num_samples, repeats)) for a, b in ((3, 4), (30, 20))], axis=2
    )
    interval = credible_interval(draws, level=level, kind="highest-density")
    errors = interval_error(draws, level=level, kind="highest-density", num_resamples=60)
    for ends, error in zip((interval.lower, interval.upper), errors, strict=True):
        ratio = np.sqrt((error**2).mean(axis=0)) / ends.std(axis=0)
        noise = np.sqrt((stats.kurtosis(ends, axis=0, fisher=False) - 1) / (4 * repeats))
        assert (np.abs(ratio - 1) < 0.15 + 5 * noise).all()


def test_error_of_highest_density_is_the_sd_over_resamples() -> None:
    draws = np.random.default_rng(5).exponential(size=(25, 2, 3))
    errors = interval_error(draws, level=0.8, kind="highest-density", num_resamples=40, seed=9)
    rng = np.random.default_rng(9)
    again = [
        credible_interval(
            np.sort(draws, axis=0)[rng.integers(25, size=25)], level=0.8, kind="highest-density"
        )
        for _ in range(40)
    ]
    for name, error in zip(("lower", "upper"), errors, strict=True):
        ends = np.array([getattr(interval, name) for interval in again])
        np.testing.assert_allclose(error, ends.std(axis=0, ddof=1), rtol=1e-9)
    constant = interval_error(np.ones((25, 2)), kind="highest-density")
    np.testing.assert_array_equal(constant, 0.0)


def test_error_of_equal_tails_is_the_one_of_the_monte_carlo_table() -> None:
    probs = np.random.default_rng(6).dirichlet([2.0, 1.0, 1.0], size=(50, 4))
    table = monte_carlo_error(probs, level=0.8)
    lower, upper = interval_error(probs, level=0.8)
    np.testing.assert_allclose(lower, table.interval_lower, rtol=1e-12)
    np.testing.assert_allclose(upper, table.interval_upper, rtol=1e-12)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"`interval_error` compares draws.*S = 1"):
        interval_error(np.zeros((1, 3)))
    with pytest.raises(
        InputError, match="`num_resamples` must be a whole number, 2 or more; got 1"
    ):
        interval_error(np.zeros((5, 3)), kind="highest-density", num_resamples=1)
    with pytest.raises(InputError, match="`num_resamples` must be a whole number"):
        interval_error(np.zeros((5, 3)), kind="highest-density", num_resamples=10.5)
    with pytest.raises(InputError, match="`seed` must be a whole number"):
        interval_error(np.zeros((5, 3)), kind="highest-density", seed=-1)
    with pytest.raises(InputError, match="`level`"):
        interval_error(np.zeros((5, 3)), level=1.0)
    with pytest.raises(InputError, match=r"`level`.*got 95\. Is it a percentage\?"):
        credible_interval(np.zeros(3), level=95)
    with pytest.raises(InputError, match="`kind` must be one of"):
        credible_interval(np.zeros(3), kind="central")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="first axis of draws"):
        credible_interval(np.zeros((0, 3)))
    with pytest.raises(InputError, match="finite"):
        credible_interval([np.inf, 0.0])
