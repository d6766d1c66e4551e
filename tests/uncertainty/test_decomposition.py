from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import softmax

from bayescam.types import InputError
from bayescam.uncertainty import (
    decompose,
    expected_entropy,
    mutual_information,
    predictive_entropy,
)


def random_probs(seed: int, shape: tuple[int, int, int], scale: float = 3.0):
    return softmax(scale * np.random.default_rng(seed).normal(size=shape), axis=-1)


def test_draws_that_are_sure_and_divided_hold_only_mutual_information() -> None:
    probs = np.zeros((10, 2, 4))
    probs[:5, :, 0] = 1.0
    probs[5:, :, 1] = 1.0
    result = decompose(probs)
    np.testing.assert_allclose(result.predictive_entropy, math.log(2), rtol=1e-15)
    np.testing.assert_array_equal(result.expected_entropy, 0.0)
    np.testing.assert_allclose(result.mutual_information, math.log(2), rtol=1e-15)


def test_equal_uniform_draws_hold_only_expected_entropy() -> None:
    result = decompose(np.full((7, 3, 5), 0.2))
    np.testing.assert_allclose(result.expected_entropy, math.log(5), rtol=1e-14)
    np.testing.assert_allclose(result.mutual_information, 0.0, atol=1e-14)


def test_agrees_with_a_slow_loop() -> None:
    probs = random_probs(0, (6, 4, 3))
    for n in range(4):
        mean = [sum(probs[s, n, k] for s in range(6)) / 6 for k in range(3)]
        total = -sum(p * math.log(p) for p in mean)
        each = [-sum(p * math.log(p) for p in probs[s, n]) for s in range(6)]
        assert predictive_entropy(probs)[n] == pytest.approx(total, rel=1e-12)
        assert expected_entropy(probs)[n] == pytest.approx(sum(each) / 6, rel=1e-12)
        assert mutual_information(probs)[n] == pytest.approx(total - sum(each) / 6, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_bounds_and_order_of_draws(seed: int) -> None:
    scale = 10.0 ** (seed - 2)
    probs = random_probs(seed, (8, 50, 6), scale)
    result = decompose(probs)
    assert (result.mutual_information >= 0).all()
    assert (result.mutual_information <= result.predictive_entropy).all()
    assert (result.predictive_entropy <= math.log(6) + 1e-12).all()
    shuffled = decompose(probs[np.random.default_rng(seed).permutation(8)])
    np.testing.assert_allclose(shuffled.mutual_information, result.mutual_information, atol=1e-12)


def test_one_draw_has_no_mutual_information() -> None:
    one = random_probs(1, (1, 9, 4))
    with pytest.warns(UserWarning, match=r"`decompose` got one draw \(S = 1\).*is 0 by constr"):
        alone = decompose(one)
    np.testing.assert_array_equal(alone.mutual_information, 0.0)
    np.testing.assert_array_equal(expected_entropy(one), predictive_entropy(one))  # silently
    with pytest.raises(InputError, match=r"`mutual_information` compares draws.*S = 1"):
        mutual_information(one)


@pytest.mark.parametrize("num_classes", [3, 7])
def test_half_precision_does_not_exceed_the_logarithm_of_the_classes(num_classes: int) -> None:
    """Rows of float16 sum to one only nearly: 3 * float16(1 / 3) is 0.9998, 7 / 7 less."""
    flat = np.full((2, 1, num_classes), 1 / num_classes, dtype=np.float16)
    for probs in (flat, np.nextafter(flat, np.float16(1))):
        assert abs(float(probs.astype(float).sum(axis=-1).ravel()[0]) - 1) > 1e-5
        total = predictive_entropy(probs)
        assert total == pytest.approx(math.log(num_classes), abs=1e-6)
        assert total <= math.log(num_classes) + 1e-12


def test_bad_probs_are_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"`probs` must have shape \(S, N, K\).*draw axis missing"):
        decompose(np.full((32, 5), 0.2))
    with pytest.raises(InputError, match=r"got -?[\d.]+\. Are these logits\?"):
        decompose(np.random.default_rng(0).normal(size=(3, 4, 5)))
    with pytest.raises(InputError, match=r"Rows of `probs` must sum to one; one sums to 0\.9\."):
        decompose(np.full((2, 2, 3), 0.3))
    with pytest.raises(InputError, match="finite"):
        decompose(np.full((2, 2, 2), np.nan))
    with pytest.raises(InputError, match="two classes"):
        decompose(np.ones((2, 2, 1)))
    with pytest.raises(InputError, match="array of numbers"):
        decompose([["a"]])
