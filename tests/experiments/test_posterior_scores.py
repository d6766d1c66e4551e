"""The resampled referral scores against resamples that are written out, and what a table says."""

from __future__ import annotations

import numpy as np
import posterior_scores as ps
import pytest
from posterior_table import compare_heads

from bayescam.uncertainty import accuracy_at_referral, class_at_referral, risk_coverage
from bayescam.uncertainty.resampling import resample_groups


@pytest.fixture
def judged(rng):
    labels = rng.integers(3, size=60)
    predicted = np.where(rng.random(60) < 0.7, labels, rng.integers(3, size=60))
    return rng.random(60), predicted, labels, rng.integers(25, size=60).astype(str)


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def test_referral_is_that_of_the_library_under_the_right_heading(judged):
    doubt, predicted, labels, groups = judged
    estimate, resamples = ps.referral_scores(doubt, predicted, labels, 1, groups, seed=3)
    right = predicted == labels
    kept = class_at_referral(doubt, predicted, labels, class_index=1, rates=(ps.MISSED_RATE,))
    assert estimate[ps.MISSED] == pytest.approx(kept.missed_silently[0])
    assert estimate["AURC"] == risk_coverage(doubt, right).aurc
    for key, rate in zip(ps.KEPT, ps.RATES, strict=True):
        assert estimate[key] == pytest.approx(accuracy_at_referral(doubt, right, rate))
    codes = np.unique(groups, return_inverse=True)[1]
    counts = np.concatenate(list(resample_groups(codes.max() + 1, ps.NUM_RESAMPLES, seed=3)))
    rows = np.repeat(np.arange(60), counts[999, codes].astype(int))
    again, _ = ps.referral_scores(
        doubt[rows], predicted[rows], labels[rows], 1, groups[rows], seed=3
    )
    assert {key: values[999] for key, values in resamples.items()} == pytest.approx(again)


def scores(head, nll, rng, *, validation, split=0, seed=0):
    base = {key: 0.5 for key in ps.OUTCOMES}
    noise = rng.normal(0, 0.001, ps.NUM_RESAMPLES)
    return ps.HeadScores(
        head,
        split,
        seed,
        {**base, "NLL": nll, ps.VALIDATION: validation, "seconds": 1.0, "cats by distance": 0.9},
        {**{key: np.full(ps.NUM_RESAMPLES, 0.5) for key in base}, "NLL": nll + noise},
    )


def test_the_verdict_names_the_best_and_judges_three_estimators_as_one(rng):
    """Best is who is best on validation images, and not d, who is best on test images."""
    family = ("a", "b")
    validation = {"probe": 0.1, "a": 0.5, "b": 0.7, "c": 0.55, "d": 0.8}
    nll = {"probe": 0.3, "a": 0.5, "b": 0.7, "c": 0.55, "d": 0.2}
    made = [
        scores(
            head,
            nll[head] + 0.01 * seed + 0.1 * split,
            rng,
            validation=validation[head] + 0.3 * seed - 0.1 * split,
            split=split,
            seed=seed,
        )
        for head in nll
        for seed in (0, 1)
        for split in (0, 1)
    ]
    table, verdict = compare_heads(made, ("probe",), family)
    # a and b count as one, 0.6
    assert verdict[0].startswith("Best likelihood on validation images: c. On test images")
    assert any(
        line.startswith("- mean-field: NLL -0.05") and "(better)" in line for line in verdict
    )
    assert any(line.startswith("- probe: NLL 0.25") and "(worse)" in line for line in verdict)
    assert any(line.startswith("- d: NLL 0.35") and "(worse)" in line for line in verdict)
    assert any(
        "sd of NLL between the three is 0.1414, between seeds of one 0.0071" in x for x in verdict
    )
    assert table.loc["a", "NLL"] == pytest.approx(0.555)
    assert table.loc["a", "NLL, validation"] == pytest.approx(0.6)
    assert table.loc["d", "NLL - c"].startswith("-0.3500 [")
    assert "cats 0.900" in verdict[-1]
