from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics

from bayescam.types import InputError
from bayescam.uncertainty import (
    CALIBRATION_SCORES,
    OVERALL_SCORES,
    classwise_calibration_error,
    expected_calibration_error,
    score_names,
    score_predictions,
)

NAMES = ["akiec", "bcc", "mel", "nv"]


def sample(seed: int = 0, num_images: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(num_images, 4)) + [0.0, -1.0, 0.5, 2.0]
    labels = np.array([rng.choice(4, p=p) for p in softmax(0.8 * logits, axis=1)])
    return softmax(logits, axis=1), labels


def test_agrees_with_definitions_written_out() -> None:
    probs, labels = sample()
    scores = score_predictions(probs, labels, NAMES)
    n, called = np.arange(200), probs.argmax(axis=1)
    assert scores.accuracy == np.mean(called == labels)
    assert scores.negative_log_likelihood == pytest.approx(-np.log(probs[n, labels]).mean())
    brier = sum(((probs[i] - np.eye(4)[labels[i]]) ** 2).sum() for i in range(200)) / 200
    assert scores.brier_score == pytest.approx(brier)
    for k in range(4):
        is_k = labels == k
        assert scores.sensitivity[k] == np.mean(called[is_k] == k)
        assert scores.specificity[k] == pytest.approx(np.mean(called[~is_k] != k))
        pairs = probs[is_k, k][:, None] - probs[~is_k, k]
        assert scores.auc[k] == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
        assert scores.count[k] == is_k.sum()


def test_agrees_with_scikit_learn() -> None:
    probs, labels = sample(1)
    scores = score_predictions(probs, labels, NAMES)
    called = probs.argmax(axis=1)
    assert scores.balanced_accuracy == pytest.approx(
        metrics.balanced_accuracy_score(labels, called)
    )
    assert scores.macro_auc == pytest.approx(
        metrics.roc_auc_score(labels, probs, multi_class="ovr", average="macro")
    )


def test_absent_classes_are_left_out_of_the_means() -> None:
    probs = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.4, 0.2, 0.4], [0.2, 0.5, 0.3]])
    scores = score_predictions(probs, [0, 1, 0, 0], ["a", "b", "c"])
    np.testing.assert_allclose(scores.sensitivity, [2 / 3, 1.0, np.nan])
    np.testing.assert_allclose(scores.auc, [2 / 3, 1.0, np.nan])
    assert scores.balanced_accuracy == pytest.approx(5 / 6)
    assert scores.macro_auc == pytest.approx(5 / 6)
    alone = score_predictions(probs, [0, 0, 0, 0], ["a", "b", "c"])
    assert np.isnan(alone.macro_auc)
    assert np.isnan(alone.specificity[0])
    assert alone.balanced_accuracy == 0.5


def test_certain_and_wrong_is_finite() -> None:
    scores = score_predictions([[1.0, 0.0], [0.0, 1.0]], [1, 1], ["a", "b"])
    assert scores.negative_log_likelihood == pytest.approx(-np.log(np.finfo(float).eps) / 2)
    assert scores.brier_score == 1.0


def test_names_and_values_of_the_dictionary() -> None:
    probs, labels = sample(2)
    scores = score_predictions(probs, labels, NAMES)
    flat = scores.as_dict()
    assert tuple(flat) == score_names(NAMES)
    assert tuple(flat)[:6] == OVERALL_SCORES
    assert tuple(flat)[6:11] == CALIBRATION_SCORES
    assert flat["brier_score"] == scores.brier_score
    assert flat["sensitivity_mel"] == scores.sensitivity[2]
    assert flat["auc_akiec"] == scores.auc[0]
    assert flat["specificity_nv"] == scores.specificity[3]


def test_parts_of_the_brier_score_and_other_calibration_errors() -> None:
    probs, labels = sample(5)
    scores = score_predictions(probs, labels, NAMES)
    parts = scores.brier_reliability - scores.brier_resolution + scores.brier_uncertainty
    assert parts == pytest.approx(scores.brier_score, rel=1e-12)
    shares = np.bincount(labels) / 200
    assert scores.brier_uncertainty == pytest.approx(1 - shares @ shares)
    assert scores.classwise_calibration_error == classwise_calibration_error(probs, labels)
    mass = expected_calibration_error(probs, labels, binning="equal-mass")
    assert scores.equal_mass_calibration_error == mass != scores.expected_calibration_error


def test_rounding_of_float32_rows_does_no_harm() -> None:
    probs, labels = sample(3)
    single = score_predictions(probs.astype(np.float32), labels, NAMES).as_dict()
    double = score_predictions(probs, labels, NAMES).as_dict()
    for name, value in double.items():
        assert single[name] == pytest.approx(value, abs=1e-5)


def test_bad_input_is_refused() -> None:
    probs, labels = sample(4)
    with pytest.raises(
        InputError, match=r"`mean_probs` must have shape \(N, K\).*mean over the dr"
    ):
        score_predictions(probs[np.newaxis], labels, NAMES)
    with pytest.raises(InputError, match="Are these class names"):
        score_predictions(probs, np.array(NAMES)[labels], NAMES)
    with pytest.raises(InputError, match=r"`labels` must be class indices 0..3; got -1"):
        score_predictions(probs, np.where(labels == 0, -1, labels), NAMES)
    with pytest.raises(InputError, match=r"`labels` must have shape \(200,\)"):
        score_predictions(probs, labels[:5], NAMES)
    with pytest.raises(InputError, match="`class_names` must be 4 different names"):
        score_predictions(probs, labels, ["a", "b", "c", "c"])
    with pytest.raises(InputError, match="no images|at least one"):
        score_predictions(np.zeros((0, 4)), np.zeros(0, int), NAMES)
