"""Whole models as the members of one ensemble, and the classes that a classifier carries.

Lakshminarayanan et al., *Simple and scalable predictive uncertainty estimation using deep
ensembles*, NeurIPS 2017, section 2.4: a uniformly weighted mixture. The members stay models of
their own, with their preprocessing, layer names and explained layers; nothing is copied into a
common network, so they may differ in architecture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import tf_keras

from bayescam.models.layers import ClassLogits
from bayescam.models.saving import load_model
from bayescam.types import InputError

__all__ = ["ModelEnsemble", "class_names", "load_ensemble"]


@dataclass(frozen=True, eq=False)
class ModelEnsemble:
    """Two or more whole classifiers of the same classes and input shape.

    Attributes:
        members: The models.
        names: What messages and results call them, such as the paths of their files.

    Raises:
        InputError: If there are fewer than two, or two differ in classes or input shape.
    """

    members: tuple[tf_keras.Model, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse members that do not fit together."""
        if len(self.members) < 2 or len(self.members) != len(self.names):
            raise InputError(
                "an ensemble must have two or more `members`, each with a name; got "
                f"{len(self.members)} and {len(self.names)} names"
            )
        classes = [_class_names(name, m) for name, m in zip(self.names, self.members, strict=True)]
        for name, member, found in zip(self.names, self.members, classes, strict=True):
            self._check_equal(name, "list of classes", classes[0], found)
            self._check_equal(name, "input shape", self.input_shape[1:], member.input_shape[1:])

    @property
    def name(self) -> str:
        """What messages call the whole."""
        return f"ensemble of {len(self.members)}"

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """Shape of the images, batch axis first, as that of a model."""
        return self.members[0].input_shape

    def _check_equal(
        self, name: str, what: str, expected: tuple[object, ...], found: tuple[object, ...]
    ) -> None:
        if found == expected:
            return
        raise InputError(
            f"members of an ensemble must have one {what}: {self.names[0]} has "
            f"({', '.join(map(str, expected))}), {name} has ({', '.join(map(str, found))})"
        )


def load_ensemble(paths: Sequence[str | PathLike[str]], *, trust: bool = False) -> ModelEnsemble:
    """Returns the ensemble of the whole models in several files, each read as by `load_model`.

    `draw_posterior` and `analyze` take it in place of a model. Draw `s` is of member `s % M`: of
    deterministic members there are exactly M draws, draw `m` being member `m`; of members with a
    posterior of their own, each gives its share of the draws.

    Args:
        paths: Two or more files, such as `RUN/model/model.keras`.
        trust: Whether to execute code that the files carry; see `load_model`.

    Raises:
        InputError: If a file cannot be loaded, is given twice, or does not fit the first.
    """
    if isinstance(paths, (str, PathLike)):
        raise InputError(f"`paths` must be a list of two or more files; got {str(paths)!r}")
    files = [Path(path).expanduser().resolve() for path in paths]
    for place, file in enumerate(files):
        if file in files[:place]:
            raise InputError(f"{paths[place]}: is given twice; an ensemble has different members")
    models = tuple(load_model(path, trust=trust) for path in paths)
    return ModelEnsemble(models, tuple(map(str, paths)))


def class_names(model: tf_keras.Model | ModelEnsemble) -> tuple[str, ...]:
    """Returns the names of the classes of a classifier, in the order of its logits.

    Raises:
        InputError: If the model does not end in `ClassLogits`.
    """
    if isinstance(model, ModelEnsemble):
        return class_names(model.members[0])
    last = model.layers[-1] if getattr(model, "layers", None) else None
    if isinstance(last, tf_keras.Model):
        return class_names(last)
    if not isinstance(last, ClassLogits):
        raise InputError(
            f"`model` {getattr(model, 'name', model)!r} carries no class names; pass it through "
            "bayescam.adapt_model(model, class_names=[...]) first"
        )
    return last.class_names


def _class_names(name: str, model: tf_keras.Model) -> tuple[str, ...]:
    try:
        return class_names(model)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
