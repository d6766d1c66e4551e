from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.models import (
    FlipoutDense,
    posterior_mean,
    variational_layers,
)
from bayescam.types import InputError

layers = tf_keras.layers


stock_layers = pytest.mark.filterwarnings("ignore:.*unseeded", "ignore:.*add_variable")


def toy_model(*, num_train=None, seed=0, hidden=True, prior_sd=0.15):
    options = {"num_train": num_train, "prior_sd": prior_sd}
    head = [FlipoutDense(8, activation="relu", seed=seed, **options)] if hidden else []
    return tf_keras.Sequential([tf_keras.Input((5,)), *head, FlipoutDense(3, seed=9, **options)])


def toy_data(size=60):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(size, 5)).astype("float32")
    return x, np.argmax(x[:, :3], axis=1)


def cross_entropy():
    return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_kl_is_that_of_tfp_and_of_the_formula():
    layer = FlipoutDense(4, prior_sd=0.3, initial_sd=0.1, seed=1)
    layer.build((None, 6))
    loc, rho, _ = layer.get_weights()
    sd = np.log1p(np.exp(rho.astype(float)))
    hand = np.sum(np.log(0.3 / sd) + (sd**2 + loc.astype(float) ** 2) / (2 * 0.3**2) - 0.5)
    oracle = tfp.distributions.kl_divergence(layer.kernel_posterior, layer.kernel_prior)
    np.testing.assert_allclose(layer.kl_divergence(), hand, rtol=1e-5)
    np.testing.assert_allclose(layer.kl_divergence(), oracle, rtol=1e-5)


def test_kl_is_zero_at_the_prior():
    layer = FlipoutDense(4, prior_sd=0.3, initial_sd=0.3, seed=1)
    layer.build((None, 6))
    loc, rho, bias = layer.get_weights()
    layer.set_weights([0 * loc, rho, bias])
    assert float(layer.kl_divergence()) == pytest.approx(0, abs=1e-4)


def test_the_loss_of_fit_is_cross_entropy_plus_kl_over_num_train():
    x, labels = toy_data()
    model = toy_model(num_train=1000)
    model.compile(loss=cross_entropy())
    kl = sum(float(layer.kl_divergence()) for layer in variational_layers(model))
    with posterior_mean(model):
        nll = float(cross_entropy()(labels, model(x)))
        for number in (1000, 10):
            for layer in variational_layers(model):
                layer.num_train = number
            loss = model.evaluate(x, labels, verbose=0, batch_size=60)
            assert loss == pytest.approx(nll + kl / number, rel=1e-5)


def test_plain_fit_lowers_the_elbo_loss_and_learns():
    x, labels = toy_data(500)
    model = toy_model(num_train=len(x), prior_sd=1.0)
    model.compile(tf_keras.optimizers.legacy.Adam(0.03), cross_entropy())
    history = model.fit(x, labels, epochs=80, batch_size=500, verbose=0).history
    assert np.mean(history["loss"][-5:]) < 0.7 * history["loss"][0]
    with posterior_mean(model):
        assert (model.predict(x, verbose=0).argmax(1) == labels).mean() > 0.85


def test_training_without_num_train_is_refused():
    x, labels = toy_data()
    model = toy_model()
    model.compile(loss=cross_entropy())
    model.evaluate(x, labels, verbose=0)
    with pytest.raises(ValueError, match="`num_train` of layer .* must be set before training"):
        model.fit(x, labels, verbose=0)
    for layer in variational_layers(model):
        layer.num_train = 60
    model.compile(loss=cross_entropy())
    model.fit(x, labels, verbose=0)


@pytest.mark.parametrize("number", [0, -3, 1.5, True])
def test_num_train_must_be_a_count(number):
    with pytest.raises(InputError, match="`num_train`"):
        FlipoutDense(2, num_train=number)


@pytest.mark.parametrize("argument", ["prior_sd", "initial_sd"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_standard_deviations_must_be_positive(argument, value):
    with pytest.raises(InputError, match=f"`{argument}` must be a positive number"):
        FlipoutDense(2, **{argument: value})


def test_training_repeats_exactly_under_a_seed():
    x, labels = toy_data()

    def train(seed):
        model = toy_model(num_train=60, seed=seed)
        model.compile(tf_keras.optimizers.legacy.SGD(0.1), cross_entropy())
        model.fit(x, labels, epochs=3, shuffle=False, verbose=0)
        return model.get_weights()

    for a, b in zip(train(1), train(1), strict=True):
        np.testing.assert_array_equal(a, b)


def test_layers_start_apart_unless_they_share_a_seed():
    def kernel(**kwargs):
        layer = FlipoutDense(3, **kwargs)
        layer.build((None, 4))
        return layer.get_weights()[0]

    assert not np.array_equal(kernel(), kernel())
    np.testing.assert_array_equal(kernel(seed=4), kernel(seed=4))
    tf_keras.utils.set_random_seed(7)
    drawn = kernel()
    tf_keras.utils.set_random_seed(7)
    np.testing.assert_array_equal(drawn, kernel())


def test_posterior_starts_at_the_asked_or_default_sd():
    for inputs, initial_sd, expected in [(100, None, 0.05), (1, None, 0.15), (100, 0.3, 0.3)]:
        layer = FlipoutDense(2, initial_sd=initial_sd)
        layer.build((None, inputs))
        np.testing.assert_allclose(layer.kernel_posterior.stddev(), expected, rtol=1e-5)


def test_mean_mode_is_a_dense_layer_with_the_mean_weights_also_when_compiled():
    x, _ = toy_data()
    model = toy_model(hidden=False)
    dense = layers.Dense(3)
    dense.build((None, 5))
    loc, _, bias = model.get_weights()
    dense.set_weights([loc, bias])
    sampled = model.predict(x, verbose=0)
    with posterior_mean(model) as same:
        assert same is model
        np.testing.assert_array_equal(model.predict(x, verbose=0), dense(x))
        with posterior_mean(model):
            pass
        np.testing.assert_array_equal(model.predict(x, verbose=0), dense(x))
    assert not np.array_equal(model.predict(x, verbose=0), dense(x))
    assert not np.array_equal(model.predict(x, verbose=0), sampled)


def test_mean_mode_ends_after_an_error():
    model = toy_model()
    x, _ = toy_data()
    with pytest.raises(KeyError), posterior_mean(model):
        raise KeyError
    assert not np.array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0))


@stock_layers
def test_mean_mode_refuses_stock_layers():
    stock = tfp.layers.DenseReparameterization(2, name="stock")
    model = tf_keras.Sequential([tf_keras.Input((5,)), stock])
    assert variational_layers(model) == [stock]
    with (
        pytest.raises(InputError, match="'stock' is a stock DenseReparameterization"),
        posterior_mean(model),
    ):
        pass


def test_variational_layers_of_nested_models_and_wrappers_are_found_once():
    inner = toy_model()
    wrapped = layers.TimeDistributed(FlipoutDense(2, name="wrapped"))
    start = tf_keras.Input((4, 5))
    model = tf_keras.Model(start, wrapped(layers.TimeDistributed(inner)(start)))
    assert variational_layers(model) == [*inner.layers, wrapped.layer]


def test_a_frozen_layer_keeps_trainable_weights_for_later():
    layer = FlipoutDense(2, trainable=False)
    layer.build((None, 3))
    assert layer.trainable_weights == []
    layer.trainable = True
    assert len(layer.trainable_weights) == 3


def test_the_switches_are_no_weights():
    names = [weight.name.split("/")[-1] for weight in toy_model(hidden=False).weights]
    assert names == [
        "kernel_posterior_loc:0",
        "kernel_posterior_untransformed_scale:0",
        "bias_posterior_loc:0",
    ]


def test_a_clone_has_the_same_configuration_and_start():
    model = toy_model(num_train=12)
    clone = tf_keras.models.clone_model(model)
    x, _ = toy_data()
    assert clone.get_config() == model.get_config()
    np.testing.assert_array_equal(clone.predict(x, verbose=0), model.predict(x, verbose=0))


def test_half_precision_inputs_are_computed_in_float32():
    layer = FlipoutDense(2, dtype="mixed_float16", seed=0)
    assert layer(tf.ones((3, 4), tf.float16)).dtype == tf.float32
    assert layer.compute_dtype == "float32"
    assert all(weight.dtype == tf.float32 for weight in layer.weights)


def test_no_bias():
    layer = FlipoutDense(2, use_bias=False)
    layer.build((None, 3))
    assert len(layer.weights) == 2
    assert FlipoutDense.from_config(layer.get_config()).use_bias is False
