"""SmoothGrad and integrated gradients against tapes on plain models, one point at a time."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.explain import CamExplainer, Target
from bayescam.explain.input_gradients import InputExplainer, IntegratedGradients, SmoothGrad
from bayescam.inference import draw_posterior
from bayescam.models.layers import ClassLogits
from bayescam.models.members import ModelEnsemble
from bayescam.types import InputError
from tests.networks import NAMES, images, narrow, vary_scales

KINDS = {
    "a": (Target.of_class(0, "a"), lambda z: z[:, 0]),
    "c - a": (Target("contrast", (2, 0), "c - a"), lambda z: z[:, 2] - z[:, 0]),
    "p": (Target("probability", (1,), "p"), lambda z: tf.nn.softmax(z)[:, 1]),
    "o": (
        Target("log_odds", (2,), "o"),
        lambda z: z[:, 2] - tf.reduce_logsumexp(z[:, :2], axis=1),
    ),
}
TARGETS = [target for target, _ in KINDS.values()]
UNCERTAIN = tuple(Target(k, (), k) for k in ("predictive_entropy", "mutual_information"))


def unsure(**options):
    model = narrow(seed=2, **options)
    layer = model.get_layer("standardization")
    layer.set_statistics(np.zeros(layer.mean.shape), np.full(layer.mean.shape, 2.0))
    return model


def smooth_model(shape: tuple[int, int, int]) -> tf_keras.Model:
    """Without corners, so that the midpoint rule is exact for tests, and unsure."""
    start = tf_keras.Input(shape)
    layer = tf_keras.layers
    maps = layer.Conv2D(4, 5, strides=3, activation="tanh")(start / 255.0)
    features = layer.GlobalAveragePooling2D()(layer.Conv2D(6, 3, activation="tanh")(maps))
    logits = tfp.layers.DenseFlipout(len(NAMES))(features)
    model = tf_keras.Model(start, ClassLogits(NAMES)(logits))
    rng = np.random.default_rng(4)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.15, weight.shape))
    vary_scales(model, 1)
    return model


def slow_gradient(model, points, score):
    """Gradients (P, H, W, 3) of one score at some points."""
    pixels = tf.constant(points)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        value = tf.reduce_sum(score(model(pixels)))
    return tape.gradient(value, pixels).numpy().astype(np.float64)


def _ignore(*anything):
    pass


def explained(draws, targets, method, x):
    """Maps (S, N, T, h, w) of targets that each draw has by itself."""
    explainer = InputExplainer(draws, tuple(targets), method)
    pixels = tf.constant(x)
    logits, (cams,) = explainer.explain(pixels, explainer.cut(pixels), _ignore, _ignore)
    np.testing.assert_allclose(logits, draws.logits(x), rtol=1e-4, atol=1e-4)
    return cams


@pytest.mark.parametrize(
    ("options", "num"),
    [
        ({}, 2),
        ({"hidden_units": (16,)}, 2),
        ({"pooling": "flatten", "hidden_units": (6,)}, 2),
        ({"hidden_units": (5,)}, 40),  # more draws and scores than features
    ],
)
def test_a_draws_gradients_are_those_of_its_plain_model(options, num):
    draws, x = draw_posterior(unsure(**options), num, seed=3), images(2)
    for method in (SmoothGrad(num_points=3), IntegratedGradients(num_points=3)):
        cams = explained(draws, TARGETS, method, x)
        assert cams.shape == (num, 2, len(TARGETS), 32, 32)
        points, factor = (part.numpy() for part in method.path(tf.constant(x[1]), 3))
        for s in (0, num - 1):
            plain = draws.as_model(s)
            for t, (_, score) in enumerate(KINDS.values()):
                slow = slow_gradient(plain, points, score).mean(axis=0)
                expected = (slow * factor).sum(axis=-1)
                scale = np.abs(expected).max()
                assert scale > 0
                np.testing.assert_allclose(cams[s, 1, t] / scale, expected / scale, atol=1e-5)


def test_points_are_noisy_copies_or_lie_on_the_way_from_black():
    image = tf.constant(images(1)[0])
    points, factor = SmoothGrad(noise=0.1, num_points=50).path(image, 7)
    noise = (points - image).numpy()
    low, high = float(tf.reduce_min(image)), float(tf.reduce_max(image))
    expected = 0.1 * (high - low)
    error = 5 * expected / np.sqrt(2 * noise.size)
    assert noise.std() == pytest.approx(expected, abs=error)
    assert noise.mean() == pytest.approx(0, abs=5 * expected / np.sqrt(noise.size))
    assert np.abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 5 / np.sqrt(
        image.shape[0] ** 2 * 3
    )
    np.testing.assert_array_equal(factor, 1)
    points, factor = IntegratedGradients(num_points=4).path(image, 7)
    for share, point in zip((0.125, 0.375, 0.625, 0.875), points, strict=True):
        np.testing.assert_allclose(point, share * image)
    np.testing.assert_array_equal(factor, image)


def test_smoothgrad_without_noise_is_the_gradient():
    draws, x = draw_posterior(unsure(hidden_units=(6,)), 3, seed=1), images(1)
    cams = explained(draws, TARGETS, SmoothGrad(noise=0.0, num_points=3), x)
    for s in range(3):
        for t, (_, score) in enumerate(KINDS.values()):
            expected = slow_gradient(draws.as_model(s), x, score)[0].sum(axis=-1)
            np.testing.assert_allclose(cams[s, 0, t], expected, atol=1e-5 * np.abs(expected).max())


def test_integrated_gradients_are_complete_in_cells_that_cut_pixels():
    """45x70 pixels on 32x32 cells: the sum is the difference to the black image, draw by draw."""
    model = smooth_model((45, 70, 3))
    x = np.random.default_rng(0).uniform(0, 255, (2, 45, 70, 3)).astype(np.float32)
    draws = draw_posterior(model, 4, seed=2)
    out = CamExplainer(draws, targets=[*TARGETS, *UNCERTAIN], method="integrated_gradients")(x)
    assert list(out.layers) == ["input"]
    assert out.cams.shape == (4, 2, 6, 32, 32)
    sums = out.cams.astype(np.float64).sum(axis=(-2, -1))
    light, dark = (draws.logits(part) for part in (x, np.zeros_like(x)))
    for t, (_, score) in enumerate(KINDS.values()):
        for s in range(4):
            expected = score(light[s]) - score(dark[s])
            np.testing.assert_allclose(sums[s, :, t], expected, atol=2e-4)
    difference = _uncertainty(light) - _uncertainty(dark)
    np.testing.assert_allclose(sums[:, :, 4:].mean(axis=0), difference, atol=2e-4)
    assert np.abs(difference).max() > 2e-3


def _uncertainty(logits):
    probs = tf.nn.softmax(logits.astype(np.float64)).numpy()
    total, each = (-(p * np.log(p)).sum(axis=-1) for p in (probs.mean(axis=0), probs))
    return np.stack([total, total - each.mean(axis=0)], axis=-1)


def test_cells_hold_the_sums_of_their_pixels():
    model, num = smooth_model((64, 96, 3)), 2
    x = np.random.default_rng(1).uniform(0, 255, (1, 64, 96, 3)).astype(np.float32)
    draws = draw_posterior(model, num, seed=2)
    cams = explained(draws, TARGETS[:1], SmoothGrad(noise=0.0, num_points=1), x)
    for s in range(num):
        gradient = slow_gradient(draws.as_model(s), x, lambda z: z[:, 0])[0].sum(axis=-1)
        expected = gradient.reshape(32, 2, 32, 3).sum(axis=(1, 3))
        np.testing.assert_allclose(cams[s, 0, 0], expected, atol=1e-5 * np.abs(expected).max())


def test_images_batches_blocks_and_members_do_not_matter(monkeypatch):
    members = (smooth_model((12, 12, 3)), smooth_model((12, 12, 3)))
    x = images(2)[:, :12, :12]
    draws = draw_posterior(members[0], 4, seed=1)
    told: list[tuple[int, int]] = []
    whole = CamExplainer(draws, targets=UNCERTAIN, method="smoothgrad")(
        x, report=lambda *at: told.append(at)
    )
    assert told[-1] == (2 * 48, 2 * 48)
    monkeypatch.setattr(type(draws), "blocks", lambda self, size=0: [(0, 3), (3, len(self))])
    parts = CamExplainer(draws, targets=UNCERTAIN, method="smoothgrad")(x[1:])
    scale = np.abs(whole.cams).max()
    np.testing.assert_allclose(parts.cams / scale, whole.cams[:, 1:] / scale, atol=1e-5)
    monkeypatch.undo()
    members[1].set_weights(members[0].get_weights())
    pair = draw_posterior(ModelEnsemble(members, ("one", "two")), 4, seed=1)
    together = CamExplainer(pair, targets=UNCERTAIN, method="integrated_gradients")(x)
    sums = together.cams.sum(axis=(-2, -1)).mean(axis=0)
    light, dark = (_uncertainty(pair.logits(part)) for part in (x, np.zeros_like(x)))
    np.testing.assert_allclose(sums, light - dark, atol=2e-4)


def test_a_layer_has_no_pixels():
    with pytest.raises(InputError, match="`target_layer` must be left out .* got 'block5_conv3'"):
        CamExplainer(draw_posterior(narrow(), 1), target_layer="block5_conv3", method="smoothgrad")
