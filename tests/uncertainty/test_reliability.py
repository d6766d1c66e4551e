from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from bayescam.types import InputError
from bayescam.uncertainty import expected_calibration_error, reliability_curve


def test_one_bin_by_hand() -> None:
    probs = [[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.1, 0.9]]
    labels = [0, 0, 1, 1]
    assert expected_calibration_error(probs, labels) == pytest.approx(
        3 / 4 * abs(2 / 3 - 0.8) + 1 / 4 * abs(1 - 0.9), abs=1e-12
    )


def test_confidence_one_falls_in_the_last_bin_and_edges_belong_to_the_upper_bin() -> None:
    curve = reliability_curve([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5]], [0, 0, 1], num_bins=4)
    np.testing.assert_array_equal(curve.edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(curve.count, [0, 0, 1, 2])
    np.testing.assert_allclose(curve.confidence, [np.nan, np.nan, 0.5, 0.875])
    np.testing.assert_allclose(curve.accuracy, [np.nan, np.nan, 0.0, 1.0])
    assert expected_calibration_error([[1.0, 0.0]], [0]) == 0.0
    assert expected_calibration_error([[1.0, 0.0]], [1]) == 1.0


def test_agrees_with_a_loop_over_bins_and_with_tfp() -> None:
    tfp = pytest.importorskip("tensorflow_probability")
    rng = np.random.default_rng(0)
    logits = 2.0 * rng.normal(size=(500, 6))
    probs, labels = softmax(logits, axis=1), rng.integers(6, size=500)
    labels = np.where(rng.random(500) < 0.5, probs.argmax(axis=1), labels)
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    loop = 0.0
    for b in range(15):
        inside = (confidence >= b / 15) & (confidence < (b + 1) / 15)
        if inside.any():
            loop += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    ours = expected_calibration_error(probs, labels)
    assert ours == pytest.approx(loop, abs=1e-12)
    theirs = tfp.stats.expected_calibration_error(
        15, logits=logits.astype(np.float32), labels_true=labels.astype(np.int32)
    )
    # float32, same half-open bins: only an image within rounding of an edge could differ
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="`num_bins` must be at least 1"):
        reliability_curve([[0.5, 0.5]], [0], num_bins=0)
    with pytest.raises(InputError, match=r"`labels`.*got 2\."):
        reliability_curve([[0.5, 0.5]], [2])
