from __future__ import annotations

import numpy as np
import pytest

from bayescam.types import InputError
from bayescam.uncertainty import bootstrap_means
from bayescam.uncertainty.resampling import resample_groups

GROUPS = np.array(["a", "b", "a", "c", "d", "c", "c", "e"])


def test_resamples_are_the_means_of_repeated_images() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 3, 8))
    scores[0, 1, [2, 3]] = np.nan
    found = bootstrap_means(scores, GROUPS, num_resamples=70, level=0.8, seed=3)
    counts = np.concatenate(list(resample_groups(5, 70, seed=3))).astype(int)
    for r, times in enumerate(counts):
        images = np.repeat(np.arange(8), times[np.unique(GROUPS, return_inverse=True)[1]])
        np.testing.assert_allclose(found.resamples[r], np.nanmean(scores[..., images], axis=-1))
    np.testing.assert_allclose(found.estimate, np.nanmean(scores, axis=-1))
    np.testing.assert_allclose(found.lower, np.nanquantile(found.resamples, 0.1, axis=0))
    np.testing.assert_allclose(found.upper, np.nanquantile(found.resamples, 0.9, axis=0))


def test_the_spread_is_the_standard_error_of_group_means() -> None:
    """Groups of one size, whose images are all alike: as if each group were one image."""
    rng = np.random.default_rng(1)
    means = rng.normal(size=50)
    found = bootstrap_means(np.repeat(means, 4), np.repeat(np.arange(50), 4), num_resamples=4000)
    expected = means.std() / np.sqrt(50)
    assert found.resamples.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * 4000))
    assert found.estimate == pytest.approx(means.mean())


def test_a_score_that_no_image_has_is_missing() -> None:
    found = bootstrap_means([[np.nan] * 8, [1.0] * 8], GROUPS, num_resamples=10)
    assert np.isnan([found.estimate[0], found.lower[0], found.upper[0]]).all()
    assert (found.estimate[1], found.lower[1], found.upper[1]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("scores", "groups", "message"),
    [
        ([1.0, np.inf], ["a", "b"], r"`scores` must be .* got shape \(2,\) with infinite values"),
        ([], [], r"`scores` must be \(..., N\), finite or NaN; got shape \(0,\)"),
        ([1.0, 2.0], ["a"], r"`groups` must have shape \(2,\)"),
        ([1.0, 2.0], ["a", "a"], "at least two groups"),
    ],
)
def test_what_does_not_fit_is_refused(scores, groups, message) -> None:
    with pytest.raises(InputError, match=message):
        bootstrap_means(scores, groups)
