from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayescam.types import InputError
from bayescam.uncertainty import credible_interval


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
    one = credible_interval([[0.3, 0.7]], kind=kind)
    np.testing.assert_array_equal(one.lower, one.upper)
    draws = np.random.default_rng(3).normal(size=(50, 4))
    a, b = credible_interval(draws, kind=kind), credible_interval(draws[::-1], kind=kind)
    np.testing.assert_array_equal([a.lower, a.upper], [b.lower, b.upper])


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"`level`.*got 95\. Is it a percentage\?"):
        credible_interval(np.zeros(3), level=95)
    with pytest.raises(InputError, match="`kind` must be one of"):
        credible_interval(np.zeros(3), kind="central")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="first axis of draws"):
        credible_interval(np.zeros((0, 3)))
    with pytest.raises(InputError, match="finite"):
        credible_interval([np.inf, 0.0])
