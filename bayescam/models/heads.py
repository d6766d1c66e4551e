"""Heads: what stands between the features and the logits, and what of it is random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import tf_keras

from bayescam.models.ensemble import EnsembleDense
from bayescam.models.laplace import Covariance, LaplaceDense
from bayescam.models.layers import SampledDropout
from bayescam.models.mean_field import (
    FlipoutDense,
    LocalReparameterizationDense,
    ReparameterizationDense,
)
from bayescam.models.prior import GaussianPrior

__all__ = ["HeadKind", "HeadOptions", "add_head"]

HeadKind = Literal[
    "flipout",
    "reparameterization",
    "local_reparameterization",
    "dropout",
    "ensemble",
    "laplace",
    "dense",
]

_MEAN_FIELD = {
    "flipout": FlipoutDense,
    "reparameterization": ReparameterizationDense,
    "local_reparameterization": LocalReparameterizationDense,
}


class HeadOptions(TypedDict, total=False):
    """What only some kinds of head need; the meanings are those of `build_classifier`."""

    prior_sd: float | None
    num_train: int | None
    dropout_rate: float
    num_members: int
    covariance: Covariance


def add_head(
    x: Any,  # noqa: ANN401 - a Keras tensor
    head: HeadKind,
    units: Sequence[int],
    seeds: Sequence[int],
    *,
    prior_sd: float | None = None,
    num_train: int | None = None,
    dropout_rate: float = 0.5,
    num_members: int = 5,
    covariance: Covariance = "kronecker",
) -> Any:  # noqa: ANN401
    """Returns the logits of a head on features `x` (N, F).

    Args:
        x: The features.
        head: Which kind.
        units: Sizes of its layers, the last one the number of classes.
        seeds: One for each layer.
        prior_sd: Of each weight; None is 0.15 for Gaussian heads and no prior for points.
        num_train: Number of training images.
        dropout_rate: Of the dropout head.
        num_members: Of the ensemble.
        covariance: Of the Laplace head.
    """
    for place, (size, seed) in enumerate(zip(units, seeds, strict=True), start=1):
        last = place == len(units)
        options: dict[str, Any] = {
            "activation": None if last else "relu",
            "name": "logits" if last else f"hidden_{place}",
        }
        points = {
            "kernel_initializer": tf_keras.initializers.GlorotUniform(seed=seed),
            "kernel_regularizer": None if prior_sd is None else GaussianPrior(prior_sd, num_train),
        }
        if head in _MEAN_FIELD:
            options |= {"num_train": num_train, "seed": seed}
            if prior_sd is not None:
                options["prior_sd"] = prior_sd
            layer = _MEAN_FIELD[head](size, **options)
        elif head == "ensemble":
            options |= {"num_members": num_members, **points}
            layer = EnsembleDense(size, **options)
        elif head == "laplace" and last:
            options |= {"covariance": covariance, **points}
            layer = LaplaceDense(size, **options)
        else:
            options |= {**points, "dtype": "float32"}
            layer = tf_keras.layers.Dense(size, **options)
        if head == "dropout":
            name = f"{options['name']}_dropout"
            x = SampledDropout(dropout_rate, seed=seed, name=name, dtype="float32")(x)
        x = layer(x)
    return x
