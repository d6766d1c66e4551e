from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayescam.models import (
    FlipoutDense,
    LocalReparameterizationDense,
    ReparameterizationDense,
    rademacher,
)


def outputs_of_calls(layer, x, calls):
    apply = tf.function(layer)
    return np.stack([apply(x) for _ in range(calls)]).astype(float)


def test_rademacher_has_signs_mean_zero_and_variance_one():
    signs = rademacher((200, 500), seed=(1, 2)).numpy()
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 5 / np.sqrt(signs.size)
    assert signs.var() == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_array_equal(signs, rademacher((200, 500), seed=(1, 2)))
    assert not np.array_equal(signs, rademacher((200, 500), seed=(1, 3)))


KINDS = (FlipoutDense, ReparameterizationDense, LocalReparameterizationDense)


@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_covariance_of_calls_are_the_closed_forms(kind):
    """Rows of a batch move together under reparameterisation alone."""
    x = np.float32([[1.0, -2.0, 0.5, 3.0], [1.0, -2.0, 0.5, 3.0]])
    layer = kind(2, seed=3, initial_sd=0.4)
    layer(x)
    loc, rho, bias = layer.get_weights()
    sd = np.random.default_rng(0).uniform(0.1, 0.9, rho.shape)
    layer.set_weights([loc, np.log(np.expm1(sd)), bias + [0.3, -0.2]])
    calls = 2000
    draws = outputs_of_calls(layer, tf.constant(x), calls)
    mean, variance = x @ loc + [0.3, -0.2], x**2 @ sd**2
    assert np.all(np.abs(draws.mean(0) - mean) < 5 * np.sqrt(variance / calls))
    assert np.all(np.abs(draws.var(0) - variance) < 5 * variance * np.sqrt(2 / calls))
    centred = draws - draws.mean(0)
    across_rows = (centred[:, 0] * centred[:, 1]).mean(0)
    expected = variance[0] if kind is ReparameterizationDense else 0.0
    assert np.all(np.abs(across_rows - expected) < 5 * variance[0] * np.sqrt(3 / calls))
    across_units = (centred[:, :, 0] * centred[:, :, 1]).mean(0)
    assert np.all(np.abs(across_units) < 5 * np.sqrt(variance.prod(1) / calls))


@pytest.mark.parametrize("kind", KINDS)
def test_the_three_estimators_have_one_gradient_in_the_mean(kind):
    """Of `sum(y^2) / 2`: `d/d scale = x^2 scale` and `d/d loc = x x^T loc`, in closed form."""
    x = np.float32([[1.0, -2.0], [0.0, 0.0]])
    layer = kind(2, seed=3, initial_sd=0.4, use_bias=False)
    layer(x)
    loc, rho = (weight.astype(float) for weight in layer.get_weights())
    sd, slope = np.log1p(np.exp(rho)), 1 / (1 + np.exp(-rho))

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            loss = 0.5 * tf.reduce_sum(tf.square(layer(x)))
        return tape.gradient(loss, layer.trainable_weights)

    samples = [[part.numpy() for part in gradients()] for _ in range(3000)]
    expected = x.T @ x @ loc, (np.square(x).sum(axis=0)[:, None] * sd) * slope
    for part, want in zip(zip(*samples, strict=True), expected, strict=True):
        values = np.stack(part)
        error = values.std(axis=0) / np.sqrt(len(values))
        assert np.isfinite(values).all()
        assert np.all(np.abs(values.mean(axis=0) - want) < 5 * error + 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_goes_on_from_the_count_of_calls(kind):
    x = np.random.default_rng(0).normal(size=(60, 5)).astype("float32")
    layer = kind(3, seed=2)
    first, second = layer(x).numpy(), layer(x).numpy()
    assert not np.array_equal(first, second)
    assert int(layer.calls) == 2
    layer.calls.assign(1)
    np.testing.assert_array_equal(layer(x), second)
    again = kind.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
