from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.explain import CamExplainer, Target, cam_moments
from bayescam.explain.score_gradients import score_gradients
from bayescam.inference import draw_posterior
from bayescam.models import SampledDropout, adapt_model, build_classifier
from bayescam.types import InputError
from tests.networks import NAMES, SHAPE, images, narrow, plain_gradcam, vary_scales


def assert_draws_equal_plain_models(model, layer=None, num=3, **tolerance):
    """Map and logits of every draw against a plain model that carries the draw's weights."""
    draws = draw_posterior(model, num, seed=3)
    explainer = CamExplainer(draws, target_layer=layer)
    x = images(2)
    out = explainer(x)
    for s in range(num):
        plain = draws.as_model(s)
        for t in range(len(NAMES)):
            logits, cam = plain_gradcam(plain, x, t, explainer.target_layer)
            np.testing.assert_allclose(out.logits[s], logits, rtol=1e-4, atol=1e-5)
            scale = np.abs(cam).max()
            np.testing.assert_allclose(out.cams[s, :, t] / scale, cam / scale, atol=1e-5)
            assert scale > 0


@pytest.mark.parametrize("layer", [None, "block5_conv2", "block4_pool"])
@pytest.mark.parametrize("pooling", ["avg", "flatten"])
@pytest.mark.parametrize("hidden", [(), (16,)])
def test_a_draws_map_is_the_gradcam_of_that_draw(layer, pooling, hidden):
    assert_draws_equal_plain_models(narrow(pooling=pooling, hidden_units=hidden, seed=2), layer)


def branched(*, hidden=(), seed=0):
    """A fire module and a skip connection round it, then another: branches within a branch."""
    start = tf_keras.Input(SHAPE)
    layer = tf_keras.layers
    x = layer.Rescaling(1 / 255)(start)
    stem = layer.Conv2D(6, 3, strides=4, activation="relu", name="stem")(x)
    squeeze = layer.Conv2D(3, 1, activation="relu", name="squeeze")(stem)
    ones = layer.Conv2D(3, 1, activation="tanh", name="ones")(squeeze)
    threes = layer.Conv2D(3, 3, padding="same", activation="tanh", name="threes")(squeeze)
    fire = layer.Concatenate(name="fire")([ones, threes])
    skipped = layer.Add(name="skipped")([stem, fire])
    gate = layer.Conv2D(6, 1, activation="sigmoid", name="gate")(skipped)
    gated = layer.Multiply(name="gated")([gate, skipped])
    x = layer.GlobalAveragePooling2D()(gated)
    for units in hidden:
        x = layer.Dense(units, activation="relu")(x)
    model = tf_keras.Model(start, tfp.layers.DenseFlipout(len(NAMES))(x))
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.4, weight.shape))
    return model


@pytest.mark.parametrize(
    "layer", ["squeeze", "ones", "threes", "fire", "skipped", "gate", "gated", "stem"]
)
@pytest.mark.parametrize("hidden", [(), (8,)])
def test_a_layer_within_a_branch_is_explained_like_any_other(layer, hidden):
    assert_draws_equal_plain_models(branched(hidden=hidden), layer)


def test_a_layer_within_a_branch_has_exact_moments():
    model = branched()
    num = 4000
    out = CamExplainer(draw_posterior(model, num, seed=0), target_layer="threes")(images(1))
    exact = cam_moments(model, images(1), target_layer="threes")
    error = np.sqrt(exact.variance / num)
    assert (np.abs(out.cams.mean(axis=0) - exact.mean) <= 5 * error + 1e-7).all()
    ratio = out.cams.var(axis=0) / exact.variance
    np.testing.assert_allclose(ratio[exact.variance > 0], 1, atol=5 * np.sqrt(2 / num))


@pytest.mark.parametrize(
    ("backbone", "layer"),
    [("squeezenet", "fire9/expand3x3"), ("resnet50", "conv5_block3_2_conv")],
)
def test_the_inner_layers_of_known_backbones_are_explained(backbone, layer):
    model = build_classifier(backbone, class_names=NAMES, input_shape=SHAPE, seed=1)
    assert_draws_equal_plain_models(model, layer, num=1)


def test_a_layer_that_leads_nowhere_is_refused():
    start = tf_keras.Input(SHAPE)
    aside = tf_keras.layers.Conv2D(2, 3, name="aside")(start)
    maps = tf_keras.layers.Conv2D(4, 3, name="ahead")(start)
    inner = tf_keras.Model(start, [maps, aside])
    pooled = tf_keras.layers.GlobalAveragePooling2D()(inner(start)[0])
    model = tf_keras.Model(start, tf_keras.layers.Dense(len(NAMES))(pooled))
    with pytest.raises(InputError, match="nothing of 'aside' reaches"):
        CamExplainer(draw_posterior(model, 1), target_layer="aside")


def test_maps_deep_in_the_network_with_many_draws_use_the_jacobian():
    """More rows (draws times targets) than features takes the other way through the network."""
    model = narrow(hidden_units=(6,), seed=2)
    few = CamExplainer(draw_posterior(model, 2, seed=1), target_layer="block4_conv3")
    many = CamExplainer(draw_posterior(model, 30, seed=1), target_layer="block4_conv3")
    assert 2 * len(NAMES) <= few.num_features < 30 * len(NAMES)
    x = images(2)
    a, b = few(x).cams, many(x).cams[:2]
    np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5 * np.abs(a).max())


def test_average_pooling_and_a_dense_layer_give_cam_in_closed_form():
    model = narrow(head="dense")
    draws = draw_posterior(model, 1)
    out = CamExplainer(draws)(images(2))
    split = draws.split
    (maps,) = split.prefix(split.target)(tf.constant(images(2)))
    kernel = model.get_layer("logits").get_weights()[0]
    sd = model.get_layer("standardization").sd.numpy()
    height, width = maps.shape[1:3]
    expected = np.einsum("nhwc,ct->nthw", maps, kernel / sd[:, None]) / (height * width)
    np.testing.assert_allclose(out.cams[0], expected, rtol=1e-4, atol=1e-5)


def flat_reference():
    """A small network, as layers: convolution, pooling, head; weights are shared by the tests."""
    conv = tf_keras.layers.Conv2D(6, 3, activation="relu", name="conv")
    return [
        conv,
        tf_keras.layers.MaxPooling2D(2, name="down"),
        tf_keras.layers.Conv2D(8, 3, activation="relu", name="last"),
    ]


def functional(layers, inputs):
    x = inputs
    for layer in layers:
        x = layer(x)
    return x


@pytest.fixture
def stock_models():
    """A flat model with a stock flipout layer, and the same one with a nested backbone."""
    body = flat_reference()
    head = tfp.layers.DenseFlipout(3, name="stock")
    inputs = tf_keras.Input(SHAPE)
    pooled = tf_keras.layers.GlobalAveragePooling2D()(functional(body, inputs))
    flat = tf_keras.Model(inputs, head(pooled))
    vary_scales(flat, 4)
    start = tf_keras.Input(SHAPE)
    backbone = tf_keras.Model(start, functional(body, start), name="backbone")
    nested = tf_keras.Sequential(
        [tf_keras.Input(SHAPE), backbone, tf_keras.layers.GlobalAveragePooling2D(), head]
    )
    return flat, nested


def test_a_nested_backbone_gives_the_maps_of_a_flat_one(stock_models):
    x = images(2)
    flat, nested = (CamExplainer(draw_posterior(m, 4, seed=1))(x) for m in stock_models)
    np.testing.assert_array_equal(flat.cams, nested.cams)
    np.testing.assert_array_equal(flat.logits, nested.logits)


def test_a_stock_layer_gives_the_maps_of_plain_models(stock_models):
    assert_draws_equal_plain_models(stock_models[0])


def test_an_adapted_softmax_model_gives_the_maps_of_its_logits():
    body = flat_reference()
    dense = tf_keras.layers.Dense(3)
    inputs = tf_keras.Input(SHAPE)
    scaled = tf_keras.layers.Rescaling(1 / 255)(inputs)
    pooled = tf_keras.layers.GlobalAveragePooling2D()(functional(body, scaled))
    flat = tf_keras.Model(inputs, dense(pooled))
    start = tf_keras.Input(SHAPE)
    backbone = tf_keras.Model(start, functional(body, start))
    softmax = tf_keras.Sequential(
        [
            tf_keras.Input(SHAPE),
            backbone,
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(3, activation="softmax"),
        ]
    )
    softmax.layers[-1].set_weights(dense.get_weights())
    x = images(2)
    adapted = CamExplainer(draw_posterior(adapt_model(softmax, NAMES), 1))(x)
    reference = CamExplainer(draw_posterior(flat, 1))(x)
    np.testing.assert_allclose(adapted.cams, reference.cams, rtol=1e-4, atol=1e-7)


def test_a_user_model_with_dropout_between_dense_layers_gives_maps_of_its_draws():
    user = tf_keras.Sequential(
        [
            tf_keras.Input(SHAPE),
            *flat_reference(),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(16, activation="relu"),
            tf_keras.layers.Dropout(0.5),
            tf_keras.layers.Dense(3, activation="softmax"),
        ]
    )
    assert_draws_equal_plain_models(adapt_model(user, NAMES, sample_dropout=True))


def test_random_maps_before_convolutions_are_explained_where_they_are_still_fixed():
    inputs = tf_keras.Input(SHAPE)
    x = tf_keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    x = SampledDropout(0.5)(x)
    x = tf_keras.layers.Conv2D(5, 3, activation="relu", name="later")(x)
    x = tf_keras.layers.GlobalAveragePooling2D()(x)
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(3)(x))
    assert_draws_equal_plain_models(model)
    with pytest.raises(InputError, match="`target_layer` must come before .* 'later' comes after"):
        CamExplainer(draw_posterior(model, 2), target_layer="later")


def test_any_subset_of_targets_in_any_order():
    draws = draw_posterior(narrow(hidden_units=(8,), seed=2), 3)
    x = images(2)
    every, some = CamExplainer(draws)(x), CamExplainer(draws, targets=(2, 0))(x)
    np.testing.assert_allclose(some.cams, every.cams[:, :, [2, 0]], rtol=1e-5, atol=1e-7)
    with pytest.raises(InputError, match=r"`targets` must be class indices 0 to 2; got \[3\]"):
        CamExplainer(draws, targets=(3,))
    with pytest.raises(InputError, match=r"`targets` must be .*; got \[1.5, 'a'\]"):
        CamExplainer(draws, targets=(0, 1.5, "a"))


def test_neither_batch_nor_blocks_of_draws_change_the_maps(monkeypatch):
    draws = draw_posterior(narrow(hidden_units=(8,), seed=2), 6)
    x = images(3)
    whole = CamExplainer(draws)(x)
    alone = np.concatenate([CamExplainer(draws)(x[i : i + 1]).cams for i in range(3)], axis=1)
    np.testing.assert_allclose(alone, whole.cams, rtol=1e-3, atol=1e-6)
    monkeypatch.setattr("bayescam.inference.draws._BLOCK_BYTES", 10_000)
    assert len(draws.blocks(CamExplainer(draws)._members[0]._bytes_per_draw(3))) > 1
    np.testing.assert_allclose(CamExplainer(draws)(x).cams, whole.cams, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("hidden", [(), (4,)])
def test_blocks_of_draws_count_what_gradients_of_scores_take(hidden):
    """Four bytes of each number that `score_gradients` makes on its way, for one draw."""
    draws = draw_posterior(narrow(pooling="flatten", hidden_units=hidden), 2)
    probability = Target("probability", (1,), "probability(b)")
    for targets, curved in (([Target.of_class(0)], False), ([probability] * 2, True)):
        explainer = CamExplainer(draws, targets=targets)
        (features,) = draws.split.prefix(draws.split.features)(tf.constant(images(3)))
        made = score_gradients(draws.split, features, draws.weights(0, 1), explainer.targets)
        jacobian = len(NAMES) * features.shape[1] * (3 if hidden else 1) if curved else 0
        cells = 3 * len(targets) * np.prod(explainer.map_shape)
        numbers = np.prod(made.shape) + jacobian + cells
        assert explainer._members[0]._bytes_per_draw(3) == 4 * numbers


def test_a_deterministic_head_has_no_spread():
    out = CamExplainer(draw_posterior(narrow(head="dense"), 1))(images(2))
    assert out.cams.shape[0] == 1


def test_the_model_is_left_as_it_was():
    model = build_classifier("mobilenetv2", class_names=NAMES, input_shape=SHAPE)
    before = model.get_weights()
    CamExplainer(draw_posterior(model, 2))(images(2))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_features_are_the_pooled_maps():
    model = narrow()
    out = CamExplainer(draw_posterior(model, 2))(images(2))
    pooled = tf_keras.Model(model.input, model.get_layer("global_pool").output)
    np.testing.assert_allclose(out.features, pooled.predict(images(2), verbose=0), rtol=1e-5)


def test_backbone_in_short_floats_gives_float32_maps():
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        short = narrow()
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    full = narrow()
    full.set_weights(short.get_weights())
    x = images(2)
    a, b = (CamExplainer(draw_posterior(m, 3))(x) for m in (short, full))
    assert a.cams.dtype == np.float32
    scale = np.abs(b.cams).max()
    assert 0 < np.abs(a.cams - b.cams).max() < 0.1 * scale
