"""A dense layer with a Gaussian posterior that is put around its trained weights afterwards."""

from __future__ import annotations

from typing import Any, Literal, get_args

import tensorflow as tf
import tf_keras

from bayescam.types import InputError

__all__ = ["Covariance", "LaplaceDense"]

Covariance = Literal["kronecker", "full", "diagonal"]


@tf_keras.utils.register_keras_serializable("bayescam")
class LaplaceDense(tf_keras.layers.Dense):
    """A plain dense layer, and beside its weights the posterior covariance around them.

    The weights `W` (F + 1, K), the bias as last row, have the posterior
    `W + A (sd * Z) B^T` with standard normal `Z`. `A` and `B` are the identity ("diagonal"), or
    ("kronecker") hold the eigenvectors of the two Kronecker factors of the curvature, with a last
    row of `A` by which the bias follows the kernel. With "full", all weights are one vector and `A`
    is (F K + K) squared. Until `bayescam.fit` has set it, `sd` is zero and every draw is the layer
    itself.

    Args:
        units: Number of outputs K.
        covariance: What is kept of the curvature: "kronecker", "full" or "diagonal".
        **kwargs: As in `tf_keras.layers.Dense`; it computes in float32.

    Raises:
        InputError: If `covariance` is none of these.
    """

    def __init__(self, units: int, *, covariance: Covariance = "kronecker", **kwargs: Any) -> None:  # noqa: ANN401
        """Keeps the configuration."""
        super().__init__(units, **{**kwargs, "dtype": "float32", "use_bias": True})
        if covariance not in get_args(Covariance):
            raise InputError(
                f"`covariance` must be one of {', '.join(get_args(Covariance))}; got {covariance!r}"
            )
        self.covariance = covariance

    def build(self, input_shape: tf.TensorShape) -> None:
        """Creates kernel, bias and the posterior around them."""
        super().build(input_shape)
        rows, units = input_shape[-1] + 1, self.units
        full = self.covariance == "full"
        left, right = (rows * units, 1) if full else (rows, units)
        self.noise_shape = (left, right)
        self.posterior_sd = self.add_weight(
            "posterior_sd", self.noise_shape, initializer="zeros", trainable=False
        )
        self.bases = [
            self.add_weight(f"{side}_basis", (size, size), initializer="zeros", trainable=False)
            for side, size in self._basis_sizes(left, right)
        ]

    def _basis_sizes(self, left: int, right: int) -> list[tuple[str, int]]:
        both = [("left", left), ("right", right)]
        return {"kronecker": both, "full": both[:1], "diagonal": []}[self.covariance]

    def perturbed(self, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns kernels (S, F, K) and biases (S, K) of draws from noise `(S, *noise_shape)`."""
        moved = noise * self.posterior_sd
        if self.bases:
            moved = tf.einsum("fg,sgl->sfl", self.bases[0], moved)
        if len(self.bases) == 2:
            moved = tf.einsum("sfl,kl->sfk", moved, self.bases[1])
        moved = tf.reshape(moved, (-1, self.kernel.shape[0] + 1, self.units))
        return self.kernel + moved[:, :-1], self.bias + moved[:, -1]

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {**super().get_config(), "covariance": self.covariance}
