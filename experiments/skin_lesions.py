"""Skin lesions (HAM10000): a fine-tuned backbone, and dense and flipout heads side by side on it.

The system of *Medical image analysis using probabilistic layers and Grad-CAM* (R. Kraan), on
lesion-disjoint splits. For each seed the backbone is fine-tuned once with a dense head; then both
heads are trained on the same features of that backbone, so that they differ in nothing else. The
dense head with the mean weights of the one before and the one after is a row of its own (Wortsman
et al., *Model soups*, ICML 2022).
Evaluated images are shown in eight views (mirror images, whole and enlarged), whose logits are
averaged within each draw. Within each split, prior and calibration are chosen by cross-fitting on
its validation images; the test split is opened once, at the end. The tuned network, its features
and the results of a seed are kept, so that a run that was stopped carries on.

    python experiments/skin_lesions.py --data ham10000 --weights squeezenet_notop.h5 --out runs/skin

The article's own network: `--backbone vgg16 --weights FILE --fine-tune-layers 6 --num-views 2
--input-shape 224 224` (each view of all images takes 6 GB of disk).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tf_keras
from help_format import HelpFormat
from numpy.typing import NDArray
from rich.console import Console
from scipy.special import softmax

import bayescam as bc
from bayescam.data import ImageLoader
from bayescam.inference.draws import run_suffix
from bayescam.inference.features import FeatureCache
from bayescam.inference.training import FitResult, TrainingSettings, fit_classifier, fit_head
from bayescam.report import format_interval, to_markdown
from bayescam.uncertainty import (
    BIASED_SCORES,
    OVERALL_SCORES,
    BootstrapScores,
    cross_fit_logits,
    fit_calibration,
    group_bootstrap,
    resample_interval,
    score_predictions,
)
from bayescam.workflows.train import training_images

CLASS_NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MIRRORS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
ZOOMS = (1.0, 0.84)  # share of each side that is shown; the training views show about 0.9
BIAS_PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 1e6)
LEAST_BALANCED_ACCURACY = 0.62
MEAN_HEAD = "dense, mean of both"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Config:
    """One study; everything that decides its numbers."""

    data: str
    weights: str | None = None
    backbone: str = "squeezenet"
    input_shape: tuple[int, int, int] = (150, 200, 3)
    fine_tune_layers: int = 58
    epochs: int = 12
    learning_rate: float = 3e-4
    num_views: int = 12
    head_views: int = 4
    prior_sds: tuple[float, ...] = (0.02, 0.05, 0.15)
    num_samples: int = 100
    fractions: tuple[float, float, float] = (0.75, 0.10, 0.15)
    network: int = 0
    seeds: tuple[int, ...] = (0, 1, 2)
    splits: tuple[str, ...] = ("val", "test")

    def training(self, seed: int) -> TrainingSettings:
        """Settings of the training of one network on the split of a seed."""
        return TrainingSettings(
            seed=self.network_seed(seed),
            num_views=self.num_views,
            fine_tune_layers=self.fine_tune_layers,
            fine_tune_epochs=self.epochs,
            fine_tune_learning_rate=self.learning_rate,
        )

    def network_seed(self, seed: int) -> int:
        """Seed of the network on the split of a seed: the same for the first network."""
        return seed + 1000 * self.network


def main(config: Config, output_dir: Path) -> pd.DataFrame:
    """Runs every seed that is not done yet, prints the table and returns it."""
    console = Console()
    output_dir.mkdir(parents=True, exist_ok=True)
    keep_config(config, output_dir / "config.json")
    records = bc.read_ham10000(config.data)
    runs = []
    for seed in config.seeds:
        path = output_dir / f"seed_{seed}.npz"
        if not path.exists():
            run_seed(config, records, seed, path, console)
        with np.load(path, allow_pickle=False) as arrays:
            runs.append(add_mean_head(dict(arrays), config))
    table = summarize_seeds(runs, config)
    table.to_csv(output_dir / "table.csv")
    print(to_markdown(table))
    return table


def keep_config(config: Config, path: Path) -> None:
    """Writes the configuration, or refuses one that differs from that of the results there."""
    text = json.dumps({k: v for k, v in asdict(config).items() if k != "seeds"}, indent=1)
    if path.exists() and path.read_text() != text:
        raise bc.InputError(f"{path} is of another configuration; give another --out")
    path.write_text(text)


def run_seed(
    config: Config, records: pd.DataFrame, seed: int, path: Path, console: Console
) -> None:
    """Trains on one split and keeps the logits of all heads, validation and test."""
    fractions = dict(zip(("train", "val", "test"), config.fractions, strict=True))
    records = bc.split_records(records, fractions=fractions, seed=seed)
    parts = {name: part.reset_index(drop=True) for name, part in records.groupby("split")}
    labels = {name: label_codes(part) for name, part in parts.items()}
    tuned, features = tuned_features(config, parts, seed, path.with_suffix(""), console)
    seen = {split: features[f"seen/{split}"] for split in config.splits}
    logits = {"dense, fine-tuned": head_logits(tuned, seen, config, seed)}
    caches = FeatureCache(features["train"]), FeatureCache(features["val"])
    for name, options in heads(config).items():
        model = copy_backbone(tuned, config, seed, options)
        both = (labels["train"], labels["val"])
        history = fit_head(model, caches, both, settings=config.training(seed))
        best = max(row["validation_log_likelihood"] for row in history)
        console.print(f"seed {seed}: {name}: validation log-likelihood {best:.4f}")
        logits[name] = head_logits(model, seen, config, seed)
    arrays = {
        f"{head}/{split}": values for head, by in logits.items() for split, values in by.items()
    }
    for split in config.splits:
        arrays[f"labels/{split}"] = labels[split]
        arrays[f"groups/{split}"] = parts[split]["group"].to_numpy(str)
    save_arrays(path, arrays)


def tuned_features(
    config: Config, parts: dict[str, pd.DataFrame], seed: int, folder: Path, console: Console
) -> tuple[tf_keras.Model, dict[str, Floats]]:
    """The fine-tuned network and its features, made once and kept.

    Features "train" (V, N, F) and "val" (1, N, F) are for training other heads; "seen/val" and
    "seen/test" (8, N, F) are those of the evaluated views.
    """
    path = folder / "features.npz"
    if not path.exists():
        model, result = fine_tune(config, parts, seed, folder, console)
        train, val = result.head_features(config.head_views)
        seen = {f"seen/{s}": view_features(model, parts[s], config, console) for s in config.splits}
        save_arrays(path, {"train": train.values, "val": val.values, **seen})
    shutil.rmtree(folder / "features", ignore_errors=True)  # of the frozen layers, some 20 GB
    with np.load(path, allow_pickle=False) as arrays:
        return bc.load_model(folder / "model.keras"), dict(arrays)


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Writes an `.npz` file, whole or not at all."""
    partial = path.with_suffix(".tmp")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(partial, path)


def fine_tune(
    config: Config, parts: dict[str, pd.DataFrame], seed: int, folder: Path, console: Console
) -> tuple[tf_keras.Model, FitResult]:
    """The network with a dense head, its last layers fine-tuned."""
    model = bc.build_classifier(
        config.backbone,
        class_names=CLASS_NAMES,
        head="dense",
        weights=config.weights,
        input_shape=config.input_shape,
        seed=config.network_seed(seed),
    )
    said: dict[str, str] = {}

    def report(stage: str, done: int, total: int, note: str) -> None:
        line = f"seed {seed}: {stage} {note} {20 * done // total * 5} %"
        if said.get(stage) != line:
            said[stage] = line
            console.print(line, highlight=False)

    result = fit_classifier(
        model,
        training_images(model, parts["train"], "skin", config.network_seed(seed)),
        training_images(model, parts["val"], "none", config.network_seed(seed)),
        settings=config.training(seed),
        work_dir=folder,
        report=report,
    )
    for row in result.history:
        console.print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    bc.save_model(model, folder / "model.keras")
    return model, result


def heads(config: Config) -> dict[str, dict[str, Any]]:
    """The heads that are trained on the tuned features."""
    flipout = {
        f"flipout, prior sd {sd}": {"head": "flipout", "prior_sd": sd} for sd in config.prior_sds
    }
    return {"dense": {"head": "dense"}, **flipout}


def copy_backbone(
    tuned: tf_keras.Model, config: Config, seed: int, options: dict[str, Any]
) -> tf_keras.Model:
    """A model with a new head on the tuned backbone."""
    model = bc.build_classifier(
        config.backbone,
        class_names=CLASS_NAMES,
        input_shape=config.input_shape,
        seed=seed,
        **options,
    )
    for layer in model.layers:
        if not layer.name.startswith(("logits", "class_logits", "standardization")):
            layer.set_weights(tuned.get_layer(layer.name).get_weights())
    return model


def label_codes(records: pd.DataFrame) -> NDArray[np.int64]:
    """Class numbers (N,)."""
    return np.array([CLASS_NAMES.index(label) for label in records["label"]])


def view_features(
    model: tf_keras.Model, records: pd.DataFrame, config: Config, console: Console
) -> Floats:
    """Features (8, N, F) of the evaluated views of each image."""
    draws = bc.draw_posterior(model, 1)
    prefix = draws.split.prefix(draws.split.features)
    blocks = []
    for indices, images in ImageLoader(records["path"].tolist(), config.input_shape):
        blocks.append(np.stack([prefix(view)[0].numpy() for view in evaluated_views(images)]))
        if indices[-1] % 320 == 319:
            console.print(f"evaluation: {indices[-1] + 1} of {len(records)} images")
    return np.concatenate(blocks, axis=1)


def evaluated_views(images: NDArray[np.uint8]) -> list[tf.Tensor]:
    """The images and their enlarged middle, each with its mirror images, float32 (N, H, W, 3)."""
    size = images.shape[1:3]
    scaled = [tf.image.resize(tf.image.central_crop(images, zoom), size) for zoom in ZOOMS]
    return [view[:, ::y, ::x] for view in scaled for y, x in MIRRORS]


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


def summarize_seeds(runs: Sequence[dict[str, Floats]], config: Config) -> pd.DataFrame:
    """One row per head, as it comes and calibrated: mean over the splits, with 95 % intervals.

    An interval is that of the mean over the splits: lesions are resampled within each test split,
    and the same lesions for every head, so that the last row is a paired difference.
    """
    priors = [best_prior(run, config) for run in runs]
    keys_of = {name: [name] * len(runs) for name in ("dense, fine-tuned", "dense", MEAN_HEAD)}
    resamples, estimates = {}, {}
    for name, keys in {**keys_of, "flipout": priors}.items():
        for calibrated in (False, True):
            row = f"{name}, calibrated" if calibrated else name
            scored = [
                score_run(run, key, calibrated=calibrated)
                for run, key in zip(runs, keys, strict=True)
            ]
            estimates[row] = np.mean([part.estimate for part in scored], axis=0)
            resamples[row] = np.mean([part.resamples for part in scored], axis=0)
    difference = "flipout - dense, both calibrated"
    for kept in (estimates, resamples):
        kept[difference] = kept["flipout, calibrated"] - kept["dense, calibrated"]
    shown, table = slice(len(OVERALL_SCORES)), {}
    for row in estimates:
        lower, upper = resample_interval(
            estimates[row][shown],
            resamples[row][:, shown],
            biased=np.isin(OVERALL_SCORES, BIASED_SCORES),
            least=-np.inf if row == difference else 0.0,
        )
        cells = map(format_interval, estimates[row][shown], lower, upper)
        table[row] = dict(zip(OVERALL_SCORES, cells, strict=True))
    chosen = ", ".join(prior.removeprefix("flipout, prior sd ") for prior in priors)
    return pd.DataFrame(table).T.rename_axis(f"mean of {len(runs)} splits; prior sd {chosen}")


def add_mean_head(run: dict[str, Floats], config: Config) -> dict[str, Floats]:
    """The run with the dense head whose weights are the mean of the two, so its logits are too."""
    mean = {
        f"{MEAN_HEAD}/{split}": 0.5 * (run[f"dense, fine-tuned/{split}"] + run[f"dense/{split}"])
        for split in config.splits
    }
    return {**run, **mean}


def best_prior(run: dict[str, Floats], config: Config) -> str:
    """The flipout head with the best cross-fitted validation likelihood."""

    def loss(head: str) -> float:
        probs = cross_fitted(run, head)
        return float(-np.log(probs[np.arange(len(probs)), run["labels/val"]]).mean())

    return min((head for head in heads(config) if head != "dense"), key=loss)


def cross_fitted(run: dict[str, Floats], head: str, **options: float) -> Floats:
    """Calibrated validation probabilities, no image by a fit that saw its lesion."""
    val = (run[f"{head}/val"], run["labels/val"], run["groups/val"])
    return mean_probs(cross_fit_logits(*val, class_names=CLASS_NAMES, **options))


def score_run(run: dict[str, Floats], head: str, *, calibrated: bool) -> BootstrapScores:
    """Test scores of one head on one split; the calibration is fitted on validation data."""
    logits = run[f"{head}/test"]
    if calibrated:
        penalty = choose_penalty(run, head)
        val = run[f"{head}/val"], run["labels/val"]
        fit = fit_calibration(*val, bias_penalty=penalty, class_names=CLASS_NAMES)
        logits = fit.apply(logits)
    return group_bootstrap(mean_probs(logits), run["labels/test"], run["groups/test"], CLASS_NAMES)


def choose_penalty(run: dict[str, Floats], head: str) -> float:
    """The penalty of the class biases, by cross-fitting on validation images.

    Biases trade the rare classes for the common ones; a small penalty lets them go further. Of the
    penalties that keep a balanced accuracy of at least 0.62, the most accurate one; if there is
    none, the one with the best balanced accuracy.
    """

    def merit(penalty: float) -> tuple[float, float]:
        probs = cross_fitted(run, head, bias_penalty=penalty)
        scores = score_predictions(probs, run["labels/val"], CLASS_NAMES)
        return min(scores.balanced_accuracy, LEAST_BALANCED_ACCURACY), scores.accuracy

    return max(BIAS_PENALTIES, key=merit)


def mean_probs(logits: Floats) -> Floats:
    """Posterior predictive mean (N, K)."""
    return softmax(np.asarray(logits, np.float64), axis=-1).mean(axis=0)


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
    parser.add_argument("--network", type=int, default=Config.network, help="another training")
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
