from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

from bayescam.types import InputError
from bayescam.uncertainty import variation_ratio


def test_draws_divided_in_two_halves_vary_by_one_half() -> None:
    probs = np.zeros((10, 2, 4))
    probs[:5, 0, 0] = probs[5:, 0, 1] = 1.0
    probs[:, 1, 3] = 1.0
    np.testing.assert_array_equal(variation_ratio(probs), [0.5, 0.0])


def test_every_class_called_equally_often_is_the_maximum() -> None:
    probs = np.repeat(np.eye(4), 3, axis=0)[:, np.newaxis]
    assert variation_ratio(probs) == [0.75]


def test_agrees_with_the_mode_of_scipy_and_with_the_order_reversed() -> None:
    probs = softmax(np.random.default_rng(0).normal(size=(31, 50, 5)), axis=-1)
    called = probs.argmax(axis=2)
    share = np.mean(called != stats.mode(called, axis=0).mode, axis=0)
    np.testing.assert_allclose(variation_ratio(probs), share, rtol=1e-12)
    np.testing.assert_array_equal(variation_ratio(probs[::-1]), variation_ratio(probs))


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"`variation_ratio` compares draws.*only one \(S = 1\)"):
        variation_ratio(np.full((1, 3, 2), 0.5))
    with pytest.raises(InputError, match="must sum to one"):
        variation_ratio(np.full((4, 3, 2), 0.4))
    with pytest.raises(InputError, match="NaN"):
        variation_ratio(np.full((4, 3, 2), np.nan))
