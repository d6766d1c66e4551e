"""The Gaussian prior of point weights: training with it ends at the maximum of the posterior."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf
import tf_keras

from bayescam.types import InputError

__all__ = ["GaussianPrior", "layers_with_prior", "negative_log_prior"]


@tf_keras.utils.register_keras_serializable("bayescam")
class GaussianPrior(tf_keras.regularizers.Regularizer):
    """`-log N(kernel; 0, prior_sd^2) / num_train` without its constant, as a Keras regulariser.

    Beside the mean cross-entropy of the images it makes the trained weights those of maximal
    posterior density (MAP), around which a Laplace approximation belongs.

    Args:
        prior_sd: Standard deviation of the prior of each weight.
        num_train: Number of training images; `bayescam.fit` sets it.

    Raises:
        InputError: If a number is not positive.
    """

    def __init__(self, prior_sd: float, num_train: int | None = None) -> None:
        """Keeps both numbers."""
        if not 0 < prior_sd < float("inf"):
            raise InputError(f"`prior_sd` must be a positive number; got {prior_sd!r}")
        if num_train is not None and num_train < 1:
            raise InputError(f"`num_train` must be a number of images, 1 or more; got {num_train}")
        self.prior_sd, self.num_train = float(prior_sd), num_train

    def __call__(self, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the penalty per image, which plain Keras training adds to its loss.

        Raises:
            ValueError: If `num_train` is not set.
        """
        if self.num_train is None:
            raise ValueError(  # autograph keeps no other type
                "`num_train` must be set before training, since the prior of the head is divided "
                "by the number of training images; use bayescam.fit, or "
                "build_classifier(..., num_train=7000)"
            )
        return self.nats(kernel) / self.num_train

    def nats(self, kernel: tf.Tensor) -> tf.Tensor:
        """Returns `sum(kernel^2) / (2 prior_sd^2)`."""
        return 0.5 * tf.reduce_sum(tf.square(kernel / self.prior_sd))

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {"prior_sd": self.prior_sd, "num_train": self.num_train}


def layers_with_prior(layers: Iterable[tf_keras.layers.Layer]) -> list[tf_keras.layers.Layer]:
    """Returns the layers whose kernel has a `GaussianPrior`."""
    return [
        layer
        for layer in layers
        if isinstance(getattr(layer, "kernel_regularizer", None), GaussianPrior)
    ]


def negative_log_prior(layers: Iterable[tf_keras.layers.Layer]) -> tf.Tensor:
    """Returns the sum of `nats` over such layers."""
    total = tf.constant(0.0)
    for layer in layers:
        total += layer.kernel_regularizer.nats(layer.kernel)
    return total
