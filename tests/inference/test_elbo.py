from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from scipy.special import log_softmax
from sklearn.utils.class_weight import compute_sample_weight

from bayescam.inference.elbo import (
    class_weights,
    kl_divergence,
    kl_warmup,
    weighted_cross_entropy,
)
from bayescam.models import FlipoutDense, LocalReparameterizationDense, ReparameterizationDense
from tests.networks import narrow


def test_divergence_is_the_sum_over_layers_ours_and_stock():
    model = narrow(hidden_units=(4,), prior_sd=0.3)
    stock = tfp.layers.DenseFlipout(2)
    stock(tf.zeros((1, 3)))
    layers = [model.get_layer("hidden_1"), model.get_layer("logits"), stock]
    expected = 0.0
    for layer, prior_sd in zip(layers, (0.3, 0.3, 1.0), strict=True):
        normal = layer.kernel_posterior.distribution
        loc, sd = normal.loc.numpy(), tf.convert_to_tensor(normal.scale).numpy()
        expected += np.sum(
            np.log(prior_sd / sd) + (sd**2 + loc**2) / (2 * prior_sd**2) - 0.5, dtype=np.float64
        )
    assert float(kl_divergence(layers)) == pytest.approx(expected, rel=1e-5)
    assert float(kl_divergence([])) == 0.0


def test_a_random_bias_counts_where_it_has_a_prior():
    stock = tfp.layers.DenseFlipout(
        2,
        bias_posterior_fn=tfp.layers.default_mean_field_normal_fn(),
        bias_prior_fn=tfp.layers.default_multivariate_normal_fn,
    )
    stock(tf.zeros((1, 3)))
    own = sum(float(loss) for loss in stock.losses)  # the layer's own sum
    assert float(kl_divergence([stock])) == pytest.approx(own, rel=1e-5)


def test_cross_entropy_equals_the_formula():
    rng = np.random.default_rng(0)
    logits, labels, weights = rng.normal(size=(6, 3)), np.array([0, 1, 2, 2, 1, 0]), [1.0, 2.0, 0.5]
    expected = np.mean(
        [-weights[k] * row[k] for row, k in zip(log_softmax(logits, axis=1), labels, strict=True)]
    )
    got = weighted_cross_entropy(
        tf.constant(logits, tf.float32), tf.constant(labels), tf.constant(weights)
    )
    assert float(got) == pytest.approx(expected, rel=1e-5)


def test_class_weights_are_powers_of_the_frequency():
    labels = np.repeat([0, 1, 2], [80, 15, 5])
    np.testing.assert_allclose(
        class_weights(labels, 3, 1.0)[labels], compute_sample_weight("balanced", labels), rtol=1e-6
    )
    np.testing.assert_allclose(class_weights(labels, 3, 0.0), 1.0)
    half = class_weights(labels, 4, 0.5)
    assert half[labels].mean() == pytest.approx(1.0)
    assert half[2] / half[0] == pytest.approx(4.0)
    assert half[3] == 0.0


def test_warm_up_rises_in_equal_steps_to_one():
    assert [kl_warmup(epoch, 3) for epoch in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert kl_warmup(0, 0) == 1.0


@pytest.mark.parametrize(
    "kind", [FlipoutDense, ReparameterizationDense, LocalReparameterizationDense]
)
def test_mean_field_finds_the_posterior_of_a_linear_model(kind):
    """Gaussian likelihood with known noise: q has the exact mean, and sd `precision_ii ** -1/2`.

    Bishop 2006, section 10.1.2. Trained by the layer's own noisy gradients; the last half of the
    steps is averaged.
    """
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 1]])
    y = x @ np.array([0.5, -1.0, 0.2]) + 0.3 * rng.normal(size=50)
    precision = x.T @ x / 0.09 + np.eye(3) / 0.5**2
    layer = kind(1, use_bias=False, prior_sd=0.5, num_train=50, seed=0)
    layer(tf.zeros((1, 3)))
    normal = layer.kernel_posterior.distribution
    xs, ys = tf.constant(x, tf.float32), tf.constant(y[:, None], tf.float32)
    steps = 6000
    optimizer = tf_keras.optimizers.Adam(tf_keras.optimizers.schedules.CosineDecay(0.02, steps))
    optimizer.build(layer.trainable_variables)
    sums = [tf.Variable(tf.zeros((3, 1))) for _ in range(2)]

    @tf.function
    def train() -> None:
        for step in tf.range(steps):
            with tf.GradientTape() as tape:
                misfit = tf.reduce_sum(tf.square(ys - layer(xs))) / (2 * 0.09)
                loss = misfit + kl_divergence([layer])
            variables = layer.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            if step >= steps // 2:
                sums[0].assign_add(normal.loc / (steps // 2))
                sums[1].assign_add(tf.convert_to_tensor(normal.scale) / (steps // 2))

    train()
    mean, sd = (total.numpy()[:, 0] for total in sums)
    exact_sd = np.diag(precision) ** -0.5
    exact = np.linalg.solve(precision, x.T @ y / 0.09)
    np.testing.assert_allclose((mean - exact) / exact_sd, 0, atol=0.1)
    np.testing.assert_allclose(sd / exact_sd, 1, atol=0.03)
    marginal = np.diag(np.linalg.inv(precision)) ** 0.5
    assert (marginal / exact_sd).max() > 1.06  # the sd of the exact marginals is another one
