from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from bayescam.types import InputError
from bayescam.uncertainty import (
    accuracy_at_referral,
    class_at_referral,
    risk_coverage,
    risk_coverage_curves,
)


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
    with pytest.raises(InputError, match=r"`uncertainty` must be finite; got NaN.* 1 of 2 values"):
        risk_coverage([0.1, np.nan], [True, False])
    with pytest.raises(InputError, match=r"one number an image, \(N,\); got shape \(1, 2\)"):
        risk_coverage([[0.1, 0.2]], [True, False])
    with pytest.raises(InputError, match="`uncertainty` must be an array of numbers"):
        risk_coverage(["high", "low"], [True, False])


def test_excess_aurc_is_nothing_for_the_best_score_and_the_gap_by_sorting_for_others() -> None:
    rng = np.random.default_rng(3)
    correct = rng.random(60) < 0.7
    assert risk_coverage(1.0 - correct, correct).excess_aurc == pytest.approx(0.0, abs=1e-12)
    best = np.sort(~correct).cumsum() / np.arange(1, 61)  # wrong ones last
    curve = risk_coverage(rng.random(60), correct)
    assert curve.excess_aurc == pytest.approx(curve.aurc - best.mean(), abs=1e-12)
    assert curve.excess_aurc > 0.05
    assert risk_coverage(rng.random(60), np.zeros(60, bool)).excess_aurc == pytest.approx(0.0)


def test_excess_aurc_approaches_the_formula_of_the_paper() -> None:
    correct = np.arange(20_000) >= 3_000
    constant = risk_coverage(np.ones(20_000), correct)
    rate = 0.15
    best = rate + (1 - rate) * np.log(1 - rate)
    assert constant.excess_aurc == pytest.approx(rate - best, abs=1e-4)


def test_curves_of_all_scores_carry_their_names() -> None:
    rng = np.random.default_rng(4)
    correct = rng.random(50) < 0.8
    scores = {"entropy": rng.random(50), "mutual_information": rng.random(50)}
    curves = risk_coverage_curves(scores, correct)
    assert list(curves) == list(scores)
    for name, curve in curves.items():
        assert curve.aurc == risk_coverage(scores[name], correct).aurc
    with pytest.raises(InputError, match="Score 'entropy': `uncertainty` must be finite"):
        risk_coverage_curves({"entropy": np.full(50, np.nan)}, correct)
    with pytest.raises(InputError, match="`scores` must hold at least one"):
        risk_coverage_curves({}, correct)


def test_class_at_referral_is_the_mean_over_all_orders_that_respect_the_score() -> None:
    score = np.array([0.1, 0.3, 0.3, 0.3, 0.7, 0.7])
    labels = np.array([1, 1, 0, 1, 2, 1])
    predicted = np.array([1, 0, 0, 1, 1, 2])
    rates = [0.0, 1 / 6, 0.34, 0.5, 0.7]
    result = class_at_referral(score, predicted, labels, class_index=1, rates=rates)
    rows = []
    for order in permutations(range(6)):
        if (np.diff(score[list(order)]) >= 0).all():
            for rate in rates:
                surest = np.array(order)[: 6 - int(6 * rate + 1e-9)]
                of_class = surest[labels[surest] == 1]
                rows.append([len(of_class), (predicted[of_class] == 1).sum()])
    kept, found = np.reshape(rows, (-1, len(rates), 2)).mean(axis=0).T
    np.testing.assert_allclose(result.kept, kept / 4)
    np.testing.assert_allclose(result.sensitivity, found / kept)
    np.testing.assert_allclose(result.missed_silently, (kept - found) / 4, atol=1e-12)
    assert result.count == 4
    assert result.sensitivity[0] == 2 / 4  # nothing referred: the plain sensitivity


def test_absent_class_and_class_that_is_wholly_referred_have_no_sensitivity() -> None:
    with pytest.warns(UserWarning, match="no image is of class 3 .*`labels` go up to 0"):
        absent = class_at_referral([0.1, 0.2], [0, 0], [0, 0], class_index=3, rates=[0.0])
    assert absent.count == 0
    assert np.isnan([absent.kept, absent.sensitivity, absent.missed_silently]).all()
    gone = class_at_referral([0.1, 0.2], [0, 0], [0, 1], class_index=1, rates=[0.0, 0.5])
    np.testing.assert_array_equal(gone.kept, [1, 0])
    np.testing.assert_array_equal(gone.sensitivity, [0, np.nan])
    np.testing.assert_array_equal(gone.missed_silently, [1, 0])


def test_bad_classes_are_refused() -> None:
    def call(**change):
        good = {"uncertainty": [0.1, 0.2], "predicted": [0, 1], "labels": [1, 1]}
        return class_at_referral(**{**good, **change}, class_index=1, rates=[0.1])

    with pytest.raises(InputError, match=r"`labels` must have shape \(2,\)"):
        call(labels=[0])
    with pytest.raises(InputError, match="`predicted` must be class indices.*class names"):
        call(predicted=["nv", "mel"])
    with pytest.raises(InputError, match="`labels` must be class indices.*got -1"):
        call(labels=[0, -1])
    with pytest.raises(InputError, match=r"`uncertainty` must be finite; .*the first inf\."):
        call(uncertainty=[0.1, np.inf])
    with pytest.raises(InputError, match=r"`rate`.*got 35\. Is it a percentage\?"):
        class_at_referral([0.1], [0], [0], class_index=0, rates=[0.1, 35])
    with pytest.raises(InputError, match="`class_index` must be a whole number, 0 or more; got -1"):
        class_at_referral([0.1], [0], [0], class_index=-1, rates=[0.1])
    with pytest.raises(InputError, match="`class_index` must be a whole number.*got 'mel'"):
        class_at_referral([0.1], [0], [0], class_index="mel", rates=[0.1])
