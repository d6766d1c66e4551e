from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize
from scipy.special import log_softmax

from bayescam.inference.laplace import (
    Curvature,
    best_prior_precision,
    softmax_curvature,
)
from bayescam.models import LaplaceDense
from bayescam.types import InputError

N, F, K = 40, 3, 2
SIZE = (F + 1) * K


def problem(seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, F)), rng.uniform(0.2, 2.0, N)


def covariance_of(layer: LaplaceDense, num: int = 40_000):
    """Covariance of kernel and bias as one vector, by draws, and by the exact matrix."""
    identity = np.eye(np.prod(layer.noise_shape), dtype=np.float32)
    kernels, biases = layer.perturbed(identity.reshape(-1, *layer.noise_shape))
    columns = np.concatenate([kernels - layer.kernel, (biases - layer.bias)[:, None]], axis=1)
    root = columns.reshape(len(identity), -1).T
    return root @ root.T


def fitted(curvature: Curvature, covariance: str, precision: float) -> LaplaceDense:
    layer = LaplaceDense(K, covariance=covariance)
    layer.build((None, F))
    layer.posterior_sd.assign(curvature.sd(precision))
    for variable, basis in zip(layer.bases, curvature.bases, strict=True):
        variable.assign(basis)
    return layer


@pytest.mark.parametrize("covariance", ["full", "kronecker"])
def test_on_a_gaussian_linear_problem_it_is_the_exact_posterior(covariance):
    """One noise variance for both outputs: the Kronecker form is exact too."""
    x, _ = problem()
    noise, precision = 0.3, 0.7
    rows = np.concatenate([x, np.ones((N, 1))], axis=1)
    exact = np.kron(np.linalg.inv(rows.T @ rows / noise + precision * np.eye(F + 1)), np.eye(K))
    curvature = Curvature.of(x, np.tile(np.eye(K) / noise, (N, 1, 1)), covariance)
    layer = fitted(curvature, covariance, precision)
    np.testing.assert_allclose(covariance_of(layer), exact, rtol=1e-4, atol=1e-6)


def test_the_full_curvature_is_the_hessian_of_the_softmax_likelihood():
    x, _ = problem()
    rng = np.random.default_rng(1)
    labels, weights = rng.integers(0, K, N), rng.normal(size=(F + 1, K))
    rows = np.concatenate([x, np.ones((N, 1))], axis=1)
    variable = tf.Variable(weights.reshape(-1))
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            logits = rows @ tf.reshape(variable, (F + 1, K))
            loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradient = inner.gradient(loss, variable)
    hessian = outer.jacobian(gradient, variable).numpy()
    curvatures = softmax_curvature(rows @ weights)
    full = Curvature.of(x, curvatures, "full")
    np.testing.assert_allclose(
        full.bases[0] * full.values.T @ full.bases[0].T, hessian, rtol=1e-6, atol=1e-8
    )
    diagonal = Curvature.of(x, curvatures, "diagonal")
    np.testing.assert_allclose(diagonal.values.reshape(-1), np.diag(hessian), rtol=1e-6)
    kronecker = Curvature.of(x, curvatures, "kronecker")
    assert kronecker.values.sum() == pytest.approx(
        np.trace(rows.T @ rows) * np.trace(curvatures.mean(axis=0))
    )


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_draws_have_the_covariance(covariance):
    x, scale = problem()
    curvatures = softmax_curvature(x @ np.ones((F, K)) + [0.3, 0]) * scale[:, None, None]
    curvature = Curvature.of(x, curvatures, covariance)
    layer = fitted(curvature, covariance, 0.5)
    inverse = np.linalg.inv(
        np.einsum(
            "nf,nkl,ng->fkgl",
            *(np.concatenate([x, np.ones((N, 1))], axis=1), curvatures),
            np.concatenate([x, np.ones((N, 1))], axis=1),
        ).reshape(SIZE, SIZE)
        * (1 if covariance == "full" else np.eye(SIZE))
        + 0.5 * np.eye(SIZE)
    )
    np.testing.assert_allclose(covariance_of(layer), inverse, rtol=1e-3, atol=1e-5)


def test_the_prior_precision_has_the_largest_marginal_likelihood():
    """Gaussian linear problem, where the evidence is known: its maximum over a grid."""
    rng = np.random.default_rng(2)
    eigenvalues, squared_norm = rng.uniform(0.01, 50, 30), 12.0

    def evidence(precision):
        return 0.5 * np.log(precision / (eigenvalues + precision)).sum() - (
            0.5 * precision * squared_norm
        )

    grid = np.exp(np.linspace(-10, 10, 20001))
    best = grid[np.argmax([evidence(value) for value in grid])]
    assert best_prior_precision(eigenvalues, squared_norm) == pytest.approx(best, rel=2e-3)


def test_it_is_close_to_the_posterior_of_a_small_problem_by_quadrature():
    """One weight and no bias to speak of: sd of the exact posterior on a grid."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1))
    labels = (rng.uniform(size=200) < 1 / (1 + np.exp(-1.5 * x[:, 0]))).astype(int)

    def negative(w):
        logits = np.stack([np.zeros(200), w * x[:, 0]], axis=1)
        return -log_softmax(logits, axis=1)[np.arange(200), labels].sum() + 0.5 * w**2

    best = minimize(lambda w: negative(w[0]), [0.0]).x[0]
    grid = np.linspace(best - 2, best + 2, 4001)
    density = np.exp(-np.array([negative(w) for w in grid]) + negative(best))
    density /= density.sum()
    sd = np.sqrt((density * (grid - (density * grid).sum()) ** 2).sum())
    curvature = softmax_curvature(np.stack([np.zeros(200), best * x[:, 0]], axis=1))
    laplace = (np.sum(x[:, 0] ** 2 * curvature[:, 1, 1]) + 1) ** -0.5
    assert laplace == pytest.approx(sd, rel=0.05)


def test_an_unfitted_layer_has_no_spread():
    layer = LaplaceDense(K, covariance="kronecker")
    layer.build((None, F))
    kernels, biases = layer.perturbed(tf.random.normal((5, *layer.noise_shape)))
    np.testing.assert_array_equal(kernels, np.tile(layer.kernel, (5, 1, 1)))
    np.testing.assert_array_equal(biases, np.tile(layer.bias, (5, 1)))


def test_bad_options_are_named():
    with pytest.raises(InputError, match="`covariance` must be one of kronecker, full, diagonal"):
        LaplaceDense(2, covariance="half")
    with pytest.raises(InputError, match=r"at most 6000 weights; this layer has 7007\."):
        Curvature.of(np.zeros((2, 1000)), np.zeros((2, 7, 7)), "full")
