"""A dense layer with a mean-field Gaussian posterior over its kernel: weights, KL, configuration.

How a training step perturbs it is left to the three layers of `perturbations`.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.models.layers import CallCount
from bayescam.types import InputError

__all__ = ["MeanFieldDense"]


class MeanFieldDense(tf_keras.layers.Layer):
    """`activation(x @ W + b)` with `W ~ N(loc, scale^2)`, one random perturbation a call.

    What the layers below share. Differences from those of TFP, which they extend: they can be saved
    in every format, start from their own seed, sample with stateless random numbers, always compute
    in float32, have a mean mode (see `posterior_mean`), and add their KL divergence divided by the
    number of training images. The prior `N(0, prior_sd^2)` is fixed; the bias is a point estimate.

    Args:
        units: Number of outputs.
        activation: As in `tf_keras.layers.Dense`.
        use_bias: Whether to add a bias.
        prior_sd: Standard deviation of the prior of each weight.
        num_train: Number of training images (not of augmented views); needed to train with `fit`,
            and can be set later: `layer.num_train = 7000`.
        initial_sd: Posterior standard deviation at the start. None means `0.5 / sqrt(inputs)`, at
            most `prior_sd`: noise of half a logit when the features are standardised.
        seed: Fixes the initial weights and the perturbations. None draws one from `random`, which
            `tf_keras.utils.set_random_seed` controls.
        **kwargs: Name and the like, of every Keras layer.

    Raises:
        InputError: If a number is out of range.
    """

    def __init__(
        self,
        units: int,
        *,
        activation: Any = None,  # noqa: ANN401 - as in Keras: name, function or None
        use_bias: bool = True,
        prior_sd: float = 0.15,
        num_train: int | None = None,
        initial_sd: float | None = None,
        seed: int | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Keeps the configuration; the weights are made when the number of inputs is known."""
        seed = random.randrange(2**31) if seed is None else seed
        super().__init__(
            units,
            activation=activation,
            kernel_posterior_fn=_normal_posterior(prior_sd, initial_sd, seed),
            kernel_prior_fn=_normal_prior(prior_sd),
            kernel_divergence_fn=None,
            bias_posterior_fn=_point_posterior() if use_bias else None,
            **{**kwargs, "dtype": "float32"},
        )
        self.seed, self.use_bias = seed, use_bias
        self.prior_sd, self.initial_sd = float(prior_sd), initial_sd
        self._state = _State()
        self._num_train: int | None = None
        if num_train is not None:
            self.num_train = num_train

    @property
    def num_train(self) -> int | None:
        """Number of training images, by which the KL divergence in the loss is divided."""
        return self._num_train

    @num_train.setter
    def num_train(self, number: int) -> None:
        if isinstance(number, bool) or int(number) != number or number < 1:
            raise InputError(f"`num_train` must be a number of images, 1 or more; got {number!r}")
        self._num_train = int(number)
        self._state.kl_weight.assign(1.0 / self._num_train)

    @property
    def calls(self) -> tf.Variable:
        """How many perturbations were drawn; with the seed it decides the next one."""
        return self._state.calls

    def kl_divergence(self) -> tf.Tensor:
        """Returns KL(posterior || prior) of the kernel, a scalar in nats, not divided by anything.

        `sum(log(prior_sd / scale) + (scale^2 + loc^2) / (2 prior_sd^2) - 1/2)`.
        """
        normal = self.kernel_posterior.distribution
        ratio = tf.square(normal.scale / self.prior_sd)
        return 0.5 * tf.reduce_sum(
            ratio + tf.square(normal.loc / self.prior_sd) - 1.0 - tf.math.log(ratio)
        )

    @tf.autograph.experimental.do_not_convert  # faster, and keeps the error below one line
    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns activations (N, units) of one perturbation, or of the mean in mean mode.

        Raises:
            ValueError: If `training` and `num_train` is not set.
        """
        if training is True and self._num_train is None:
            raise ValueError(  # autograph keeps no other type
                f"`num_train` of layer {self.name!r} must be set before training, since its KL "
                "divergence is divided by the number of training images; use bayescam.fit, or "
                "build_classifier(..., num_train=7000)"
            )
        self.add_loss(self._state.kl_weight * self.kl_divergence())
        return super().call(inputs)

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs: plain values, none of TFP's pickled functions."""
        return {
            **tf_keras.layers.Layer.get_config(self),
            "units": self.units,
            "activation": tf_keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "prior_sd": self.prior_sd,
            "num_train": self.num_train,
            "initial_sd": self.initial_sd,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MeanFieldDense:
        """Returns a new layer from what `get_config` gave."""
        return cls(**config)

    def add_variable(self, *args: Any, **kwargs: Any) -> tf.Variable:  # noqa: ANN401
        """Makes a weight for TFP, which calls this old name.

        TFP would make the weights of a layer that is frozen when built untrainable for good; as in
        other Keras layers, `layer.trainable` alone decides.
        """
        return self.add_weight(*args, **{**kwargs, "trainable": True})

    def _apply_variational_kernel(self, inputs: tf.Tensor) -> tf.Tensor:
        normal = self.kernel_posterior.distribution
        self.kernel_posterior_tensor = None
        seed = tf.stack([self.seed, self._state.calls.assign_add(1)])
        noise = self._noise(inputs, tf.convert_to_tensor(normal.scale), seed)
        return tf.matmul(inputs, normal.loc) + self._state.sampling * noise

    @staticmethod
    def _noise(inputs: tf.Tensor, scale: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns the perturbation (N, units); each row alone has variance inputs^2 @ scale^2."""
        raise NotImplementedError


class _State(CallCount):
    """The count of calls and what else compiled functions read afresh, though it is no weight."""

    def __init__(self) -> None:
        super().__init__()
        with tf.init_scope():
            self.kl_weight = tf.Variable(0.0, trainable=False, name="kl_weight")
            self.sampling = tf.Variable(1.0, trainable=False, name="sampling")


def _normal_posterior(prior_sd: float, initial_sd: float | None, seed: int) -> Any:  # noqa: ANN401
    """Returns a TFP posterior function with initialisers of its own, made at build time."""
    for name, value in {"prior_sd": prior_sd, "initial_sd": initial_sd}.items():
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"`{name}` must be a positive number; got {value!r}")

    def make(dtype: tf.DType, shape: list[int], *args: Any) -> Any:  # noqa: ANN401
        sd = min(0.5 / np.sqrt(shape[0]), prior_sd) if initial_sd is None else initial_sd
        return tfp.layers.default_mean_field_normal_fn(
            loc_initializer=tf_keras.initializers.GlorotUniform(seed=seed),
            untransformed_scale_initializer=tf_keras.initializers.Constant(np.log(np.expm1(sd))),
        )(dtype, shape, *args)

    return make


def _normal_prior(prior_sd: float) -> Any:  # noqa: ANN401
    def make(dtype: tf.DType, shape: list[int], *args: Any) -> Any:  # noqa: ANN401
        del args
        normal = tfp.distributions.Normal(tf.zeros(shape, dtype), tf.constant(prior_sd, dtype))
        return tfp.distributions.Independent(normal, len(shape))

    return make


def _point_posterior() -> Any:  # noqa: ANN401
    return tfp.layers.default_mean_field_normal_fn(
        is_singular=True, loc_initializer=tf_keras.initializers.Zeros()
    )
