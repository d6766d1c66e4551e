from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from bayescam.models import (
    FlipoutDense,
    attach_head,
    build_classifier,
    build_head,
    class_names,
    posterior_mean,
    variational_layers,
)
from bayescam.types import InputError

NAMES = ("nv", "mel", "bcc")


def narrow(**options):
    options = {"class_names": NAMES, "input_shape": (32, 32, 3), **options}
    return build_classifier("narrow_vgg", **options)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


@pytest.fixture
def bfloat16_policy():
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf_keras.mixed_precision.set_global_policy(before)


@pytest.mark.parametrize("head", ["dense", "flipout"])
@pytest.mark.parametrize(("pooling", "inputs"), [("avg", 64), ("flatten", 64 * 4)])
def test_the_graph_is_flat_and_ends_in_named_logits(head, pooling, inputs):
    model = narrow(head=head, pooling=pooling, hidden_units=(5,), input_shape=(64, 64, 3))
    assert not any(isinstance(layer, tf_keras.Model) for layer in model.layers)
    kind = FlipoutDense if head == "flipout" else tf_keras.layers.Dense
    first, last = model.get_layer("hidden_1"), model.get_layer("logits")
    assert (type(first), type(last)) == (kind, kind)
    assert first.input_shape == (None, inputs)
    assert (first.activation.__name__, last.activation.__name__) == ("relu", "linear")
    assert len(variational_layers(model)) == (2 if head == "flipout" else 0)
    assert class_names(model) == NAMES
    assert model.get_layer("block5_conv3").output_shape == (None, 4, 4, 64)


@pytest.mark.parametrize("pooling", ["avg", "flatten"])
def test_logits_are_the_formula_of_the_parts(images, pooling):
    model = narrow(head="dense", pooling=pooling, input_shape=(64, 64, 3))
    big = np.repeat(np.repeat(images, 2, 1), 2, 2)
    maps = tf_keras.Model(model.input, model.get_layer("block5_pool").output)(big).numpy()
    features = maps.mean((1, 2)) if pooling == "avg" else maps.reshape(len(maps), -1)
    mean, sd = features.mean(0), features.std(0) + 0.5
    model.get_layer("standardization").set_statistics(mean, sd)
    kernel, bias = model.get_layer("logits").get_weights()
    expected = (features - mean) / sd @ kernel + bias
    np.testing.assert_allclose(model(big), expected, rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_model_and_another_another(images):
    first, again, other = narrow(seed=1), narrow(seed=1), narrow(seed=2)
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first(images), again(images))
    kernels = ["block1_conv1", "block5_conv3", "logits"]
    for name in kernels:
        mine, theirs = (m.get_layer(name).get_weights()[0] for m in (first, other))
        assert not np.array_equal(mine, theirs)


def test_every_layer_starts_with_weights_of_its_own():
    model = narrow(hidden_units=(64, 64))
    hidden = [model.get_layer(f"hidden_{n}").get_weights()[0] for n in (1, 2)]
    assert not np.array_equal(*hidden)
    convs = [model.get_layer(f"block5_conv{n}").get_weights()[0] for n in (2, 3)]
    assert not np.array_equal(*convs)


def test_options_reach_the_head():
    model = narrow(hidden_units=[4], prior_sd=0.7, num_train=321)
    assert [(x.prior_sd, x.num_train) for x in variational_layers(model)] == [(0.7, 321)] * 2


def test_integer_images_give_the_same_logits(images):
    model, pixels = narrow(head="dense"), images.astype("uint8")
    floats = model.predict(pixels.astype("float32"), verbose=0)
    np.testing.assert_array_equal(model.predict(pixels, verbose=0), floats)


@pytest.mark.parametrize("head", ["dense", "flipout"])
def test_a_short_float_backbone_has_a_float32_head(images, bfloat16_policy, head):
    model = narrow(head=head, hidden_units=(4,))
    assert model.get_layer("block1_conv1").compute_dtype == "bfloat16"
    for name in ("pixel_normalization", "global_pool", "standardization", "hidden_1", "logits"):
        assert model.get_layer(name).compute_dtype == "float32"
    with posterior_mean(model):
        logits = model(images)
    tf_keras.mixed_precision.set_global_policy("float32")
    reference = narrow(head=head, hidden_units=(4,))
    reference.set_weights(model.get_weights())
    assert logits.dtype == tf.float32
    with posterior_mean(reference):
        expected = reference(images).numpy()
    np.testing.assert_allclose(logits, expected, atol=0.1 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "bayes"}, "`head` must be 'flipout' or .* or 'dense'; got 'bayes'"),
        ({"head": "flipot"}, r"got 'flipot'. Did you mean 'flipout'\?"),
        (
            {"dropout_rat": 0.2},
            r"`dropout_rat` is no option of a head; did you mean `dropout_rate`",
        ),
        ({"poolin": "avg"}, r"`poolin` is no option of a head; did you mean `pooling`\?"),
        ({"zzz": 1}, "`zzz` is no option of a head; there are prior_sd, num_train, dropout_rate"),
        ({"dropout_rate": 0.2}, "`dropout_rate` is an option of the head 'dropout'; got 'flipout'"),
        ({"head": "dense", "num_members": 3}, "option of the head 'ensemble'; got 'dense'"),
        ({"head": "dropout", "covariance": "full"}, "option of the head 'laplace'; got 'dropout'"),
        ({"head": "dropout", "dropout_rate": "a"}, "`dropout_rate` must be a number; got 'a'"),
        ({"prior_sd": "0.1"}, "`prior_sd` must be a number; got '0.1'"),
        ({"head": "ensemble", "num_members": 2.5}, "`num_members` must be a whole number, 2 or"),
        ({"seed": -1}, "`seed` must be a whole number, 0 or more; got -1"),
        ({"seed": 0.5}, "`seed` must be a whole number, 0 or more; got 0.5"),
        ({"head": "dropout", "dropout_rate": 1.0}, "`dropout_rate` must be at least 0 and below 1"),
        (
            {"head": "ensemble", "num_members": 1},
            "`num_members` must be a whole number, 2 or more; got 1",
        ),
        ({"head": "laplace", "covariance": "half"}, "`covariance` must be 'kronecker' or"),
        ({"pooling": "max"}, "`pooling` must be 'avg' or 'flatten'; got 'max'"),
        ({"input_shape": (64, 64)}, r"`input_shape` must be \(height, width, 3\)"),
        ({"input_shape": (64, 64, 1)}, r"`input_shape` must be \(height, width, 3\)"),
        ({"input_shape": (16, 16, 3)}, "does not suit narrow_vgg"),
        ({"class_names": ["a"]}, "at least two"),
        ({"class_names": ["a", "a"]}, "more than once"),
        ({"hidden_units": (0,)}, "`hidden_units` must be a sequence of positive whole numbers"),
        ({"hidden_units": 5}, "`hidden_units`"),
        ({"prior_sd": 0}, "`prior_sd` must be a positive number"),
        ({"num_train": 0}, "`num_train` must be a whole number, 1 or more; got 0"),
        ({"weights": "missing.h5"}, "missing.h5: no such file"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        narrow(**options)


@pytest.mark.parametrize("number", ["4", 4.0, 0, None, True])
def test_a_head_needs_a_number_of_features(number):
    with pytest.raises(InputError, match="`num_features` must be a whole number, 1 or more; got"):
        build_head(number, class_names=NAMES)


def test_an_attached_head_sees_the_features_of_the_backbone(images):
    network = narrow(head="dense", seed=1)
    head = build_head(64, class_names=NAMES[::-1], head="dense", seed=2)
    head.get_layer("standardization").set_statistics(np.full(64, 0.1), np.full(64, 2.0))
    model = attach_head(network, head)
    pooled = tf_keras.Model(network.input, network.get_layer("global_pool").output)(images)
    np.testing.assert_allclose(model(images), head(pooled), rtol=1e-6, atol=1e-6)
    assert class_names(model) == NAMES[::-1]
    assert class_names(network) == NAMES
    again = attach_head(model, build_head(64, class_names=NAMES, head="laplace", seed=3))
    assert class_names(again) == NAMES
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


def test_a_head_that_does_not_fit_is_not_attached():
    with pytest.raises(
        InputError, match="`head` must take the 64 features of 'narrow_vgg'.*takes 5"
    ):
        attach_head(narrow(), build_head(5, class_names=NAMES))
    plain = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(2)])
    with pytest.raises(InputError, match="must be a classifier of build_classifier"):
        attach_head(plain, build_head(4, class_names=NAMES))


def test_an_option_that_is_none_is_not_given():
    model = build_head(4, class_names=NAMES, head="ensemble", num_members=None, dropout_rate=None)
    assert model.get_layer("logits").num_members == 5


def test_an_input_too_small_for_an_application_is_refused():
    with pytest.raises(InputError, match=r"\(48, 48, 3\) does not suit inceptionv3: .*75x75"):
        build_classifier("inceptionv3", class_names=NAMES, input_shape=(48, 48, 3))


def test_class_names_of_a_foreign_model_are_refused():
    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(2)])
    with pytest.raises(InputError, match=r"carries no class names.*adapt_model"):
        class_names(model)
