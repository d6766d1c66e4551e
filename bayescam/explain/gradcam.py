"""Grad-CAM for posterior draws: one map per draw, image and target, from one backbone pass.

For draw `s` and target `t` the score is the logit `y_t` (never a softmax): channel weights
`alpha_k = mean_ij dy_t / dA_ijk`, map `sum_k alpha_k A_k` (Selvaraju et al. 2017, equations 1 and 2
without the final ReLU): maps stay signed and unnormalised, since relu and scaling do not commute
with averaging over draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from bayescam.explain.channel_weights import channel_weights, score_gradients
from bayescam.inference.draws import DrawnWeights, PosteriorDraws, run_suffix
from bayescam.inference.posterior import EnsembleDraws, interleave
from bayescam.inference.split import NetworkSplit
from bayescam.types import Array, CamDraws, InputError

__all__ = ["CamExplainer"]


class CamExplainer:
    """Logits and maps of the same posterior draws, batch by batch.

    Args:
        draws: The posterior draws; their weights are made once and kept where they fit.
        targets: Class indices to explain; all classes by default.
        target_layer: Name of the layer whose maps are weighted; by default the last maps before
            the pooling (past pooling, padding and dropout). Of an ensemble of whole models, it is
            found in each.

    Raises:
        InputError: If a target is no class of the model, the layer cannot be explained, or members
            of an ensemble make maps of different sizes.
    """

    def __init__(
        self,
        draws: PosteriorDraws | EnsembleDraws,
        *,
        targets: Sequence[int] | None = None,
        target_layer: str | None = None,
    ) -> None:
        num_classes = draws.members[0].split.num_classes
        self.draws = draws
        self.targets = tuple(range(num_classes)) if targets is None else tuple(targets)
        _check_targets(self.targets, num_classes)
        self._members = _explain_members(draws, self.targets, target_layer)

    @property
    def target_layer(self) -> str:
        """Name of the explained layer; of several, if the members of an ensemble differ in it."""
        return ", ".join(dict.fromkeys(member.target_layer for member in self._members))

    @property
    def map_shape(self) -> tuple[int, int]:
        """Height and width (h, w) of the maps, in cells."""
        return self._members[0].map_shape

    @property
    def num_features(self) -> int:
        """Length F of the features of one image, those of all members one after the other."""
        return sum(member.num_features for member in self._members)

    def __call__(self, images: Array) -> CamDraws:
        """Returns logits (S, N, K), maps (S, N, T, h, w) and features (N, F) of (N, H, W, 3)."""
        pixels = tf.cast(images, tf.float32)
        parts = [member(pixels) for member in self._members]
        return CamDraws(
            interleave([part.logits for part in parts]),
            interleave([part.cams for part in parts]),
            np.concatenate([part.features for part in parts], axis=1),
        )


class _ModelExplainer:
    """Logits and maps of the draws of one model."""

    def __init__(
        self, draws: PosteriorDraws, targets: tuple[int, ...], target_layer: str | None
    ) -> None:
        split = draws.split
        self._draws = draws
        self._num_targets = len(targets)
        self._target = target = split.target_key(target_layer)
        self._prefix = split.prefix(*split.cut(target), split.features)
        self._explain = split.compiled(
            ("explain", target, targets), lambda: _explaining(split, target, targets)
        )
        self._weights: DrawnWeights | None = None

    @property
    def target_layer(self) -> str:
        return self._draws.split.graph.name_of(self._target)

    @property
    def map_shape(self) -> tuple[int, int]:
        height, width, _ = self._draws.split.graph.item_shape(self._target)
        return height, width

    @property
    def num_features(self) -> int:
        split = self._draws.split
        return int(np.prod(split.graph.item_shape(split.features)))

    def __call__(self, pixels: tf.Tensor) -> CamDraws:
        *values, features = self._prefix(pixels)
        blocks = self._draws.blocks(self._bytes_per_draw(len(pixels)))
        parts = [self._explain(values, features, w) for w in self._weight_blocks(blocks)]
        logits, cams = (_join(part) for part in zip(*parts, strict=True))
        return CamDraws(logits, cams, features.numpy().reshape(len(pixels), -1))

    def _bytes_per_draw(self, num_images: int) -> int:
        """Memory of one draw beside its weights: gradients and maps."""
        rows = 1 if self._draws.split.is_affine else num_images
        cells = num_images * int(np.prod(self.map_shape))
        return 4 * self._num_targets * (rows * self.num_features + cells)

    def _weight_blocks(self, blocks: list[tuple[int, int]]) -> Iterator[DrawnWeights]:
        """Weights of each block of draws; a single block is drawn once and kept."""
        if len(blocks) == 1:
            self._weights = self._weights or self._draws.weights()
            yield self._weights
        else:
            for start, stop in blocks:
                yield self._draws.weights(start, stop)


def _explain_members(
    draws: PosteriorDraws | EnsembleDraws, targets: tuple[int, ...], target_layer: str | None
) -> list[_ModelExplainer]:
    """One explainer for each model; all make maps of one size."""
    if isinstance(draws, PosteriorDraws):
        return [_ModelExplainer(draws, targets, target_layer)]
    made: list[_ModelExplainer] = []
    for name, member in zip(draws.names, draws.members, strict=True):
        try:
            made.append(_ModelExplainer(member, targets, target_layer))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        if made[-1].map_shape != made[0].map_shape:
            sizes = [
                f"{who} makes {one.map_shape[0]}x{one.map_shape[1]} ({one.target_layer})"
                for who, one in ((draws.names[0], made[0]), (name, made[-1]))
            ]
            raise InputError(
                f"members of an ensemble must make maps of one size; {' and '.join(sizes)}. Name a "
                "`target_layer` that all have"
            )
    return made


def _explaining(
    split: NetworkSplit, target: int, targets: tuple[int, ...]
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """The function from cut values, features and drawn weights to logits and maps of the draws."""

    def explain(
        values: list[tf.Tensor], features: tf.Tensor, weights: DrawnWeights
    ) -> tuple[tf.Tensor, tf.Tensor]:
        gradients = score_gradients(split, features, weights, tf.constant(targets))
        maps, alphas = values[0], channel_weights(split, target, values, gradients)
        if alphas.shape[1] == 1:
            cams = tf.einsum("stc,nhwc->snthw", alphas[:, 0], maps)
        else:
            cams = tf.einsum("sntc,nhwc->snthw", alphas, maps)
        return run_suffix(split, features, weights), cams

    return explain


def _join(parts: tuple[tf.Tensor, ...]) -> Array:
    return np.concatenate([part.numpy() for part in parts]) if len(parts) > 1 else parts[0].numpy()


def _check_targets(targets: tuple[int, ...], num_classes: int) -> None:
    wrong = [target for target in targets if not 0 <= target < num_classes]
    if wrong or not targets:
        raise InputError(
            f"`targets` must be class indices 0 to {num_classes - 1}; got {list(targets)}"
        )
