"""Score-CAM: the weight of a channel is the score of the image seen through that channel's map.

Algorithm 1 of Wang et al. 2020. The maps `A_k` of a layer are enlarged to the image (bilinear) and
scaled to [0, 1], `H_k = (U_k - min U_k) / (max U_k - min U_k)`; the increase of the score over the
black image is `S_k = y(X H_k) - y(0)` (their equation 4); the weights are
`a_k = exp(S_k) / sum_j exp(S_j)`, a softmax over the channels of the layer; the map is
`sum_k a_k A_k`, here without the final relu. The baseline is the same for all channels, so the
softmax cancels it, whatever image it is. A constant map makes a mask of zeros: the black image.

Draws share the network up to the features of the masked images, which is run once for each channel
of each image; draw `s` then has scores and weights of its own. An uncertainty is one score of all
draws together, so its map has no spread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from bayescam.explain.model_explainer import LogMeanProbs, ModelExplainer, PassReport
from bayescam.explain.targets import Target, score_values
from bayescam.inference.draws import PosteriorDraws
from bayescam.inference.split import NetworkSplit
from bayescam.types import Array

__all__ = ["ScoreCamExplainer"]

_MASKS_AT_A_TIME = 32


class ScoreCamExplainer(ModelExplainer):
    """Logits and Score-CAM of several layers, a few masked images in memory at a time."""

    one_by_one = True

    def __init__(
        self,
        draws: PosteriorDraws,
        targets: tuple[Target, ...],
        target_layers: tuple[str | None, ...],
    ) -> None:
        split = draws.split
        self._layers = tuple(split.target_key(name) for name in target_layers)
        super().__init__(draws, targets, self._layers)
        self._masked = split.compiled(("masked features",), lambda: _masked_features(split))

    @property
    def target_layers(self) -> tuple[str, ...]:
        """Names of the explained layers."""
        return tuple(self._split.graph.name_of(layer) for layer in self._layers)

    @property
    def map_shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of their maps."""
        shapes = (self._split.graph.item_shape(layer) for layer in self._layers)
        return tuple((height, width) for height, width, _ in shapes)

    def explain(
        self,
        pixels: tf.Tensor,
        cut: list[tf.Tensor],
        log_mean_probs: LogMeanProbs,
        report: PassReport,
    ) -> tuple[Array, list[Array]]:
        """Logits (S, N, K) and, for each layer, maps (S, N, T, h, w)."""
        total = len(pixels) * sum(maps.shape[-1] for maps in cut[:-1])
        done = 0
        cams: list[list[Array]] = [[] for _ in self._layers]
        for number, image in enumerate(pixels):
            for made, maps in zip(cams, cut[:-1], strict=True):
                made.append(self._cam(image, maps[number], _counting(report, done, total)))
                done += maps.shape[-1]
        return self.logits(cut[-1]), [np.stack(made, axis=1) for made in cams]

    def _cam(self, image: tf.Tensor, maps: tf.Tensor, report: Callable[[int], object]) -> Array:
        """Maps (S, T, h, w) of one image (H, W, 3) for its maps (h, w, C)."""
        scores = score_values(self._targets, self.logits(self._features(image, maps, report)))
        weights = tf.nn.softmax(scores, axis=1)
        return tf.einsum("sct,hwc->sthw", weights, maps).numpy()

    def _features(
        self, image: tf.Tensor, maps: tf.Tensor, report: Callable[[int], object]
    ) -> tf.Tensor:
        """Features (C, ...) of the image under each mask."""
        channels, parts = maps.shape[-1], []
        for start in range(0, channels, _MASKS_AT_A_TIME):
            chunk = maps[..., start : start + _MASKS_AT_A_TIME]
            missing = _MASKS_AT_A_TIME - chunk.shape[-1]
            parts.append(self._masked(image, tf.pad(chunk, ((0, 0), (0, 0), (0, missing)))))
            report(min(start + _MASKS_AT_A_TIME, channels))
        return tf.concat(parts, axis=0)[:channels]


def _counting(report: PassReport, done: int, total: int) -> Callable[[int], object]:
    return lambda masks: report(done + masks, total)


def _masked_features(split: NetworkSplit) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The function from an image (H, W, 3) and maps (h, w, B) to features (B, ...)."""
    network = split.graph.submodel(split.graph.input, split.features)

    def features(image: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
        enlarged = tf.image.resize(tf.transpose(maps, (2, 0, 1))[..., None], image.shape[:2])
        low = tf.reduce_min(enlarged, axis=(1, 2), keepdims=True)
        high = tf.reduce_max(enlarged, axis=(1, 2), keepdims=True)
        masks = tf.math.divide_no_nan(enlarged - low, high - low)
        return tf.cast(network(masks * image), tf.float32)

    return features
