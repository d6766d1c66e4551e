from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize
from scipy.special import log_softmax

from bayescam.inference.features import FeatureCache
from bayescam.inference.laplace import (
    Curvature,
    FullCurvature,
    best_prior_precision,
    curvature_of,
    fit_laplace,
    softmax_curvature,
)
from bayescam.models import LaplaceDense, build_head
from bayescam.types import InputError
from tests.networks import NAMES

N, F, K = 40, 3, 2
SIZE = (F + 1) * K


def problem(seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, F)), rng.uniform(0.2, 2.0, N)


def covariance_of(layer: LaplaceDense):
    """Covariance of kernel and bias as one vector, from the layer's root of it."""
    identity = np.eye(np.prod(layer.noise_shape), dtype=np.float32)
    kernels, biases = layer.perturbed(identity.reshape(-1, *layer.noise_shape))
    columns = np.concatenate([kernels - layer.kernel, (biases - layer.bias)[:, None]], axis=1)
    root = columns.reshape(len(identity), -1).T
    return root @ root.T


def fitted(curvature: Curvature | FullCurvature, covariance: str, precision: float) -> LaplaceDense:
    layer = LaplaceDense(K, covariance=covariance)
    layer.build((None, F))
    sd, bases = curvature.root(precision)
    layer.posterior_sd.assign(sd)
    for variable, basis in zip(layer.bases, bases, strict=True):
        variable.assign(basis)
    return layer


def posterior(x, curvatures, precision: float, covariance: str = "full") -> np.ndarray:
    """The covariance of kernel and bias, by inverting one matrix.

    The prior is on the kernel and, of precision 1, on the bias at the mean input `b + mean(x) W`.
    """
    alone = covariance == "diagonal"  # each weight by itself
    x_mean = np.zeros(F) if alone else x.mean(axis=0)
    rows = np.concatenate([x - x_mean, np.ones((N, 1))], axis=1)
    hessian = np.einsum("nf,nkl,ng->fkgl", rows, curvatures, rows).reshape(SIZE, SIZE)
    hessian *= np.eye(SIZE) if alone else 1.0
    prior = np.diag([precision] * F * K + [1.0] * K)
    back = np.eye(F + 1)
    back[-1, :-1] = -x_mean
    back = np.kron(back, np.eye(K))
    return back @ np.linalg.inv(hessian + prior) @ back.T


@pytest.mark.parametrize("covariance", ["full", "kronecker"])
def test_on_a_gaussian_linear_problem_it_is_the_exact_posterior(covariance):
    """One noise variance for both outputs: the Kronecker form is exact too."""
    x, _ = problem()
    x += [2.0, 0.0, -1.0]
    curvatures = np.tile(np.eye(K) / 0.3, (N, 1, 1))
    layer = fitted(curvature_of(x, curvatures, covariance), covariance, 0.7)
    exact = posterior(x, curvatures, 0.7)
    np.testing.assert_allclose(covariance_of(layer), exact, rtol=1e-4, atol=1e-6)


def test_the_full_covariance_inverts_the_hessian_of_the_softmax_likelihood():
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
    # precision 0.7 of the kernel, 1 of the bias at the mean input
    shift = np.concatenate([np.kron(x.mean(axis=0), np.eye(K)), np.eye(K)], axis=1)
    kernel = np.diag([0.7] * F * K + [0.0] * K)
    curvature = curvature_of(x, softmax_curvature(rows @ weights), "full")
    found = covariance_of(fitted(curvature, "full", 0.7))
    expected = np.linalg.inv(hessian + kernel + shift.T @ shift)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_draws_have_the_covariance(covariance):
    x, scale = problem()
    curvatures = softmax_curvature(x @ np.ones((F, K)) + [0.3, 0]) * scale[:, None, None]
    layer = fitted(curvature_of(x, curvatures, covariance), covariance, 0.5)
    expected = posterior(x, curvatures, 0.5, covariance)
    np.testing.assert_allclose(covariance_of(layer), expected, rtol=1e-3, atol=1e-5)


def test_the_evidence_is_that_of_the_whole_posterior_and_leaves_the_bias_out():
    """The determinant of kernel and bias together, at its best on a grid of precisions."""
    x, scale = problem(3)
    curvatures = softmax_curvature(x @ np.ones((F, K)) + [1.0, 0]) * scale[:, None, None]
    grid = np.exp(np.linspace(-4, 4, 4001))
    evidence = [
        0.5 * F * K * np.log(value)
        + 0.5 * np.linalg.slogdet(posterior(x, curvatures, value))[1]
        - 0.5 * value * 5.0
        for value in grid
    ]
    found = best_prior_precision(curvature_of(x, curvatures, "full").kernel, 5.0)
    assert found == pytest.approx(grid[np.argmax(evidence)], rel=4e-3)


def cached(num_classes: int = 3, absent: int | None = None):
    rng = np.random.default_rng(4)
    labels = rng.integers(num_classes, size=60)
    if absent is not None:
        labels[labels == absent] = 0
    return FeatureCache(rng.normal(size=(2, 60, 4)).astype(np.float32)), labels


@pytest.mark.parametrize("covariance", ["kronecker", "full", "diagonal"])
def test_the_prior_is_that_of_the_training(covariance):
    """And the bias, which is trained without, is as free whatever the prior of the kernel."""
    cache, labels = cached()
    spread = {}
    for prior_sd in (1e-3, 0.2):
        model = build_head(
            4, class_names=NAMES, head="laplace", covariance=covariance, prior_sd=prior_sd
        )
        assert fit_laplace(model, cache, labels) == pytest.approx(prior_sd**-2)
        layer = model.get_layer("logits")
        identity = np.eye(np.prod(layer.noise_shape), dtype=np.float32)
        kernels, biases = layer.perturbed(identity.reshape(-1, *layer.noise_shape))
        spread[prior_sd] = [
            np.linalg.norm(draws - mean, axis=0)
            for draws, mean in ((kernels, layer.kernel), (biases, layer.bias))
        ]
    assert (spread[1e-3][0] < 1.01e-3).all()
    assert (spread[0.2][0] > 0.1).all()
    assert (spread[1e-3][1] > 0.15).all()  # sqrt(1 / (60 * 1/3 * 2/3)) = 0.27 for a class alone
    assert (spread[0.2][1] < 1.2 * spread[1e-3][1]).all()


def test_without_a_prior_it_is_the_most_likely_one():
    cache, labels = cached()
    model = build_head(4, class_names=NAMES, head="laplace", covariance="full", seed=2)
    layer = model.get_layer("logits")
    x = cache.values.reshape(-1, 4).astype(np.float64)
    curvatures = softmax_curvature(x @ layer.kernel.numpy()) / 2  # two views of each image
    norm = float((layer.kernel.numpy() ** 2).sum())
    expected = best_prior_precision(curvature_of(x, curvatures, "full").kernel, norm)
    assert fit_laplace(model, cache, labels) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("covariance", ["kronecker", "full", "diagonal"])
def test_the_bias_of_a_class_without_images_has_a_bound(covariance):
    cache, labels = cached(absent=2)
    model = build_head(4, class_names=NAMES, head="laplace", covariance=covariance, prior_sd=0.01)
    model.get_layer("logits").bias.assign([0.0, 0.0, -12.0])
    fit_laplace(model, cache, labels)
    layer = model.get_layer("logits")
    identity = np.eye(np.prod(layer.noise_shape), dtype=np.float32)
    _, biases = layer.perturbed(identity.reshape(-1, *layer.noise_shape))
    assert 0.5 < np.linalg.norm(biases[:, 2] + 12.0) < 1.01


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
        curvature_of(np.zeros((2, 1000)), np.zeros((2, 7, 7)), "full")
