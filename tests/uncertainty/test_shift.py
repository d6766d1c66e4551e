from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_curve

from bayescam.types import InputError
from bayescam.uncertainty import detect_shift, detect_shift_by_score


def slow_detection(inside, outside, rate) -> tuple[float, float, float]:
    wins = [(b > a) + 0.5 * (b == a) for a in inside for b in outside]
    for threshold in sorted(set(inside)):
        reached = sum(a <= threshold for a in inside) / len(inside)
        if reached >= rate:
            accepted = sum(b <= threshold for b in outside) / len(outside)
            return sum(wins) / len(wins), accepted, reached
    raise AssertionError


@pytest.mark.parametrize("decimals", [0, 8])  # heavy ties, none
def test_detection_equals_a_slow_loop_and_the_roc_curve(decimals) -> None:
    rng = np.random.default_rng(1)
    inside = rng.normal(size=60).round(decimals)
    outside = rng.normal(1.0, size=45).round(decimals)
    result = detect_shift(inside, outside)
    found = (result.auroc, result.false_positive_rate, result.true_positive_rate)
    assert found == pytest.approx(slow_detection(inside, outside, 0.95))
    # scikit-learn with inside images as positives, so the score is negated.
    fpr, tpr, _ = roc_curve(
        np.repeat([1, 0], [60, 45]), -np.concatenate([inside, outside]), drop_intermediate=False
    )
    assert result.false_positive_rate == pytest.approx(fpr[tpr >= 0.95 - 1e-9].min())


def test_gaussian_closed_forms() -> None:
    """Quantiles of two normal laws a distance d apart: AUROC is Phi(d / sqrt 2)."""
    shift, quantiles = 1.3, norm.ppf((np.arange(4000) + 0.5) / 4000)
    result = detect_shift(quantiles, quantiles + shift)
    assert result.auroc == pytest.approx(norm.cdf(shift / np.sqrt(2)), abs=1e-3)
    assert result.false_positive_rate == pytest.approx(norm.cdf(norm.ppf(0.95) - shift), abs=1e-3)
    assert result.threshold == pytest.approx(norm.ppf(0.95), abs=1e-2)


def test_direction_and_ties() -> None:
    perfect = detect_shift([1, 2], [3, 4])
    assert (perfect.auroc, perfect.false_positive_rate) == (1.0, 0.0)
    reversed_ = detect_shift([3, 4], [1, 2])
    assert (reversed_.auroc, reversed_.false_positive_rate) == (0.0, 1.0)
    constant = detect_shift(np.ones(20), np.ones(7))
    assert (constant.auroc, constant.false_positive_rate) == (0.5, 1.0)
    assert constant.true_positive_rate == 1.0
    # 19 of 20 are 95 %: rounding errors do not ask for the twentieth.
    assert detect_shift(np.arange(20), [18.5], true_positive_rate=0.95).threshold == 18


def test_scores_by_name() -> None:
    inside = {"entropy": [0.1, 0.2], "distance": [1.0, 5.0]}
    outside = {"distance": [3.0], "entropy": [0.3]}
    result = detect_shift_by_score(inside, outside)
    assert result["entropy"] == detect_shift([0.1, 0.2], [0.3])
    assert result["distance"].auroc == 0.5
    with pytest.raises(InputError, match=r"same scores.*\['distance', 'entropy'\] and \['entropy'"):
        detect_shift_by_score(inside, {"entropy": [0.3]})


def test_bad_input_is_refused() -> None:
    with pytest.raises(
        InputError, match="`inside` must be finite; got NaN or infinity, 1 of 1 values"
    ):
        detect_shift([np.nan], [1.0])
    with pytest.raises(InputError, match="`outside` must be one number an image"):
        detect_shift([1.0], [])
    with pytest.raises(InputError, match=r"`true_positive_rate`.*got 95\. Is it a percentage\?"):
        detect_shift([1.0], [2.0], true_positive_rate=95)
