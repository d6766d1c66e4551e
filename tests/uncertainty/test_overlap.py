from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from bayescam.types import InputError
from bayescam.uncertainty import class_overlap
from bayescam.uncertainty.overlap import overlap_without_each_draw


def three_classes(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Draws (S, N, 3) whose first two classes have the given probabilities."""
    return np.stack([first, second, 1.0 - first - second], axis=-1)


def test_point_masses_are_exact() -> None:
    probs = np.array([[0.4, 0.4, 0.2], [0.4, 0.399, 0.201], [1.0, 0.0, 0.0]])
    overlap = class_overlap(np.tile(probs, (25, 1, 1)))
    np.testing.assert_array_equal(overlap, [1.0, 0.0, 0.0])


@pytest.mark.parametrize("num_samples", [2, 7, 8, 30, 125, 1000])
def test_draws_on_two_sides_of_a_gap_do_not_overlap(num_samples: int) -> None:
    rng = np.random.default_rng(num_samples)
    first = rng.uniform(0.45, 0.6, size=(num_samples, 1))
    second = rng.uniform(0.35, 0.4499, size=(num_samples, 1)) * 0.88
    np.testing.assert_array_equal(class_overlap(three_classes(first, second)), 0.0)


def test_rounding_is_no_disagreement() -> None:
    noise = 1e-15 * np.random.default_rng(0).normal(size=(40, 1))
    np.testing.assert_array_equal(class_overlap(three_classes(0.4 + noise, 0.4 - noise)), 1.0)


def test_halves_that_swap_places_overlap_wholly() -> None:
    probs = np.zeros((10, 1, 3))
    probs[:5, :, 0] = probs[5:, :, 1] = 1.0
    np.testing.assert_allclose(class_overlap(probs), 1.0, rtol=1e-15)


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.0, 3.0])
@pytest.mark.parametrize(("num_samples", "bias"), [(30, 0.06), (100, 0.06), (8000, 0.01)])
def test_normal_densities_have_the_textbook_coefficient(num_samples, bias, distance) -> None:
    """Two normals of equal width: `exp(-d^2 / 8)` with d in standard deviations."""
    rng, num_images = np.random.default_rng(1), 32_000 // num_samples
    first = 0.4 + 0.005 * rng.normal(size=(num_samples, num_images))
    second = 0.4 + 0.005 * (rng.normal(size=(num_samples, num_images)) - distance)
    overlap = class_overlap(three_classes(first, second))
    error = overlap.std(ddof=1) / math.sqrt(num_images)
    assert overlap.mean() == pytest.approx(math.exp(-(distance**2) / 8), abs=bias + 5 * error)


def test_a_monotone_scale_does_not_matter_where_densities_pile_up() -> None:
    """Logistic-normal draws near 0 and 1 overlap as the normals they come from."""
    rng, num_samples = np.random.default_rng(2), 20_000
    z = 6.0 + rng.normal(size=(num_samples, 1))
    first = expit(z) / 2.0
    second = expit(z[rng.permutation(num_samples)] - 1.0) / 2.0
    overlap = class_overlap(three_classes(first, second))
    assert overlap[0] == pytest.approx(math.exp(-1 / 8), abs=0.01)


def test_identical_densities_miss_one_by_the_stated_bias() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.uniform(0.3, 0.4, size=(2, 64, 4000))
    overlap = class_overlap(three_classes(first, second))
    error = overlap.std() / math.sqrt(4000)
    # 4 bins; the next term of the expansion is of order B / S^2
    assert overlap.mean() == pytest.approx(1.0 - 3 / (4 * 64), abs=5 * error + 4 / 64**2)


def test_only_the_two_leading_classes_count_and_order_of_draws_does_not() -> None:
    rng = np.random.default_rng(4)
    probs = rng.dirichlet([8.0, 6.0, 1.0, 0.5], size=(60, 20))
    overlap = class_overlap(probs)
    np.testing.assert_array_equal(class_overlap(probs[::-1]), overlap)
    np.testing.assert_array_equal(class_overlap(probs[..., [3, 1, 0, 2]]), overlap)
    assert ((overlap >= 0.0) & (overlap <= 1.0)).all()


def test_leaving_out_a_draw_is_counting_again() -> None:
    rng = np.random.default_rng(5)
    probs = rng.dirichlet([5.0, 4.0, 1.0], size=(30, 3))
    fast = overlap_without_each_draw(probs)
    num_bins = 2 * math.ceil(30 ** (1 / 3) / 2)
    for n in range(3):
        a, b = np.argsort(-probs[:, n].mean(axis=0))[:2]
        pooled = np.sort(np.concatenate([probs[:, n, a], probs[:, n, b]]))
        edges = [-1.0, *(pooled[60 * i // num_bins] for i in range(1, num_bins)), 2.0]
        for s in range(30):
            rest = np.delete(probs[:, n], s, axis=0)
            f, g = (np.histogram(rest[:, k], edges)[0] for k in (a, b))
            assert fast[s, n] == pytest.approx(np.sqrt(f * g).sum() / 29, rel=1e-12)
        f, g = (np.histogram(probs[:, n, k], edges)[0] for k in (a, b))
        assert class_overlap(probs)[n] == pytest.approx(np.sqrt(f * g).sum() / 30, rel=1e-12)


def test_one_draw_is_refused() -> None:
    with pytest.raises(InputError, match=r"`class_overlap` compares draws.*S = 1"):
        class_overlap(np.full((1, 3, 2), 0.5))
