"""Every method, draw and score against slow formulas on plain models, one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.explain import CAM_METHODS, CamExplainer
from bayescam.explain.methods import cell_map, eigen_map
from bayescam.inference import draw_posterior
from bayescam.models import build_classifier
from bayescam.models.graph import flatten_model
from bayescam.types import InputError
from tests.networks import NAMES, SHAPE, images, narrow, vary_scales


def slow_map(method: str, maps: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The papers' formulas for one image: loops over channels, maps (h, w, C) in float64."""
    height, width, channels = maps.shape
    out = np.zeros((height, width))
    if method == "eigencam":
        flat = maps.reshape(-1, channels)
        _, _, rows = np.linalg.svd(flat, full_matrices=False)
        out = (flat @ rows[0]).reshape(height, width)
        return out if out.sum() >= 0 else -out
    for k in range(channels):
        a, g = maps[:, :, k], gradient[:, :, k]
        if method == "hirescam":
            out += g * a
        elif method == "layercam":
            out += np.maximum(g, 0) * a
        elif method == "gradcam":
            out += g.mean() * a
        elif method == "cam":
            out += g.sum() * a
        elif method == "xgradcam":
            out += (g * a).sum() / a.sum() * a if a.sum() else 0.0
        elif method == "guided_gradcam_tutorial":
            out += ((a > 0) * (g > 0) * g).mean() * a
        else:
            denominator = 2 * g**2 + a.sum() * g**3
            alpha = np.where(g > 0, g**2 / np.where(denominator, denominator, 1), 0)
            out += (alpha * np.maximum(g, 0)).sum() * a
    return out


def maps_and_gradient(model, x, layer, class_index):
    """Maps and gradient (N, h, w, C) of one logit of a deterministic model, by one tape."""
    graph = flatten_model(model)
    network = graph.submodel(graph.input, [graph.key_of(layer), graph.output])
    pixels = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        maps, logits = network(pixels)
        score = tf.reduce_sum(logits[:, class_index])
    return maps.numpy().astype(np.float64), tape.gradient(score, maps).numpy().astype(np.float64)


def assert_equal_to_slow(model, method, layer=None, num=2):
    draws = draw_posterior(model, num, seed=3)
    explainer = CamExplainer(draws, target_layer=layer, method=method)
    x = images(2)
    cams = explainer(x).cams
    for s in range(num):
        plain = draws.as_model(s)
        for t in range(len(NAMES)):
            maps, gradient = maps_and_gradient(plain, x, explainer.target_layer, t)
            for n in range(2):
                expected = slow_map(method, maps[n], gradient[n])
                scale = np.abs(expected).max()
                assert scale > 0
                np.testing.assert_allclose(cams[s, n, t] / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize("method", CAM_METHODS)
@pytest.mark.parametrize(
    ("pooling", "hidden", "layer"),
    [
        ("avg", (), None),
        ("avg", (), "block5_conv2"),
        ("avg", (16,), None),
        ("flatten", (16,), None),
        ("flatten", (), "block4_pool"),
    ],
)
def test_a_draws_map_is_the_formula(method, pooling, hidden, layer):
    model = narrow(pooling=pooling, hidden_units=hidden, seed=2)
    if method == "cam" and (pooling, hidden, layer) != ("avg", (), None):
        with pytest.raises(InputError, match="needs maps that are pooled over all cells"):
            CamExplainer(draw_posterior(model, 2), target_layer=layer, method=method)
        return
    assert_equal_to_slow(model, method, layer)


@pytest.mark.parametrize("method", sorted({*CAM_METHODS} - {"cam"}))
def test_a_layer_within_a_branch_is_explained_by_every_method(method):
    start = tf_keras.Input(SHAPE)
    layer = tf_keras.layers
    stem = layer.Conv2D(6, 3, strides=4, activation="relu", name="stem")(start / 255.0)
    ones = layer.Conv2D(3, 1, activation="relu", name="ones")(stem)
    threes = layer.Conv2D(3, 3, padding="same", activation="relu", name="threes")(stem)
    pooled = layer.MaxPooling2D(3, strides=2)(layer.Concatenate()([ones, threes]))
    features = layer.GlobalAveragePooling2D()(pooled)
    model = tf_keras.Model(start, tfp.layers.DenseFlipout(len(NAMES))(features))
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.4, weight.shape))
    vary_scales(model, 1)
    assert_equal_to_slow(model, method, "threes", num=1)


def test_overlapping_pooling_gives_a_cell_more_than_one_share():
    """Cells that are the maximum of several windows: gradients of several sizes in a channel."""
    start = tf_keras.Input(SHAPE)
    layer = tf_keras.layers
    maps = layer.Conv2D(5, 3, strides=3, activation="relu", name="maps")(start / 255.0)
    pooled = layer.GlobalAveragePooling2D()(layer.MaxPooling2D(3, strides=1)(maps))
    model = tf_keras.Model(start, tfp.layers.DenseFlipout(len(NAMES))(pooled))
    vary_scales(model, 2)
    for method in ("gradcam++", "hirescam", "layercam", "xgradcam", "guided_gradcam_tutorial"):
        assert_equal_to_slow(model, method, num=1)


def test_after_average_pooling_and_one_layer_four_methods_coincide():
    """Known identity, where only average pooling follows the maps: SqueezeNet's last ones."""
    model = build_classifier("squeezenet", class_names=NAMES, input_shape=(48, 48, 3), seed=1)
    x = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype(np.float32)
    draws = draw_posterior(model, 3)
    cams = {
        method: CamExplainer(draws, method=method)(x).cams
        for method in ("gradcam", "hirescam", "xgradcam", "cam")
    }
    cells = np.prod(cams["gradcam"].shape[-2:])
    scale = np.abs(cams["gradcam"]).max()
    for method in ("hirescam", "xgradcam"):
        np.testing.assert_allclose(cams[method] / scale, cams["gradcam"] / scale, atol=1e-5)
    np.testing.assert_allclose(cams["cam"] / cells / scale, cams["gradcam"] / scale, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4, 20)])
def test_eigencam_is_the_first_singular_vector_whichever_side_is_shorter(shape):
    maps = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    made = eigen_map(tf.constant(maps)).numpy()
    for n in range(2):
        np.testing.assert_allclose(made[n], slow_map("eigencam", maps[n], maps[n]), rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_eigencam_of_faint_and_of_strong_maps_is_that_of_others(scale):
    maps = np.random.default_rng(0).uniform(0, 1, (1, 3, 4, 5))
    made = eigen_map(tf.constant(scale * maps, tf.float32)).numpy()[0]
    np.testing.assert_allclose(made / scale, slow_map("eigencam", maps[0], maps[0]), rtol=1e-4)
    assert np.abs(eigen_map(tf.zeros((1, 3, 4, 5)))).max() == 0


def test_eigencam_has_no_spread_over_draws_and_classes():
    cams = CamExplainer(draw_posterior(narrow(), 3), method="eigencam")(images(2)).cams
    assert np.ptp(cams, axis=(0, 2)).max() == 0
    assert np.ptp(cams[0, :, 0], axis=0).max() > 0


def test_a_channel_without_activation_weighs_nothing():
    maps = tf.zeros((1, 2, 2, 1))
    for method in ("xgradcam", "gradcam++"):
        assert np.abs(cell_map(method, maps, tf.ones_like(maps))).max() == 0


def test_several_layers_are_explained_in_one_pass():
    layers = ["block4_pool", "block5_conv3", "block5_conv2"]
    draws = draw_posterior(narrow(seed=2), 3, seed=1)
    together = CamExplainer(draws, target_layer=layers)(images(2))
    assert list(together.layers) == layers
    for layer in layers:
        alone = CamExplainer(draws, target_layer=layer)(images(2))
        np.testing.assert_allclose(together.layers[layer], alone.cams, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("broken", "part", "method"), [("logits", 0, "gradcam"), ("block5_conv3", 1, "eigencam")]
)
def test_a_map_that_is_not_finite_is_named(broken, part, method):
    model = narrow(head="dense")
    weights = model.get_layer(broken).get_weights()
    weights[part] = np.full_like(weights[part], np.inf)
    model.get_layer(broken).set_weights(weights)
    with pytest.raises(InputError, match="maps of layer 'block5_conv3' are not finite for 2 of 2"):
        CamExplainer(draw_posterior(model, 1), method=method)(images(2))
