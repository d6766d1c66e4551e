from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayescam.types import InputError
from bayescam.uncertainty import bootstrap_shift, detect_shift, group_bootstrap
from bayescam.uncertainty.resampling import resample_groups


def sample() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(2)
    near, far = rng.normal(size=40), rng.normal(1, size=30)
    return {
        "fine": (near, far),
        "tied": (near.round(), far.round()),
        "constant": (np.ones(40), np.ones(30)),
    }


@pytest.mark.parametrize("rate", [0.95, 0.5, 1.0])
@pytest.mark.parametrize("name", ["fine", "tied", "constant"])
def test_resamples_are_those_of_images_listed_again_and_again(name: str, rate: float) -> None:
    """The slow way finds the resamples outside by their seed, which is another one."""
    near, far = sample()[name]
    rng = np.random.default_rng(5)
    near_groups, far_groups = (rng.permutation(np.arange(n) % 12) for n in (40, 30))
    found = bootstrap_shift(
        {"a": near},
        {"a": far},
        near_groups,
        far_groups,
        true_positive_rate=rate,
        num_resamples=20,
        seed=3,
    )["a"]
    whole = detect_shift(near, far, true_positive_rate=rate)
    assert (found.auroc, found.false_positive_rate) == (whole.auroc, whole.false_positive_rate)
    seed = int(np.random.SeedSequence(3).spawn(1)[0].generate_state(1)[0])
    drawn = [
        np.concatenate(list(resample_groups(12, 20, seed=used)))[
            :, np.unique(groups.astype(str), return_inverse=True)[1]
        ].astype(int)
        for groups, used in ((near_groups, 3), (far_groups, seed))
    ]
    for r in range(20):
        slow = detect_shift(
            np.repeat(near, drawn[0][r]), np.repeat(far, drawn[1][r]), true_positive_rate=rate
        )
        assert found.auroc_resamples[r] == pytest.approx(slow.auroc, rel=1e-10)
        assert found.false_positive_rate_resamples[r] == pytest.approx(slow.false_positive_rate)


def test_both_sides_are_drawn_independently_and_inside_as_elsewhere() -> None:
    """Scores 0 and 1 inside and 0.5 outside: the area is the share of zeros inside; and mirrored.

    Both shares are sums over groups, so the correlation of independent draws is one of chance.
    """
    rng = np.random.default_rng(0)
    near, groups = rng.integers(0, 2, 100).astype(float), rng.integers(0, 30, 100)
    half = np.full(100, 0.5)
    of_near = bootstrap_shift({"a": near}, {"a": half}, groups, groups, seed=7)["a"]
    of_far = bootstrap_shift({"a": half}, {"a": near}, groups, groups, seed=7)["a"]
    probs = np.stack([1 - 0.9 * near, 0.9 * near], axis=1)
    boot = group_bootstrap(probs, np.zeros(100, int), groups, list("ab"), seed=7)
    accuracy = boot.resamples[:, boot.names.index("accuracy")]
    np.testing.assert_allclose(of_near.auroc_resamples, accuracy, rtol=1e-10)
    correlation = np.corrcoef(of_near.auroc_resamples, of_far.auroc_resamples)[0, 1]
    assert abs(correlation) < 5 / np.sqrt(1000)


def test_the_spread_of_the_area_is_that_of_hanley_and_mcneil() -> None:
    """With both sides exponential the formula is exact: Q1 = A / (2 - A), Q2 = 2 A^2 / (1 + A)."""
    rng, n, m = np.random.default_rng(4), 400, 100
    near, far = rng.exponential(1, n), rng.exponential(3, m)
    found = bootstrap_shift({"a": near}, {"a": far}, np.arange(n), np.arange(m))["a"]
    a = 0.75
    first, second = a / (2 - a), 2 * a**2 / (1 + a)
    variance = a * (1 - a) + (m - 1) * (first - a**2) + (n - 1) * (second - a**2)
    # the sample estimates that variance itself, to about a tenth of the standard deviation
    assert found.auroc_resamples.std() == pytest.approx(np.sqrt(variance / (n * m)), rel=0.2)


def test_of_a_fixed_threshold_the_rate_outside_is_binomial() -> None:
    """Inside images of one score leave no doubt of the threshold; groups of one image outside."""
    far = np.repeat([0.0, 1.0], [30, 70])
    found = bootstrap_shift(
        {"a": np.zeros(50)}, {"a": far}, np.arange(50), np.arange(100), num_resamples=4000
    )["a"]
    counts = np.rint(100 * found.false_positive_rate_resamples)
    exact = stats.binom(100, 0.3)
    for value in (20, 25, 30, 35, 40):
        share = exact.cdf(value)
        assert abs((counts <= value).mean() - share) < 5 * np.sqrt(share * (1 - share) / 4000)


def test_bad_input_is_refused() -> None:
    two, three = [1.0, 2.0], [1.0, 2.0, 3.0]
    with pytest.raises(InputError, match=r"same scores, at least one; got \['a'\] and \['b'\]"):
        bootstrap_shift({"a": two}, {"b": two}, [0, 1], [0, 1])
    with pytest.raises(InputError, match="`outside_groups` must name at least two groups"):
        bootstrap_shift({"a": two}, {"a": two}, [0, 1], [1, 1])
    with pytest.raises(InputError, match=r"`inside_groups` must have shape \(2,\)"):
        bootstrap_shift({"a": two}, {"a": two}, [0, 1, 2], [0, 1])
    with pytest.raises(InputError, match="`outside` must be of the same images.*'b': 2"):
        bootstrap_shift({"a": two, "b": two}, {"a": three, "b": two}, [0, 1], [0, 1, 2])
    with pytest.raises(InputError, match="`true_positive_rate` must be .*Is it a percentage"):
        bootstrap_shift({"a": two}, {"a": two}, [0, 1], [0, 1], true_positive_rate=95)
