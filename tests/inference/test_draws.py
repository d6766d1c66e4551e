from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.inference import draw_posterior
from bayescam.inference.draws import PosteriorDraws
from bayescam.models import adapt_model
from bayescam.types import InputError
from tests.networks import NAMES, SHAPE, images, narrow


def test_more_draws_begin_with_the_same_draws():
    model = narrow(hidden_units=(4,))
    few, many = draw_posterior(model, 5, seed=3), draw_posterior(model, 9, seed=3)
    x = images(2)
    np.testing.assert_allclose(many.logits(x)[:5], few.logits(x), rtol=1e-5, atol=1e-6)
    other = draw_posterior(model, 5, seed=4)
    assert np.abs(other.logits(x) - few.logits(x)).max() > 1e-3


def test_a_draw_does_not_depend_on_the_batch():
    draws = draw_posterior(narrow(), 4)
    x = images(5)
    together = draws.logits(x)
    alone = np.concatenate([draws.logits(x[i : i + 1]) for i in range(5)], axis=1)
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)


def test_any_block_of_draws_can_be_made_alone():
    draws = draw_posterior(narrow(hidden_units=(4,)), 10, seed=2)
    whole = draws.weights()
    for layer, part in zip(whole, draws.weights(6, 9), strict=True):
        for all_draws, some in zip(layer, part, strict=True):
            np.testing.assert_array_equal(all_draws[6:9], some)


@pytest.mark.parametrize("hidden", [(), (4,)])
def test_kernels_have_the_moments_of_the_posterior(hidden):
    model = narrow(hidden_units=hidden)
    num = 4000
    drawn = draw_posterior(model, num, seed=1).weights()
    for name, (kernel, bias) in zip([*["hidden_1"] * len(hidden), "logits"], drawn, strict=True):
        posterior = model.get_layer(name).kernel_posterior.distribution
        loc, scale = posterior.loc.numpy(), tf.convert_to_tensor(posterior.scale).numpy()
        error = (kernel.numpy().mean(axis=0) - loc) / (scale / np.sqrt(num))
        assert np.abs(error).max() < 5
        spread = kernel.numpy().std(axis=0, ddof=1) / scale - 1
        assert np.abs(spread * np.sqrt(2 * num)).max() < 5
        assert np.ptp(bias.numpy(), axis=0).max() == 0


def test_layers_of_one_shape_get_different_random_numbers():
    first, second = draw_posterior(narrow(hidden_units=(64, 64)), 200).weights()[:2]
    noise = [(k - k.numpy().mean(axis=0)).numpy().ravel() for k, _ in (first, second)]
    assert abs(np.corrcoef(*noise)[0, 1]) < 5 / np.sqrt(noise[0].size)


def test_images_are_not_tied_together_as_in_batch_tiling():
    """A batch tiled S times through one flipout call shares one perturbation.

    The variance estimated from such a call is off by an amount that S does not shrink; that of
    independent draws has the relative error sqrt(2 / S).
    """
    model = narrow()
    x = images(1)
    num = 2000
    features = draw_posterior(model, 1).split
    (pooled,) = features.prefix(features.features)(tf.constant(x))
    layer = model.get_layer("logits")
    inputs = model.get_layer("standardization")(pooled)
    sparse = tf.constant(np.eye(inputs.shape[1], dtype=np.float32)[:1] * 3)
    scale = tf.convert_to_tensor(layer.kernel_posterior.distribution.scale).numpy()
    exact = 9 * scale[0] ** 2
    tiled = layer(tf.repeat(sparse, num, axis=0)).numpy().var(axis=0)
    kernels = draw_posterior(model, num, seed=5).weights()[0][0].numpy()
    drawn = (3 * kernels[:, 0]).var(axis=0)
    bound = 5 * np.sqrt(2 / num)
    assert np.abs(drawn / exact - 1).max() < bound
    assert np.abs(tiled / exact - 1).max() > bound


def test_a_draw_as_a_model_gives_its_logits():
    model = narrow(hidden_units=(4,), pooling="flatten")
    draws = draw_posterior(model, 3, seed=7)
    x = images(2)
    expected = draws.logits(x)
    for s in range(3):
        plain = draws.as_model(s)
        assert not any("flipout" in type(layer).__name__.lower() for layer in plain.layers)
        np.testing.assert_allclose(plain.predict(x, verbose=0), expected[s], rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="`index` must be 0 to 2; got 3"):
        draws.as_model(3)


def test_dropout_masks_are_shared_by_all_images():
    user = tf_keras.Sequential(
        [
            tf_keras.Input(SHAPE),
            tf_keras.layers.Conv2D(40, 3, activation="relu"),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dropout(0.3),
            tf_keras.layers.Dense(3),
        ]
    )
    draws = draw_posterior(adapt_model(user, NAMES, sample_dropout=True), 500, seed=1)
    ((mask,),) = draws.weights()
    values = np.unique(mask)
    np.testing.assert_allclose(values, [0, 1 / 0.7], rtol=1e-6)
    kept = (mask.numpy() > 0).mean()
    assert abs(kept - 0.7) < 5 * np.sqrt(0.21 / mask.shape.num_elements())
    x = images(3)
    np.testing.assert_allclose(
        draws.as_model(4).predict(x, verbose=0), draws.logits(x)[4], rtol=1e-4, atol=1e-5
    )


def test_dropout_on_maps_is_drawn_with_convolutions_after_it():
    user = tf_keras.Sequential(
        [
            tf_keras.Input(SHAPE),
            tf_keras.layers.Conv2D(4, 3, activation="relu"),
            tf_keras.layers.SpatialDropout2D(0.1),
            tf_keras.layers.Dropout(0.5),
            tf_keras.layers.Conv2D(5, 3, activation="relu"),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(3),
        ]
    )
    draws = draw_posterior(adapt_model(user, NAMES, sample_dropout=True), 4, seed=1)
    x = images(2)
    logits = draws.logits(x)
    for s in range(4):
        np.testing.assert_allclose(
            draws.as_model(s).predict(x, verbose=0), logits[s], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("kind", ["DenseReparameterization", "DenseLocalReparameterization"])
def test_stock_layers_with_a_random_bias_are_drawn(kind):
    random_bias = tfp.layers.default_mean_field_normal_fn()
    user = tf_keras.Sequential(
        [
            tf_keras.Input(SHAPE),
            tf_keras.layers.GlobalAveragePooling2D(),
            getattr(tfp.layers, kind)(3, bias_posterior_fn=random_bias),
        ]
    )
    draws = draw_posterior(user, 2000)
    ((kernel, bias),) = draws.weights()
    layer = user.layers[-1]
    for drawn, posterior in ((kernel, layer.kernel_posterior), (bias, layer.bias_posterior)):
        error = drawn.numpy().mean(axis=0) - posterior.mean().numpy()
        assert np.abs(error / (posterior.stddev().numpy() / np.sqrt(2000))).max() < 5


def test_a_posterior_that_is_not_gaussian_is_drawn_by_its_own_sampler():
    tfd = tfp.distributions
    loc, scale = np.linspace(-1, 1, 9).reshape(3, 3), 0.5

    def laplace(dtype, shape, name, trainable, add_variable):
        return tfd.Independent(tfd.Laplace(tf.constant(loc, dtype), scale), 2)

    user = tf_keras.Sequential(
        [
            tf_keras.Input(SHAPE),
            tf_keras.layers.GlobalAveragePooling2D(),
            tfp.layers.DenseReparameterization(
                3, kernel_posterior_fn=laplace, kernel_divergence_fn=None
            ),
        ]
    )
    ((kernel, _),) = draw_posterior(user, 2000, seed=1).weights()
    error = kernel.numpy().mean(axis=0) - loc
    assert np.abs(error).max() < 5 * np.sqrt(2) * scale / np.sqrt(2000)
    deviation = np.abs(kernel.numpy() - loc).mean(axis=0)  # has mean and sd `scale`
    assert np.abs(deviation - scale).max() < 5 * scale / np.sqrt(2000)


def test_a_deterministic_model_has_one_draw_and_says_so():
    model = narrow(head="dense")
    with pytest.warns(UserWarning, match="no stochastic layer, so there is 1 draw, not 100"):
        draws = draw_posterior(model, 100)
    assert len(draws) == 1
    x = images(2)
    np.testing.assert_allclose(draws.logits(x)[0], model.predict(x, verbose=0), rtol=1e-5)


def test_large_heads_are_drawn_in_blocks(monkeypatch):
    draws = draw_posterior(narrow(hidden_units=(4,)), 7, seed=3)
    x = images(2)
    whole = draws.logits(x)
    monkeypatch.setattr("bayescam.inference.draws._BLOCK_BYTES", 3 * 4 * (64 * 4 + 4 * 3))
    assert draws.blocks() == [(0, 3), (3, 6), (6, 7)]
    np.testing.assert_allclose(draws.logits(x), whole, rtol=1e-6)


def test_too_few_draws_are_refused():
    with pytest.raises(InputError, match="`num_samples` must be a whole number, 1 or more; got 0"):
        draw_posterior(narrow(), 0)


def test_the_type_says_what_it_holds():
    draws = draw_posterior(narrow(), 4, seed=2)
    assert isinstance(draws, PosteriorDraws)
    assert (draws.num_samples, draws.seed, len(draws)) == (4, 2, 4)
