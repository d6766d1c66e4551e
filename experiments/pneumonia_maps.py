"""The images that `pneumonia_cam.py` shows to its trained networks, and their activation maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import tf_keras
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pneumonia_data import Config
from scipy.special import softmax

import bayescam as bc
from bayescam.data import ImageLoader
from bayescam.report import figure_style, upsample_map
from bayescam.types import Array
from bayescam.uncertainty import bootstrap_means


def without_normalization(images: Array, model: tf_keras.Model) -> Array:
    """Images that reach the network as `images / 255`, past its own normalisation."""
    layer = model.get_layer("pixel_normalization")
    wanted = images.astype(np.float64) / 255.0
    return ((wanted - layer.offset) @ np.linalg.inv(layer.matrix).T).astype(np.float32)


def shown_classes(
    config: Config, model: tf_keras.Model, paths: Sequence[str], variant: str
) -> Array:
    """The classes (N,) of images that are given to the trained model as the variant does."""
    return np.concatenate(
        [
            model.predict_on_batch(shown_images(images, model, variant)).argmax(axis=1)
            for _, images in ImageLoader(paths, config.input_shape)
        ]
    )


def shown_images(images: Array, model: tf_keras.Model, variant: str) -> Array:
    """Images without their normalisation, as published, or as in training."""
    if variant == "as published":
        return without_normalization(images, model)
    return images.astype(np.float32)


def score_shown(
    seen: Array, predicted: Array, labels: Array, groups: Array
) -> dict[str, tuple[float, float, float]]:
    """What showing images as a variant does makes of their classes, with intervals.

    Args:
        seen: Classes (N,) of the images as they are shown.
        predicted: Classes of the same images, normalised as in training.
        labels: Right classes.
        groups: Patients.
    """
    found = bootstrap_means(np.stack([seen == labels, seen != predicted]), groups)
    names = ("accuracy of the images as shown", "class changes as they are shown")
    bounds = zip(found.estimate, found.lower, found.upper, strict=True)
    return {name: tuple(map(float, part)) for name, part in zip(names, bounds, strict=True)}


def draw_examples(
    config: Config, models: dict[str, tf_keras.Model], records: pd.DataFrame
) -> Figure:
    """Original | as published | corrected, for test images of each class taken at random."""
    test = records[records["split"] == "test"]
    rows = test.groupby("label").sample(config.shown, random_state=config.seed)
    images = bc.load_images(rows["path"], config.input_shape[:2])
    inputs = {name: shown_images(images, model, name) for name, model in models.items()}
    with figure_style():
        figure = Figure(figsize=(6.6, 2.25 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 3)
        for image, label, (ax, *_) in zip(images, rows["label"], axes, strict=True):
            ax.imshow(image)
            ax.set_ylabel(label)
        for column, (variant, seen) in enumerate(inputs.items(), start=1):
            maps, said = class_activation_maps(models[variant], seen)
            axes[0, column].set_title(variant)
            for ax, image, cam, words in zip(axes[:, column], images, maps, said, strict=True):
                draw_overlay(ax, image, cam)
                ax.set_xlabel(words)
        axes[0, 0].set_title("original")
        for ax in axes.flat:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
    return figure


def class_activation_maps(model: tf_keras.Model, images: Array) -> tuple[list[Array], list[str]]:
    """The map (h, w) of each image's predicted class, and that class with its probability."""
    draws = bc.analyze(model, images, num_samples=1, method="cam")
    probs = softmax(draws["logits"].to_numpy()[0], axis=-1)
    predicted = probs.argmax(axis=1)
    maps = [draws["cam"].to_numpy()[0, i, k] for i, k in enumerate(predicted)]
    names = draws["class"].to_numpy()
    return maps, [f"{names[k]} {probs[i, k]:.2f}" for i, k in enumerate(predicted)]


def draw_overlay(ax: Axes, image: Array, cam: Array) -> None:
    """The article's picture: the map from its least to its largest value in jet, half opaque."""
    ax.imshow(image)
    ax.imshow(upsample_map(cam, image.shape[:2]), cmap="jet", alpha=0.5)
