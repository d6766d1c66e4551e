"""The layers that training leaves alone: what they make of images is computed once and kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from bayescam.inference.features import (
    FeatureCache,
    ProgressReport,
    TrainingImages,
    cache_features,
    weights_fingerprint,
)
from bayescam.inference.split import NetworkSplit
from bayescam.inference.trainer import BATCH

__all__ = ["FrozenPart", "structure_fingerprint"]


@dataclass(frozen=True, eq=False)
class FrozenPart:
    """All that lies below one value of a network.

    Attributes:
        split: The network.
        source: The value; everything below it is frozen, everything above may be trained.
    """

    split: NetworkSplit
    source: int

    def cache(
        self,
        images: TrainingImages,
        num_views: int,
        *,
        path: Path | None = None,
        report: ProgressReport | None = None,
    ) -> FeatureCache:
        """Returns the value of all views of images, (V, N, ...).

        Networks whose frozen parts are the same may share a `path`; another frozen part, or other
        images, fill it anew.

        Args:
            images: What to run it on.
            num_views: Number of views V.
            path: A `.npy` file to keep it in; None keeps it in memory.
            report: Told how far it is.

        Raises:
            InputError: If a map exceeds the range of float16, or the disk is too small.
        """
        graph = self.split.graph
        plain = self.source == graph.input
        steps = () if plain else graph.between(graph.input, self.source)
        weights = [weight for step in steps for weight in step.layer.weights]
        return cache_features(
            None if plain else self.split.prefix(self.source),
            images,
            shape=graph.item_shape(self.source),
            num_views=num_views,
            path=path,
            key=f"{structure_fingerprint(self.split, self.source)} {weights_fingerprint(weights)}",
            report=report,
        )

    def to_features(self, cache: FeatureCache) -> FeatureCache:
        """Returns the features (V, N, F) of what is cached; only the part between runs."""
        if self.source == self.split.features:
            return cache
        network = tf.function(self.split.graph.submodel(self.source, self.split.features))
        views = []
        for view in cache.values:
            blocks = [
                network(tf.cast(view[i : i + BATCH], tf.float32)).numpy()
                for i in range(0, len(view), BATCH)
            ]
            views.append(np.concatenate(blocks).astype(np.float32))
        return FeatureCache(np.stack(views))


def structure_fingerprint(split: NetworkSplit, top: int) -> str:
    """Returns a hash of the settings and shapes of the layers below a value.

    Weights alone do not tell them.
    """
    graph = split.graph
    steps = graph.between(graph.input, top) if top != graph.input else ()
    layers = [(_settings(step.layer), graph.shapes[step.outputs[0]]) for step in steps]
    return hashlib.sha256(repr((graph.shapes[graph.input], layers)).encode()).hexdigest()[:16]


def _settings(layer: tf_keras.layers.Layer) -> object:
    try:
        return layer.get_config()
    except NotImplementedError:  # a user's layer that cannot tell them
        return type(layer).__name__
