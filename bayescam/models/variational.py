"""The layers of a model that have a posterior over their weights, and all of them at its mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow_probability as tfp
import tf_keras

from bayescam.models.mean_field import MeanFieldDense
from bayescam.types import InputError

__all__ = ["posterior_mean", "variational_layers"]

_STOCK = (
    tfp.layers.DenseFlipout,
    tfp.layers.DenseLocalReparameterization,
    tfp.layers.DenseReparameterization,
)


def variational_layers(model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """Returns the layers with a posterior over weights, in order, those of nested models too.

    Ours and the stock dense layers of TFP (flipout, reparameterisation, local reparameterisation).
    """
    found = {id(layer): layer for layer in _all_layers(model) if isinstance(layer, _STOCK)}
    return list(found.values())


@contextmanager
def posterior_mean(model: tf_keras.Model) -> Iterator[tf_keras.Model]:
    """Makes all variational layers of `model` use their mean weights inside the `with` block.

    It acts on compiled functions too, so `model.predict` need not be traced again.

    Raises:
        InputError: If the model has stock TFP layers, which have no mean mode.
    """
    layers = variational_layers(model)
    for layer in layers:
        if not isinstance(layer, MeanFieldDense):
            raise InputError(
                f"layer {layer.name!r} is a stock {type(layer).__name__} of TFP and always samples;"
                " the mean mode needs bayescam.models.FlipoutDense"
            )
    before = [layer._state.sampling.numpy() for layer in layers]
    try:
        for layer in layers:
            layer._state.sampling.assign(0.0)
        yield model
    finally:
        for layer, sampling in zip(layers, before, strict=True):
            layer._state.sampling.assign(sampling)


def _all_layers(layer: tf_keras.layers.Layer) -> Iterator[tf_keras.layers.Layer]:
    """Yields a layer and those inside it: of models and of wrappers."""
    yield layer
    inner = getattr(layer, "layers", None) or [getattr(layer, "layer", None)]
    for child in inner:
        if isinstance(child, tf_keras.layers.Layer):
            yield from _all_layers(child)
