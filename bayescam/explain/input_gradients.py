"""Gradients of scores at the pixels: SmoothGrad and integrated gradients, draw by draw.

- `smoothgrad`: the mean gradient over noisy copies of the image (Smilkov et al. 2017, equation 1):
  Gaussian noise of 0.15 times the range of the image's values, 48 copies. The sign is kept; the
  noise is keyed by the seed of the draws and the same for every image.
- `integrated_gradients`: `(x - x') * integral_0^1 dy/dx (x' + a (x - x')) da`, from the black image
  `x' = 0` (Sundararajan et al. 2017, equation 1), by the midpoint rule with 64 steps. Its sum over
  the pixels is `y(x) - y(x')` up to the error of the rule (completeness, their proposition 1).

One gradient at 224x224 of every draw and score would be 600 MB an image for 100 draws and 10
scores. So gradients are summed over red, green and blue and over the pixels of each cell of a grid
of 32x32 (of every pixel in smaller images). These sums keep completeness, and signs may cancel
within a cell. A pixel on the border of two cells is shared by its area in each.

Draws differ in the gradient at the features only, but each draw and score (or each feature, where
these are fewer) costs one way back through the network for each copy: methods for few images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from bayescam.explain.channel_weights import pull_back_linear
from bayescam.explain.methods import InputMethod
from bayescam.explain.model_explainer import LogMeanProbs, ModelExplainer, PassReport
from bayescam.explain.score_gradients import score_gradients
from bayescam.explain.targets import Target
from bayescam.inference.draws import DrawnWeights, PosteriorDraws
from bayescam.inference.split import NetworkSplit
from bayescam.types import Array

__all__ = ["InputExplainer", "IntegratedGradients", "SmoothGrad"]

_MOST_CELLS = 32
_POINTS_AT_A_TIME = 8


@dataclass(frozen=True)
class SmoothGrad:
    """Where SmoothGrad takes gradients.

    Attributes:
        noise: Standard deviation, as a share of the range of the image's values.
        num_points: How many noisy copies.
    """

    noise: float = 0.15
    num_points: int = 48

    def path(self, image: tf.Tensor, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Points (P, H, W, 3) and what their mean gradient is multiplied with, (H, W, 3)."""
        words = (seed & 0x7FFFFFFF, (seed >> 31) & 0x7FFFFFFF)
        normal = tf.random.stateless_normal((self.num_points, *image.shape), words, alg="philox")
        scale = self.noise * (tf.reduce_max(image) - tf.reduce_min(image))
        return image + scale * normal, tf.ones_like(image)


@dataclass(frozen=True)
class IntegratedGradients:
    """Where integrated gradients are taken.

    Attributes:
        num_points: Steps of the midpoint rule from the black image.
    """

    num_points: int = 64

    def path(self, image: tf.Tensor, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Points (P, H, W, 3) and what their mean gradient is multiplied with, (H, W, 3)."""
        shares = (tf.range(self.num_points, dtype=tf.float32) + 0.5) / self.num_points
        return shares[:, None, None, None] * image, image


PATHS: dict[InputMethod, SmoothGrad | IntegratedGradients] = {
    "smoothgrad": SmoothGrad(),
    "integrated_gradients": IntegratedGradients(),
}


class InputExplainer(ModelExplainer):
    """Logits and gradients at the input, a few points of one image in memory at a time."""

    one_by_one = True

    def __init__(
        self,
        draws: PosteriorDraws,
        targets: tuple[Target, ...],
        method: SmoothGrad | IntegratedGradients,
    ) -> None:
        super().__init__(draws, targets)
        self._method = method
        split, shape = draws.split, self.map_shapes[0]
        self._total = split.compiled(
            ("input gradients", targets), lambda: _totalling(split, targets, shape)
        )

    @property
    def target_layers(self) -> tuple[str, ...]:
        """The input alone."""
        return ("input",)

    @property
    def map_shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of the grid."""
        height, width, _ = self._split.graph.item_shape(self._split.graph.input)
        return ((min(height, _MOST_CELLS), min(width, _MOST_CELLS)),)

    def explain(
        self,
        pixels: tf.Tensor,
        cut: list[tf.Tensor],
        log_mean_probs: LogMeanProbs,
        report: PassReport,
    ) -> tuple[Array, list[Array]]:
        """Logits (S, N, K) and maps (S, N, T, h, w) of the one layer, the input."""
        num_points = self._method.num_points
        cams = []
        for number, image in enumerate(pixels):
            points, factor = self._method.path(image, self._draws.seed)
            total: float | Array = 0.0
            for start in range(0, num_points, _POINTS_AT_A_TIME):
                chunk = points[start : start + _POINTS_AT_A_TIME]
                total += self._chunk_total(chunk, factor, log_mean_probs)
                report(number * num_points + start + len(chunk), len(pixels) * num_points)
            cams.append(total / num_points)
        return self.logits(cut[-1]), [np.stack(cams, axis=1)]

    def _chunk_total(
        self, points: tf.Tensor, factor: tf.Tensor, log_mean_probs: LogMeanProbs
    ) -> Array:
        """Sum over the points, (S, T, h, w)."""
        of_all_draws = any(target.is_of_all_draws for target in self._targets)
        log_mean = log_mean_probs(points) if of_all_draws else None
        blocks = self._draws.blocks(self._bytes_per_draw(len(points)))
        weights = self._weight_blocks(blocks)
        return np.concatenate([self._total(points, factor, w, log_mean).numpy() for w in weights])


def _totalling(
    split: NetworkSplit, targets: tuple[Target, ...], shape: tuple[int, int]
) -> Callable[..., tf.Tensor]:
    """The function from points, a factor and drawn weights to sums over the points, in cells."""
    height, width, _ = split.graph.item_shape(split.graph.input)
    rows, columns = _shares(height, shape[0]), _shares(width, shape[1])

    def total(
        points: tf.Tensor,
        factor: tf.Tensor,
        weights: DrawnWeights,
        log_mean_probs: tf.Tensor | None,
    ) -> tf.Tensor:
        def to_cells(gradient: tf.Tensor) -> tf.Tensor:
            summed = tf.reduce_sum(gradient * factor, axis=-1)
            return tf.einsum("hi,nij,wj->nhw", rows, summed, columns)

        (features,) = split.prefix(split.features)(points)
        gradients = score_gradients(split, features, weights, targets, log_mean_probs)
        cams = pull_back_linear(split, split.graph.input, [points], gradients, to_cells)
        return tf.reduce_sum(cams, axis=1)

    return total


def _shares(pixels: int, cells: int) -> tf.Tensor:
    """The matrix (cells, pixels) of the share of each pixel in each cell; columns sum to one."""
    edges = np.linspace(0, pixels, cells + 1)[:, None]
    covered = np.clip(edges - np.arange(pixels), 0, 1)
    return tf.constant(np.diff(covered, axis=0), tf.float32)
