from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from bayescam.explain import excursion_probability, excursion_set
from bayescam.types import InputError


def gaussian_field(num: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws (S, 1, 1, 2, 3) of a correlated Gaussian map, its mean and covariance."""
    rng = np.random.default_rng(seed)
    mean = np.array([3.0, 2.2, 1.6, 1.0, 0.2, -1.0])
    place = np.arange(6)
    covariance = 0.7 ** np.abs(place[:, None] - place)
    return rng.multivariate_normal(mean, covariance, num).reshape(num, 1, 1, 2, 3), mean, covariance


def test_the_probability_is_the_normal_one_within_the_error_that_is_stated():
    cams, mean, _ = gaussian_field(10_000)
    found = excursion_probability(cams, 0.5)
    exact = norm.sf(0.5 - mean).reshape(1, 1, 2, 3)
    assert (np.abs(found.probability - exact) < 5 * found.standard_error).all()
    spread = np.sqrt(exact * (1 - exact) / 10_000)
    np.testing.assert_allclose(found.standard_error, spread, rtol=0.1)


def test_draws_that_agree_do_not_claim_to_be_certain():
    found = excursion_probability(np.ones((8, 1, 1, 1, 1)))
    v = 9 / 10
    assert found.probability.item() == 1
    assert found.standard_error.item() == pytest.approx(np.sqrt(v * (1 - v) / 8))


def test_joint_levels_are_the_gaussian_orthant_probabilities():
    """The mean falls and the variance is one, so the first k cells are the k-th set."""
    num = 20_000
    cams, mean, covariance = gaussian_field(num)
    joint = excursion_set(cams, 0.0).joint_probability.ravel()
    for k in range(1, 7):
        exact = multivariate_normal(-mean[:k], covariance[:k, :k]).cdf(np.zeros(k))
        assert joint[k - 1] == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / num))


def slow_set(above: np.ndarray, score: np.ndarray, level: float) -> set[int]:
    """Cells are added in falling order of probability while all hold at once often enough."""
    chosen: list[int] = []
    for cell in sorted(range(above.shape[1]), key=lambda c: (-above[:, c].mean(), -score[c])):
        if above[:, [*chosen, cell]].all(axis=1).mean() < level:
            break
        chosen.append(cell)
    return set(chosen)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_the_set_is_that_of_a_loop(level):
    cams = np.random.default_rng(5).normal(0.8, 1.0, (60, 3, 2, 2, 4))
    cams += np.random.default_rng(6).normal(0.5, 1.0, (60, 3, 2, 1, 1))
    found = excursion_set(cams, 0.3, level=level)
    for n, t in np.ndindex(3, 2):
        cells = cams[:, n, t].reshape(60, -1)
        above = cells > 0.3
        expected = slow_set(above, cells.mean(axis=0), level)
        assert set(np.flatnonzero(found.inside[n, t])) == expected
        if expected:
            assert above[:, sorted(expected)].all(axis=1).mean() >= level


def test_a_simultaneous_set_lies_within_the_pixelwise_one_and_shrinks_with_its_level():
    cams, _, _ = gaussian_field(400)
    single = excursion_probability(cams).probability
    wide, narrow = excursion_set(cams, level=0.8), excursion_set(cams, level=0.95)
    assert (wide.joint_probability <= single).all()
    assert (wide.joint_probability < single).ravel()[2:].all()
    assert (narrow.inside <= wide.inside).all()
    assert 0 < narrow.inside.sum() < wide.inside.sum()


def test_the_level_holds_on_new_draws():
    cams, _, _ = gaussian_field(2000, seed=1)
    fresh, _, _ = gaussian_field(20_000, seed=2)
    for level in (0.7, 0.9):
        inside = excursion_set(cams, level=level).inside[0, 0]
        held = (fresh[:, 0, 0][:, inside] > 0).all(axis=1).mean()
        assert inside.any()
        assert held > level - 5 * np.sqrt(level * (1 - level) / 2000)


def test_a_threshold_of_each_map_is_its_own():
    cams = np.random.default_rng(0).normal(size=(30, 2, 1, 2, 2))
    limits = np.array([0.5, -0.5]).reshape(2, 1, 1, 1)
    both = excursion_set(cams, limits, level=0.6)
    for n in range(2):
        alone = excursion_set(cams[:, n : n + 1], limits[n].item(), level=0.6)
        np.testing.assert_array_equal(both.joint_probability[n], alone.joint_probability[0])


@pytest.mark.parametrize("threshold", [np.zeros(3), np.nan, np.zeros((5, 2, 1, 2, 2))])
def test_a_threshold_that_does_not_fit_is_refused(threshold):
    with pytest.raises(InputError, match="`threshold` must be a finite number or fit"):
        excursion_set(np.zeros((5, 2, 1, 2, 2)), threshold)
