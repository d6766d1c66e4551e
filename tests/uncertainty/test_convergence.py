from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from bayescam.types import InputError
from bayescam.uncertainty import (
    TOLERANCES,
    draws_convergence,
    monte_carlo_error,
    mutual_information,
)

PROBS = np.random.default_rng(0).dirichlet([2.0, 1.0, 1.0], size=60)


def test_each_point_is_what_fewer_draws_would_say() -> None:
    curve = draws_convergence(PROBS, num_draws=[5, 20, 60], level=0.9)
    for i, s in enumerate((5, 20, 60)):
        few = PROBS[:s, np.newaxis]
        error = monte_carlo_error(few).mutual_information[0]
        assert curve.estimate[i] == pytest.approx(mutual_information(few)[0])
        assert curve.upper[i] - curve.estimate[i] == pytest.approx(norm.ppf(0.95) * error)
        assert curve.lower[i] + curve.upper[i] == pytest.approx(2 * curve.estimate[i])


def test_so_many_draws_are_enough_as_bring_the_error_down_to_the_tolerance() -> None:
    curve = draws_convergence(PROBS, "mean_probs", class_index=1)
    error = PROBS[:, 1].std(ddof=1) / np.sqrt(60)
    tolerance = TOLERANCES["mean_probs"].error
    assert curve.tolerance == tolerance
    assert curve.enough == int(np.ceil(60 * (error / tolerance) ** 2))
    relative = draws_convergence(PROBS, "sd_probs", class_index=1)
    assert relative.tolerance == pytest.approx(TOLERANCES["sd_probs"].error * PROBS[:, 1].std())
    assert (curve.num_draws[0], curve.num_draws[-1]) == (2, 60)
    assert (np.diff(curve.num_draws) > 0).all()


def test_the_most_probable_class_is_the_default() -> None:
    assert draws_convergence(PROBS, "mean_probs").estimate[-1] == PROBS.mean(axis=0).max()


@pytest.mark.parametrize(
    ("probs", "options", "match"),
    [
        (PROBS[np.newaxis], {}, r"`probs` must have shape \(S, K\), one image"),
        (PROBS, {"measure": "entropy"}, "`measure` must be one of"),
        (PROBS, {"measure": "mean_probs", "class_index": 3}, "`class_index` must be below 3"),
        (PROBS, {"num_draws": [2, 61]}, r"`num_draws` must rise within 2\.\.60"),
        (PROBS, {"num_draws": [20, 10]}, r"`num_draws` must rise"),
        (PROBS, {"level": 95}, "`level`"),
    ],
)
def test_bad_input_is_named(probs: np.ndarray, options: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        draws_convergence(probs, **options)
