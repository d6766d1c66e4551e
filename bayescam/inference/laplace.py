"""The Laplace approximation of the last layer, put around its weights after training.

The posterior is `N(W, (H + prior)^-1)` with the generalised Gauss-Newton curvature
`H = sum_n (x_n x_n^T) kron C_n` of the negative log-likelihood: `x_n` the layer's inputs with a 1
for the bias, `C_n = diag(p_n) - p_n p_n^T` that of a softmax (Daxberger et al. 2021, *Laplace
redux*, equations 3 and 8; the Kronecker form is equation 7 of Ritter et al. 2018).

The prior is that of the training. Weights trained with `N(0, prior_sd^2)` have its precision, so
that they are the mode of the posterior around them. Weights trained without a prior get the one
precision with the largest marginal likelihood (*Laplace redux*, equation 6). The bias is trained
without a prior, so it has none here but for a bound: precision 1 around the trained bias, at the
mean of the inputs. That is nothing beside the curvature of a class with some ten images, and
keeps the bias of a class without any within a logit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from bayescam.inference.elbo import class_weights
from bayescam.inference.features import FeatureCache
from bayescam.inference.split import split_network
from bayescam.models.laplace import Covariance, LaplaceDense
from bayescam.models.prior import GaussianPrior
from bayescam.types import Array, InputError

__all__ = [
    "Curvature",
    "FullCurvature",
    "best_prior_precision",
    "curvature_of",
    "fit_laplace",
    "softmax_curvature",
]

_LARGEST = 6000  # weights of a full covariance: 36 million entries
_BATCH = 4096
_BIAS_PRECISION = 1.0


@dataclass(frozen=True, eq=False)
class Curvature:
    """The curvature of a layer where it is diagonal, or a Kronecker product of two matrices.

    Attributes:
        kernel: Eigenvalues (F, K), the bias integrated out.
        bias: Eigenvalues (K,) at the mean of the inputs.
        bases: `A` and `B` of `LaplaceDense`, or none of the diagonal one, where kernel and bias are
            independent.
    """

    kernel: Array
    bias: Array
    bases: tuple[Array, ...]

    @classmethod
    def diagonal(cls, inputs: Array, curvatures: Array) -> Curvature:
        """Every weight by itself."""
        each = np.einsum("nkk->nk", curvatures)
        return cls(np.square(inputs).T @ each, each.sum(axis=0), ())

    @classmethod
    def kronecker(cls, inputs: Array, curvatures: Array) -> Curvature:
        """The product of the inputs' covariance and the mean curvature of the outputs."""
        mean = inputs.mean(axis=0)
        centred = inputs - mean
        left, left_basis = np.linalg.eigh(centred.T @ centred)
        right, right_basis = np.linalg.eigh(curvatures.mean(axis=0))
        right = np.maximum(right, 0)
        bases = (_with_bias(left_basis, -mean @ left_basis, np.eye(1)), right_basis)
        return cls(np.outer(np.maximum(left, 0), right), len(inputs) * right, bases)

    def root(self, prior_precision: float) -> tuple[Array, tuple[Array, ...]]:
        """Returns `sd` and the bases of `LaplaceDense`: a root of the posterior covariance."""
        kernel = (self.kernel + prior_precision) ** -0.5
        bias = (self.bias + _BIAS_PRECISION) ** -0.5
        return np.concatenate([kernel, bias[None]]), self.bases


@dataclass(frozen=True, eq=False)
class FullCurvature:
    """The curvature of a layer with every covariance between its weights.

    Attributes:
        matrix: Of the kernel (F K, F K), the bias integrated out: a Schur complement.
        slope: How the bias at the mean input follows the kernel, (K, F K).
        bias: Of the bias at the mean input (K, K).
        mean: The mean input (F,).
    """

    matrix: Array
    slope: Array
    bias: Array
    mean: Array

    @classmethod
    def of(cls, inputs: Array, curvatures: Array) -> FullCurvature:
        """Returns the curvature; an InputError if it would have more than 6000 weights."""
        mean = inputs.mean(axis=0)
        rows = np.concatenate([inputs - mean, np.ones((len(inputs), 1))], axis=1)
        whole = _full(rows, curvatures)
        cut = len(whole) - curvatures.shape[1]
        bias = whole[cut:, cut:]
        slope = np.linalg.solve(bias + _BIAS_PRECISION * np.eye(len(bias)), whole[cut:, :cut])
        return cls(whole[:cut, :cut] - whole[:cut, cut:] @ slope, slope, bias, mean)

    @property
    def kernel(self) -> Array:
        """Eigenvalues of the kernel's matrix (F K,)."""
        return np.maximum(np.linalg.eigvalsh(self.matrix), 0)

    def root(self, prior_precision: float) -> tuple[Array, tuple[Array, ...]]:
        """Returns `sd` and the basis of `LaplaceDense`: a root of the posterior covariance."""
        kernel = _inverse_root(self.matrix, prior_precision)
        at_mean = (self.mean @ kernel.reshape(len(self.mean), -1)).reshape(len(self.bias), -1)
        bias = _inverse_root(self.bias, _BIAS_PRECISION)
        basis = _with_bias(kernel, -self.slope @ kernel - at_mean, bias)
        return np.ones((len(basis), 1)), (basis,)


def curvature_of(
    inputs: Array, curvatures: Array, covariance: Covariance
) -> Curvature | FullCurvature:
    """Returns the curvature of a layer.

    Args:
        inputs: Of the layer, (N, F), without the 1 of the bias.
        curvatures: `C_n` (N, K, K), symmetric and positive semi-definite.
        covariance: What to keep of it.

    Raises:
        InputError: If a full covariance would have more than 6000 weights.
    """
    makers: dict[Covariance, Callable[[Array, Array], Curvature | FullCurvature]] = {
        "diagonal": Curvature.diagonal,
        "kronecker": Curvature.kronecker,
        "full": FullCurvature.of,
    }
    return makers[covariance](inputs, curvatures)


def fit_laplace(
    model: tf_keras.Model, features: FeatureCache, labels: Array, class_weight_power: float = 0.0
) -> float | None:
    """Puts a posterior around the weights of the last layer, and returns the prior precision.

    That is `1 / prior_sd^2` where the layer was trained with a `GaussianPrior`, and the most likely
    one where it was trained without. The weights stay where they are: without a prior they are no
    mode of the posterior (the evidence framework of MacKay 1992 would train and choose in turn),
    and with it they are one as far as the training, which stops early, went.

    Args:
        model: A trained classifier; nothing is done unless its last layer is a `LaplaceDense`.
        features: Of the training images, (V, N, F); a view counts as 1 / V of an image.
        labels: Classes of the training images (N,).
        class_weight_power: That of the training, whose weighted likelihood is approximated.

    Raises:
        InputError: If a full covariance is too large.
    """
    split = split_network(model)
    found = [step for step in split.suffix if isinstance(step.layer, LaplaceDense)]
    if not found:
        return None
    layer, source = found[-1].layer, found[-1].inputs[0]
    values = features.values.reshape(-1, *features.values.shape[2:]).astype(np.float32)
    inputs = _run(split.graph.submodel(split.features, source), values)
    weights = class_weights(labels, layer.units, class_weight_power)[labels]
    each = np.tile(weights / features.num_views, features.num_views).astype(np.float64)
    kernel = layer.kernel.numpy().astype(np.float64)
    curvatures = softmax_curvature(inputs @ kernel + layer.bias.numpy()) * each[:, None, None]
    curvature = curvature_of(inputs, curvatures, layer.covariance)
    prior = layer.kernel_regularizer
    precision = (
        prior.prior_sd**-2
        if isinstance(prior, GaussianPrior)
        else best_prior_precision(curvature.kernel, float(np.square(kernel).sum()))
    )
    sd, bases = curvature.root(precision)
    layer.posterior_sd.assign(sd)
    for variable, basis in zip(layer.bases, bases, strict=True):
        variable.assign(basis)
    return precision


def softmax_curvature(logits: Array) -> Array:
    """Returns `diag(p) - p p^T` (N, K, K) of logits (N, K)."""
    probs = softmax(logits.astype(np.float64), axis=-1)
    return probs[:, :, None] * (np.eye(probs.shape[1]) - probs[:, None, :])


def best_prior_precision(eigenvalues: Array, squared_norm: float) -> float:
    """Returns the precision of the prior with the largest marginal likelihood.

    `log p(D) = const + 1/2 sum log(precision / (eigenvalue + precision)) - precision / 2 |W|^2`,
    with the weights `W` of the kernel held where they are, and the bias integrated out.
    """

    def negative(log_precision: float) -> float:
        precision = np.exp(log_precision)
        gain = np.log(precision / (eigenvalues + precision)).sum()
        return float(precision * squared_norm - gain)

    return float(np.exp(minimize_scalar(negative, bounds=(-14, 14), method="bounded").x))


def _inverse_root(matrix: Array, precision: float) -> Array:
    """`R` with `R R^T = (matrix + precision I)^-1`: the inverse of the Cholesky factor's transpose.

    Of 3584 weights this takes a fifth of the time of the eigenvectors, on 2 cores.
    """
    factor = cholesky(matrix + precision * np.eye(len(matrix)), lower=True)
    return solve_triangular(factor, np.eye(len(matrix)), lower=True).T


def _with_bias(basis: Array, follows: Array, own: Array) -> Array:
    """The kernel's basis, below it how the bias follows the kernel, and the bias's own basis."""
    return np.block([[basis, np.zeros((len(basis), len(own)))], [follows, own]])


def _full(rows: Array, curvatures: Array) -> Array:
    """`sum_n (x_n x_n^T) kron C_n`, one block of inputs for each pair of classes."""
    size, num_classes = rows.shape[1], curvatures.shape[1]
    if size * num_classes > _LARGEST:
        raise InputError(
            f'`covariance` "full" is for at most {_LARGEST} weights; this layer has '
            f'{size * num_classes}. Take "kronecker"'
        )
    result = np.empty((size, num_classes, size, num_classes))
    for k in range(num_classes):
        for other in range(k + 1):
            block = (rows * curvatures[:, k, other, None]).T @ rows
            result[:, k, :, other] = result[:, other, :, k] = block
    return result.reshape(size * num_classes, -1)


def _run(network: tf_keras.Model, values: Array) -> Array:
    call = tf.function(network)
    blocks = [call(values[i : i + _BATCH]).numpy() for i in range(0, len(values), _BATCH)]
    return np.concatenate(blocks).astype(np.float64)
