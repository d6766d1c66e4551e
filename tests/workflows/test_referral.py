from __future__ import annotations

import numpy as np
import pytest

from bayescam.uncertainty import accuracy_at_referral, risk_coverage
from bayescam.workflows.judging import JudgedImages
from bayescam.workflows.referral import REFERRAL_RATES, referral_by_score


def judged(groups: np.ndarray) -> JudgedImages:
    rng = np.random.default_rng(0)
    probs, labels = rng.dirichlet([1, 1, 1], 40), rng.integers(0, 2, 40)
    scores = {"1 - confidence": 1 - probs.max(axis=1), "tied": (3 * probs[:, 0]).round()}
    return JudgedImages(probs, labels, groups, np.arange(40), scores)


def test_one_group_has_numbers_without_bounds() -> None:
    images = judged(np.zeros(40))
    found = referral_by_score(images, None, seed=0)["tied"]
    correct, score = images.correct, images.scores["tied"]
    none = {"lower": None, "upper": None}
    assert found["aurc"] == {"estimate": risk_coverage(score, correct).aurc} | none
    assert list(found["accuracy_at_referral"]) == ["0.0", *map(str, REFERRAL_RATES)]
    for rate, interval in found["accuracy_at_referral"].items():
        value = accuracy_at_referral(score, correct, float(rate))
        assert interval == {"estimate": value} | none
    assert found["concern"] is None


def test_a_class_without_images_has_no_numbers_and_the_others_are_as_before() -> None:
    images = judged(np.arange(40) // 2)
    with pytest.warns(UserWarning, match="no image is of class 2"):
        found = referral_by_score(images, 2, seed=0)
    for score, part in referral_by_score(images, None, seed=0).items():
        assert found[score]["accuracy_at_referral"] == part["accuracy_at_referral"]
        for interval in found[score]["concern"]["missed_silently"].values():
            assert interval == {"estimate": None, "lower": None, "upper": None}


def test_nothing_referred_is_the_same_for_every_score() -> None:
    found = referral_by_score(judged(np.arange(40) // 2), 1, seed=0)
    first, second = (part["accuracy_at_referral"]["0.0"] for part in found.values())
    assert first == pytest.approx(second)
    assert first["lower"] < first["estimate"] < first["upper"]
