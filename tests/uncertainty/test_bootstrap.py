from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from bayescam.types import InputError
from bayescam.uncertainty import group_bootstrap, score_predictions
from bayescam.uncertainty.resampling import resample_groups

NAMES = ["akiec", "bcc", "mel", "nv"]


def sample(num_images: int = 60, num_groups: int = 25):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(num_images, 4)) + [-1.5, 0.0, 0.5, 2.0]
    probs = softmax(logits, axis=1).round(1)  # many ties
    probs = probs / probs.sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(4, p=p) for p in probs])
    return probs, labels, rng.integers(num_groups, size=num_images)


def test_every_score_equals_the_one_of_images_really_drawn_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bayescam.uncertainty.resampling._CHUNK", 8)
    probs, labels, groups = sample()
    result = group_bootstrap(probs, labels, groups, NAMES, num_resamples=20, seed=3)
    names = np.unique(groups.astype(str))
    counts = np.concatenate(list(resample_groups(len(names), 20, seed=3)))
    members = [np.flatnonzero(groups.astype(str) == name) for name in names]
    missing = 0
    for row, times in zip(result.resamples, counts.astype(int), strict=True):
        again = np.concatenate([np.tile(m, t) for m, t in zip(members, times, strict=True)])
        slow = score_predictions(probs[again], labels[again], NAMES).as_dict()
        np.testing.assert_allclose(row, list(slow.values()), rtol=1e-9, atol=1e-12)
        missing += int(np.isnan(row).any())
    assert 0 < missing < 20  # some resamples lack a class: the hard branch was compared too


def test_estimate_is_the_sample_and_bounds_are_percentiles() -> None:
    probs, labels, groups = sample()
    result = group_bootstrap(probs, labels, groups, NAMES, num_resamples=130, level=0.8)
    scores = score_predictions(probs, labels, NAMES)
    estimate, lower, upper = result.interval("macro_auc")
    assert estimate == scores.macro_auc
    draws = result.resamples[:, result.names.index("macro_auc")]
    assert draws.shape == (130,)
    assert (lower, upper) == pytest.approx(tuple(np.quantile(draws, [0.1, 0.9])))
    np.testing.assert_allclose(result.estimate, list(scores.as_dict().values()))


def test_interval_of_accuracy_has_the_width_of_the_cluster_formula() -> None:
    """Groups of 5 equal images: the sd of accuracy is that of 400 coins, not of 2000."""
    rng = np.random.default_rng(1)
    right = np.repeat(rng.random(400) < 0.7, 5)
    probs = np.where(right[:, np.newaxis], [0.9, 0.1], [0.1, 0.9])
    groups = np.repeat(np.arange(400), 5)
    result = group_bootstrap(probs, np.zeros(2000, int), groups, ["a", "b"], num_resamples=1000)
    sd = result.resamples[:, 0].std(ddof=1)
    expected = np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert sd == pytest.approx(expected, abs=5 * expected / np.sqrt(2 * 1000))


def test_same_seed_pairs_the_resamples_of_two_models() -> None:
    probs, labels, groups = sample()
    other = 0.5 * probs + 0.125
    first = group_bootstrap(probs, labels, groups, NAMES, num_resamples=40, seed=5)
    second = group_bootstrap(other, labels, groups, NAMES, num_resamples=40, seed=5)
    accuracy = first.names.index("accuracy")
    np.testing.assert_allclose(
        first.resamples[:, accuracy], second.resamples[:, accuracy], atol=1e-12
    )
    third = group_bootstrap(probs, labels, groups, NAMES, num_resamples=40, seed=6)
    assert (first.resamples[:, accuracy] != third.resamples[:, accuracy]).any()


def test_counts_sum_to_the_number_of_groups_and_are_multinomial() -> None:
    counts = np.concatenate(list(resample_groups(30, 500, seed=0)))
    np.testing.assert_array_equal(counts.sum(axis=1), 30)
    variance = 30 * (1 / 30) * (29 / 30)
    assert counts.var() == pytest.approx(variance, rel=0.05)


def test_class_that_never_occurs_has_no_interval() -> None:
    probs, labels, groups = sample()
    result = group_bootstrap(
        probs, np.where(labels == 0, 1, labels), groups, NAMES, num_resamples=20
    )
    assert np.isnan(result.interval("sensitivity_akiec")).all()
    assert np.isfinite(result.interval("specificity_akiec")).all()
    assert np.isfinite(result.interval("macro_auc")).all()


def test_bad_input_is_refused() -> None:
    probs, labels, groups = sample()
    with pytest.raises(InputError, match="at least two groups"):
        group_bootstrap(probs, labels, ["a"] * 60, NAMES)
    with pytest.raises(InputError, match=r"`groups` must have shape \(60,\)"):
        group_bootstrap(probs, labels, groups[:3], NAMES)
    with pytest.raises(InputError, match="missing value"):
        group_bootstrap(probs, labels, [None, *groups[1:]], NAMES)
    with pytest.raises(InputError, match="`num_resamples`"):
        group_bootstrap(probs, labels, groups, NAMES, num_resamples=0)
    with pytest.raises(InputError, match="`level`"):
        group_bootstrap(probs, labels, groups, NAMES, level=1.0)
    with pytest.raises(InputError, match="no score 'f1'"):
        group_bootstrap(probs, labels, groups, NAMES, num_resamples=2).interval("f1")
