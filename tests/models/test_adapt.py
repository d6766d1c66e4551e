from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.models import (
    ClassLogits,
    FlipoutDense,
    SampledDropout,
    adapt_model,
    build_classifier,
    class_names,
    posterior_mean,
)
from bayescam.types import InputError

layers = tf_keras.layers
NAMES = ["a", "b", "c"]
stock_layers = pytest.mark.filterwarnings("ignore:.*unseeded", "ignore:.*add_variable")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (4, 12, 12, 3)).astype("float32")


def with_tail(*tail, channels=3):
    """A user's model: a backbone nested in a Sequential, then `tail`."""
    start = tf_keras.Input((12, 12, channels))
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(start)
    backbone = tf_keras.Model(start, layers.BatchNormalization(name="norm")(x), name="backbone")
    pool = layers.GlobalAveragePooling2D(name="pool")
    model = tf_keras.Sequential([tf_keras.Input((12, 12, channels)), backbone, pool, *tail])
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1, 0.9, w.shape) for w in model.get_weights()])
    return model


def nested_head(activation):
    start = tf_keras.Input((4,))
    x = layers.Dense(5, activation="tanh", name="inner")(start)
    return tf_keras.Model(start, layers.Dense(3, activation=activation, name="out")(x), name="head")


@pytest.mark.parametrize(
    "tail",
    [
        lambda: [layers.Dense(3, activation="softmax")],
        lambda: [nested_head("softmax")],
        lambda: [nested_head(None), layers.Softmax()],
        lambda: [layers.Dense(3), layers.Activation("softmax"), layers.Activation("linear")],
        lambda: [layers.Dense(3), layers.Activation(tf.nn.softmax)],
        lambda: [layers.Dropout(0.5), layers.Dense(3, activation=tf.nn.softmax)],
    ],
)
def test_softmax_of_the_logits_is_the_users_own_prediction(images, tail):
    user_model = with_tail(*tail())
    model = adapt_model(user_model, NAMES)
    probs = tf.nn.softmax(model(images)).numpy()
    np.testing.assert_allclose(probs, user_model(images / 255), rtol=1e-5)
    assert np.abs(model(images).numpy().sum(1)).min() > 0.01  # logits, not log probabilities
    assert class_names(model) == tuple(NAMES)
    assert isinstance(model.layers[-1], ClassLogits)
    assert not any(isinstance(layer, tf_keras.Model) for layer in model.layers)


def test_log_softmax_is_taken_off(images):
    user_model = with_tail(layers.Dense(3, activation=tf.nn.log_softmax))
    probs = tf.nn.softmax(adapt_model(user_model, NAMES)(images))
    np.testing.assert_allclose(probs, np.exp(user_model(images / 255)), rtol=1e-5)


def test_an_operation_as_last_softmax_is_taken_off(images):
    start = tf_keras.Input((12, 12, 3))
    logits = layers.Dense(3)(layers.Flatten()(start * 2.0))
    user_model = tf_keras.Model(start, tf.nn.softmax(logits))
    model = adapt_model(user_model, NAMES)
    np.testing.assert_allclose(
        tf.nn.softmax(model(images)), user_model(images / 255), rtol=1e-4, atol=1e-6
    )


def test_linear_outputs_are_logits(images):
    user_model = with_tail(layers.Dense(3, name="out"))
    model = adapt_model(user_model, NAMES)
    np.testing.assert_allclose(model(images), user_model(images / 255), rtol=1e-5)
    assert model.get_layer("out") is user_model.get_layer("out")


@pytest.mark.parametrize(
    "tail",
    [
        lambda: [layers.Dense(1, activation="sigmoid")],
        lambda: [layers.Dense(1), layers.Activation("sigmoid")],
    ],
)
def test_one_sigmoid_unit_speaks_for_the_second_of_two_classes(images, tail):
    user_model = with_tail(*tail())
    probs = tf.nn.softmax(adapt_model(user_model, ["benign", "malignant"])(images)).numpy()
    np.testing.assert_allclose(probs[:, 1:], user_model(images / 255), rtol=1e-5)


def test_one_linear_unit_becomes_two_classes(images):
    user_model = with_tail(layers.Dense(1))
    logits = adapt_model(user_model, ["no", "yes"])(images).numpy()
    np.testing.assert_allclose(logits[:, 1:], user_model(images / 255), rtol=1e-5)
    np.testing.assert_array_equal(logits[:, 0], 0)


def test_a_flipout_layer_with_softmax_keeps_its_posterior(images):
    user_model = with_tail(FlipoutDense(3, activation="softmax", prior_sd=0.4, name="out"))
    model = adapt_model(user_model, NAMES)
    with posterior_mean(user_model), posterior_mean(model):
        probs = tf.nn.softmax(model(images))
        np.testing.assert_allclose(probs, user_model(images / 255), rtol=1e-5)
    ours, theirs = model.get_layer("out"), user_model.get_layer("out")
    np.testing.assert_array_equal(ours.kernel_posterior.stddev(), theirs.kernel_posterior.stddev())
    assert ours.prior_sd == 0.4


@stock_layers
@pytest.mark.parametrize(
    "kind", ["DenseFlipout", "DenseReparameterization", "DenseLocalReparameterization"]
)
def test_a_stock_tfp_layer_with_softmax_keeps_its_posterior_and_prior(images, kind):
    stock = getattr(tfp.layers, kind)(3, activation="softmax", name="out", bias_prior_fn=None)
    user_model = with_tail(stock)
    out = adapt_model(user_model, NAMES).get_layer("out")
    assert type(out) is type(stock)
    assert out.activation.__name__ == "linear"
    for name in ("kernel_posterior", "kernel_prior", "bias_posterior"):
        ours, theirs = getattr(out, name), getattr(stock, name)
        np.testing.assert_array_equal(ours.mean(), theirs.mean())
        np.testing.assert_array_equal(ours.stddev(), theirs.stddev())


def test_the_users_model_is_not_changed(images):
    user_model = with_tail(layers.Dropout(0.5), layers.Dense(3, activation="softmax"))
    config, weights = user_model.get_config(), user_model.get_weights()
    before = user_model.predict(images / 255, verbose=0)
    model = adapt_model(user_model, NAMES, sample_dropout=True)
    model.predict(images, verbose=0)
    assert user_model.get_config() == config
    assert [layer.name for layer in user_model.layers][-1].startswith("dense")
    np.testing.assert_array_equal(user_model.predict(images / 255, verbose=0), before)
    for old, new in zip(weights, user_model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.get_layer("conv") is user_model.get_layer("backbone").get_layer("conv")


def test_dropouts_become_sampled_ones_of_the_same_rate():
    tail = [layers.Dropout(0.3, name="d1"), layers.Dense(4), layers.Dropout(0.6, name="d2")]
    user_model = with_tail(*tail, layers.Dense(3))
    model = adapt_model(user_model, NAMES, sample_dropout=True)
    for name, rate in {"d1": 0.3, "d2": 0.6}.items():
        assert type(model.get_layer(name)) is SampledDropout
        assert model.get_layer(name).rate == rate
        assert type(user_model.get_layer(name)) is layers.Dropout
    plain = adapt_model(user_model, NAMES)
    assert type(plain.get_layer("d1")) is layers.Dropout


@pytest.mark.parametrize("rescale", [1, 1 / 127.5])
def test_rescale_is_what_the_users_pipeline_did(images, rescale):
    user_model = with_tail(layers.Dense(3))
    model = adapt_model(user_model, NAMES, rescale=rescale)
    np.testing.assert_allclose(model(images), user_model(images * rescale), rtol=1e-4)


def test_a_grey_model_sees_the_luma_of_colour_images(images):
    user_model = with_tail(layers.Dense(3), channels=1)
    luma = (images @ np.float32([0.299, 0.587, 0.114]))[..., None] / 255
    np.testing.assert_allclose(adapt_model(user_model, NAMES)(images), user_model(luma), rtol=1e-4)


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (lambda: [layers.Dense(3, activation="relu")], "Dense .* with activation 'relu'"),
        (lambda: [layers.Dense(3), layers.LeakyReLU()], "it ends in LeakyReLU"),
        (lambda: [layers.Dense(3), layers.Softmax(), layers.Dropout(0.1)], "ends in Dropout"),
        (lambda: [layers.Dense(3), layers.Lambda(tf.nn.softmax)], "it ends in Lambda"),
        (lambda: [layers.Dense(3, activation="sigmoid")], "3 sigmoid units, which are 3 separate"),
        (lambda: [layers.Dense(1, activation="softmax")], "softmax of one unit"),
        (
            lambda: [layers.Dense(4, activation="softmax")],
            "must name the 4 classes .*; got 3: a, b",
        ),
        (lambda: [layers.Dense(1, activation="sigmoid")], "must name the 2 classes"),
        (lambda: [], "it ends in GlobalAveragePooling2D 'pool'"),
    ],
)
def test_models_that_do_not_end_in_classes_are_refused(tail, message):
    with pytest.raises(InputError, match=message):
        adapt_model(with_tail(*tail()), NAMES)


def test_outputs_that_are_not_one_row_per_image_are_refused():
    start = tf_keras.Input((12, 12, 3))
    model = tf_keras.Model(start, layers.Dense(3, activation="softmax")(start))
    with pytest.raises(InputError, match=r"one row per image, \(N, K\); its output is"):
        adapt_model(model, NAMES)


def test_inputs_that_are_not_images_are_refused():
    model = tf_keras.Sequential([tf_keras.Input((7,)), layers.Dense(3, activation="softmax")])
    with pytest.raises(InputError, match="must take images"):
        adapt_model(model, NAMES)


def test_models_of_other_kinds_are_refused():
    class Subclassed(tf_keras.Model):
        def call(self, inputs):
            return inputs

    one, two = tf_keras.Input((4, 4, 3)), tf_keras.Input((4, 4, 3))
    joined = layers.Dense(3)(layers.Flatten()(layers.Add()([one, two])))
    with pytest.raises(InputError, match="functional or built Sequential"):
        adapt_model(Subclassed(), NAMES)
    with pytest.raises(InputError, match="one input and one output"):
        adapt_model(tf_keras.Model([one, two], joined), NAMES)
    with pytest.raises(TypeError, match="must be a tf_keras.Model; got .*function"):
        adapt_model(lambda x: x, NAMES)
    ours = build_classifier("narrow_vgg", class_names=NAMES, input_shape=(32, 32, 3))
    with pytest.raises(InputError, match="already a classifier of bayescam"):
        adapt_model(ours, NAMES)


def test_bad_options_are_refused():
    user_model = with_tail(layers.Dense(3))
    for rescale in (0, -1, float("inf")):
        with pytest.raises(InputError, match="`rescale` must be a positive number"):
            adapt_model(user_model, NAMES, rescale=rescale)
    with pytest.raises(InputError, match="`sample_dropout` needs Dropout layers"):
        adapt_model(user_model, NAMES, sample_dropout=True)


def test_two_layers_of_one_name_are_refused():
    model = with_tail(nested_head(None), layers.Dense(3, name="inner"))
    with pytest.raises(InputError, match="two of its layers have one name"):
        adapt_model(model, NAMES)


@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0.0), (1 / 127.5, -1.0)])
def test_pixels_are_not_scaled_twice(images, scale, offset):
    user = tf_keras.Sequential(
        [
            tf_keras.Input(images.shape[1:]),
            layers.Rescaling(scale, offset, name="own"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    with pytest.raises(InputError, match="in layer 'own'.* give rescale=1.0"):
        adapt_model(user, ["a", "b", "c"])
    adapted = adapt_model(user, ["a", "b", "c"], rescale=1.0)
    np.testing.assert_allclose(adapted(images), user(images), rtol=1e-4, atol=1e-5)
