from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from bayescam.types import InputError
from bayescam.workflows import analyze, analyze_exactly
from tests.networks import images, narrow

NUM = 2000


@pytest.fixture(scope="module")
def model():
    return narrow(seed=5)


def test_the_exact_analysis_is_what_many_draws_approach(model) -> None:
    x, targets = images(2), ["b", "c - a"]
    exact = analyze_exactly(model, x, targets=targets)
    drawn = analyze(model, x, targets=targets, num_samples=NUM, seed=1)
    assert exact["cam_mean"].dims == ("image", "target", "row", "column")
    for name in ("class", "target"):
        assert list(exact[name].values) == list(drawn[name].values)
    assert exact.attrs["layer"] == drawn.attrs["layer"]
    for values, kind in ((drawn["logits"], "logit"), (drawn["cam"], "cam")):
        mean, sd = (exact[f"{kind}_{part}"].values for part in ("mean", "sd"))
        found = values.values.astype(np.float64)
        assert (np.abs(found.mean(axis=0) - mean) <= 5 * sd / np.sqrt(NUM) + 1e-5).all()
        assert (np.abs(found.std(axis=0) - sd) <= 5 * sd / np.sqrt(2 * NUM) + 1e-5).all()
    prob, live = exact["cam_p_positive"].values, exact["cam_sd"].values > 0
    ratio = exact["cam_mean"].values[live] / exact["cam_sd"].values[live]
    np.testing.assert_allclose(prob[live], norm.cdf(ratio), atol=1e-5)
    share = (drawn["cam"].values > 0).mean(axis=0)
    slack = 5 * np.sqrt(prob * (1 - prob) / NUM) + 25 / NUM
    assert (np.abs(share - prob) <= slack)[live].all()
    evidence = exact["cam_mean"].max(("row", "column")) > 0
    np.testing.assert_array_equal(exact["cam_has_evidence"], evidence)


def test_batches_do_not_matter(model) -> None:
    whole, parts = (analyze_exactly(model, images(3), batch_size=size) for size in (32, 2))
    for name in ("logit_sd", "cam_mean", "cam_sd"):
        scale = np.abs(whole[name]).max()
        np.testing.assert_allclose(parts[name] / scale, whole[name] / scale, atol=1e-5)


def test_a_head_or_a_score_without_closed_form_is_refused(model) -> None:
    with pytest.raises(InputError, match="closed forms exist for a head of one linear layer"):
        analyze_exactly(narrow(hidden_units=(4,)), images(1))
    with pytest.raises(InputError, match="closed forms exist for logits and their contrasts"):
        analyze_exactly(model, images(1), targets=["mutual_information"])
