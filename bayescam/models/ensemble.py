"""A dense layer that holds several trained versions of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bayescam.types import Array, InputError

__all__ = ["EnsembleDense"]


@tf_keras.utils.register_keras_serializable("bayescam")
class EnsembleDense(tf_keras.layers.Dense):
    """A plain dense layer that is trained M times; draw `s` of the posterior is member `s`.

    Lakshminarayanan et al., *Simple and scalable predictive uncertainty estimation using deep
    ensembles*, NeurIPS 2017; here of heads, each from another start and another bootstrap of the
    images. Called as a layer it is the member that is being trained, afterwards the mean of all.

    Args:
        units: Number of outputs K.
        num_members: M, at least 2.
        **kwargs: As in `tf_keras.layers.Dense`; it computes in float32.

    Raises:
        InputError: If there are fewer than two members.
    """

    def __init__(self, units: int, *, num_members: int = 5, **kwargs: Any) -> None:  # noqa: ANN401
        """Keeps the configuration."""
        super().__init__(units, **{**kwargs, "dtype": "float32", "use_bias": True})
        if num_members < 2:
            raise InputError(f"`num_members` must be 2 or more; got {num_members}")
        self.num_members = num_members

    def build(self, input_shape: tf.TensorShape) -> None:
        """Creates the layer's own weights and those of the members, kernels (M, F, K) first."""
        super().build(input_shape)
        shapes = {"member_kernels": self.kernel.shape, "member_biases": self.bias.shape}
        self.members = [
            self.add_weight(name, (self.num_members, *shape), initializer="zeros", trainable=False)
            for name, shape in shapes.items()
        ]
        self.set_members(np.stack([self.kernel] * self.num_members), None)

    def set_members(self, kernels: Array, biases: Array | None) -> None:
        """Sets kernels (M, F, K) and biases (M, K), and the layer's own weights to their mean."""
        biases = np.zeros(self.members[1].shape) if biases is None else biases
        for variable, own, values in zip(
            self.members, (self.kernel, self.bias), (kernels, biases), strict=True
        ):
            variable.assign(values)
            own.assign(np.mean(values, axis=0))

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {**super().get_config(), "num_members": self.num_members}
