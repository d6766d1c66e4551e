from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from bayescam.explain import explanation_modes
from bayescam.types import InputError


def patch(row: int, column: int) -> np.ndarray:
    maps = np.zeros((6, 6))
    maps[row : row + 2, column : column + 2] = 1.0
    return maps


PLACES = np.stack([patch(0, 0), patch(4, 4), patch(0, 4)])


def mixture(labels: np.ndarray, seed: int = 0, noise: float = 0.15) -> np.ndarray:
    """Draws of patches whose strength differs by a factor of about ten, with noise."""
    rng = np.random.default_rng(seed)
    shapes = PLACES[labels] + rng.normal(0, noise, (len(labels), 6, 6))
    return shapes * rng.lognormal(0.0, 0.5, (len(labels), 1, 1))


@pytest.mark.parametrize("sizes", [(60, 40), (50, 30, 20)])
def test_planted_modes_are_found_with_their_shares(sizes):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    draws = mixture(labels)
    found = explanation_modes(draws, num_references=9, seed=3)
    np.testing.assert_allclose(found.shares, np.array(sizes) / 100)
    assert adjusted_rand_score(labels, found.labels) == 1
    assert found.silhouette > found.reference
    for mode, shape in enumerate(found.maps):
        np.testing.assert_allclose(shape, draws[labels == mode].mean(axis=0), atol=1e-12)


def test_one_gaussian_has_one_mode_at_the_rate_that_is_stated():
    """Gaussian maps with a few strong directions: at most about one in R + 1 is split."""
    rng = np.random.default_rng(2)
    split = 0
    for trial in range(8):
        directions = rng.normal(size=(2, 36)) * np.array([[1.0], [0.3]])
        draws = 2 * PLACES[0].ravel() + rng.normal(size=(40, 2)) @ directions
        found = explanation_modes(
            draws.reshape(40, 6, 6), max_modes=3, num_references=9, seed=trial
        )
        split += len(found.shares) > 1
    assert split <= 8 * 0.1 + 3 * np.sqrt(8 * 0.1 * 0.9)


def test_draws_that_differ_in_strength_alone_are_one_mode():
    found = explanation_modes(mixture(np.zeros(60, dtype=int), noise=0.02), num_references=9)
    assert found.shares.tolist() == [1.0]
    assert set(found.labels) == {0}


def test_a_stray_draw_is_no_mode():
    labels = np.zeros(60, dtype=int)
    labels[7] = 1
    assert len(explanation_modes(mixture(labels), num_references=3).shares) == 1


def test_draws_that_differ_in_nothing_but_strength_and_rounding_are_not_clustered():
    """Neither they nor Gaussians like them, some of which point the other way."""
    strength = np.random.default_rng(0).lognormal(0, 0.5, (40, 1, 1))
    shape = np.random.default_rng(1).normal(size=(6, 6))
    for draws in (strength * shape, (strength * shape).astype(np.float32)):
        found = explanation_modes(draws, num_references=3)
        assert found.shares.tolist() == [1.0]
        assert np.isnan(found.silhouette)
    turned = np.where(strength < 0.7, -1, 1) * strength * shape
    assert len(explanation_modes(turned, num_references=3).shares) == 1


@pytest.mark.parametrize("num", [2, 3, 20])
def test_equal_draws_are_one_mode_whose_map_is_theirs(num):
    found = explanation_modes(np.broadcast_to(PLACES[0], (num, 6, 6)))
    np.testing.assert_allclose(found.maps, PLACES[:1])
    assert np.isnan(found.silhouette)


def test_two_maps_that_alternate_are_two_modes():
    found = explanation_modes(PLACES[np.tile([0, 0, 1], 10)], num_references=5)
    np.testing.assert_allclose(found.maps, PLACES[:2])
    np.testing.assert_allclose(found.shares, [2 / 3, 1 / 3])


def test_the_order_of_the_draws_does_not_matter():
    labels = np.repeat([0, 1], [30, 20])
    draws, order = mixture(labels), np.random.default_rng(4).permutation(50)
    one, other = (explanation_modes(d, num_references=3) for d in (draws, draws[order]))
    np.testing.assert_allclose(one.maps, other.maps)
    np.testing.assert_array_equal(one.labels[order], other.labels)


def test_other_axes_and_options_are_refused():
    with pytest.raises(InputError, match=r"`maps` must have shape \(S, h, w\)"):
        explanation_modes(np.zeros((4, 1, 1, 2, 2)))
    with pytest.raises(InputError, match="`max_modes` must be at least 2"):
        explanation_modes(np.zeros((4, 2, 2)), max_modes=1)
    with pytest.raises(InputError, match="`explanation_modes` compares draws"):
        explanation_modes(np.zeros((1, 2, 2)))
