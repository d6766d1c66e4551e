from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from bayescam.types import InputError
from bayescam.uncertainty import fit_referral_rule


def slow_rule(score, correct, target, delta, num_candidates) -> tuple[float, float]:
    """Threshold and bound, one candidate after the other, with SciPy's exact interval."""
    best = (-np.inf, np.nan)
    ordered = sorted(score)
    for m in range(1, num_candidates + 1):
        last = m == num_candidates
        threshold = np.inf if last else ordered[m * len(score) // num_candidates]
        kept = [right for value, right in zip(score, correct, strict=True) if value < threshold]
        if not kept:
            continue
        test = binomtest(len(kept) - sum(kept), len(kept), alternative="less")
        bound = test.proportion_ci(1 - delta / num_candidates, "exact").high
        if bound <= target:
            best = (threshold, bound)
    return best


@pytest.mark.parametrize("decimals", [8, 1])  # without ties and with many
def test_rule_equals_a_slow_loop(decimals) -> None:
    rng = np.random.default_rng(0)
    for num_images in (50, 333):
        score = rng.random(num_images).round(decimals)
        correct = rng.random(num_images) > 0.5 * score**2
        rule = fit_referral_rule(score, correct, target_risk=0.2, delta=0.1, num_candidates=7)
        threshold, bound = slow_rule(score, correct, 0.2, 0.1, 7)
        assert rule.threshold == threshold
        assert rule.risk_bound == pytest.approx(bound, rel=1e-9)
        kept = score < threshold
        np.testing.assert_array_equal(rule.keeps(score), kept)
        assert rule.coverage == pytest.approx(kept.mean())
        assert rule.risk == pytest.approx((~correct[kept]).mean())


def test_bound_is_where_the_binomial_tail_is_delta() -> None:
    correct = np.arange(200) >= 6
    rule = fit_referral_rule(np.zeros(200), correct, target_risk=0.5, delta=0.05, num_candidates=1)
    assert rule.threshold == np.inf
    assert binom.cdf(6, 200, rule.risk_bound) == pytest.approx(0.05, rel=1e-6)


def violations(draw, risk_below, *, target, delta, num_candidates, repeats) -> float:
    """Share of repetitions whose rule keeps images of a true risk above the target."""
    rng, violated = np.random.default_rng(1), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of repetitions that refer everything
        for _ in range(repeats):
            score, correct = draw(rng)
            rule = fit_referral_rule(
                score, correct, target_risk=target, delta=delta, num_candidates=num_candidates
            )
            violated += int(risk_below(rule.threshold) > target)
    return violated / repeats


def test_guarantee_holds_where_risk_grows_with_uncertainty() -> None:
    """Wrong with probability 0.4 * u, u uniform: the risk below t is 0.2 * t."""

    def draw(rng):
        score = rng.random(300)
        return score, rng.random(300) >= 0.4 * score

    delta, repeats = 0.2, 1000
    share = violations(
        draw,
        lambda t: 0.2 * np.clip(t, 0, 1),
        target=0.1,
        delta=delta,
        num_candidates=10,
        repeats=repeats,
    )
    assert share <= delta + 5 * np.sqrt(delta * (1 - delta) / repeats)


@pytest.mark.parametrize("levels", [3, 10**9])  # heavy ties, none
def test_guarantee_holds_in_the_hardest_case_and_needs_the_correction(levels) -> None:
    """The risk is just above the target at every threshold: each candidate that passes fails."""

    def draw(rng):
        return rng.integers(levels, size=400), rng.random(400) >= 0.2001

    delta, repeats = 0.2, 1000
    options = {"target": 0.2, "num_candidates": 8, "repeats": repeats}
    error = 5 * np.sqrt(delta * (1 - delta) / repeats)
    risk_below = lambda t: 0.2001 if t > 0 else 0.0  # noqa: E731
    share = violations(draw, risk_below, delta=delta, **options)
    assert 0 < share <= delta + error
    if levels > 3:  # delta for each of eight candidates: not corrected for the search
        assert violations(draw, risk_below, delta=min(8 * delta, 0.999), **options) > delta + error


def test_rule_that_can_keep_something_keeps_it() -> None:
    rng = np.random.default_rng(2)
    score = rng.random(5000)
    rule = fit_referral_rule(score, rng.random(5000) >= 0.4 * score, target_risk=0.1)
    assert 0.3 <= rule.threshold <= 0.5  # at 0.5 the risk is 0.1
    assert rule.risk < rule.risk_bound <= 0.1


def test_nothing_is_good_enough() -> None:
    with pytest.warns(UserWarning, match="no threshold keeps the risk below 0.01 with probability"):
        rule = fit_referral_rule([0.1, 0.2, 0.3], [True] * 3, target_risk=0.01)
    assert (rule.threshold, rule.coverage) == (-np.inf, 0.0)
    assert not rule.keeps([-1e9, 0.0]).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_risk": 5}, r"`target_risk`.*got 5\. Is it a percentage\?"),
        ({"target_risk": 0.0}, "`target_risk` must lie strictly between 0 and 1"),
        ({"delta": 1.0}, "`delta` must lie strictly between 0 and 1"),
        ({"num_candidates": 0}, "`num_candidates` must be a whole number, 1 or more; got 0"),
        ({"uncertainty": [0.1, np.nan]}, "`uncertainty` must be finite; got NaN"),
        ({"correct": [0, 1]}, "`correct` must be 2 booleans.*Are these labels"),
        ({"groups": ["a", "a"]}, "one image a group; 'a' has 2"),
    ],
)
def test_bad_input_is_refused(change, message) -> None:
    good = {"uncertainty": [0.1, 0.2], "correct": [True, True], "target_risk": 0.1}
    with pytest.raises(InputError, match=message):
        fit_referral_rule(**{**good, **change})
