"""Pneumonia on chest X-rays: a frozen backbone, a linear classifier, class activation maps.

The system of *Detecting and localizing pneumonia from chest X-ray scans* (H. Ansah), on Kermany's
X-rays: rotations of up to 20 degrees and mirror images, every layer of the backbone frozen, Adam
with a rate that falls every four epochs, the best of ten epochs kept, and the class activation map
of Zhou et al. (CVPR 2016, equation 2) enlarged by linear interpolation, as a jet overlay.

"as published" chooses the epoch by the accuracy on the test images, trains on images that stand in
the test folder too (same file or same patient), and shows the trained model images that are scaled
to [0, 1] but not normalised. "corrected" chooses by the validation likelihood, leaves such images
out of training and cuts validation by patient; the classifier carries its own preprocessing. Both
are scored on the published test images. Features are kept, so a run that was stopped carries on.

    python experiments/pneumonia_cam.py --data chest_xray --backbone squeezenet \
        --weights squeezenet_notop.h5 --out runs/pneumonia

The article's own network: `--backbone resnet152 --weights imagenet`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tf_keras
from help_format import HelpFormat
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from scipy.special import softmax

import bayescam as bc
from bayescam.data import ImageLoader, hash_files, recut_validation
from bayescam.inference.features import FeatureCache, cache_features
from bayescam.report import figure_style, interval_table, to_markdown, upsample_map
from bayescam.types import Array
from bayescam.uncertainty import group_bootstrap
from bayescam.workflows.train import training_images

SCORES = (
    "accuracy",
    "macro_auc",
    "sensitivity_PNEUMONIA",
    "specificity_PNEUMONIA",
    "negative_log_likelihood",
    "expected_calibration_error",
)
VARIANTS = ("as published", "corrected")


@dataclass(frozen=True)
class Config:
    """One study; everything that decides its numbers."""

    data: str
    weights: str | None = None
    backbone: str = "resnet152"
    input_shape: tuple[int, int, int] = (224, 224, 3)
    num_views: int = 4
    epochs: int = 10
    step_epochs: int = 4
    step_factor: float = 0.1
    learning_rate: float = 1e-3
    batch_size: int = 32
    shown: int = 3
    seed: int = 0


def main(config: Config, output_dir: Path) -> pd.DataFrame:
    """Trains both variants, writes table and figure, and returns the table."""
    console, started = Console(), time.monotonic()
    output_dir.mkdir(parents=True, exist_ok=True)
    keep_config(config, output_dir / "config.json")
    records = bc.read_chest_xray(config.data, published_split=True)
    names = tuple(sorted(records["label"].unique()))
    features = image_features(config, names, records, output_dir, console)
    labels = records["label"].map(names.index).to_numpy(np.int64)
    columns, models = {}, {}
    for variant in VARIANTS:
        split = variant_split(variant, records, config.seed)
        console.print(f"{variant}: {split.value_counts().to_dict()}", highlight=False)
        head, history = train_head(config, features, labels, split.to_numpy(), variant)
        history.to_csv(output_dir / f"history, {variant}.csv", index=False)
        console.print(history.round(4).to_string(index=False), highlight=False)
        models[variant] = classifier_of(config, names, head)
        bc.save_model(models[variant], output_dir / f"{variant}.keras")
        test = (records["split"] == "test").to_numpy()
        probs = softmax(head.predict(features.values[0, test], verbose=0), axis=1)
        groups = records["group"].fillna(records["image_id"])[test]
        scores = group_bootstrap(probs, labels[test], groups.to_numpy(str), names)
        columns[variant] = {name: scores.interval(name) for name in SCORES}
    table = interval_table(columns)
    table.to_csv(output_dir / "table.csv")
    draw_examples(config, models, records).savefig(output_dir / "maps.png", dpi=150)
    changed = share_changed(config, models["as published"], records)
    print(f"\n{to_markdown(table.reset_index())}\n")
    print(f"shown without normalisation, {changed:.1%} of the test images change their class")
    print(f"{(time.monotonic() - started) / 60:.1f} minutes")
    return table


def keep_config(config: Config, path: Path) -> None:
    """Writes the configuration, or refuses one that differs from that of the results there."""
    text = json.dumps(asdict(config), indent=1)
    if path.exists() and path.read_text() != text:
        raise bc.InputError(f"{path} is of another configuration; give another --out")
    path.write_text(text)


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


def variant_split(variant: str, records: pd.DataFrame, seed: int) -> pd.Series:
    """The split of a variant: train, val, test, or missing for images that are left out."""
    if variant == "as published":
        return records["split"]
    split = recut_validation(records, fraction=0.15, seed=seed)["split"]
    test = records["split"] == "test"
    hashes = pd.Series(hash_files(records["path"].tolist()), index=records.index)
    shared = pd.Series(False, index=records.index)
    for key in (records["group"], hashes):
        shared |= key.notna() & key.isin(key[test])
    return split.mask(shared & ~test)


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


def without_normalization(images: Array, model: tf_keras.Model) -> Array:
    """Images that reach the network as `images / 255`, past its own normalisation."""
    layer = model.get_layer("pixel_normalization")
    wanted = images.astype(np.float64) / 255.0
    return ((wanted - layer.offset) @ np.linalg.inv(layer.matrix).T).astype(np.float32)


def share_changed(config: Config, model: tf_keras.Model, records: pd.DataFrame) -> float:
    """Share of the test images that get another class when they are not normalised."""
    paths = records["path"][records["split"] == "test"].tolist()
    changed = [
        model.predict_on_batch(images.astype(np.float32)).argmax(axis=1)
        != model.predict_on_batch(without_normalization(images, model)).argmax(axis=1)
        for _, images in ImageLoader(paths, config.input_shape)
    ]
    return float(np.concatenate(changed).mean())


def draw_examples(
    config: Config, models: dict[str, tf_keras.Model], records: pd.DataFrame
) -> Figure:
    """Original | as published | corrected, for test images of each class taken at random."""
    test = records[records["split"] == "test"]
    rows = test.groupby("label").sample(config.shown, random_state=config.seed)
    images = bc.load_images(rows["path"], config.input_shape[:2])
    inputs = {
        "as published": without_normalization(images, models["as published"]),
        "corrected": images,
    }
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


def parse(arguments: Sequence[str] | None = None) -> tuple[Config, Path]:
    """The configuration and the output folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormat)
    parser.add_argument("--data", required=True, help="chest X-ray folder (Kermany)")
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--weights", help='backbone weights, an .h5 file or "imagenet"')
    parser.add_argument("--backbone", default=Config.backbone)
    parser.add_argument("--input-shape", type=int, nargs=2, default=Config.input_shape[:2])
    parser.add_argument("--epochs", type=int, default=Config.epochs)
    parser.add_argument("--num-views", type=int, default=Config.num_views)
    parser.add_argument("--seed", type=int, default=Config.seed)
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    given["input_shape"] = (*given["input_shape"], 3)
    return Config(**given), out


if __name__ == "__main__":
    try:
        main(*parse())
    except bc.InputError as error:
        print(f"pneumonia_cam: {error}", file=sys.stderr)
        sys.exit(2)
