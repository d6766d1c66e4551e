from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom
from sklearn.calibration import calibration_curve

from bayescam.types import InputError
from bayescam.uncertainty import (
    calibration_error_by_chance,
    classwise_calibration_error,
    expected_calibration_error,
    reliability_curve,
)


def test_one_bin_by_hand() -> None:
    probs = [[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.1, 0.9]]
    labels = [0, 0, 1, 1]
    assert expected_calibration_error(probs, labels) == pytest.approx(
        3 / 4 * abs(2 / 3 - 0.8) + 1 / 4 * abs(1 - 0.9), abs=1e-12
    )


def test_confidence_one_falls_in_the_last_bin_and_edges_belong_to_the_upper_bin() -> None:
    curve = reliability_curve([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5]], [0, 0, 1], num_bins=4)
    np.testing.assert_array_equal(curve.edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(curve.count, [0, 0, 1, 2])
    np.testing.assert_allclose(curve.confidence, [np.nan, np.nan, 0.5, 0.875])
    np.testing.assert_allclose(curve.accuracy, [np.nan, np.nan, 0.0, 1.0])
    assert expected_calibration_error([[1.0, 0.0]], [0]) == 0.0
    assert expected_calibration_error([[1.0, 0.0]], [1]) == 1.0


@pytest.mark.parametrize("num_bins", [15, 49, 50, 100])
def test_every_edge_and_its_neighbours_fall_where_the_edges_say(num_bins: int) -> None:
    """49 * (1 / 49) is below 1, so counting by `floor(confidence * num_bins)` would not do."""
    edges = np.linspace(0, 1, num_bins + 1)
    edges = edges[edges > 0.51]
    values = np.concatenate([edges[:-1], np.nextafter(edges, 0), np.nextafter(edges[:-1], 1), [1]])
    for value in values:
        curve = reliability_curve([[value, 1 - value]], [0], num_bins=num_bins)
        b = int(curve.count.argmax())
        mean = value / (value + (1 - value))
        assert curve.edges[b] <= mean
        assert mean < curve.edges[b + 1] or (mean == 1.0 and b == num_bins - 1)


def test_agrees_with_a_loop_over_bins_and_with_tfp() -> None:
    tfp = pytest.importorskip("tensorflow_probability")
    rng = np.random.default_rng(0)
    logits = 2.0 * rng.normal(size=(500, 6))
    probs, labels = softmax(logits, axis=1), rng.integers(6, size=500)
    labels = np.where(rng.random(500) < 0.5, probs.argmax(axis=1), labels)
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    loop = 0.0
    for b in range(15):
        inside = (confidence >= b / 15) & (confidence < (b + 1) / 15)
        if inside.any():
            loop += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    ours = expected_calibration_error(probs, labels)
    assert ours == pytest.approx(loop, abs=1e-12)
    theirs = tfp.stats.expected_calibration_error(
        15, logits=logits.astype(np.float32), labels_true=labels.astype(np.int32)
    )
    # float32, same half-open bins: only an image within rounding of an edge could differ
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def sample(num_images: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    probs = softmax(2.0 * rng.normal(size=(num_images, 4)), axis=1)
    return probs, np.array([rng.choice(4, p=p) for p in probs**0.7 / (probs**0.7).sum(1)[:, None]])


@pytest.mark.parametrize(
    ("binning", "strategy"), [("equal-width", "uniform"), ("equal-mass", "quantile")]
)
def test_curves_agree_with_scikit_learn(binning, strategy) -> None:
    probs, labels = sample(491)  # 490 / 10 is whole: its quantiles are images, edges agree
    probs = probs[probs.max(axis=1).argsort()]
    curve = reliability_curve(probs, labels, num_bins=10, binning=binning)
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    theirs = calibration_curve(right, confidence, n_bins=10, strategy=strategy)
    seen = curve.count > 0
    if binning == "equal-width":
        np.testing.assert_allclose(curve.accuracy[seen], theirs[0])
        np.testing.assert_allclose(curve.confidence[seen], theirs[1])
    else:  # its bins hold their upper edge, ours the lower one: an image an edge may differ
        assert np.abs(curve.confidence - theirs[1]).max() < np.diff(curve.edges).max() / 49
        assert np.abs(curve.accuracy - theirs[0]).max() < 2 / 49


@pytest.mark.parametrize("num_images", [60, 61, 74, 7])
def test_bins_of_equal_mass_are_as_even_as_whole_images_can_be(num_images: int) -> None:
    probs, labels = sample(num_images)
    curve = reliability_curve(probs, labels, binning="equal-mass")
    whole = num_images / 15
    assert curve.count.sum() == num_images
    assert set(curve.count) <= {int(np.floor(whole)), int(np.ceil(whole))}
    confidence = (probs / probs.sum(axis=1, keepdims=True)).max(axis=1)
    assert (curve.edges[0], curve.edges[-1]) == (0.0, 1.0)
    for b in np.flatnonzero(curve.count):
        inside = (confidence >= curve.edges[b]) & (confidence < curve.edges[b + 1])
        assert inside.sum() == curve.count[b]
        assert curve.confidence[b] == pytest.approx(confidence[inside].mean())


def test_equal_mass_never_parts_ties_and_ignores_the_order_of_images() -> None:
    probs = np.array([[0.6, 0.4]] * 3 + [[0.9, 0.1]] * 5 + [[1.0, 0.0]] * 2)
    labels = np.array([0, 1, 1, 0, 0, 0, 0, 1, 0, 1])
    curve = reliability_curve(probs, labels, num_bins=5, binning="equal-mass")
    np.testing.assert_array_equal(curve.edges, [0.0, 0.6, 0.9, 0.9, 1.0, 1.0])
    np.testing.assert_array_equal(curve.count, [0, 3, 0, 5, 2])
    expected = (3 * abs(1 / 3 - 0.6) + 5 * abs(4 / 5 - 0.9) + 2 * abs(1 / 2 - 1.0)) / 10
    assert curve.expected_calibration_error == pytest.approx(expected)
    order = np.random.default_rng(0).permutation(10)
    error = expected_calibration_error(
        probs[order], labels[order], num_bins=5, binning="equal-mass"
    )
    assert error == pytest.approx(expected)


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
def test_probabilities_of_exactly_zero_and_one(binning) -> None:
    certain = np.eye(3)[[0, 0, 1, 2]]
    for labels, error in (([0, 0, 1, 2], 0.0), ([1, 1, 0, 0], 1.0)):
        assert expected_calibration_error(certain, labels, binning=binning) == error
    assert classwise_calibration_error(certain, [0, 0, 1, 2], binning=binning) == 0.0
    # class 0: two at 1.0 wrong, two at 0.0 wrong; class 1: three wrong; class 2: one wrong
    assert classwise_calibration_error(certain, [1, 1, 0, 0], binning=binning) == pytest.approx(
        (4 + 3 + 1) / 12
    )
    curve = reliability_curve(certain, [0, 0, 1, 2], binning=binning)
    assert (curve.count[-1], curve.confidence[-1]) == (4, 1.0)


def test_classwise_error_is_the_mean_over_binary_curves_of_scikit_learn() -> None:
    probs, labels = sample()
    total = 0.0
    for k in range(4):
        share, mean = calibration_curve(labels == k, probs[:, k], n_bins=15)
        count = np.histogram(probs[:, k], np.linspace(0, 1, 16))[0]
        total += np.abs(share - mean) @ count[count > 0] / 500
    assert classwise_calibration_error(probs, labels) == pytest.approx(total / 4, rel=1e-12)


def test_one_bin_of_equal_mass_is_one_bin_of_equal_width() -> None:
    probs, labels = sample()
    for error in (expected_calibration_error, classwise_calibration_error):
        width, mass = (
            error(probs, labels, num_bins=1, binning=binning)
            for binning in ("equal-width", "equal-mass")
        )
        assert width == pytest.approx(mass, rel=1e-12)
    shares = np.bincount(labels, minlength=4) / 500
    assert classwise_calibration_error(probs, labels, num_bins=1) == pytest.approx(
        np.abs(probs.mean(axis=0) - shares).mean()
    )


@pytest.mark.parametrize("num_images", [1, 2, 7, 64, 1000])
def test_error_by_chance_of_equal_confidences_is_that_of_the_binomial_law(num_images: int) -> None:
    """De Moivre: `E|X - n p| = 2 (1 - p) k P(X = k)` with k the first whole number above n p."""
    k = int(np.floor(num_images * 0.7)) + 1
    deviation = 2 * 0.3 * k * binom.pmf(k, num_images, 0.7)
    found = calibration_error_by_chance([[0.7, 0.2, 0.1]] * num_images)
    assert found == pytest.approx(deviation / num_images, rel=1e-9)


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
def test_error_by_chance_is_the_mean_over_labels_drawn_from_the_probabilities(binning) -> None:
    probs, _ = sample(83)
    rng = np.random.default_rng(2)
    errors = [
        expected_calibration_error(
            probs, (rng.random((83, 1)) > probs.cumsum(axis=1)[:, :-1]).sum(axis=1), binning=binning
        )
        for _ in range(300)
    ]
    found = calibration_error_by_chance(probs, binning=binning)
    assert found == pytest.approx(np.mean(errors), abs=4 * np.std(errors) / np.sqrt(300))


def test_error_by_chance_of_sure_images_is_nothing_and_falls_as_the_inverse_root_of_n() -> None:
    assert calibration_error_by_chance(np.eye(3)) == pytest.approx(0.0, abs=1e-15)
    probs, _ = sample(50)
    few, many = (calibration_error_by_chance(np.tile(probs, (n, 1))) for n in (16, 256))
    assert few / many == pytest.approx(4, rel=0.02)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="`num_bins` must be a whole number, 1 or more; got 0"):
        calibration_error_by_chance([[0.5, 0.5]], num_bins=0)
    with pytest.raises(InputError, match="`num_bins` must be a whole number, 1 or more; got"):
        reliability_curve([[0.5, 0.5]], [0], num_bins=0)
    with pytest.raises(InputError, match=r"`num_bins` must be a whole number.*got 2\.5"):
        reliability_curve([[0.5, 0.5]], [0], num_bins=2.5)
    with pytest.raises(InputError, match=r"`labels`.*got 2\."):
        reliability_curve([[0.5, 0.5]], [2])
    with pytest.raises(InputError, match="`binning` must be one of .*got 'quantile'"):
        expected_calibration_error([[0.5, 0.5]], [0], binning="quantile")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must sum to one"):
        classwise_calibration_error([[0.5, 0.4]], [0])
    with pytest.raises(InputError, match="finite"):
        classwise_calibration_error([[np.nan, 0.4]], [0])
