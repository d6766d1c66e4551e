"""Tiny networks and slow second implementations that several tests share."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from bayescam.models import build_classifier
from bayescam.models.graph import flatten_model

SHAPE = (32, 32, 3)
NAMES = ("a", "b", "c")


def images(num: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (num, *SHAPE)).astype(np.float32)


def narrow(seed: int = 1, **options) -> tf_keras.Model:
    """A narrow VGG with standardisation statistics and posterior sds that all differ."""
    model = build_classifier(
        "narrow_vgg", class_names=NAMES, input_shape=SHAPE, seed=seed, **options
    )
    rng = np.random.default_rng(seed)
    layer = model.get_layer("standardization")
    size = layer.mean.shape[0]
    layer.set_statistics(rng.normal(0, 0.1, size), rng.uniform(0.05, 0.2, size))
    vary_scales(model, seed)
    return model


def vary_scales(model: tf_keras.Model, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "untransformed_scale" in weight.name:
            weight.assign(rng.uniform(-4, 0, weight.shape))


def plain_gradcam(
    model: tf_keras.Model, x: np.ndarray, class_index: int, layer: str
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and signed Grad-CAM of a deterministic model, by one gradient tape."""
    graph = flatten_model(model)
    network = graph.submodel(graph.input, [graph.key_of(layer), graph.output])
    images = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(images)
        maps, logits = network(images)
        score = tf.reduce_sum(logits[:, class_index])
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2))
    return logits.numpy(), tf.einsum("nc,nhwc->nhw", weights, maps).numpy()
