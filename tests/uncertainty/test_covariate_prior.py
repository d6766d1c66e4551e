"""Class shares given age, sex and site against counting and against exact posteriors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import norm

from bayescam.types import InputError
from bayescam.uncertainty import (
    choose_prior_weight,
    cross_fit_logits,
    fit_covariate_prior,
)

NAMES = ("bkl", "mel", "nv")
SHARES = np.array([0.2, 0.2, 0.6])
SITES = ("back", "face", "foot")
P_SITE = np.array([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2], [0.6, 0.1, 0.3]])  # given bkl, mel, nv
AGES = np.array([65.0, 60.0, 40.0])


def patients(number: int, seed: int = 0) -> pd.DataFrame:
    """Age (normal, sd 15) and site are independent within each class."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, size=number, p=SHARES)
    return pd.DataFrame(
        {
            "label": np.array(NAMES)[codes],
            "site": [SITES[rng.choice(3, p=P_SITE[k])] for k in codes],
            "age": rng.normal(AGES[codes], 15.0),
            "code": codes,
        }
    )


def test_of_one_category_it_is_the_counted_share_within_it_over_that_of_all():
    records = patients(6000)
    ratio = fit_covariate_prior(records, ["site"], NAMES).log_ratio(records)
    counts = pd.crosstab(records["site"], records["label"])
    for site in SITES:
        within = np.log(counts.loc[site] / counts.loc[site].sum())
        of_all = np.log(counts.sum() / counts.to_numpy().sum())
        row = ratio[(records["site"] == site).to_numpy()][0]
        np.testing.assert_allclose(row, within - of_all, atol=0.03)  # the penalty shrinks a little


def test_of_age_and_site_it_is_bayes_rule():
    """Some 12 effects a class: the sd of a probability is at most sqrt(12 / (4 * n))."""
    records = patients(20_000)
    prior = fit_covariate_prior(records, ["age", "site"], NAMES)
    new = patients(500, seed=1)
    low, high = records["age"].quantile([0.01, 0.99])  # beyond the last age the spline is constant
    new = new[new["age"].between(low, high)]
    log_likelihood = norm.logpdf(new["age"].to_numpy()[:, None], AGES, 15.0)
    log_likelihood += np.log(P_SITE[:, new["site"].map(SITES.index)]).T
    exact = softmax(log_likelihood + np.log(SHARES), axis=1)
    found = softmax(prior.log_ratio(new) + prior.log_shares, axis=1)
    np.testing.assert_allclose(found, exact, atol=4 * np.sqrt(12 / (4 * 20_000)))


def test_added_to_logits_it_gives_the_posterior_of_image_and_covariates():
    """The image is one normal number, independent of age and site within each class."""
    records = patients(20_000)
    x = np.random.default_rng(5).normal(records["code"].to_numpy(float), 1.0)
    of_image = norm.logpdf(x[:, None], np.arange(3.0), 1.0)
    logits = of_image + np.log(SHARES)
    prior = fit_covariate_prior(records, ["site"], NAMES)
    found = softmax(logits + prior.log_ratio(records), axis=1)
    of_site = np.log(P_SITE[:, records["site"].map(SITES.index)]).T
    exact = softmax(of_image + of_site + np.log(SHARES), axis=1)
    np.testing.assert_allclose(found, exact, atol=0.03)


def test_columns_that_say_nothing_change_nothing():
    records = patients(20_000)
    rng = np.random.default_rng(2)
    records["noise"], records["side"] = rng.normal(size=20_000), rng.choice(["l", "r"], 20_000)
    ratio = fit_covariate_prior(records, ["noise", "side"], NAMES).log_ratio(records)
    # The sd of a log share of 0.2 is sqrt(0.8 / (0.2 * n)), with n images to each of 12 effects.
    assert np.abs(ratio).mean() < 2 * np.sqrt(0.8 / (0.2 * 20_000 / 12))


def test_what_is_missing_or_new():
    records = patients(3000)
    records["one"] = 7.0
    records.loc[records["label"] == "mel", ["age", "site"]] = [np.nan, None]
    prior = fit_covariate_prior(records, ["age", "site", "one"], (*NAMES, "vasc"))
    assert np.isfinite(prior.log_ratio(records)).all()
    missing = records[records["label"] == "mel"][:1]
    assert prior.log_ratio(missing)[0].argmax() == 1  # to be missing is a value of its own
    ratio = prior.log_ratio(records)
    np.testing.assert_array_equal(ratio[:, 3], 0.0)  # no record of the fit is of this class
    elsewhere = pd.DataFrame({"age": [None, 50.0], "site": ["palm", None], "one": [7.0, 1e6]})
    assert np.isfinite(prior.log_ratio(elsewhere)).all()
    assert prior.log_ratio(records[:0]).shape == (0, 4)
    far = pd.DataFrame({"age": [95.0, 950.0], "site": "back", "one": 7.0})
    first, second = prior.log_ratio(far)
    np.testing.assert_allclose(second, first, atol=0.5)  # a spline does not run away


def test_the_weight_is_that_of_the_best_cross_fitted_likelihood():
    """Covariates that the image shows too are counted twice at weight 1."""
    records = patients(3000)
    prior = fit_covariate_prior(records, ["site"], NAMES)
    new = patients(1500, seed=3)
    ratio, codes = prior.log_ratio(new), new["code"].to_numpy()
    groups = np.arange(1500)
    x = np.random.default_rng(4).normal(codes.astype(float), 1.0)
    of_image = (norm.logpdf(x[:, None], np.arange(3.0), 1.0) + np.log(SHARES))[np.newaxis]
    known, half = of_image + ratio, of_image + 0.5 * ratio
    for logits, expected in ((of_image, 1.0), (half, 0.5), (known, 0.0)):
        weight = choose_prior_weight(logits, ratio, codes, groups)
        assert abs(weight - expected) <= 0.25
        losses = {}
        for tried in (0.0, 0.25, 0.5, 0.75, 1.0):
            fitted = cross_fit_logits(logits + tried * ratio, codes, groups)[0]
            losses[tried] = -log_softmax(fitted, axis=1)[np.arange(1500), codes].mean()
        assert weight == min(losses, key=losses.__getitem__)
    assert choose_prior_weight(known, ratio, codes, groups, weights=[0.75]) == 0.75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: fit_covariate_prior(patients(50), [], NAMES), "other than label; got \\[\\]"),
        (lambda: fit_covariate_prior(patients(50), ["label"], NAMES), "other than label"),
        (lambda: fit_covariate_prior(patients(50), ["sex"], NAMES), "no column 'sex'; its columns"),
        (lambda: fit_covariate_prior(patients(50), ["age"], NAMES[:2]), "got 'nv'"),
        (
            lambda: fit_covariate_prior(patients(50).query("label == 'nv'"), ["age"], NAMES),
            "two classes or more; got \\['nv'\\]",
        ),
        (
            lambda: fit_covariate_prior(patients(50), ["age"], NAMES).log_ratio(
                pd.DataFrame({"age": ["old"]})
            ),
            "numbers in 'age'",
        ),
        (
            lambda: choose_prior_weight(
                np.zeros((1, 4, 3)), np.zeros((4, 2)), [0, 1, 2, 0], "abcd"
            ),
            "`log_ratio` must be finite, of shape \\(4, 3\\)",
        ),
        (
            lambda: choose_prior_weight(
                np.zeros((1, 4, 3)), np.zeros((4, 3)), [0, 1, 2, 0], list("abcd"), weights=[]
            ),
            "`weights` must hold",
        ),
    ],
)
def test_what_does_not_fit(change, message):
    with pytest.raises(InputError, match=message):
        change()
