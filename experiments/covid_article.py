"""Heat maps as the article's program makes them, beside correct ones of the same network.

Its slips are those of a widely copied program. The score is a probability, after the softmax,
though the text has the score before it: where the network is sure, its gradient vanishes, and the
other classes come in. Gradients are averaged over all images of a batch, so the map of an image
depends on the images beside it. And the "guided" variant ends without a relu: what is drawn begins
at its least value, so evidence against the class is drawn too. "corrected" is Grad-CAM of the logit
of each image (Selvaraju et al. 2017, equations 1 and 2), and the guided weights with a relu.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import tensorflow as tf
import tf_keras

import bayescam as bc
from bayescam.explain import class_maps, energy_in_masks, rank_correlation
from bayescam.inference import split_network
from bayescam.report import interval_table
from bayescam.types import Array
from bayescam.uncertainty import bootstrap_means

METHODS = {"gradcam": "Grad-CAM", "guided_gradcam_tutorial": "guided Grad-CAM of the tutorials"}


def article_maps(
    model: tf_keras.Model,
    images: Array,
    method: str,
    target_layer: str | None = None,
    *,
    batch_size: int | None = None,
) -> Array:
    """The maps (N, h, w) that the article draws, none below 0, of each image's predicted class.

    Args:
        model: Deterministic, with logits as its output.
        images: RGB in 0..255, (N, H, W, 3).
        method: One of `METHODS`.
        target_layer: By default the last maps before the pooling.
        batch_size: How many images are shown together, on which their maps depend; by default all.
    """
    split = split_network(model)
    keys = [split.target_key(target_layer), split.graph.output]
    network = split.graph.submodel(split.graph.input, keys)
    size = batch_size or len(images)
    parts = [
        _batch_maps(network, tf.cast(images[start : start + size], tf.float32), method)
        for start in range(0, len(images), size)
    ]
    return np.concatenate(parts)


def _batch_maps(network: tf_keras.Model, pixels: tf.Tensor, method: str) -> Array:
    """The maps of one batch, by a network from images to maps and logits."""
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        maps, logits = network(pixels)
        score = tf.reduce_sum(tf.reduce_max(tf.nn.softmax(logits), axis=1))
    gradient = tape.gradient(score, maps)
    if method == "guided_gradcam_tutorial":
        gradient = tf.nn.relu(gradient) * tf.cast(maps > 0, gradient.dtype)
    weights = tf.reduce_mean(gradient, axis=(0, 1, 2))
    cams = tf.einsum("nhwc,c->nhw", maps, weights).numpy()
    least = 0.0 if method == "gradcam" else cams.min(axis=(1, 2), keepdims=True)
    return np.maximum(cams - least, 0.0)


def correct_maps(
    model: tf_keras.Model, images: Array, method: str, target_layer: str | None = None
) -> Array:
    """The maps (N, h, w) of the logit of each image's predicted class, by draw 0 of the model."""
    draws = bc.analyze(model, images, num_samples=1, method=method, target_layer=target_layer)
    predicted = draws["logits"].to_numpy()[0].argmax(axis=1)
    return np.maximum(class_maps(draws["cam"].to_numpy(), predicted)[0], 0.0)


def agreement(
    model: tf_keras.Model, images: Array, method: str, target_layer: str | None = None
) -> Array:
    """Rank correlation (N,) of the article's maps with correct ones, NaN where one is constant."""
    frozen = bc.draw_posterior(model, 1).as_model(0)
    published = article_maps(frozen, images, method, target_layer)
    return rank_correlation(published, correct_maps(model, images, method, target_layer))


def compare_slips(
    model: tf_keras.Model, images: Array, masks: Array, groups: Sequence[str]
) -> pd.DataFrame:
    """Scores of the article's maps and of correct ones of draw 0 of a model, with intervals.

    Args:
        model: A classifier.
        images: (N, H, W, 3), the article's batch.
        masks: Lungs, (N, H, W).
        groups: Patients, (N,).
    """
    frozen = bc.draw_posterior(model, 1).as_model(0)
    columns: dict[str, dict[str, tuple[float, float, float]]] = {}
    for method, title in METHODS.items():
        correct = correct_maps(model, images, method)
        batch = article_maps(frozen, images, method)
        alone = article_maps(frozen, images, method, batch_size=1)
        for name, maps, by_itself in (
            ("as published", batch, alone),
            ("corrected", correct, correct),
        ):
            scores = {
                "energy in the lungs": energy_in_masks(maps, list(masks)),
                "rank correlation with the correct map": rank_correlation(maps, correct),
                "rank correlation with the map of the image alone": rank_correlation(
                    maps, by_itself
                ),
                "constant maps": np.ptp(maps, axis=(1, 2)) == 0,
            }
            for score, values in scores.items():
                found = bootstrap_means(values, groups)
                bounds = float(found.estimate), float(found.lower), float(found.upper)
                columns.setdefault(name, {})[f"{title}: {score}"] = bounds
    return interval_table(columns)
