from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from bayescam.types import InputError
from bayescam.uncertainty import labelwise_variance


def test_sure_but_divided_draws_are_all_epistemic() -> None:
    probs = np.zeros((10, 1, 3))
    probs[:5, :, 0] = probs[5:, :, 1] = 1.0
    split = labelwise_variance(probs)
    np.testing.assert_array_equal(split.total, [[0.25, 0.25, 0.0]])
    np.testing.assert_array_equal(split.epistemic, [[0.25, 0.25, 0.0]])
    np.testing.assert_array_equal(split.aleatoric, 0.0)
    assert split.sum().epistemic == [0.5]


def test_equal_draws_are_all_aleatoric() -> None:
    split = labelwise_variance(np.tile([0.5, 0.3, 0.2], (4, 2, 1)))
    np.testing.assert_allclose(split.aleatoric, [[0.25, 0.21, 0.16]] * 2, rtol=1e-14)
    np.testing.assert_allclose(split.epistemic, 0.0, atol=1e-30)


def test_total_is_the_variance_of_labels_really_drawn() -> None:
    """A label from a random draw: its indicator has the total variance, m (1 - m)."""
    rng = np.random.default_rng(0)
    probs = softmax(2.0 * rng.normal(size=(20, 1, 4)), axis=-1)
    num_labels = 40_000
    cumulative = probs[rng.integers(20, size=num_labels), 0].cumsum(axis=1)
    labels = (rng.random(num_labels)[:, np.newaxis] > cumulative[:, :-1]).sum(axis=1)
    split = labelwise_variance(probs)
    for k in range(4):
        error = 1.0 / np.sqrt(num_labels)  # of a share, times |1 - 2 m| <= 1
        assert np.var(labels == k) == pytest.approx(split.total[0, k], abs=5 * error / 2)


def test_agrees_with_a_slow_loop_and_adds_up() -> None:
    probs = softmax(np.random.default_rng(1).normal(size=(7, 3, 4)), axis=-1)
    split = labelwise_variance(probs)
    for n, k in np.ndindex(3, 4):
        p = [float(probs[s, n, k]) for s in range(7)]
        mean = sum(p) / 7
        assert split.total[n, k] == pytest.approx(mean * (1 - mean), rel=1e-12)
        assert split.aleatoric[n, k] == pytest.approx(sum(q * (1 - q) for q in p) / 7, rel=1e-12)
        assert split.epistemic[n, k] == pytest.approx(
            sum((q - mean) ** 2 for q in p) / 7, rel=1e-12
        )


def test_one_draw_is_refused() -> None:
    with pytest.raises(InputError, match=r"`labelwise_variance` compares draws.*S = 1"):
        labelwise_variance(np.full((1, 3, 2), 0.5))
