"""The network of `pneumonia_cam.py`: kept features of a frozen backbone, a linear classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tf_keras
from pneumonia_data import Config
from rich.console import Console

import bayescam as bc
from bayescam.inference.features import FeatureCache, cache_features
from bayescam.types import Array
from bayescam.workflows.train import training_images


def image_features(
    config: Config, names: Sequence[str], records: pd.DataFrame, folder: Path, console: Console
) -> FeatureCache:
    """Features (V, N, F) of all images, the first view plain; kept, so that it can carry on."""
    model = build(config, names)
    split = bc.draw_posterior(model, 1).split
    said = [-1]

    def report(stage: str, done: int, total: int, note: str) -> None:
        percent = 10 * (10 * done // total)
        if percent != said[0]:
            said[0] = percent
            console.print(f"{stage} {note} {percent} %", highlight=False)

    return cache_features(
        split.prefix(split.features),
        training_images(model, records, "chest", config.seed),
        shape=split.graph.item_shape(split.features),
        num_views=config.num_views,
        path=folder / "features" / "all.npy",
        key=f"{config.backbone} {config.weights} {config.input_shape}",
        report=report,
    )


def train_head(
    config: Config, features: FeatureCache, labels: Array, split: Array, variant: str
) -> tuple[tf_keras.Model, pd.DataFrame]:
    """The linear classifier of the best epoch, and one row per epoch.

    The best epoch has the largest accuracy on the test images as published, and the smallest
    loss on the validation images when corrected.
    """
    tf_keras.utils.set_random_seed(config.seed)
    num_classes = int(labels.max()) + 1
    head = tf_keras.Sequential(
        [tf_keras.Input(features.values.shape[-1:]), tf_keras.layers.Dense(num_classes)]
    )
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head.compile(tf_keras.optimizers.Adam(config.learning_rate), loss, metrics=["accuracy"])
    chosen_on = "test" if variant == "as published" else "val"
    train, other = np.flatnonzero(split == "train"), np.flatnonzero(split == chosen_on)
    history: list[dict[str, Any]] = []
    best: tuple[float, list[Array]] = (-np.inf, [])
    for epoch in range(config.epochs):
        rate = config.learning_rate * config.step_factor ** (epoch // config.step_epochs)
        head.optimizer.learning_rate.assign(rate)
        views = features.values[(train + epoch) % features.num_views, train]
        fitted = head.fit(
            views,
            labels[train],
            batch_size=config.batch_size,
            validation_data=(features.values[0, other], labels[other]),
            verbose=0,
        )
        row = {name: values[0] for name, values in fitted.history.items()}
        merit = row["val_accuracy"] if chosen_on == "test" else -row["val_loss"]
        if merit > best[0]:
            best = (merit, head.get_weights())
        history.append(
            {
                "epoch": epoch + 1,
                "learning_rate": rate,
                "train_loss": row["loss"],
                "train_accuracy": row["accuracy"],
                f"{chosen_on}_loss": row["val_loss"],
                f"{chosen_on}_accuracy": row["val_accuracy"],
            }
        )
    head.set_weights(best[1])
    return head, pd.DataFrame(history)


def build(config: Config, names: Sequence[str]) -> tf_keras.Model:
    """The network with a new linear head."""
    return bc.build_classifier(
        config.backbone,
        class_names=names,
        head="dense",
        weights=config.weights,
        input_shape=config.input_shape,
        seed=config.seed,
    )


def classifier_of(config: Config, names: Sequence[str], head: tf_keras.Model) -> tf_keras.Model:
    """The whole network, from RGB images in 0..255 to logits, with a trained head."""
    model = build(config, names)
    model.get_layer("logits").set_weights(head.get_weights())
    return model
