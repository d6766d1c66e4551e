from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayescam.types import InputError
from bayescam.uncertainty import (
    accuracy_at_referral,
    bootstrap_at_referral,
    bootstrap_aurc,
    class_at_referral,
    group_bootstrap,
    risk_coverage,
)
from bayescam.uncertainty.resampling import resample_groups


def sample(seed: int, num_images: int = 60) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    score = rng.uniform(size=num_images)
    correct = rng.uniform(size=num_images) > score
    scores = {"fine": score, "tied": np.round(4 * score), "constant": np.ones(num_images)}
    return scores, correct, rng.integers(0, 25, num_images)


@pytest.mark.parametrize("name", ["fine", "tied", "constant"])
def test_resamples_are_those_of_images_listed_again_and_again(name: str) -> None:
    scores, correct, groups = sample(0)
    found = bootstrap_aurc(scores, correct, groups, num_resamples=70, seed=3)[name]
    codes = np.unique(groups.astype(str), return_inverse=True)[1]
    counts = np.concatenate(list(resample_groups(codes.max() + 1, 70, seed=3)))
    for r, count in enumerate(counts):
        listed = np.repeat(np.arange(60), count[codes].astype(int))
        slow = risk_coverage(scores[name][listed], correct[listed])
        assert found.aurc_resamples[r] == pytest.approx(slow.aurc, rel=1e-10)
        assert found.excess_aurc_resamples[r] == pytest.approx(slow.excess_aurc, abs=1e-12)
    whole = risk_coverage(scores[name], correct)
    assert (found.aurc, found.excess_aurc) == (whole.aurc, whole.excess_aurc)


@pytest.mark.filterwarnings("ignore:no image is of class 2")  # in some resamples
@pytest.mark.parametrize("name", ["fine", "tied", "constant"])
def test_rates_are_those_of_images_listed_again_and_again(name: str) -> None:
    """Few images of a class: some resamples have none of it."""
    scores, correct, groups = sample(0)
    rng, rates = np.random.default_rng(5), (0.0, 0.1, 0.35, 0.98)
    labels = np.where(np.arange(60) < 2, 2, rng.integers(0, 2, 60))
    predicted = np.where(correct, labels, (labels + 1) % 3)
    options = {"class_index": 2, "rates": rates}
    found = bootstrap_at_referral(
        scores, predicted, labels, groups, num_resamples=70, seed=3, **options
    )[name]
    codes = np.unique(groups.astype(str), return_inverse=True)[1]
    counts = np.concatenate(list(resample_groups(codes.max() + 1, 70, seed=3)))
    for r, count in enumerate(counts):
        listed = np.repeat(np.arange(60), count[codes].astype(int))
        score = scores[name][listed]
        slow = [accuracy_at_referral(score, correct[listed], rate) for rate in rates]
        np.testing.assert_allclose(found.accuracy_resamples[r], slow, rtol=1e-10)
        of_class = class_at_referral(score, predicted[listed], labels[listed], **options)
        for key in ("kept", "sensitivity", "missed_silently"):
            resamples = getattr(found, f"{key}_resamples")
            slow = getattr(of_class, key)
            np.testing.assert_allclose(resamples[r], slow, rtol=1e-10, atol=1e-12, err_msg=key)
    assert 0 < np.isnan(found.missed_silently_resamples[:, 0]).sum() < 70
    slow = [accuracy_at_referral(scores[name], correct, rate) for rate in rates]
    np.testing.assert_allclose(found.accuracy, slow, rtol=1e-12)
    whole = class_at_referral(scores[name], predicted, labels, **options)
    for key in ("kept", "sensitivity", "missed_silently"):
        np.testing.assert_allclose(getattr(found, key), getattr(whole, key), rtol=1e-12)
    options["class_index"] = None
    of_none = bootstrap_at_referral(
        scores, predicted, labels, groups, num_resamples=70, seed=3, **options
    )[name]
    np.testing.assert_array_equal(of_none.accuracy_resamples, found.accuracy_resamples)
    assert np.isnan(of_none.missed_silently_resamples).all()


def test_errors_among_the_kept_are_binomial_where_images_stand_alone() -> None:
    """All errors are of class 1 and among the 100 surest images, of which 160 are always kept."""
    n = 200
    labels = np.repeat([1, 0, 0], [30, 70, 100])
    predicted, score = np.zeros(n, int), np.repeat([0.0, 0.0, 1.0], [30, 70, 100])
    found = bootstrap_at_referral(
        {"a": score},
        predicted,
        labels,
        np.arange(n),
        class_index=1,
        rates=[0.2],
        num_resamples=4000,
        seed=1,
    )["a"]
    np.testing.assert_array_equal(found.missed_silently_resamples, 1.0)
    np.testing.assert_array_equal(found.sensitivity_resamples, 0.0)
    wrong = np.rint((1 - found.accuracy_resamples[:, 0]) * 160)
    exact = stats.binom(n, 30 / n)
    for value in (20, 25, 30, 35, 40):
        share = exact.cdf(value)
        assert abs((wrong <= value).mean() - share) < 5 * np.sqrt(share * (1 - share) / 4000)


def test_resamples_are_those_of_the_other_scores() -> None:
    """A constant score has the error rate as its area, resample by resample."""
    rng = np.random.default_rng(1)
    probs, labels = rng.dirichlet([1, 1, 1], 50), rng.integers(0, 3, 50)
    groups = rng.integers(0, 20, 50)
    boot = group_bootstrap(probs, labels, groups, list("abc"), num_resamples=100, seed=4)
    accuracy = boot.resamples[:, boot.names.index("accuracy")]
    correct = probs.argmax(axis=1) == labels
    found = bootstrap_aurc({"none": np.zeros(50)}, correct, groups, num_resamples=100, seed=4)
    np.testing.assert_allclose(found["none"].aurc_resamples, 1 - accuracy, rtol=1e-10)


def test_a_perfect_score_has_no_excess() -> None:
    _, correct, groups = sample(2)
    found = bootstrap_aurc({"oracle": (~correct).astype(float)}, correct, groups, num_resamples=50)
    # wrong images are tied among themselves, which costs nothing: all of them are wrong
    np.testing.assert_allclose(found["oracle"].excess_aurc_resamples, 0.0, atol=1e-12)


def test_bad_input_is_refused() -> None:
    scores, correct, groups = sample(0)
    with pytest.raises(InputError, match="`scores` must hold at least one"):
        bootstrap_aurc({}, correct, groups)
    with pytest.raises(InputError, match="at least two groups"):
        bootstrap_aurc(scores, correct, np.zeros(60))
    with pytest.raises(InputError, match="`broken` must be finite"):
        bootstrap_aurc({"broken": np.full(60, np.nan)}, correct, groups)
    with pytest.raises(InputError, match="`num_resamples` must be a whole number, 1 or.*got 10.5"):
        bootstrap_aurc(scores, correct, groups, num_resamples=10.5)
    with pytest.raises(InputError, match="`seed` must be a whole number, 0 or more; got -1"):
        bootstrap_aurc(scores, correct, groups, seed=-1)
    calls = np.zeros(60, int)
    with pytest.raises(InputError, match="`scores` must hold at least one"):
        bootstrap_at_referral({}, calls, calls, groups, class_index=0, rates=[0.1])
    with pytest.raises(InputError, match=r"`rate` must be .*got 10\. Is it a percentage"):
        bootstrap_at_referral(scores, calls, calls, groups, class_index=0, rates=[10])
    with pytest.raises(InputError, match="at least two groups"):
        bootstrap_at_referral(scores, calls, calls, calls, class_index=0, rates=[0.1])
    with pytest.raises(InputError, match="`class_index` must be a whole number, 0 or more; got -1"):
        bootstrap_at_referral(scores, calls, calls, groups, class_index=-1, rates=[0.1])
    with pytest.raises(InputError, match=r"`predicted` must have shape \(60,\); got \(3,\)"):
        bootstrap_at_referral(scores, calls[:3], calls, groups, class_index=0, rates=[0.1])
    uneven = {"a": np.ones(60), "b": np.ones(3)}
    with pytest.raises(InputError, match="`scores` must be of the same images.*'a': 60, 'b': 3"):
        bootstrap_aurc(uneven, correct, groups)
