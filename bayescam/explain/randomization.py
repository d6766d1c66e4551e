"""A model with random weights for a while, and then its own again (Adebayo et al. 2018).

The entries of each weight are permuted, so every array keeps its values, hence the scale of the
activations and the sign of what must be positive, and loses what it learned. It is done in place,
since whatever explains the model holds the same layers. The weights come back on any way out.

The mean and sd of each feature before a head (`Standardization`) are statistics of the data, not
learned, and stay: divided by those of others, a few features would drown the rest, and any map
would change for that reason alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import tf_keras

from bayescam.inference.split import split_network
from bayescam.models.graph import Step, flatten_model
from bayescam.models.layers import Standardization
from bayescam.types import InputError

__all__ = ["cascade", "head_layers", "randomized", "weighted_layers"]

Result = TypeVar("Result")


@contextmanager
def randomized(
    model: tf_keras.Model, layers: Sequence[str] | None = None, *, seed: int = 0
) -> Iterator[None]:
    """Within it, the learned weights of some layers of a model are permuted.

    Draws and explainers keep the weights that they once drew: make them anew inside.

    Args:
        model: A functional or `Sequential` model; changed in place and given back as it was.
        layers: Names of layers, also of nested models; by default all that learn.
        seed: Of the permutations; those of a layer do not depend on the other layers.

    Raises:
        InputError: If there is no such layer with learned weights.
    """
    by_name = _by_name(flatten_model(model).steps)
    names = list(by_name) if layers is None else list(layers)
    missing = [name for name in names if name not in by_name]
    if missing:
        raise InputError(
            f"`layers` must name layers with learned weights; {missing[0]!r} is none. The last of "
            f"them are {', '.join(list(by_name)[-8:])}"
        )
    kept = {name: by_name[name].get_weights() for name in names}
    try:
        for name in names:
            place = list(by_name).index(name)
            _permute(by_name[name], np.random.default_rng((seed, place)))
        yield
    finally:
        for name, weights in kept.items():
            by_name[name].set_weights(weights)


def cascade(
    model: tf_keras.Model,
    explain: Callable[[], Result],
    *,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Result]:
    """Returns what `explain` makes as layers are randomised one after another, from the output on.

    Args:
        model: As for `randomized`; given back as it was.
        explain: Called after each layer, with no argument; makes its draws anew.
        layers: Where to stop and explain, names in any order; every layer that learns by default,
            which is one call for each. Layers after the named ones are random there too.
        seed: Of the permutations.

    Returns:
        By name of the layer that was randomised last, in order from the output to the input.

    Raises:
        InputError: If there is no such layer with learned weights.
    """
    names = weighted_layers(model)
    stops = names if layers is None else list(layers)
    missing = [name for name in stops if name not in names]
    if missing:
        raise InputError(f"`layers` must name layers with learned weights; {missing[0]!r} is none")
    made = {}
    for name in sorted(stops, key=names.index, reverse=True):
        with randomized(model, names[names.index(name) :], seed=seed):
            made[name] = explain()
    return made


def head_layers(model: tf_keras.Model) -> list[str]:
    """Returns the names of the layers after the features that learn, in order."""
    return list(_by_name(split_network(model).suffix))


def weighted_layers(model: tf_keras.Model) -> list[str]:
    """Returns the names of all layers that learn, in order from the input to the output."""
    return list(_by_name(flatten_model(model).steps))


def _by_name(steps: Sequence[Step]) -> dict[str, tf_keras.layers.Layer]:
    """Layers with learned weights by name, each once, in order."""
    layers = dict.fromkeys(
        step.layer
        for step in steps
        if step.layer.weights and not isinstance(step.layer, Standardization)
    )
    made = {layer.name: layer for layer in layers}
    if len(made) < len(layers):
        raise InputError("two layers with weights have one name, in models within this one")
    return made


def _permute(layer: tf_keras.layers.Layer, rng: np.random.Generator) -> None:
    weights = layer.get_weights()
    layer.set_weights(
        [
            rng.permutation(weight.ravel()).reshape(weight.shape)
            if np.issubdtype(weight.dtype, np.floating)
            else weight
            for weight in weights
        ]
    )
