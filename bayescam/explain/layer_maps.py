"""Maps of layers from gradients at the features, of all draws of one model in one step."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from bayescam.explain.draw_maps import check_method, draw_maps
from bayescam.explain.methods import CamMethod
from bayescam.explain.model_explainer import (
    LogMeanProbs,
    ModelExplainer,
    PassReport,
    join_draws,
)
from bayescam.explain.score_gradients import score_gradients
from bayescam.explain.targets import Target
from bayescam.inference.draws import DrawnWeights, PosteriorDraws, run_suffix
from bayescam.inference.split import NetworkSplit
from bayescam.types import Array

__all__ = ["LayerExplainer"]


class LayerExplainer(ModelExplainer):
    """Logits and maps of several layers, by one of the methods with a formula."""

    def __init__(
        self,
        draws: PosteriorDraws,
        targets: tuple[Target, ...],
        target_layers: tuple[str | None, ...],
        method: CamMethod,
    ) -> None:
        split = draws.split
        self._layers = layers = tuple(split.target_key(name) for name in target_layers)
        for layer in layers:
            check_method(split, layer, method)
        keys = tuple(dict.fromkeys(key for layer in layers for key in split.cut(layer)))
        super().__init__(draws, targets, keys)
        self._explain = split.compiled(
            ("explain", layers, targets, method),
            lambda: _explaining(split, keys, layers, targets, method),
        )

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
        of_all_draws = any(target.is_of_all_draws for target in self._targets)
        log_mean = log_mean_probs(pixels) if of_all_draws else None
        blocks = self._draws.blocks(self._bytes_per_draw(len(pixels)))
        parts = [self._explain(cut, w, log_mean) for w in self._weight_blocks(blocks)]
        logits, *cams = (join_draws(part) for part in zip(*parts, strict=True))
        return logits, cams


def _explaining(
    split: NetworkSplit,
    keys: tuple[int, ...],
    layers: tuple[int, ...],
    targets: tuple[Target, ...],
    method: CamMethod,
) -> Callable[..., tuple[tf.Tensor, ...]]:
    """The function from a cut and drawn weights to the logits and each layer's maps."""

    def explain(
        cut: list[tf.Tensor], weights: DrawnWeights, log_mean_probs: tf.Tensor | None
    ) -> tuple[tf.Tensor, ...]:
        features = cut[-1]
        values = dict(zip(keys, cut[:-1], strict=True))
        gradients = score_gradients(split, features, weights, targets, log_mean_probs)
        cams = (
            draw_maps(split, layer, method, [values[key] for key in split.cut(layer)], gradients)
            for layer in layers
        )
        return run_suffix(split, features, weights), *cams

    return explain
