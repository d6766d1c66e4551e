"""Skin lesions (HAM10000): a fine-tuned backbone, and dense and flipout heads side by side on it.

The system of *Medical image analysis using probabilistic layers and Grad-CAM* (R. Kraan), on
lesion-disjoint splits. For each split the backbone is fine-tuned with a dense head, every image
with the same weight; then heads are trained on the same features of that backbone, so that they
differ in nothing else, and with class weights, for the sake of the rare classes. The fine-tuned
network takes the mean of its head and of a dense one that is trained after it (Wortsman et al.,
*Model soups*, ICML 2022). With `--networks 3` the backbone is fine-tuned three times on each split,
from other heads and in another order; together they are an ensemble of whole networks
(Lakshminarayanan et al., NeurIPS 2017), and the other heads stand on the first. What lies below the
fine-tuned layers runs once for all.
Evaluated images are shown in four views (mirror images, whole and enlarged), whose logits are
averaged within each draw. Within each split, prior and calibration are chosen by cross-fitting on
its validation images; the test split is opened once, at the end. It holds a quarter of the images,
since of 2,000 even a calibrated model has an expected calibration error of 0.02. The tuned
networks, their features and the results of a split are kept, so that a run that was stopped
carries on.

    python experiments/skin_lesions.py --data ham10000 --weights squeezenet_notop.h5 --out runs/skin

The article's own network: `--backbone vgg16 --weights FILE --fine-tune-layers 6 --num-views 2
--input-shape 224 224` (each view of all images takes 6 GB of disk).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tf_keras
from help_format import HelpFormat
from kept_results import keep_config, make_or_load, save_arrays
from numpy.typing import NDArray
from rich.console import Console
from skin_config import (
    CLASS_NAMES,
    ENSEMBLE,
    TUNED_HEAD,
    Config,
    Floats,
    Split,
    heads,
    label_codes,
    split_of,
)
from skin_table import summarize_seeds

import bayescam as bc
from bayescam.data import ImageLoader
from bayescam.inference.draws import run_suffix
from bayescam.inference.features import ProgressReport, TrainingImages
from bayescam.inference.training import FitResult, TrainingSettings, fit_classifier
from bayescam.report import to_markdown
from bayescam.workflows.folders import data_fingerprint
from bayescam.workflows.train import training_images

EVALUATED_VIEWS = (  # share of each side that is shown, then the directions of rows and columns
    (1.0, 1, 1),
    (1.0, -1, -1),
    (0.84, 1, -1),
    (0.84, -1, 1),
)


def main(config: Config, output_dir: Path) -> pd.DataFrame:
    """Runs every seed that is not done yet, prints the table and returns it."""
    console = Console()
    output_dir.mkdir(parents=True, exist_ok=True)
    keep_config(config, output_dir / "config.json", without={"seeds"})
    records = bc.read_ham10000(config.data)
    runs = make_or_load(
        config.seeds,
        output_dir,
        lambda seed, path: run_seed(config, records, seed, path, console),
    )
    table = summarize_seeds(runs, config)
    table.to_csv(output_dir / "table.csv")
    print(to_markdown(table))
    return table


def run_seed(
    config: Config, records: pd.DataFrame, seed: int, path: Path, console: Console
) -> None:
    """Trains on one split and keeps the logits of all heads, validation and test."""
    split = split_of(config, records, seed, path.with_suffix(""))
    networks = [tuned_features(config, split, n, console) for n in range(config.networks)]
    shutil.rmtree(split.folder / "features", ignore_errors=True)  # of the frozen layers, 20 GB
    logits = train_heads(config, split, networks[0][1], console)
    tuned = [
        head_logits(model, seen_of(features, config), config, seed) for model, features in networks
    ]
    logits[TUNED_HEAD] = tuned[0]
    if config.networks > 1:
        logits[ENSEMBLE] = {
            name: np.concatenate([made[name] for made in tuned]) for name in config.splits
        }
    arrays = {
        f"{head}/{name}": values for head, by in logits.items() for name, values in by.items()
    }
    for name in config.splits:
        arrays[f"labels/{name}"] = label_codes(split.parts[name])
        arrays[f"groups/{name}"] = split.parts[name]["group"].to_numpy(str)
    save_arrays(path, arrays)


def train_heads(
    config: Config, split: Split, features: dict[str, Floats], console: Console
) -> dict[str, dict[str, Floats]]:
    """Logits of every head, trained on the features of one network."""
    logits = {}
    for name, options in heads(config).items():
        fitting = features["train"], features["val"]
        model = train_head(
            split, fitting, split.seed, f"seed {split.seed}: {name}", console, **options
        )
        logits[name] = head_logits(model, seen_of(features, config), config, split.seed)
    return logits


def train_head(
    split: Split,
    features: tuple[Any, Any],
    seed: int,
    what: str,
    console: Console,
    **options: Any,  # noqa: ANN401
) -> tf_keras.Model:
    """A head of `build_head`, trained with class weights on features of train and val."""
    labels = label_codes(split.parts["train"]), label_codes(split.parts["val"])
    size = features[1].shape[-1]
    model = bc.build_head(size, class_names=CLASS_NAMES, seed=seed, **options)
    history = bc.fit_head(model, features, labels, settings=TrainingSettings(seed=seed))
    best = max(row["validation_log_likelihood"] for row in history)
    console.print(f"{what}: validation log-likelihood {best:.4f}")
    return model


def seen_of(features: dict[str, Floats], config: Config) -> dict[str, Floats]:
    """Features (4, N, F) of the evaluated views, by split."""
    return {split: features[f"seen/{split}"] for split in config.splits}


def tuned_features(
    config: Config, split: Split, number: int, console: Console
) -> tuple[tf_keras.Model, dict[str, Floats]]:
    """A fine-tuned network and its features, made once and kept.

    "seen/val" and "seen/test" (4, N, F) are those of the evaluated views; the first network's
    "train" (V, N, F) and "val" (1, N, F) are for training other heads.
    """
    home = split.folder / f"network_{number}"
    path = home / "features.npz"
    if not path.exists():
        model, result = fine_tune(config, split, number, console)
        train, val = (part.values for part in result.head_features(config.head_views))
        what = f"seed {split.seed}, network {number}: second head"
        own_seed = split.seed + 1000 * number
        second = train_head(split, (train, val), own_seed, what, console, head="dense")
        average_heads(model, second)
        bc.save_model(model, home / "model.keras")
        kept = {"train": train, "val": val} if number == 0 else {}
        for name in config.splits:
            cache = result.frozen.cache(
                evaluated_images(model, split.parts[name]),
                len(EVALUATED_VIEWS),
                path=split.folder / "features" / f"seen {name}.npy",
                report=reporter(f"seed {split.seed}: {name} images", console),
            )
            kept[f"seen/{name}"] = result.frozen.to_features(cache).values
        save_arrays(path, kept)
    with np.load(path, allow_pickle=False) as arrays:
        return bc.load_model(home / "model.keras"), dict(arrays)


def fine_tune(
    config: Config, split: Split, number: int, console: Console
) -> tuple[tf_keras.Model, FitResult]:
    """A network with a dense head, its last layers fine-tuned."""
    own_seed = split.seed + 1000 * number
    model = bc.build_classifier(
        config.backbone,
        class_names=CLASS_NAMES,
        head="dense",
        weights=config.weights,
        input_shape=config.input_shape,
        seed=own_seed,
    )
    result = fit_classifier(
        model,
        training_images(model, split.parts["train"], "skin", split.seed),
        training_images(model, split.parts["val"], "none", split.seed),
        settings=config.tuning(own_seed),
        work_dir=split.folder / f"network_{number}",
        features_dir=split.folder / "features",
        report=reporter(f"seed {split.seed}, network {number}:", console),
    )
    for row in result.history:
        console.print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    return model, result


def average_heads(model: tf_keras.Model, second: tf_keras.Model) -> None:
    """Gives a network the mean of its dense head and a second one: its logits are the mean too."""
    kernel, bias = (0.5 * (a + b) for a, b in zip(*map(affine_map, (model, second)), strict=True))
    mean, sd = model.get_layer("standardization").get_weights()
    model.get_layer("logits").set_weights([kernel * sd[:, np.newaxis], bias + mean @ kernel])


def affine_map(model: tf_keras.Model) -> tuple[Floats, Floats]:
    """Kernel (F, K) and bias (K,) of a dense head on features before they are standardised."""
    mean, sd = model.get_layer("standardization").get_weights()
    kernel, bias = model.get_layer("logits").get_weights()
    kernel = np.float64(kernel) / sd[:, np.newaxis]
    return kernel, bias - mean @ kernel


def reporter(what: str, console: Console) -> ProgressReport:
    """A report of progress that prints a line every five per cent."""
    said: dict[str, str] = {}

    def report(stage: str, done: int, total: int, note: str) -> None:
        line = f"{what} {stage} {note} {20 * done // total * 5} %"
        if said.get(stage) != line:
            said[stage] = line
            console.print(line, highlight=False)

    return report


def evaluated_images(model: tf_keras.Model, records: pd.DataFrame) -> TrainingImages:
    """Images in the evaluated views."""
    paths, shape = records["path"].tolist(), model.input_shape[1:]

    def batches(view: int, indices: NDArray[np.int64]) -> Iterator[tuple[Any, Any]]:
        loader = ImageLoader(paths, shape, indices=indices)
        for numbers, images in loader:
            yield numbers, evaluated_view(images, view).numpy()
        if loader.skipped:
            raise bc.InputError(f"{loader.skipped[0].path}: {loader.skipped[0].reason}")

    fingerprint = f"{data_fingerprint(records)} as {EVALUATED_VIEWS}"
    return TrainingImages(batches, label_codes(records), fingerprint)


def evaluated_view(images: NDArray[np.uint8], view: int) -> tf.Tensor:
    """The images or a mirror image, whole or their enlarged middle, float32 (N, H, W, 3)."""
    zoom, y, x = EVALUATED_VIEWS[view]
    scaled = tf.image.resize(tf.image.central_crop(images, zoom), images.shape[1:3])
    return scaled[:, ::y, ::x]


def evaluated_views(images: NDArray[np.uint8]) -> list[tf.Tensor]:
    """All evaluated views of images."""
    return [evaluated_view(images, view) for view in range(len(EVALUATED_VIEWS))]


def head_logits(
    model: tf_keras.Model, seen: dict[str, Floats], config: Config, seed: int
) -> dict[str, Floats]:
    """Logits (S, N, K) of each split, the mean over the views within each draw."""
    stochastic = bool(bc.draw_posterior(model, 1).split.stochastic)
    draws = bc.draw_posterior(model, config.num_samples if stochastic else 1, seed=seed)
    weights = draws.weights()
    return {
        split: np.mean([run_suffix(draws.split, view, weights).numpy() for view in views], axis=0)
        for split, views in seen.items()
    }


def parse(arguments: Sequence[str] | None = None) -> tuple[Config, Path]:
    """The configuration and the output folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormat)
    parser.add_argument("--data", required=True, help="HAM10000 folder")
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--weights", help='backbone weights, an .h5 file or "imagenet"')
    parser.add_argument("--backbone", default=Config.backbone)
    parser.add_argument("--input-shape", type=int, nargs=2, default=Config.input_shape[:2])
    parser.add_argument("--fine-tune-layers", type=int, default=Config.fine_tune_layers)
    parser.add_argument("--epochs", type=int, default=Config.epochs)
    parser.add_argument("--learning-rate", type=float, default=Config.learning_rate)
    parser.add_argument("--num-views", type=int, default=Config.num_views)
    parser.add_argument(
        "--fractions", type=float, nargs=3, default=Config.fractions, help="of train, val and test"
    )
    parser.add_argument("--networks", type=int, default=Config.networks, help="on each split")
    parser.add_argument("--seeds", type=int, nargs="+", default=Config.seeds)
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    given["input_shape"] = (*given["input_shape"], 3)
    given["seeds"], given["fractions"] = tuple(given["seeds"]), tuple(given["fractions"])
    return Config(**given), out


if __name__ == "__main__":
    try:
        main(*parse())
    except bc.InputError as error:
        print(f"skin_lesions: {error}", file=sys.stderr)
        sys.exit(2)
