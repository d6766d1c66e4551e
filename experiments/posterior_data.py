"""The data of `posterior_comparison.py`: features of two data sets and of foreign images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tf_keras
from kept_results import save_arrays
from posterior_config import BIAS_PENALTY, CONCERN, COVARIATES, Config
from rich.console import Console
from skin_config import TUNED_HEAD, label_codes, split_of
from skin_config import Config as SkinConfig
from skin_lesions import evaluated_views

import bayescam as bc
from bayescam.data import ImageLoader
from bayescam.inference.draws import run_suffix
from bayescam.inference.features import FeatureCache
from bayescam.types import Array
from bayescam.uncertainty import choose_prior_weight, fit_covariate_prior


@dataclass(frozen=True, eq=False)
class Task:
    """One split of one data set, as features.

    Attributes:
        name: "skin" or "chest".
        class_names: The K classes.
        fitting: Features of the training (V, N, F) and the validation images (1, N, F).
        fitting_labels: Classes of both.
        seen: Features (V, N, F) of the views that are scored: "val", "test" and the foreign sets.
        labels: Classes of "val" and "test".
        groups: Lesions or patients of "val" and "test".
        concern: The class that must not be missed.
        tuned: By name, logits (M, N, K) of M whole networks, if they were tuned.
        log_ratio: What age, sex and site of the "val" and "test" images add to logits (N, K), as a
            prior of the classes, if they are known.
    """

    name: str
    class_names: tuple[str, ...]
    fitting: tuple[FeatureCache, FeatureCache]
    fitting_labels: tuple[Array, Array]
    seen: dict[str, Array]
    labels: dict[str, Array]
    groups: dict[str, Array]
    concern: str
    tuned: dict[str, dict[str, Array]] = field(default_factory=dict)
    log_ratio: dict[str, Array] = field(default_factory=dict)

    @property
    def foreign(self) -> list[str]:
        """Names of the foreign sets."""
        return [name for name in self.seen if name not in ("val", "test")]


def skin_task(config: Config, split: int, folder: Path, console: Console) -> Task:
    """The features that the skin lesion study left for one of its splits."""
    study = skin_config(config.skin_run, split)
    parts = split_of(study, bc.read_ham10000(config.skin), split, folder).parts
    outside = {
        "chest X-rays": sample(bc.read_chest_xray(config.chest), config.num_foreign),
        "skin phantoms": phantoms("skin", config.num_foreign, folder.parent),
    }
    networks = []
    for number in range(study.networks):
        kept = Path(config.skin_run) / f"seed_{split}" / f"network_{number}"
        model = bc.load_model(kept / "model.keras")
        seen = view_features(model, outside, evaluated_views, folder / kept.name, console)
        with np.load(kept / "features.npz") as arrays:
            features = dict(arrays)
        seen |= {part: features[f"seen/{part}"] for part in ("val", "test")}
        networks.append((model, features, seen))
    logits = [suffix_logits(model, seen, 1, 0) for model, _, seen in networks]
    tuned = {TUNED_HEAD: logits[0]}
    if len(networks) > 1:
        together = {key: np.concatenate([made[key] for made in logits]) for key in logits[0]}
        tuned[f"ensemble of {len(networks)} networks"] = together
    model, features, seen = networks[0]
    names = tuple(model.layers[-1].class_names)
    return Task(
        name="skin",
        class_names=names,
        fitting=(FeatureCache(features["train"]), FeatureCache(features["val"])),
        fitting_labels=(label_codes(parts["train"]), label_codes(parts["val"])),
        seen=seen,
        labels={part: label_codes(parts[part]) for part in ("val", "test")},
        groups={part: parts[part]["group"].to_numpy(str) for part in ("val", "test")},
        concern=CONCERN["skin"],
        tuned=tuned,
        log_ratio=covariate_ratio(parts, names, tuned[TUNED_HEAD]["val"], console),
    )


def covariate_ratio(
    parts: dict[str, pd.DataFrame], names: tuple[str, ...], logits: Array, console: Console
) -> dict[str, Array]:
    """What the covariates add to logits, by part, with the weight that suits logits of "val"."""
    prior = fit_covariate_prior(parts["train"], COVARIATES, names)
    ratio = {part: prior.log_ratio(parts[part]) for part in ("val", "test")}
    weight = choose_prior_weight(
        logits,
        ratio["val"],
        label_codes(parts["val"]),
        parts["val"]["group"].to_numpy(str),
        bias_penalty=BIAS_PENALTY,
        class_names=names,
    )
    console.print(f"skin: weight of {', '.join(COVARIATES)}: {weight:g}", highlight=False)
    return {part: weight * values for part, values in ratio.items()}


def skin_config(run: str, split: int) -> SkinConfig:
    """The configuration of a skin lesion study that is done with one of its splits."""
    path = Path(run) / "config.json"
    if not path.exists():
        raise bc.InputError(f"{run} has no {path.name}; run skin_lesions.py there")
    study = SkinConfig(**json.loads(path.read_text()))
    for number in range(study.networks):
        features = f"seed_{split}/network_{number}/features.npz"
        if not (Path(run) / features).exists():
            raise bc.InputError(f"{run} has no {features}; run skin_lesions.py there")
    return study


def chest_features(config: Config, output_dir: Path) -> dict[str, Array]:
    """Features (2, N, F) of all chest X-rays by the backbone as it comes, and of foreign images."""
    records = bc.read_chest_xray(config.chest)
    names = tuple(sorted(records["label"].unique()))
    model = bc.build_classifier(
        config.chest_backbone,
        class_names=names,
        head="dense",
        weights=config.weights,
        input_shape=config.chest_shape,
    )
    outside = {
        "skin lesions": sample(bc.read_ham10000(config.skin), config.num_foreign),
        "chest phantoms": phantoms("chest", config.num_foreign, output_dir),
    }
    tables = {"all": records, **outside}
    return view_features(model, tables, both_sides, output_dir / "chest", Console())


def chest_task(config: Config, split: int, folder: Path, console: Console) -> Task:
    """One patient-disjoint split of the chest X-rays."""
    seen = chest_features(config, folder.parent)
    everything = seen.pop("all")
    records = bc.split_records(bc.read_chest_xray(config.chest), seed=split)
    names = tuple(sorted(records["label"].unique()))
    part = {name: np.flatnonzero(records["split"] == name) for name in ("train", "val", "test")}
    codes = records["label"].map(names.index).to_numpy(np.int64)
    return Task(
        name="chest",
        class_names=names,
        fitting=(
            FeatureCache(everything[:, part["train"]]),
            FeatureCache(everything[:1, part["val"]]),
        ),
        fitting_labels=(codes[part["train"]], codes[part["val"]]),
        seen={"val": everything[:, part["val"]], "test": everything[:, part["test"]], **seen},
        labels={name: codes[part[name]] for name in ("val", "test")},
        groups={name: records["group"].to_numpy(str)[part[name]] for name in ("val", "test")},
        concern=CONCERN["chest"],
    )


def view_features(
    model: tf_keras.Model,
    tables: dict[str, pd.DataFrame],
    views: Callable[[Array], Iterable[Any]],
    folder: Path,
    console: Console,
) -> dict[str, Array]:
    """Features (V, N, F) of the views of each table's images, made once and kept."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "features.npz"
    if not path.exists():
        made = {}
        prefix = (split := bc.draw_posterior(model, 1).split).prefix(split.features)
        for name, records in tables.items():
            console.print(f"{folder.name}: features of {len(records)} images: {name}")
            loader = ImageLoader(records["path"].tolist(), model.input_shape[1:])
            blocks = [
                np.stack([prefix(np.float32(view))[0].numpy() for view in views(images)])
                for _, images in loader
            ]
            if loader.skipped:
                raise bc.InputError(f"{loader.skipped[0].path}: {loader.skipped[0].reason}")
            made[name] = np.concatenate(blocks, axis=1)
        save_arrays(path, made)
    with np.load(path) as arrays:
        return dict(arrays)


def both_sides(images: Array) -> list[Array]:
    """The images and their mirror images."""
    return [images, images[:, :, ::-1]]


def sample(records: pd.DataFrame, number: int) -> pd.DataFrame:
    """Some of the images, always the same."""
    return records.sample(min(number, len(records)), random_state=0)


def phantoms(kind: str, number: int, folder: Path) -> pd.DataFrame:
    """Records of synthetic images, written once."""
    root = folder / f"{kind}_phantoms"
    if not root.exists():
        partial = root.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        bc.write_phantoms(partial, kind=kind, num_images=number, seed=0)
        partial.rename(root)
    return (bc.read_ham10000 if kind == "skin" else bc.read_chest_xray)(root)


def suffix_logits(
    model: tf_keras.Model, seen: dict[str, Array], num_samples: int, seed: int
) -> dict[str, Array]:
    """Logits (S, N, K) of features (V, N, F), the mean over the views within each draw."""
    draws = bc.draw_posterior(model, num_samples, seed=seed)
    weights = draws.weights()
    return {
        key: np.mean([run_suffix(draws.split, view, weights).numpy() for view in views], axis=0)
        for key, views in seen.items()
    }


TASKS = {"skin": skin_task, "chest": chest_task}
