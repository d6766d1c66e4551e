from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest
from scipy.special import softmax

from bayescam.types import InputError
from bayescam.uncertainty import coverage_band, fit_conformal, score_sets
from bayescam.uncertainty.conformal import conformal_rank
from bayescam.uncertainty.exchangeability import keyed_uniform

PREVALENCE = np.array([0.67, 0.11, 0.11, 0.05, 0.03, 0.02, 0.01])  # of the lesions of HAM10000
OPTIONS = [("lac", False), *product(["aps", "raps"], [True, False])]


def sample(num_images: int, seed: int = 0):
    """Overconfident predictions of seven rare and frequent classes, one image a lesion."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(7, size=num_images, p=PREVALENCE)
    logits = rng.normal(size=(num_images, 7)) + 1.8 * np.eye(7)[labels] + np.log(PREVALENCE) / 2
    return softmax(1.5 * logits, axis=1), labels


def slow_score(row, k, u, method, penalty, k_reg) -> float:
    """Classes one after the other, the most probable first."""
    if method == "lac":
        return 1 - row[k]
    total = 0.0
    for rank, other in enumerate(sorted(range(len(row)), key=lambda j: -row[j]), start=1):
        extra = penalty * max(rank - k_reg, 0) if method == "raps" else 0.0
        if other == k:
            return total + u * row[k] + extra
        total += row[other]
    raise AssertionError


def slow_set(row, u, threshold, method, randomised, penalty, k_reg) -> list[bool]:
    members = [False] * len(row)
    for k in sorted(range(len(row)), key=lambda j: -row[j]):
        fits = slow_score(row, k, u if randomised else 1.0, method, penalty, k_reg) <= threshold
        crossing = method != "lac" and not randomised
        members[k] = fits or crossing
        if not fits and crossing:
            break
    return members


@pytest.mark.parametrize(("method", "randomised"), OPTIONS)
def test_sets_equal_a_slow_loop(method, randomised) -> None:
    (probs, labels), (new, _) = sample(80), sample(60, seed=1)
    options = {"method": method, "randomised": randomised, "penalty": 0.07, "k_reg": 2}
    fitted = fit_conformal(probs, labels, alpha=0.2, seed=4, **options)
    u = keyed_uniform(80, seed=4, purpose="fit") if randomised else np.ones(80)
    scores = sorted(
        slow_score(*cell, method, 0.07, 2) for cell in zip(probs, labels, u, strict=True)
    )
    np.testing.assert_allclose(fitted.thresholds, scores[65 - 1], rtol=1e-12)  # ceil(81 * 0.8)
    u = keyed_uniform(60, seed=9, purpose="sets")
    expected = [
        slow_set(row, v, scores[64], method, randomised, 0.07, 2)
        for row, v in zip(new, u, strict=True)
    ]
    sets = fitted.sets(new, seed=9)
    np.testing.assert_array_equal(sets, expected)
    assert len(np.unique(sets.sum(axis=1))) > 1  # sets differ, so the comparison says something


def test_lac_by_hand() -> None:
    probs = [[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.3, 0.1, 0.6], [0.5, 0.4, 0.1]]
    fitted = fit_conformal(probs, [0, 1, 2, 1], alpha=0.25)  # scores 0.1 0.3 0.4 0.6; the 4th
    np.testing.assert_allclose(fitted.thresholds, 0.6)
    np.testing.assert_array_equal(
        fitted.sets([[0.45, 0.41, 0.14], [0.35, 0.35, 0.3]]), [[True, True, False], [False] * 3]
    )


def test_deterministic_aps_and_raps_by_hand() -> None:
    probs = [[0.5, 0.3, 0.2]] * 3
    new = [[0.4, 0.35, 0.25], [0.95, 0.04, 0.01]]
    aps = fit_conformal(probs, [0, 1, 0], alpha=0.4, method="aps", randomised=False)
    np.testing.assert_allclose(aps.thresholds, 0.8)  # scores 0.5 0.5 0.8; ceil(4 * 0.6) = 3
    np.testing.assert_array_equal(aps.sets(new), [[True, True, True], [True, False, False]])
    raps = fit_conformal(
        probs, [0, 1, 0], alpha=0.4, method="raps", randomised=False, penalty=0.1, k_reg=0
    )
    np.testing.assert_allclose(raps.thresholds, 1.0)  # 0.8 + 0.1 * 2
    # Sums 0.5, 0.95 < 1, so the second class is passed and the third crosses; 1.05 > 1 at once.
    np.testing.assert_array_equal(raps.sets(new), [[True, True, True], [True, False, False]])


def test_randomised_aps_by_hand() -> None:
    u_fit = keyed_uniform(1, seed=3, purpose="fit")[0]
    u_new = keyed_uniform(2, seed=3, purpose="sets")
    fitted = fit_conformal([[0.25, 0.75]], [0], alpha=0.5, method="aps", seed=3)
    np.testing.assert_allclose(fitted.thresholds, 0.75 + 0.25 * u_fit)
    new = [[0.9, 0.1], [0.6, 0.4]]
    expected = [[u * p <= 0.75 + 0.25 * u_fit, p + u * q <= 0.75 + 0.25 * u_fit]
                for u, (p, q) in zip(u_new, new, strict=True)]  # fmt: skip
    np.testing.assert_array_equal(fitted.sets(new, seed=3), expected)


def test_classes_of_equal_probability_enter_together() -> None:
    fitted = fit_conformal(
        [[0.6, 0.4, 0.0]] * 4, [0] * 4, alpha=0.5, method="aps", randomised=False
    )
    np.testing.assert_allclose(fitted.thresholds, 0.6)
    np.testing.assert_array_equal(
        fitted.sets([[0.5, 0.25, 0.25], [0.7, 0.15, 0.15], [0.4, 0.2, 0.4]]),
        [[True, True, True], [True, False, False], [True, False, True]],
    )


@pytest.mark.parametrize(("method", "randomised"), OPTIONS)
@pytest.mark.parametrize("class_conditional", [False, True])
def test_permuted_classes_give_permuted_sets(method, randomised, class_conditional) -> None:
    (probs, labels), (new, _) = sample(4000), sample(300, seed=1)
    order = np.random.default_rng(0).permutation(7)
    options = {
        "method": method,
        "randomised": randomised,
        "class_conditional": class_conditional,
        "alpha": 0.1,
    }
    fitted = fit_conformal(probs, labels, **options)
    permuted = fit_conformal(probs[:, order], np.argsort(order)[labels], **options)
    np.testing.assert_allclose(permuted.thresholds, fitted.thresholds[order], rtol=1e-12)
    np.testing.assert_array_equal(permuted.sets(new[:, order]), fitted.sets(new)[:, order])


FIVE_SIGMA = 1 - 5.7e-7  # level of a band that a right method leaves with no seed worth trying


@pytest.mark.parametrize(("method", "randomised"), OPTIONS)
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_coverage_over_200_splits_is_as_promised(method, randomised, alpha) -> None:
    """Few images fit, so a threshold one rank off would leave the band of the mean."""
    probs, labels = sample(600, seed=7)
    rng = np.random.default_rng(12)
    covered = 0
    for seed in range(200):
        order = rng.permutation(600)
        val, test = order[:39], order[39:]
        fitted = fit_conformal(
            probs[val], labels[val], alpha=alpha, method=method, randomised=randomised, seed=seed
        )
        covered += fitted.sets(probs[test], seed=seed)[np.arange(561), labels[test]].sum()
    coverage = covered / (200 * 561)
    lower, upper = coverage_band([39] * 200, [561] * 200, alpha=alpha, level=FIVE_SIGMA)
    assert lower < 1 - alpha < upper  # 40 * alpha is whole: nothing is rounded up
    assert upper < 1 - alpha + 1 / 40
    if method == "lac" or randomised:
        assert lower <= coverage <= upper
    else:
        assert coverage >= 1 - alpha


def test_class_conditional_sets_cover_each_class_as_promised() -> None:
    probs, labels = sample(6000, seed=3)
    rng = np.random.default_rng(5)
    coverage = {True: [], False: []}
    for _ in range(40):
        order = rng.permutation(6000)
        val, test = order[:3000], order[3000:]
        for conditional, rows in coverage.items():
            fitted = fit_conformal(
                probs[val], labels[val], alpha=0.1, class_conditional=conditional
            )
            scores = score_sets(fitted.sets(probs[test]), labels[test])
            rows.append([part.coverage for part in scores.by_class])
    count = np.bincount(labels) / 2
    mean = np.mean(coverage[True], axis=0)
    # Splits halve the images of a class nearly evenly; the spread of one split is about
    # sqrt(alpha * (1 - alpha) * 2 / n), and 1/n is the most that the rank rounds up.
    tolerance = 5 * np.sqrt(0.09 * 2 / count / 40)
    assert (mean >= 0.9 - tolerance).all()
    assert (mean <= 0.9 + tolerance + 1 / count).all()
    assert np.mean(coverage[False], axis=0).min() < 0.9 - tolerance.max()  # marginal: not so


def test_penalty_shortens_the_largest_sets() -> None:
    (probs, labels), (new, _) = sample(2000), sample(1000, seed=1)
    sizes = {}
    for penalty in (0.0, 0.01, 0.5):
        fitted = fit_conformal(probs, labels, alpha=0.05, method="raps", penalty=penalty, k_reg=2)
        sizes[penalty] = fitted.sets(new).sum(axis=1)
    aps = fit_conformal(probs, labels, alpha=0.05, method="aps").sets(new).sum(axis=1)
    np.testing.assert_array_equal(sizes[0.0], aps)
    assert sizes[0.5].max() < sizes[0.01].max() <= aps.max()


def test_threshold_rank() -> None:
    for n, alpha, rank in [(9, 0.1, 9), (8, 0.1, 9), (19, 0.05, 19), (99, 0.3, 70), (1, 0.5, 1)]:
        assert conformal_rank(n, alpha) == rank
    assert conformal_rank(0, 0.999) == 1  # more than there are: infinite


def test_too_few_images_give_full_sets_and_a_warning_that_names_the_class() -> None:
    probs, labels = sample(8)
    message = "alpha 0.1 needs 9 validation images.*in every set: 0 \\(8\\), 1 \\(8\\)"
    with pytest.warns(UserWarning, match=message):
        fitted = fit_conformal(probs, labels, alpha=0.1)
    assert np.isinf(fitted.thresholds).all()
    assert fitted.sets(probs).all()
    probs, labels = sample(100)
    labels = np.where(np.arange(100) < 8, 3, np.where(labels == 3, 0, labels) % 3)
    names = ["nv", "mel", "bkl", "df", "vasc", "bcc", "akiec"]
    with pytest.warns(UserWarning, match=r"every set: df \(8\), vasc \(0\), bcc \(0\), akiec \(0"):
        fitted = fit_conformal(probs, labels, alpha=0.1, class_conditional=True, class_names=names)
    np.testing.assert_array_equal(np.isinf(fitted.thresholds), [False] * 3 + [True] * 4)
    assert fitted.sets(probs)[:, 3:].all()
    assert not fitted.sets(probs)[:, :3].all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_conformal(*sample(9), alpha=0.1)  # nine are enough


def test_draws_follow_the_image_not_its_row_or_batch() -> None:
    (probs, labels), (new, _) = sample(200), sample(100, seed=1)
    keys = np.array([f"ISIC_{i}" for i in range(100)])
    fitted = fit_conformal(probs, labels, alpha=0.1, method="aps")
    sets = fitted.sets(new, seed=2, keys=keys)
    order = np.random.default_rng(0).permutation(100)
    np.testing.assert_array_equal(fitted.sets(new[order], seed=2, keys=keys[order]), sets[order])
    np.testing.assert_array_equal(fitted.sets(new[30:40], seed=2, keys=keys[30:40]), sets[30:40])
    np.testing.assert_array_equal(fitted.sets(new[:20], seed=2), fitted.sets(new, seed=2)[:20])
    assert (fitted.sets(new, seed=3, keys=keys) != sets).any()
    order = np.random.default_rng(1).permutation(200)
    names = np.arange(200)
    again = fit_conformal(probs[order], labels[order], alpha=0.1, method="aps", keys=names[order])
    np.testing.assert_array_equal(again.thresholds, fitted.thresholds)


def test_groups_of_the_fit_are_refused() -> None:
    probs, labels = sample(30)
    lesions = [f"HAM_{i}" for i in range(30)]
    fitted = fit_conformal(probs, labels, groups=lesions)
    assert fitted.sets(probs[:2], groups=["HAM_30", "HAM_31"]).shape == (2, 7)
    with pytest.raises(
        InputError, match=r"must not occur among the validation images; shared: 1, .*_29'"
    ):
        fitted.sets(probs[:2], groups=["HAM_29", "HAM_30"])
    with pytest.raises(InputError, match=r"`groups` must have shape \(2,\); got \(1,\)"):
        fitted.sets(probs[:2], groups=["HAM_30"])
    with pytest.raises(InputError, match="`groups` cannot be compared"):
        fit_conformal(probs, labels).sets(probs, groups=lesions)
    with pytest.raises(InputError, match="one image a group; 'HAM_1' has 2"):
        fit_conformal(probs, labels, groups=["HAM_1", *lesions[1:]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"mean_probs": [[0.5, 0.6]] * 3},
            r"Rows of `mean_probs` must sum to one; one sums to 1\.1",
        ),
        ({"mean_probs": [[np.nan, 1.0]] * 3}, "`mean_probs` must be finite"),
        ({"labels": [0, 1, 2]}, r"`labels` must be class indices 0\.\.1; got 2"),
        ({"alpha": 0.0}, "`alpha` must lie strictly between 0 and 1; got 0"),
        ({"alpha": 10}, r"`alpha`.*got 10\. Is it a percentage\?"),
        ({"alpha": float("nan")}, "`alpha`"),
        ({"method": "saps"}, "`method` must be one of lac, aps, raps; got 'saps'"),
        ({"penalty": -0.1}, r"`penalty` must be finite and not negative; got -0\.1"),
        ({"k_reg": -1}, "`k_reg` must be a whole number, 0 or more; got -1"),
        ({"class_names": ["mel"]}, "`class_names` must be 2 names"),
        ({"keys": ["a"]}, "`keys` must be 3 names, one an image; got 1"),
    ],
)
def test_bad_input_is_refused(change, message) -> None:
    good = {"mean_probs": [[0.5, 0.5]] * 3, "labels": [0, 1, 0], "alpha": 0.5}
    with pytest.raises(InputError, match=message):
        fit_conformal(**{**good, **change})


def test_other_number_of_classes_is_refused() -> None:
    fitted = fit_conformal(*sample(30))
    with pytest.raises(InputError, match="must have 7 classes.*got 2"):
        fitted.sets([[0.5, 0.5]])
