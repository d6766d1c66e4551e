"""The resampled referral scores against resamples that are written out, and what a table says."""

from __future__ import annotations

import numpy as np
import posterior_scores as ps
import pytest

from bayescam.uncertainty import accuracy_at_referral, class_at_referral, risk_coverage
from bayescam.uncertainty.bootstrap import resample_groups


@pytest.fixture
def judged(rng):
    labels = rng.integers(3, size=60)
    predicted = np.where(rng.random(60) < 0.7, labels, rng.integers(3, size=60))
    return rng.random(60), predicted, labels, rng.integers(25, size=60).astype(str)


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def test_resampled_referral_is_that_of_the_images_written_out(judged):
    doubt, predicted, labels, groups = judged
    found = ps.referral_resamples(doubt, predicted, labels, 1, groups, seed=3)
    codes = np.unique(groups, return_inverse=True)[1]
    counts = np.concatenate(list(resample_groups(codes.max() + 1, ps.NUM_RESAMPLES, seed=3)))
    for r in (0, 1, 500, 999):
        rows = np.repeat(np.arange(60), counts[r, codes].astype(int))
        right = predicted[rows] == labels[rows]
        kept = class_at_referral(
            doubt[rows], predicted[rows], labels[rows], class_index=1, rates=(ps.MISSED_RATE,)
        )
        assert found["AURC"][r] == pytest.approx(risk_coverage(doubt[rows], right).aurc)
        assert found[ps.MISSED][r] == pytest.approx(kept.missed_silently[0])
        for key, rate in zip(ps.KEPT, ps.RATES, strict=True):
            assert found[key][r] == pytest.approx(accuracy_at_referral(doubt[rows], right, rate))


def test_the_error_of_a_calibrated_forecast_falls_with_the_number_of_images(rng):
    probs = rng.dirichlet([1, 1, 1], size=12800)
    floor = [ps.calibrated_error(probs[:n]) for n in (200, 800, 3200, 12800)]
    ratios = np.divide(floor[:-1], floor[1:])
    np.testing.assert_allclose(ratios, 2, rtol=0.25)  # as the inverse root of N


def scores(head, nll, rng, *, split=0, seed=0):
    base = {key: 0.5 for key in ps.OUTCOMES}
    noise = rng.normal(0, 0.001, ps.NUM_RESAMPLES)
    return ps.HeadScores(
        head,
        split,
        seed,
        {**base, "NLL": nll, "seconds": 1.0, "cats by distance": 0.9},
        {**{key: np.full(ps.NUM_RESAMPLES, 0.5) for key in base}, "NLL": nll + noise},
    )


def test_the_verdict_names_the_best_and_judges_three_estimators_as_one(rng):
    family = ("a", "b")
    made = [
        scores(head, nll + 0.01 * seed + 0.1 * split, rng, split=split, seed=seed)
        for head, nll in {"probe": 0.3, "a": 0.5, "b": 0.7, "c": 0.55, "d": 0.8}.items()
        for seed in (0, 1)
        for split in (0, 1)
    ]
    table, verdict = ps.compare_heads(made, ("probe",), family)
    assert verdict[0].startswith("Best likelihood: c.")  # a and b count as one, 0.6
    assert any(
        line.startswith("- mean-field: NLL -0.05") and "(better)" in line for line in verdict
    )
    assert any(line.startswith("- probe: NLL 0.25") and "(worse)" in line for line in verdict)
    assert any(
        "sd of NLL between the three is 0.1414, between seeds of one 0.0071" in x for x in verdict
    )
    assert table.loc["a", "NLL"] == pytest.approx(0.555)
    assert table.loc["d", "NLL - c"].startswith("0.2500 [")
    assert "cats 0.900" in verdict[-1]
