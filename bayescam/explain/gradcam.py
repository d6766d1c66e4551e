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
from bayescam.inference.split import NetworkSplit
from bayescam.types import Array, CamDraws, InputError

__all__ = ["CamExplainer"]


class CamExplainer:
    """Logits and maps of the same posterior draws, batch by batch.

    Args:
        draws: The posterior draws; their weights are made once and kept where they fit.
        targets: Class indices to explain; all classes by default.
        target_layer: Name of the layer whose maps are weighted; by default the last maps before
            the pooling (past pooling, padding and dropout).

    Raises:
        InputError: If a target is no class of the model or the layer cannot be explained.
    """

    def __init__(
        self,
        draws: PosteriorDraws,
        *,
        targets: Sequence[int] | None = None,
        target_layer: str | None = None,
    ) -> None:
        split = draws.split
        num_classes = split.num_classes
        self.draws = draws
        self.targets = tuple(range(num_classes)) if targets is None else tuple(targets)
        _check_targets(self.targets, num_classes)
        self._target = split.target_key(target_layer)
        self._prefix = split.prefix(*split.cut(self._target), split.features)
        self._explain = split.compiled(
            ("explain", self._target, self.targets),
            lambda: _explaining(split, self._target, self.targets),
        )
        self._weights: DrawnWeights | None = None

    @property
    def target_layer(self) -> str:
        """Name of the explained layer."""
        return self.draws.split.graph.name_of(self._target)

    @property
    def map_shape(self) -> tuple[int, int]:
        """Height and width (h, w) of the maps, in cells."""
        height, width, _ = self.draws.split.graph.item_shape(self._target)
        return height, width

    @property
    def num_features(self) -> int:
        """Length F of the features of one image."""
        split = self.draws.split
        return int(np.prod(split.graph.item_shape(split.features)))

    def __call__(self, images: Array) -> CamDraws:
        """Returns logits (S, N, K), maps (S, N, T, h, w) and features (N, F) of (N, H, W, 3)."""
        *values, features = self._prefix(tf.cast(images, tf.float32))
        blocks = self.draws.blocks(self._bytes_per_draw(len(images)))
        parts = [self._explain(values, features, w) for w in self._weight_blocks(blocks)]
        logits, cams = (_join(part) for part in zip(*parts, strict=True))
        return CamDraws(logits, cams, features.numpy().reshape(len(images), -1))

    def _bytes_per_draw(self, num_images: int) -> int:
        """Memory of one draw beside its weights: gradients and maps."""
        rows = 1 if self.draws.split.is_affine else num_images
        cells = num_images * int(np.prod(self.map_shape))
        return 4 * len(self.targets) * (rows * self.num_features + cells)

    def _weight_blocks(self, blocks: list[tuple[int, int]]) -> Iterator[DrawnWeights]:
        """Weights of each block of draws; a single block is drawn once and kept."""
        if len(blocks) == 1:
            self._weights = self._weights or self.draws.weights()
            yield self._weights
        else:
            for start, stop in blocks:
                yield self.draws.weights(start, stop)


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
