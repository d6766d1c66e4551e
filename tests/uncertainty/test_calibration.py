from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize
from scipy.special import softmax

from bayescam.types import InputError
from bayescam.uncertainty import Calibration, cross_fit_logits, fit_calibration
from bayescam.uncertainty.calibration import _blocks, _objective


def sample(seed: int = 0, shape: tuple[int, int, int] = (5, 300, 4)):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(1, *shape[1:])) * 2 + rng.normal(size=shape)
    probs = softmax(logits / 1.7 + np.array([0.5, 0.0, -0.8, 0.3])[: shape[2]], axis=2).mean(axis=0)
    return logits, np.array([rng.choice(shape[2], p=p) for p in probs])


def slow_loss(parameters, logits, labels, penalty: float = 0.0) -> float:
    bias = np.asarray(parameters[1:])
    total = 0.0
    for n, label in enumerate(labels):
        mean = np.mean([softmax(z / np.exp(parameters[0]) + bias)[label] for z in logits[:, n]])
        total -= np.log(mean)
    return (total + penalty / 2 * (bias**2).sum()) / len(labels)


def test_objective_is_the_likelihood_of_the_mean_and_its_gradient_is_exact() -> None:
    logits, labels = sample(shape=(3, 40, 4))
    point = np.array([0.3, 0.2, -0.4, 0.1, 0.6])
    blocks = _blocks(logits, labels)
    value, _ = _objective(point, blocks, 2.0)
    assert value == pytest.approx(slow_loss(point, logits, labels, 2.0), rel=1e-12)
    error = check_grad(
        lambda x: _objective(x, blocks, 2.0)[0], lambda x: _objective(x, blocks, 2.0)[1], point
    )
    assert error < 1e-6
    error = check_grad(
        lambda x: _objective(x, blocks, 2.0)[0], lambda x: _objective(x, blocks, 2.0)[1], point[:1]
    )
    assert error < 1e-6


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = sample()
    whole = fit_calibration(logits, labels)
    monkeypatch.setattr("bayescam.uncertainty.calibration._BLOCK_VALUES", 170)
    assert len(_blocks(logits, labels)) > 30
    in_blocks = fit_calibration(logits, labels)
    assert in_blocks.temperature == pytest.approx(whole.temperature, rel=1e-5)
    np.testing.assert_allclose(in_blocks.class_bias, whole.class_bias, atol=1e-4)


def test_finds_the_optimum_that_a_slow_search_finds() -> None:
    logits, labels = sample(shape=(3, 25, 3))
    fit = fit_calibration(logits, labels, bias_penalty=1.0)
    found = slow_loss([np.log(fit.temperature), *fit.class_bias], logits, labels, 1.0)
    slow = minimize(slow_loss, np.zeros(4), args=(logits, labels, 1.0), method="Powell", tol=1e-6)
    assert found == pytest.approx(slow.fun, abs=1e-5)


def test_recovers_the_calibration_that_made_the_labels() -> None:
    rng = np.random.default_rng(2)
    truth = Calibration(2.5, np.array([0.8, -0.2, -0.6]))
    logits = 3.0 * rng.normal(size=(1, 6000, 3))
    probs = softmax(truth.apply(logits)[0], axis=1)
    labels = (probs.cumsum(axis=1) > rng.random((6000, 1))).argmax(axis=1)
    fit = fit_calibration(logits, labels)
    assert fit.temperature == pytest.approx(2.5, abs=0.25)
    np.testing.assert_allclose(fit.class_bias, truth.class_bias, atol=0.15)


def test_strong_penalty_leaves_the_temperature_alone() -> None:
    logits, labels = sample()
    alone = fit_calibration(logits, labels, class_bias=False)
    held = fit_calibration(logits, labels, bias_penalty=1e9)
    np.testing.assert_array_equal(alone.class_bias, np.zeros(4))
    np.testing.assert_allclose(held.class_bias, 0.0, atol=1e-6)
    assert held.temperature == pytest.approx(alone.temperature, rel=1e-3)


def test_temperature_keeps_the_class_order_within_a_draw_of_an_image() -> None:
    logits, _ = sample(3)
    softened = Calibration(3.7, np.zeros(4)).apply(logits)
    np.testing.assert_array_equal(softened.argsort(axis=2), logits.argsort(axis=2))
    np.testing.assert_allclose(
        Calibration(2.0, np.arange(4.0)).apply(logits), logits / 2 + range(4)
    )


def test_order_of_draws_and_images_does_not_matter() -> None:
    logits, labels = sample(4)
    order = np.random.default_rng(0).permutation(300)
    fit, again = (
        fit_calibration(logits, labels),
        fit_calibration(logits[::-1, order], labels[order]),
    )
    assert fit.temperature == pytest.approx(again.temperature, rel=1e-6)


def test_cross_fit_never_uses_the_labels_of_an_images_own_group() -> None:
    logits, labels = sample(5, (2, 40, 3))
    groups = np.arange(40) // 2
    before = cross_fit_logits(logits, labels, groups, num_folds=20)
    changed = labels.copy()
    changed[:2] = (changed[:2] + 1) % 3
    after = cross_fit_logits(logits, changed, groups, num_folds=20)
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert (np.abs(before[:, 2:] - after[:, 2:]).max(axis=(0, 2)) > 1e-6).all()
    left_out = fit_calibration(logits[:, 2:], labels[2:]).apply(logits[:, :2])
    np.testing.assert_allclose(before[:, :2], left_out)


def test_perfect_separation_stays_finite() -> None:
    logits = np.array([[[5.0, -5.0]] * 10 + [[-5.0, 5.0]] * 10])
    fit = fit_calibration(logits, [0] * 10 + [1] * 10)
    assert 0.0099 < fit.temperature < 1.0


def without_a_class() -> tuple[np.ndarray, np.ndarray]:
    """Labels of the classes 0, 1 and 3 of four."""
    logits, labels = sample(6, (1, 30, 4))
    keep = labels != 2
    return logits[:, keep], labels[keep]


@pytest.mark.parametrize("penalty", [1e-6, 1.0])
def test_a_class_without_images_keeps_the_bias_zero(penalty: float) -> None:
    """The optimum among biases of sum zero with that of the class at zero, by a slow search."""
    logits, labels = without_a_class()
    with pytest.warns(UserWarning, match="no validation image is of 2: a class without images"):
        fit = fit_calibration(logits, labels, bias_penalty=penalty)
    assert fit.class_bias[2] == 0.0
    assert fit.class_bias.sum() == pytest.approx(0.0, abs=1e-12)

    def slow(x) -> float:
        return slow_loss([x[0], x[1], x[2], 0.0, -x[1] - x[2]], logits, labels, penalty)

    best = minimize(slow, np.zeros(3), method="Powell", tol=1e-6)
    found = slow([np.log(fit.temperature), *fit.class_bias[:2]])
    assert found == pytest.approx(best.fun, abs=1e-5)


def test_the_warning_has_the_names_of_the_classes_once() -> None:
    logits, labels = without_a_class()
    names = ["mel", "nv", "df", "bcc"]
    with pytest.warns(UserWarning, match=r"^no validation image is of df: ") as caught:
        fit_calibration(logits, labels, class_names=names)
    assert len(caught) == 1
    fit_calibration(logits, labels, class_bias=False)  # no biases, nothing to warn of
    lone = np.where(np.arange(len(labels)) == 0, 2, labels)  # of one image, in one fold
    with pytest.warns(UserWarning, match=r"in some fold, no validation image is of df: ") as caught:
        logits = cross_fit_logits(logits, lone, np.arange(len(labels)), class_names=names)
    assert len(caught) == 1
    assert np.isfinite(logits).all()
    with pytest.raises(InputError, match=r"`class_names` must be 4 names.*got \['a', 'b'\]"):
        fit_calibration(logits, labels, class_names=["a", "b"])


def test_a_temperature_on_its_bound_is_said() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(1, 400, 3)), np.arange(400) % 3
    logits[0, np.arange(400), labels] -= 2.0  # the logits speak against the labels
    with pytest.warns(UserWarning, match=r"ended on its bound, 100 .do these labels belong"):
        fit_calibration(logits, labels, class_bias=False)
    with pytest.warns(UserWarning, match=r"in some fold, the temperature ended on its bound, 100"):
        cross_fit_logits(logits, labels, np.arange(400), class_bias=False)
    sure = 0.01 * np.eye(2)[np.newaxis, np.arange(40) % 2]
    with pytest.warns(UserWarning, match=r"ended on its bound, 0\.01 .too few images\?"):
        fit_calibration(sure, np.arange(40) % 2)


def test_bad_input_is_refused() -> None:
    logits, labels = sample()
    with pytest.raises(InputError, match=r"`logits` must have shape.*draw axis missing"):
        fit_calibration(logits[0], labels)
    with pytest.raises(InputError, match="`bias_penalty`"):
        fit_calibration(logits, labels, bias_penalty=-1.0)
    with pytest.raises(InputError, match="4 classes on the last axis"):
        fit_calibration(logits, labels).apply(np.zeros((2, 3)))
    with pytest.raises(InputError, match="`num_folds` must be from 2"):
        cross_fit_logits(logits, labels, labels, num_folds=5)
