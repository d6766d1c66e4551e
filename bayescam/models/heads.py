"""Heads: what stands between the features and the logits, and what of it is random."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict, get_args

import tf_keras

from bayescam.models.ensemble import EnsembleDense
from bayescam.models.laplace import Covariance, LaplaceDense
from bayescam.models.layers import SampledDropout
from bayescam.models.perturbations import (
    FlipoutDense,
    LocalReparameterizationDense,
    ReparameterizationDense,
)
from bayescam.models.prior import GaussianPrior
from bayescam.types import InputError, check_whole_number

__all__ = ["HeadKind", "HeadOptions", "add_head", "check_choice", "check_head_options"]

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


_ONLY_OF: dict[str, HeadKind] = {
    "dropout_rate": "dropout",
    "num_members": "ensemble",
    "covariance": "laplace",
}


class HeadOptions(TypedDict, total=False):
    """Options of a head; the meanings are those of `build_classifier`, None is the default."""

    prior_sd: float | None
    num_train: int | None
    dropout_rate: float | None
    num_members: int | None
    covariance: Covariance | None


def check_head_options(
    head: HeadKind, options: Mapping[str, Any], arguments: Iterable[str] = ()
) -> dict[str, Any]:
    """Returns the options that are given, those that are not None.

    Args:
        head: Which kind.
        options: By name.
        arguments: Other names that the caller might have meant.

    Raises:
        InputError: If there is no such option, the kind does not have it, or its value is of
            another type.
    """
    for name in options.keys() - HeadOptions.__annotations__.keys():
        known = [*HeadOptions.__annotations__, *arguments]
        close = difflib.get_close_matches(name, known, 1)
        meant = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(known)}"
        raise InputError(f"`{name}` is no option of a head; {meant}")
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if _ONLY_OF.get(name, head) != head:
            raise InputError(f"`{name}` is an option of the head {_ONLY_OF[name]!r}; got {head!r}")
        if name in ("prior_sd", "dropout_rate") and not isinstance(value, numbers.Real):
            raise InputError(f"`{name}` must be a number; got {value!r}")
    for name, least in (("num_train", 1), ("num_members", 2)):
        if name in given:
            check_whole_number(name, given[name], least=least)
    if "covariance" in given:
        check_choice("covariance", given["covariance"], Covariance)
    return given


def check_choice(argument: str, value: object, choices: Any) -> None:  # noqa: ANN401
    """Makes sure that a value is one of a `Literal`, with the likely one in the message."""
    if value not in get_args(choices):
        known = " or ".join(repr(choice) for choice in get_args(choices))
        close = difflib.get_close_matches(str(value), get_args(choices), 1)
        meant = f". Did you mean {close[0]!r}?" if close else ""
        raise InputError(f"`{argument}` must be {known}; got {value!r}{meant}")


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
