from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import brier_score_loss

from bayescam.types import InputError
from bayescam.uncertainty import brier_decomposition

PARTS = [
    "reliability",
    "resolution",
    "uncertainty",
    "within_bin_variance",
    "within_bin_covariance",
]


def sample(seed: int = 0, num_images: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(num_images, 4)) + [0.0, -1.0, 0.5, 2.0]
    labels = np.array([rng.choice(4, p=p) for p in softmax(0.8 * logits, axis=1)])
    return softmax(logits, axis=1), labels


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
@pytest.mark.parametrize("num_bins", [1, 4, 15, 1000])
def test_parts_add_up_to_the_score_of_scikit_learn_whatever_the_bins(binning, num_bins) -> None:
    probs, labels = sample()
    parts = brier_decomposition(probs, labels, num_bins=num_bins, binning=binning)
    whole = brier_score_loss(labels, probs, labels=range(4), scale_by_half=False)
    assert parts.brier_score.sum() == pytest.approx(whole, rel=1e-12)
    for k in range(4):
        alone = brier_score_loss(labels == k, probs[:, k])
        assert parts.brier_score[k] == pytest.approx(alone, rel=1e-12)


def test_agrees_with_a_slow_loop_over_bins() -> None:
    probs, labels = sample(1)
    parts = brier_decomposition(probs, labels, num_bins=6)
    for k in range(4):
        p, y = probs[:, k], (labels == k).astype(float)
        slow = dict.fromkeys(PARTS, 0.0)
        slow["uncertainty"] = y.mean() * (1 - y.mean())
        for b in range(6):
            inside = (p >= b / 6) & (p < (b + 1) / 6)
            if not inside.any():
                continue
            f, o, share = p[inside].mean(), y[inside].mean(), inside.mean()
            slow["reliability"] += share * (f - o) ** 2
            slow["resolution"] += share * (o - y.mean()) ** 2
            slow["within_bin_variance"] += share * p[inside].var()
            slow["within_bin_covariance"] += 2 * share * np.mean((p[inside] - f) * (y[inside] - o))
        for name in PARTS:
            assert getattr(parts, name)[k] == pytest.approx(slow[name], rel=1e-10, abs=1e-15)


def test_murphys_three_parts_are_exact_when_forecasts_of_a_bin_are_equal() -> None:
    """Forecast 0.8 comes true 3 times of 5, forecast 0.2 once of 5."""
    probs = np.array([[0.8, 0.2]] * 5 + [[0.2, 0.8]] * 5)
    labels = [0, 0, 0, 1, 1, 0, 1, 1, 1, 1]
    parts = brier_decomposition(probs, labels)
    np.testing.assert_allclose(parts.reliability, (0.2**2 + 0.0) / 2)
    np.testing.assert_allclose(parts.resolution, 0.2**2)
    np.testing.assert_allclose(parts.uncertainty, 0.4 * 0.6)
    np.testing.assert_allclose(parts.within_bin_variance, 0.0, atol=1e-30)
    np.testing.assert_allclose(parts.within_bin_covariance, 0.0, atol=1e-30)
    np.testing.assert_allclose(parts.brier_score, (3 * 0.04 + 2 * 0.64 + 4 * 0.04 + 0.64) / 10)


def test_certain_and_right_is_all_resolution_and_constant_shares_have_none() -> None:
    labels = np.array([0, 0, 1, 2])
    certain = brier_decomposition(np.eye(3)[labels], labels)
    np.testing.assert_allclose(certain.resolution, certain.uncertainty)
    np.testing.assert_array_equal(certain.brier_score, 0.0)
    assert certain.uncertainty.sum() == pytest.approx(1 - 0.25 - 2 * 0.0625)
    constant = brier_decomposition(np.tile([0.5, 0.25, 0.25], (4, 1)), labels)
    for part in (constant.reliability, constant.resolution, constant.generalized_resolution):
        np.testing.assert_allclose(part, 0.0, atol=1e-30)
    wrong = brier_decomposition(np.eye(3)[[1, 1, 0, 0]], [0, 0, 1, 1])  # at exactly 0.0 and 1.0
    np.testing.assert_allclose(wrong.reliability, [1.0, 1.0, 0.0])
    np.testing.assert_allclose(wrong.brier_score, [1.0, 1.0, 0.0])


def test_generalized_resolution_hardly_depends_on_the_bins() -> None:
    probs, labels = sample(2, 3000)
    coarse, fine = (brier_decomposition(probs, labels, num_bins=b) for b in (4, 12))
    change = np.abs(coarse.generalized_resolution - fine.generalized_resolution).sum()
    assert change < 0.25 * np.abs(coarse.resolution - fine.resolution).sum()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"`labels`.*got 2\."):
        brier_decomposition([[0.5, 0.5]], [2])
    with pytest.raises(InputError, match="`binning` must be one of"):
        brier_decomposition([[0.5, 0.5]], [0], binning="quantile")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must sum to one"):
        brier_decomposition([[0.5, 0.4]], [0])
