"""Training and judging of `covid_xray.py`: one variant on one fold of one seed, kept when done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tf_keras
from covid_data import COVID, VARIANTS, VIEWS, Config, Images, cut_folds, parts_of_fold
from kept_results import save_arrays
from rich.console import Console
from scipy.special import softmax

import bayescam as bc
from bayescam.data import load_images
from bayescam.explain import (
    MaskedMaps,
    class_maps,
    energy_in_masks,
    judge_beside_baselines,
    randomized,
)
from bayescam.inference import fit_head
from bayescam.inference.draws import run_suffix
from bayescam.inference.features import FeatureCache, cache_features
from bayescam.inference.training import TrainingSettings, fit_classifier
from bayescam.types import Array
from bayescam.workflows.train import training_images

MAPS = ("maps", "centred Gaussian", "mean training mask", "random weights")
LOCAL_SCORES = {
    "energy": "energy in the lungs",
    "enrichment": "enrichment in the lungs",
    "hit_rate": "hit rate in the lungs",
    "iou_tuned": "IoU with the lungs",
}


@dataclass(frozen=True, eq=False)
class Study:
    """What all units share.

    Attributes:
        config: The configuration.
        images: All images.
        network: With the backbone as it comes, to which trained heads are attached.
        training: Features (V, N, F) of the training views by the frozen backbone, or None where it
            is fine-tuned.
        seen: Features (5, N, F) of `VIEWS` by the backbone as it comes.
        folder: Where results are kept.
        console: Told how far it is.
    """

    config: Config
    images: Images
    network: tf_keras.Model
    training: FeatureCache | None
    seen: Array
    folder: Path
    console: Console


def open_study(config: Config, images: Images, folder: Path, console: Console) -> Study:
    """Makes the network and the features of the backbone as it comes, which are kept."""
    network = build(config, VARIANTS["corrected"])
    everyone = images.records.assign(label=COVID)  # features ask for no class
    sources = {"seen": (images.seen(np.arange(len(everyone))), len(VIEWS))}
    if not config.fine_tune_layers:
        views = training_images(network, everyone, "chest", 0)
        sources["training"] = (views, config.num_views)
    caches = {
        name: cache_features(
            prefix_of(network),
            source,
            shape=feature_shape(network),
            num_views=num_views,
            path=folder / "features" / f"{name}.npy",
            key=f"{config.backbone} {config.weights} {config.input_shape}",
            report=progress(console, name),
        )
        for name, (source, num_views) in sources.items()
    }
    seen = caches["seen"].values
    return Study(config, images, network, caches.get("training"), seen, folder, console)


def build(config: Config, names: tuple[str, ...]) -> tf_keras.Model:
    """The network of a variant."""
    return bc.build_classifier(
        config.backbone,
        class_names=names,
        head="flipout",
        weights=config.weights,
        input_shape=config.input_shape,
    )


def run_unit(study: Study, variant: str, seed: int, fold: int) -> dict[str, Array]:
    """Results on the test images of one fold, made once and kept.

    `test`, `foreign` and `masked` are row numbers; `probs` (5, n, K) and `foreign_probs` (m, K) are
    mean probabilities; `draw_energy` (S, l) is the share of each draw's map in the lungs of the
    masked images; `<baseline>/<score>` (l,) are scores of the mean map and of its baselines.
    """
    path = study.folder / "units" / f"{variant}, seed {seed}, fold {fold}.npz"
    if not path.exists():
        study.console.print(f"{variant}: seed {seed}, fold {fold}", highlight=False)
        parts = parts_of_fold(
            study.images, variant, cut_folds(study.config, study.images, seed), fold
        )
        model, features_of = train(study, variant, parts, path.with_suffix(""), 100 * seed + fold)
        draws = bc.draw_posterior(model, study.config.num_samples, seed=seed)
        weights = draws.weights()

        def probs(features: Array) -> Array:
            logits = run_suffix(draws.split, features, weights).numpy()
            return softmax(logits.astype(np.float64), axis=-1).mean(axis=0)

        results = {
            "test": parts["test"],
            "foreign": parts["foreign"],
            "probs": np.stack([probs(view) for view in features_of(parts["test"])]),
            "foreign_probs": np.empty((0, len(VARIANTS[variant]))),
        }
        if len(parts["foreign"]):
            results["foreign_probs"] = probs(features_of(parts["foreign"])[0])
        results |= judge_maps(study, model, parts, seed)
        if fold == 0:
            bc.save_model(model, kept_model(study.folder, variant, seed))
        save_arrays(path, results)
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def kept_model(folder: Path, variant: str, seed: int) -> Path:
    """Where the network of the first fold of a seed is kept."""
    return folder / f"{variant}, seed {seed}.keras"


def train(
    study: Study, variant: str, parts: dict[str, Array], work: Path, seed: int
) -> tuple[tf_keras.Model, Callable[[Array], Array]]:
    """The trained network, and the function from row numbers to features (5, n, F) of `VIEWS`."""
    config, images = study.config, study.images
    settings = TrainingSettings(
        seed=seed,
        num_views=config.num_views,
        class_weight_power=0.0,
        head_epochs=config.head_epochs,
        fine_tune_layers=config.fine_tune_layers,
        fine_tune_epochs=config.epochs,
    )
    labels = tuple(images.labels(variant)[parts[name]] for name in ("train", "val"))
    if study.training is not None:
        caches = (
            FeatureCache(study.training.values[:, parts["train"]]),
            FeatureCache(study.training.values[:1, parts["val"]]),
        )
        size = study.training.values.shape[-1]
        head = bc.build_head(size, class_names=VARIANTS[variant], head="flipout", seed=seed)
        fit_head(head, caches, labels, settings=settings)
        return bc.attach_head(study.network, head), lambda rows: study.seen[:, rows]
    model = build(config, VARIANTS[variant])
    labelled = images.records.assign(label=images.records[variant])
    sources = (
        training_images(model, labelled.iloc[parts[name]], views, seed)
        for name, views in (("train", "chest"), ("val", "none"))
    )
    fit_classifier(
        model, *sources, settings=settings, work_dir=work, report=progress(study.console, "  ")
    )
    shutil.rmtree(work)

    def features_of(rows: Array) -> Array:
        shape, num_views = feature_shape(model), len(VIEWS)
        made = cache_features(prefix_of(model), images.seen(rows), shape=shape, num_views=num_views)
        return made.values

    return model, features_of


def judge_maps(
    study: Study, model: tf_keras.Model, parts: dict[str, Array], seed: int
) -> dict[str, Array]:
    """Where the maps of the masked test images lie; thresholds are tuned on validation images."""
    images = study.images
    rows = {name: part[images.has_mask[part]] for name, part in parts.items()}
    both = np.concatenate([rows["test"], rows["val"]])
    pixels = load_images(images.records["path"].iloc[both], images.field.shape)
    drawn = predicted_maps(model, pixels, study.config.num_samples, seed)
    with randomized(model, seed=seed):
        random = predicted_maps(model, pixels, study.config.num_samples, seed)
    place = len(rows["test"])
    maps, randoms = (
        dict(zip(("test", "val"), np.split(cams.mean(axis=0), [place]), strict=True))
        for cams in (drawn, random)
    )
    draw_energy = energy_in_masks(drawn[:, :place], images.masks[rows["test"]])
    test, validation = (
        MaskedMaps(maps[name], images.masks[rows[name]], randoms[name]) for name in ("test", "val")
    )
    judged = judge_beside_baselines(test, validation, training_masks=images.masks[rows["train"]])
    scores = {
        f"{name}/{score}": getattr(judged[name], score) for name in MAPS for score in LOCAL_SCORES
    }
    return {"masked": rows["test"], "draw_energy": draw_energy, **scores}


def predicted_maps(model: tf_keras.Model, pixels: Array, num_samples: int, seed: int) -> Array:
    """Grad-CAM draws (S, n, h, w) of the class with the largest mean probability."""
    draws = bc.analyze(model, pixels, num_samples=num_samples, seed=seed)
    probs = softmax(draws["logits"].to_numpy().astype(np.float64), axis=-1).mean(axis=0)
    return class_maps(draws["cam"].to_numpy(), probs.argmax(axis=1))


def prefix_of(model: tf_keras.Model) -> Callable[..., list[Array]]:
    """The compiled function from images to features."""
    split = bc.draw_posterior(model, 1).split
    return split.prefix(split.features)


def feature_shape(model: tf_keras.Model) -> tuple[int, ...]:
    """The shape of the features of one image."""
    split = bc.draw_posterior(model, 1).split
    return split.graph.item_shape(split.features)


def progress(console: Console, name: str) -> Callable[[str, int, int, str], None]:
    """Prints every tenth of a piece of work."""
    said = [""]

    def report(stage: str, done: int, total: int, note: str) -> None:
        line = f"{name} {stage} {10 * (10 * done // total)} %"
        if line != said[0]:
            said[0] = line
            console.print(line, highlight=False)

    return report
