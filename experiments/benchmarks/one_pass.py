"""Times draws with maps against one forward pass, and against the article's way, in one run.

    python experiments/benchmarks/one_pass.py

VGG16 at 224x224 with random weights, average pooling, a flipout head, 7 classes, 8 images. Printed
are medians of interleaved rounds, as ratios to one plain forward pass of the same model on the same
batch: draws with Grad-CAM of all classes, and 100 draws with every other method that has a formula.
The slowest of them shall stay below 1.5. Score-CAM and the gradients at the input, which need many
passes, are not timed.

The article's way is `model.predict` and a Grad-CAM of the predicted class once per draw; it is
timed on a few draws and scaled to 100, since every draw costs the same.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
import tf_keras

import bayescam as bc
from bayescam.explain import CAM_METHODS, CamMethod
from bayescam.models.graph import flatten_model

NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
OTHERS = tuple(method for method in CAM_METHODS if method != "gradcam")


def main(rounds: int, num_images: int, article_draws: int) -> dict[str, float]:
    """Prints and returns the ratio of each way to one forward pass."""
    model = bc.build_classifier("vgg16", class_names=NAMES, head="flipout")
    images = np.random.default_rng(0).uniform(0, 255, (num_images, 224, 224, 3))
    images = tf.constant(images.astype(np.float32))
    forward = tf.function(model)
    ways: dict[str, Callable[[], object]] = {
        "one forward pass": lambda: forward(images).numpy(),
        "analyze, S=100, all maps": lambda: bc.analyze(model, images, num_samples=100),
        "analyze, S=1000, all maps": lambda: bc.analyze(model, images, num_samples=1000),
        "analyze, S=100, maps not wanted": lambda: bc.draw_posterior(model, 100).logits(images),
        **{f"analyze, S=100, {method}": analyzing(model, images, method) for method in OTHERS},
    }
    times = time_ways(ways, rounds)
    ratios = {
        name: float(np.median(np.array(seconds) / np.array(times["one forward pass"])))
        for name, seconds in times.items()
    }
    article = time_article(model, images, article_draws)
    ratios["the article's way, S=100"] = article * 100 / float(np.median(times["one forward pass"]))
    ratios["the article's way / ours, S=100"] = (
        ratios["the article's way, S=100"] / ratios["analyze, S=100, all maps"]
    )
    for name, ratio in ratios.items():
        print(f"{name:35s} {ratio:8.2f}")
    slowest = max(ratios[name] for name in ratios if name.startswith("analyze, S=100,"))
    print(f"slowest method, S=100               {slowest:8.2f}")
    print(f"one forward pass of {num_images} images: {np.median(times['one forward pass']):.2f} s")
    return ratios


def analyzing(model: tf_keras.Model, images: tf.Tensor, method: CamMethod) -> Callable[[], object]:
    """The work of 100 draws with maps of all classes by a method."""
    return lambda: bc.analyze(model, images, num_samples=100, method=method)


def time_ways(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every way in every round, in turn, after one round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def time_article(model: tf_keras.Model, images: tf.Tensor, draws: int) -> float:
    """Seconds per draw of `predict` and of a Grad-CAM by a tape, as in the article."""
    graph = flatten_model(model)
    network = graph.submodel(graph.input, [graph.key_of("block5_conv3"), graph.output])

    @tf.function
    def grad_cam(batch: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            maps, logits = network(batch)
            score = tf.reduce_sum(tf.reduce_max(logits, axis=1))
        weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2))
        return tf.nn.relu(tf.einsum("nc,nhwc->nhw", weights, maps))

    model.predict(images, verbose=0)
    grad_cam(images)
    start = time.perf_counter()
    for _ in range(draws):
        model.predict(images, verbose=0)
        grad_cam(images).numpy()
    return (time.perf_counter() - start) / draws


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--article-draws", type=int, default=5)
    given = parser.parse_args()
    main(given.rounds, given.images, given.article_draws)
