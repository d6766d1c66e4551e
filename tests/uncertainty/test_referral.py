from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from bayescam.types import InputError
from bayescam.uncertainty import accuracy_at_referral, risk_coverage


def test_by_hand() -> None:
    curve = risk_coverage([0.9, 0.1, 0.5, 0.2], [False, True, False, True])
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(curve.risk, [0, 0, 1 / 3, 1 / 2])
    assert curve.aurc == pytest.approx((1 / 3 + 1 / 2) / 4)


def test_ties_are_the_mean_over_all_orders_that_respect_the_score() -> None:
    score = np.array([0.1, 0.3, 0.3, 0.3, 0.7, 0.7])
    correct = np.array([True, False, True, True, False, True])
    risks = []
    for order in permutations(range(6)):
        if (np.diff(score[list(order)]) >= 0).all():
            risks.append(np.cumsum(~correct[list(order)]) / np.arange(1, 7))
    curve = risk_coverage(score, correct)
    np.testing.assert_allclose(curve.risk, np.mean(risks, axis=0))


def test_constant_score_says_nothing_and_the_best_score_gives_the_least_risk() -> None:
    rng = np.random.default_rng(0)
    correct = rng.random(200) < 0.8
    np.testing.assert_allclose(risk_coverage(np.ones(200), correct).risk, 1 - correct.mean())
    best = risk_coverage(1.0 - correct, correct)
    for seed in range(5):
        other = risk_coverage(np.random.default_rng(seed).random(200), correct)
        assert (best.risk <= other.risk + 1e-12).all()
    assert best.risk[-1] == pytest.approx(1 - correct.mean())


def test_accuracy_at_referral_by_sorting() -> None:
    rng = np.random.default_rng(1)
    score, correct = rng.random(100), rng.random(100) < 0.7
    for rate, kept in [(0.0, 100), (0.35, 65), (0.29, 71), (0.999, 1), (0.355, 65)]:
        surest = np.argsort(score)[:kept]
        assert accuracy_at_referral(score, correct, rate) == pytest.approx(correct[surest].mean())


def test_order_of_images_does_not_matter_with_ties() -> None:
    rng = np.random.default_rng(2)
    score, correct = rng.integers(5, size=80), rng.random(80) < 0.6
    order = rng.permutation(80)
    assert accuracy_at_referral(score, correct, 0.33) == pytest.approx(
        accuracy_at_referral(score[order], correct[order], 0.33), abs=1e-12
    )


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"`rate`.*got 35\. Is it a percentage\?"):
        accuracy_at_referral([0.1], [True], 35)
    with pytest.raises(InputError, match="Are these labels"):
        risk_coverage([0.1, 0.2], [0, 3])
    with pytest.raises(InputError, match="`uncertainty` must be one finite number"):
        risk_coverage([0.1, np.nan], [True, False])
