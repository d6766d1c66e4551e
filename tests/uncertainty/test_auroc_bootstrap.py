from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bayescam.types import InputError
from bayescam.uncertainty import bootstrap_auroc, group_bootstrap
from bayescam.uncertainty.resampling import resample_groups


def sample(share: float, num_images: int = 60):
    rng = np.random.default_rng(0)
    score = rng.normal(size=num_images)
    scores = {"fine": score, "tied": np.round(score), "constant": np.ones(num_images)}
    positive = np.arange(num_images) < round(share * num_images)
    return scores, positive, rng.integers(0, 25, num_images)


@pytest.mark.parametrize(("share", "num_images"), [(0.05, 20), (0.5, 60), (0.9, 60)])
def test_resamples_are_those_of_images_listed_again_and_again(
    share: float, num_images: int
) -> None:
    """Few positive images: some resamples have none of them."""
    scores, positive, groups = sample(share, num_images)
    found = bootstrap_auroc(scores, positive, groups, num_resamples=30, seed=3)
    codes = np.unique(groups.astype(str), return_inverse=True)[1]
    counts = np.concatenate(list(resample_groups(codes.max() + 1, 30, seed=3)))
    empty = 0
    for name, values in scores.items():
        assert found[name].auroc == pytest.approx(roc_auc_score(positive, values))
        for r, count in enumerate(counts):
            listed = np.repeat(np.arange(num_images), count[codes].astype(int))
            if positive[listed].any() and not positive[listed].all():
                slow = roc_auc_score(positive[listed], values[listed])
                assert found[name].resamples[r] == pytest.approx(slow, rel=1e-10)
            else:
                assert np.isnan(found[name].resamples[r])
                empty += 1
    assert (empty > 0) == (share == 0.05)


def test_resamples_are_those_of_the_other_scores() -> None:
    rng = np.random.default_rng(1)
    probs, labels = rng.dirichlet([1, 1, 1], 50), rng.integers(0, 3, 50)
    groups = rng.integers(0, 20, 50)
    boot = group_bootstrap(probs, labels, groups, list("abc"), num_resamples=100, seed=4)
    found = bootstrap_auroc({"b": probs[:, 1]}, labels == 1, groups, num_resamples=100, seed=4)
    expected = boot.resamples[:, boot.names.index("auc_b")]
    np.testing.assert_allclose(found["b"].resamples, expected, rtol=1e-12)


def test_without_a_pair_there_is_no_area() -> None:
    scores, positive, groups = sample(0.0)
    found = bootstrap_auroc(scores, positive, groups, num_resamples=5)["fine"]
    assert np.isnan(found.auroc)
    assert np.isnan(found.resamples).all()


def test_bad_input_is_refused() -> None:
    scores, positive, groups = sample(0.5)
    with pytest.raises(InputError, match="`scores` must hold at least one"):
        bootstrap_auroc({}, positive, groups)
    with pytest.raises(InputError, match="`broken` must be finite; got NaN"):
        bootstrap_auroc({"broken": np.full(60, np.nan)}, positive, groups)
    with pytest.raises(InputError, match="`positive` must be 60 booleans.*Are these labels"):
        bootstrap_auroc(scores, positive.astype(int), groups)
    with pytest.raises(InputError, match="at least two groups"):
        bootstrap_auroc(scores, positive, np.zeros(60))
