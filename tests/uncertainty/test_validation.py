from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayescam.types import InputError, check_share, check_whole_number
from bayescam.uncertainty import (
    class_at_referral,
    credible_interval,
    decompose,
    fit_calibration,
    score_predictions,
    variation_ratio,
)
from bayescam.uncertainty.validation import check_flags, check_groups, check_scores

TWO = [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        (None, "`probs` must be an array of numbers; got None"),
        ([[["0.5", "0.5"]]], "`probs` must be an array of numbers; got values of type <U3"),
        ([[["a", "b"]]], "`probs` must be an array of numbers: could not convert"),
        ([[[0.5, 0.5], [1.0]]], "`probs` must be an array of numbers: .*inhomogeneous"),
        (TWO, r"`probs` must have shape \(S, N, K\); got \(2, 2\)\. Is the draw axis missing"),
        ([[[0.5, np.nan]]], "`probs` must be finite; got NaN or infinity, 1 of 2 values"),
        ([[[0.5, 0.7]]], r"Rows of `probs` must sum to one; one sums to 1\.2\. Are these logits"),
        ([[[2.0, -1.0]]], "`probs` must lie between 0 and 1; got -1. Are these logits"),
        ([[[1.0]]], "`probs` must have at least one draw and two classes"),
        (np.zeros((0, 2, 2)), "`probs` must have at least one draw"),
    ],
)
def test_probabilities(probs: object, message: str) -> None:
    for measure in (decompose, variation_ratio):
        with pytest.raises(InputError, match=message) as caught:
            measure(probs)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2], r"`labels` must be class indices 0\.\.1; got 2"),
        ([0, -1], r"`labels` must be class indices 0\.\.1; got -1"),
        (["mel", "nv"], r"`labels` must be class indices 0\.\.1.*Are these class names\?"),
        ([0.0, 1.0], "`labels` must be class indices.*type float64. Are these probabilities"),
        ([True, False], "`labels` must be class indices.*Are these right or wrong calls"),
        (None, r"`labels` must have shape \(2,\); got \(\)"),
        ([0], r"`labels` must have shape \(2,\); got \(1,\)"),
    ],
)
def test_labels(labels: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        score_predictions(TWO, labels, ["a", "b"])


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        ([[["1", "2"]]], "`logits` must be an array of numbers; got values of type <U1"),
        (["a", "b"], "`logits` must be an array of numbers: could not convert"),
        (None, "`logits` must be an array of numbers; got None"),
        (TWO, r"`logits` must have shape \(S, N, K\); got \(2, 2\)\. Is the draw axis"),
        ([[[np.inf, 0.0]]], "`logits` must be finite; .*the first inf"),
    ],
)
def test_logits(logits: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_calibration(logits, [0])


def test_scores_and_flags() -> None:
    with pytest.raises(
        InputError, match="`entropy` must be finite; .*2 of 3 values, the first nan"
    ):
        check_scores([np.nan, 0.0, -np.inf], name="entropy")
    with pytest.raises(InputError, match="`entropy` must be an array of numbers; got values"):
        check_scores(["1.0"], name="entropy")
    np.testing.assert_array_equal(check_scores([True, False], name="wrong"), [1.0, 0.0])
    with pytest.raises(InputError, match="`correct` must be 2 booleans.*Are these labels"):
        check_flags([0, 1], 2, name="correct")


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, np.float32("nan")])
def test_a_missing_group_is_refused(missing: object) -> None:
    with pytest.raises(InputError, match="`groups` must name the group of every image; got a mis"):
        check_groups(np.array(["a", missing], dtype=object), 2)


def test_one_draw_is_said_where_a_spread_is_asked_for() -> None:
    one = [[[0.3, 0.7]]]
    with pytest.warns(UserWarning, match=r"`decompose` got one draw \(S = 1\), which says nothing"):
        decompose(one)
    with pytest.warns(UserWarning, match=r"`credible_interval` got one draw \(S = 1\)"):
        credible_interval(one)
    with pytest.raises(InputError, match=r"`variation_ratio` compares draws.*S = 1"):
        variation_ratio(one)


def test_a_class_without_images_is_said() -> None:
    with pytest.warns(UserWarning, match=r"no image is of class 7 \(`class_index`; `labels` go up"):
        found = class_at_referral([0.1, 0.2], [0, 1], [0, 1], class_index=7, rates=[0.0])
    assert np.isnan(found.sensitivity).all()


@pytest.mark.parametrize("value", ["3", 3.0, None, True, -1, np.float64(2)])
def test_whole_numbers(value: object) -> None:
    with pytest.raises(InputError, match="`number` must be a whole number, 0 or more; got"):
        check_whole_number("number", value)
    assert check_whole_number("number", np.int16(3), least=3) == 3


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        ("0.5", "()", "`level` must lie strictly between 0 and 1; got '0.5'. Is it text"),
        (None, "()", "`level` must lie strictly between 0 and 1; got None"),
        (True, "(]", "`level` must be above 0 and at most 1; got True"),
        (95, "()", "got 95. Is it a percentage"),
        (float("nan"), "[)", "`level` must be at least 0 and below 1; got nan"),
        (0.0, "(]", "got 0.0"),
        (1.0, "[)", "got 1.0"),
        (-0.1, "[)", "got -0.1"),
    ],
)
def test_shares(value: object, bounds: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_share("level", value, bounds=bounds)


def test_ends_of_shares() -> None:
    assert check_share("a", 0, bounds="[)") == 0.0
    assert check_share("a", 1, bounds="(]") == 1.0
    assert check_share("a", np.float32(0.5)) == 0.5
