"""`draw_posterior`: whole-function draws of a model, or of an ensemble of whole models.

Draw `s` of an ensemble of M models is draw `s // M` of member `s % M`. So any first draws weigh
the members alike, S=200 begins with the draws of S=100, and of deterministic members draw `m` is
member `m` itself.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import tf_keras

from bayescam.inference.draws import PosteriorDraws
from bayescam.inference.split import NetworkSplit, split_network
from bayescam.models.ensemble import EnsembleDense
from bayescam.models.members import ModelEnsemble
from bayescam.types import Array, DrawUnit, InputError, check_whole_number

__all__ = ["EnsembleDraws", "draw_posterior", "draw_unit", "interleave"]


@dataclass(frozen=True, eq=False)
class EnsembleDraws:
    """Draws of an ensemble of whole models, the members taking turns.

    Attributes:
        model: The ensemble as it was given.
        members: The draws of each member; of the first S members where S is below M.
        seed: The key of the random numbers; each member has a key of its own, made from it.
    """

    model: ModelEnsemble
    members: tuple[PosteriorDraws, ...]
    seed: int

    def __len__(self) -> int:
        return self.num_samples

    @property
    def num_samples(self) -> int:
        """How many draws there are in all."""
        return sum(len(member) for member in self.members)

    @property
    def names(self) -> tuple[str, ...]:
        """What messages call each of the `members`."""
        return self.model.names[: len(self.members)]

    def logits(self, images: Array) -> Array:
        """Returns the logits (S, N, K) of images (N, H, W, 3), RGB 0..255."""
        return interleave([member.logits(images) for member in self.members])

    def as_model(self, index: int) -> tf_keras.Model:
        """Returns draw `index` as a plain deterministic model.

        Raises:
            InputError: If there is no such draw.
        """
        if not 0 <= index < self.num_samples:
            raise InputError(f"`index` must be 0 to {self.num_samples - 1}; got {index}")
        return self.members[index % len(self.members)].as_model(index // len(self.members))


@overload
def draw_posterior(
    model: ModelEnsemble, num_samples: int = 100, *, seed: int = 0
) -> EnsembleDraws: ...


@overload
def draw_posterior(
    model: tf_keras.Model, num_samples: int = 100, *, seed: int = 0
) -> PosteriorDraws: ...


def draw_posterior(
    model: tf_keras.Model | ModelEnsemble, num_samples: int = 100, *, seed: int = 0
) -> PosteriorDraws | EnsembleDraws:
    """Returns whole-function draws from the posterior of a model.

    Weights are sampled from each layer's posterior; flipout's sign flips are for gradients in
    training only (Wen et al. 2018, equation 4), since one call perturbs all rows of a batch by one
    and the same sample.

    Args:
        model: Any functional or `Sequential` tf_keras model, or an ensemble of such. Of an
            ensemble of M, draw `s` is draw `s // M` of member `s % M`.
        num_samples: How many draws, S. A model without a stochastic layer has one and says so; an
            ensemble has M times as many as the member with the fewest, so that all weigh alike.
        seed: Key of the stateless random numbers.

    Raises:
        InputError: If `num_samples` is below 1 or the model cannot be split.

    Example:
        >>> import numpy as np
        >>> from bayescam.models import build_head
        >>> model = build_head(4, class_names=["nv", "mel"], head="flipout", num_train=100)
        >>> few, many = (draw_posterior(model, num, seed=3) for num in (3, 5))
        >>> features = np.ones((1, 4), np.float32)
        >>> bool(np.allclose(many.logits(features)[:3], few.logits(features)))
        True
    """
    check_whole_number("num_samples", num_samples, least=1)
    if not isinstance(seed, numbers.Integral):
        raise InputError(f"`seed` must be a whole number; got {seed!r}.")
    if isinstance(model, ModelEnsemble):
        return _draw_members(model, num_samples, seed)
    split = split_network(model)
    most = _most_draws(split)
    if most is not None and num_samples > most:
        reason = (
            f"the head of model {model.name!r} is an ensemble of {most}, so there are {most} draws"
            if split.stochastic
            else f"model {model.name!r} has no stochastic layer, so there is 1 draw"
        )
        warnings.warn(f"{reason}, not {num_samples}", stacklevel=2)
        num_samples = most
    return PosteriorDraws(model, split, num_samples, seed)


def draw_unit(draws: PosteriorDraws | EnsembleDraws) -> DrawUnit:
    """Returns "members" where each draw is a member of an ensemble, else "draws"."""
    if isinstance(draws, EnsembleDraws):
        limited = all(_most_draws(member.split) is not None for member in draws.members)
        return "members" if limited else "draws"
    return "members" if draws.split.stochastic and _most_draws(draws.split) else "draws"


def interleave(parts: Sequence[Array]) -> Array:
    """Returns one array of the parts' rows in turn: the first of each, the second of each, ...

    Args:
        parts: Arrays that differ in the first axis at most, by one row, none longer than the one
            before it.

    Example:
        >>> interleave([np.array([0, 10, 20]), np.array([1, 11])]).tolist()
        [0, 1, 10, 11, 20]
    """
    if len(parts) == 1:
        return parts[0]
    joined = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    for place, part in enumerate(parts):
        joined[place :: len(parts)] = part
    return joined


def _draw_members(ensemble: ModelEnsemble, num_samples: int, seed: int) -> EnsembleDraws:
    size, splits = len(ensemble.members), [split_network(member) for member in ensemble.members]
    limits = {
        name: most
        for name, split in zip(ensemble.names, splits, strict=True)
        if (most := _most_draws(split)) is not None
    }
    if limits and num_samples > size * min(limits.values()):
        fewest = min(limits, key=lambda name: limits[name])
        available = size * limits[fewest]
        each = "1 draw" if available == size else f"{limits[fewest]} draws"
        warnings.warn(
            f"{fewest} has {each} and the {size} members of an ensemble weigh alike, so there are "
            f"{available} draws, not {num_samples}",
            stacklevel=3,
        )
        num_samples = available
    return EnsembleDraws(
        ensemble,
        tuple(
            PosteriorDraws(
                ensemble.members[place],
                splits[place],
                len(range(place, num_samples, size)),
                _member_seed(seed, place),
            )
            for place in range(min(size, num_samples))
        ),
        seed,
    )


def _most_draws(split: NetworkSplit) -> int | None:
    """How many draws a model has; `None` for any number."""
    if not split.stochastic:
        return 1
    layers = [step.layer for step in split.stochastic]
    members = [layer.num_members for layer in layers if isinstance(layer, EnsembleDense)]
    return min(members) if members else None


def _member_seed(seed: int, place: int) -> int:
    """A key for each member: members of one architecture must not share their random numbers."""
    return int(np.random.default_rng([seed & (2**62 - 1), place]).integers(2**62))
