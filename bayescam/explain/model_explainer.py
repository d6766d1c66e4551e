"""One model's share of an explanation: what every way of making maps has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from bayescam.explain.targets import Target
from bayescam.inference.draws import DrawnWeights, PosteriorDraws, run_suffix
from bayescam.types import Array

__all__ = ["LogMeanProbs", "ModelExplainer", "PassReport", "join_draws"]

LogMeanProbs = Callable[[tf.Tensor], tf.Tensor]
"""From images to the logarithms (N, K) of their mean probabilities over all draws of all models."""

PassReport = Callable[[int, int], object]
"""Called as `report(done, total)` by methods that need many passes."""


class ModelExplainer(ABC):
    """Logits and maps of the draws of one model; a cut is a list of values, the features last.

    Attributes:
        cut: From images (N, H, W, 3) to the values `keys` of the prefix and the features.
    """

    one_by_one = False
    """Whether images are explained one after the other, so that a full batch saves nothing."""

    def __init__(
        self, draws: PosteriorDraws, targets: tuple[Target, ...], keys: Sequence[int] = ()
    ) -> None:
        self._draws = draws
        self._split = draws.split
        self._targets = targets
        self.cut = draws.split.prefix(*keys, draws.split.features)
        self._weights: DrawnWeights | None = None

    @property
    @abstractmethod
    def target_layers(self) -> tuple[str, ...]:
        """Names of the layers that have maps."""

    @property
    @abstractmethod
    def map_shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width (h, w) of the maps of each layer, in cells."""

    @abstractmethod
    def explain(
        self,
        pixels: tf.Tensor,
        cut: list[tf.Tensor],
        log_mean_probs: LogMeanProbs,
        report: PassReport,
    ) -> tuple[Array, list[Array]]:
        """Logits (S, N, K) and, for each layer, maps (S, N, T, h, w)."""

    @property
    def num_features(self) -> int:
        """Length F of the features of one image."""
        return int(np.prod(self._split.graph.item_shape(self._split.features)))

    def logits(self, features: tf.Tensor) -> Array:
        """Logits (S, N, K) of all draws."""
        blocks = self._draws.blocks(self._suffix_bytes(len(features)))
        weights = self._weight_blocks(blocks)
        return join_draws([run_suffix(self._split, features, drawn) for drawn in weights])

    def _suffix_bytes(self, num_images: int) -> int:
        """Memory of one draw beside its weights: what the suffix computes on the way."""
        outputs = (key for step in self._split.suffix for key in step.outputs)
        sizes = (np.prod(self._split.graph.item_shape(key)) for key in outputs)
        return 4 * num_images * int(sum(sizes))

    def _bytes_per_draw(self, num_images: int) -> int:
        """Memory of one draw beside its weights: gradients and maps.

        A score that is not linear in the logits takes the gradients of all logits, and has its own
        for each image.
        """
        num_targets, rows = len(self._targets), 1 if self._split.is_affine else num_images
        gradients = num_targets * rows
        if not all(target.is_linear for target in self._targets):
            gradients = num_targets * num_images + self._split.num_classes * rows
        cells = num_images * sum(int(np.prod(shape)) for shape in self.map_shapes)
        return 4 * (gradients * self.num_features + num_targets * cells)

    def _weight_blocks(self, blocks: list[tuple[int, int]]) -> Iterator[DrawnWeights]:
        """Weights of each block of draws; a single block is drawn once and kept."""
        if len(blocks) == 1:
            self._weights = self._weights or self._draws.weights()
            yield self._weights
        else:
            for start, stop in blocks:
                yield self._draws.weights(start, stop)


def join_draws(parts: Sequence[tf.Tensor]) -> Array:
    """Returns the blocks of draws as one array."""
    return np.concatenate([part.numpy() for part in parts]) if len(parts) > 1 else parts[0].numpy()
