from __future__ import annotations

import numpy as np
import pytest

from bayescam.types import InputError
from bayescam.uncertainty import (
    class_at_referral,
    missed_silently_band,
    risk_band,
    risk_coverage,
)
from bayescam.uncertainty.resampling import resample_groups

NUM_IMAGES, NUM_RESAMPLES = 60, 50
COVERAGE = np.array([0.01, 0.3, 0.5, 0.75, 1.0])


def sample(score_name: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    score = rng.uniform(size=NUM_IMAGES)
    wrong = rng.uniform(size=NUM_IMAGES) < score
    labels = rng.integers(0, 3, NUM_IMAGES)
    scores = {"fine": score, "tied": np.round(4 * score), "constant": np.ones(NUM_IMAGES)}
    return {
        "uncertainty": scores[score_name],
        "labels": labels,
        "predicted": (labels + wrong) % 3,
        "groups": rng.integers(0, 25, NUM_IMAGES),
    }


def listed_again(groups: np.ndarray, seed: int) -> list[np.ndarray]:
    """The images of each resample, listed as often as their groups are drawn."""
    codes = np.unique(groups.astype(str), return_inverse=True)[1]
    counts = np.concatenate(list(resample_groups(codes.max() + 1, NUM_RESAMPLES, seed=seed)))
    return [np.repeat(np.arange(NUM_IMAGES), count[codes].astype(int)) for count in counts]


@pytest.mark.parametrize("name", ["fine", "tied", "constant"])
def test_risk_band_is_that_of_images_listed_again_and_again(name: str) -> None:
    data = sample(name)
    correct, score = data["predicted"] == data["labels"], data["uncertainty"]
    slow = []
    for rows in listed_again(data["groups"], seed=3):
        kept = np.maximum(np.ceil(COVERAGE * len(rows) - 1e-9), 1).astype(int)
        slow.append(risk_coverage(score[rows], correct[rows]).risk[kept - 1])
    options = {"coverage": COVERAGE, "level": 0.9, "num_resamples": NUM_RESAMPLES, "seed": 3}
    band = risk_band(score, correct, data["groups"], **options)
    np.testing.assert_allclose(band.lower, np.quantile(slow, 0.05, axis=0), atol=1e-12)
    np.testing.assert_allclose(band.upper, np.quantile(slow, 0.95, axis=0), atol=1e-12)


@pytest.mark.parametrize("name", ["fine", "tied", "constant"])
def test_missed_band_is_that_of_images_listed_again_and_again(name: str) -> None:
    data = sample(name)
    slow = []
    for rows in listed_again(data["groups"], seed=4):
        part = (data[key][rows] for key in ("uncertainty", "predicted", "labels"))
        found = class_at_referral(*part, class_index=1, rates=(1 - COVERAGE[1:]).tolist())
        slow.append(found.missed_silently)
    band = missed_silently_band(
        **data, class_index=1, coverage=COVERAGE[1:], num_resamples=NUM_RESAMPLES, seed=4
    )
    np.testing.assert_allclose(band.lower, np.quantile(slow, 0.025, axis=0), atol=1e-12)
    np.testing.assert_allclose(band.upper, np.quantile(slow, 0.975, axis=0), atol=1e-12)


def test_resamples_without_the_class_are_left_out() -> None:
    """Three images of one group each: where the one of the class is drawn, it is missed."""
    band = missed_silently_band(
        [0.1, 0.2, 0.3], [0, 0, 0], [0, 0, 1], [0, 1, 2], class_index=1, coverage=[1.0]
    )
    assert (band.lower, band.upper) == ([1.0], [1.0])


def test_bad_input_is_refused() -> None:
    data = sample("fine")
    correct = data["predicted"] == data["labels"]
    with pytest.raises(InputError, match=r"`coverage` must be shares .* got \[0\.0, 0\.5\]"):
        risk_band(data["uncertainty"], correct, data["groups"], coverage=[0.0, 0.5])
    with pytest.raises(InputError, match="at least two groups"):
        risk_band(data["uncertainty"], correct, np.zeros(NUM_IMAGES), coverage=[0.5])
    with pytest.raises(InputError, match="an image of class 5; there is none"):
        missed_silently_band(**data, class_index=5, coverage=[0.5])
