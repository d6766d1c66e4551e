r"""Which posterior is best? Every kind of head on the same cached features of two data sets.

Skin lesions: the features of the fine-tuned networks that `skin_lesions.py` left, one for each of
its lesion-disjoint splits. Given several runs (`--network 1`, ...), the heads stand on the first,
and the networks together are one more row, an ensemble of whole models. Chest X-rays: those of the
backbone as it comes, one set, in as many patient-disjoint splits. Every head is trained with
several seeds on every split, calibrated on validation images (temperature and class bias) and
scored on the test images; prior and dropout rate are chosen on validation images of the first seed,
by cross-fitting. Images of the other organ and phantoms are foreign images. Flipout,
reparameterisation and local reparameterisation are one posterior with three gradient estimators:
they share one choice of the prior, and their differences are optimisation noise. The Laplace heads
and the members of the ensemble are trained as the dense head is, to the maximum of the posterior.

    python experiments/skin_lesions.py --data ham10000 --weights squeezenet_notop.h5 --out runs/skin
    python experiments/posterior_comparison.py --skin ham10000 --skin-run runs/skin \
        --chest chest_xray --weights squeezenet_notop.h5 --out runs/posteriors
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tf_keras
from help_format import HelpFormat
from posterior_scores import OUTCOMES, HeadScores, compare_heads, score_head
from rich.console import Console
from scipy.special import log_softmax
from skin_lesions import Config as SkinConfig
from skin_lesions import evaluated_views, label_codes, mean_probs, save_arrays
from sklearn.linear_model import LogisticRegression

import bayescam as bc
from bayescam.data import ImageLoader
from bayescam.inference.draws import run_suffix
from bayescam.inference.features import FeatureCache
from bayescam.inference.training import TrainingSettings, fit_head
from bayescam.report import to_markdown
from bayescam.types import Array
from bayescam.uncertainty import cross_fit_logits, fit_calibration, fit_mahalanobis

VARIATIONAL = ("flipout", "reparameterization", "local_reparameterization")
HEADS: dict[str, dict[str, Any]] = {
    "dense": {"head": "dense"},
    **{name: {"head": name} for name in VARIATIONAL},
    "dropout": {"head": "dropout"},
    "ensemble": {"head": "ensemble", "num_members": 5},
    "laplace, kronecker": {"head": "laplace", "covariance": "kronecker"},
    "laplace, full": {"head": "laplace", "covariance": "full"},
    "laplace, diagonal": {"head": "laplace", "covariance": "diagonal"},
}
CHOICES: dict[str, tuple[str, tuple[float, ...]]] = {
    "dense": ("prior_sd", (0.03, 0.06, 0.12)),
    "flipout": ("prior_sd", (0.05, 0.15, 0.5)),
    "dropout": ("dropout_rate", (0.2, 0.5)),
}
CONCERN = {"skin": "mel", "chest": "PNEUMONIA"}
PROBE = "linear probe (scikit-learn)"
REFERENCES = ("dense, fine-tuned", PROBE)


@dataclass(frozen=True)
class Config:
    """One comparison; everything that decides its numbers."""

    skin: str
    skin_runs: tuple[str, ...]
    chest: str
    weights: str | None = None
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    splits: tuple[int, ...] = (0, 1, 2)
    num_samples: int = 100
    num_foreign: int = 200
    chest_backbone: str = "squeezenet"
    chest_shape: tuple[int, int, int] = (224, 224, 3)
    heads: tuple[str, ...] = tuple(HEADS)
    epochs: int = 60

    def training(self, seed: int) -> TrainingSettings:
        """Large batches, since there are hundreds of heads to train; no class weights.

        The posterior is that of the images as they are; the calibration sees to the rest.
        """
        return TrainingSettings(
            seed=seed,
            batch_size=128,
            head_epochs=self.epochs,
            head_learning_rate=3e-3,
            average_decay=0.995,
            patience=8,
            validation_samples=10,
            class_weight_power=0.0,
        )


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

    @property
    def foreign(self) -> list[str]:
        """Names of the foreign sets."""
        return [name for name in self.seen if name not in ("val", "test")]


def main(config: Config, output_dir: Path, *, jobs: int = 1) -> dict[str, pd.DataFrame]:
    """Trains what is not trained yet, prints one table per data set and returns them."""
    started = time.monotonic()
    output_dir.mkdir(parents=True, exist_ok=True)
    keep_config(config, output_dir / "config.json")
    chest_features(config, output_dir)  # once, before the processes share them
    units = [(config, name, split, output_dir) for name in TASKS for split in config.splits]
    if jobs == 1:
        scored = [score_unit(*unit) for unit in units]
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            scored = list(pool.map(score_unit, *zip(*units, strict=True)))
    tables = {}
    for name in TASKS:
        scores = [
            s for unit, part in zip(units, scored, strict=True) if unit[1] == name for s in part
        ]
        tables[name], verdict = compare_heads(scores, REFERENCES, VARIATIONAL)
        tables[name].to_csv(output_dir / f"{name}.csv")
        print(f"\n{name}: {describe(config, name)}\n\n{to_markdown(tables[name])}\n")
        print("\n".join(verdict), flush=True)
    print(f"\n{(time.monotonic() - started) / 60:.1f} minutes with {jobs} processes")
    return tables


def score_unit(config: Config, name: str, split: int, output_dir: Path) -> list[HeadScores]:
    """The scores of every head and seed on one split of one data set."""
    console, folder = Console(), output_dir / f"{name}_{split}"
    task = TASKS[name](config, split, folder, console)
    return score_task(task, config, split, folder, console)


def keep_config(config: Config, path: Path) -> None:
    """Writes the configuration, or refuses one that differs from that of the results there."""
    text = json.dumps(asdict(config), indent=1)
    if path.exists() and path.read_text() != text:
        raise bc.InputError(f"{path} is of another configuration; give another --out")
    path.write_text(text)


def describe(config: Config, name: str) -> str:
    """What a table is of."""
    return (
        f"mean of {len(config.splits)} splits x {len(config.seeds)} seeds, {config.num_samples} "
        f"draws, calibrated on validation images; missed silently are images of "
        f"{CONCERN[name]} that are kept and called something else"
    )


# Features


def skin_task(config: Config, split: int, folder: Path, console: Console) -> Task:
    """The features that the skin lesion study left for one of its splits."""
    fractions = {tuple(skin_config(run, split).fractions) for run in config.skin_runs}
    if len(fractions) > 1:
        raise bc.InputError(f"the skin runs have different splits, {sorted(fractions)}")
    shares = dict(zip(("train", "val", "test"), fractions.pop(), strict=True))
    records = bc.split_records(bc.read_ham10000(config.skin), fractions=shares, seed=split)
    parts = {name: part.reset_index(drop=True) for name, part in records.groupby("split")}
    outside = {
        "chest X-rays": sample(bc.read_chest_xray(config.chest), config.num_foreign),
        "skin phantoms": phantoms("skin", config.num_foreign, folder.parent),
    }
    networks = []
    for number, run in enumerate(config.skin_runs):
        kept = Path(run) / f"seed_{split}"
        model = bc.load_model(kept / "model.keras")
        seen = view_features(model, outside, evaluated_views, folder / f"network {number}", console)
        with np.load(kept / "features.npz") as arrays:
            features = dict(arrays)
        seen |= {part: features[f"seen/{part}"] for part in ("val", "test")}
        networks.append((model, features, seen))
    logits = [suffix_logits(model, seen, 1, 0) for model, _, seen in networks]
    tuned = {"dense, fine-tuned": logits[0]}
    if len(networks) > 1:
        together = {key: np.concatenate([made[key] for made in logits]) for key in logits[0]}
        tuned[f"ensemble of {len(networks)} networks"] = together
    model, features, seen = networks[0]
    return Task(
        name="skin",
        class_names=tuple(model.layers[-1].class_names),
        fitting=(FeatureCache(features["train"]), FeatureCache(features["val"])),
        fitting_labels=(label_codes(parts["train"]), label_codes(parts["val"])),
        seen=seen,
        labels={part: label_codes(parts[part]) for part in ("val", "test")},
        groups={part: parts[part]["group"].to_numpy(str) for part in ("val", "test")},
        concern=CONCERN["skin"],
        tuned=tuned,
    )


def skin_config(run: str, split: int) -> SkinConfig:
    """The configuration of a skin lesion study that is done with one of its splits."""
    if not (Path(run) / f"seed_{split}" / "features.npz").exists():
        raise bc.InputError(f"{run} has no seed_{split}/features.npz; run skin_lesions.py there")
    return SkinConfig(**json.loads((Path(run) / "config.json").read_text()))


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
        bc.write_phantoms(root, kind=kind, num_images=number, seed=0)
    return (bc.read_ham10000 if kind == "skin" else bc.read_chest_xray)(root)


TASKS = {"skin": skin_task, "chest": chest_task}


# Heads


def score_task(
    task: Task, config: Config, split: int, folder: Path, console: Console
) -> list[HeadScores]:
    """The scores of every head and seed on one split."""
    folder.mkdir(parents=True, exist_ok=True)
    train = task.fitting[0].values[0]
    distance = fit_mahalanobis(train, task.fitting_labels[0])
    by_distance = {
        name: np.mean([distance.distance(view) for view in views], axis=0)
        for name, views in task.seen.items()
        if name != "val"
    }
    chosen = choose_options(task, config, folder, console)
    jobs: list[tuple[str, int]] = [(name, seed) for name in config.heads for seed in config.seeds]
    runs = {(name, seed): run_head(task, name, seed, chosen, config, folder) for name, seed in jobs}
    runs[PROBE, 0] = linear_probe(task)
    runs |= {(name, 0): made | {"seconds": np.nan} for name, made in task.tuned.items()}
    scores = []
    for (name, seed), run in runs.items():
        fit = fit_calibration(run["val"], task.labels["val"], bias_penalty=3.0)
        calibrated = {key: fit.apply(run[key]) for key in ("test", *task.foreign) if key in run}
        score = score_head(
            calibrated,
            task.labels["test"],
            task.groups["test"],
            task.class_names,
            head=name,
            split=split,
            seed=seed,
            concern=task.concern,
            by_distance=by_distance,
            seconds=float(run["seconds"]),
        )
        scores.append(score)
        if seed == 0:
            shown = {key: round(score.estimate[key], 4) for key in OUTCOMES[:6]}
            console.print(f"{task.name} {split}: {name}: {shown}", highlight=False)
    return scores


def choose_options(
    task: Task, config: Config, folder: Path, console: Console
) -> dict[str, dict[str, float]]:
    """Prior and dropout rate with the best cross-fitted validation likelihood, first seed."""
    best: dict[str, dict[str, float]] = {}
    wanted = {chosen_with(name) for name in config.heads}
    for name, (option, values) in CHOICES.items():
        if name not in wanted:
            continue
        likelihood = {}
        for value in values:
            run = run_head(task, name, config.seeds[0], {name: {option: value}}, config, folder)
            labels, groups = task.labels["val"], task.groups["val"]
            probs = mean_probs(cross_fit_logits(run["val"], labels, groups, bias_penalty=3.0))
            likelihood[value] = float(np.log(probs[np.arange(len(labels)), labels]).mean())
        value = max(likelihood, key=likelihood.__getitem__)
        console.print(f"{task.name}: {name}: {option} {value} of {likelihood}", highlight=False)
        best[name] = {option: value}
    return {name: best[chosen_with(name)] for name in config.heads}


def chosen_with(name: str) -> str:
    """The head whose choice a head shares."""
    if name == "dropout":
        return name
    return "flipout" if name in VARIATIONAL else "dense"


def run_head(
    task: Task,
    name: str,
    seed: int,
    chosen: dict[str, dict[str, float]],
    config: Config,
    folder: Path,
) -> dict[str, Any]:
    """Logits (S, N, K) of the scored images, trained once and kept; the mean over the views."""
    options = {**HEADS[name], **chosen.get(name, {})}
    label = " ".join(str(value) for value in options.values())
    path = folder / f"{label} seed {seed}.npz"
    if not path.exists():
        started = time.monotonic()
        num_features = task.fitting[0].values.shape[-1]
        model = bc.build_head(num_features, class_names=task.class_names, seed=seed, **options)
        fit_head(model, task.fitting, task.fitting_labels, settings=config.training(seed))
        random = bool(bc.draw_posterior(model, 1).split.stochastic)
        number = options.get("num_members", config.num_samples if random else 1)
        logits = suffix_logits(model, task.seen, number, seed)
        save_arrays(path, logits | {"seconds": time.monotonic() - started})
    with np.load(path) as arrays:
        return dict(arrays)


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


def linear_probe(task: Task) -> dict[str, Any]:
    """Logits of scikit-learn's logistic regression; its penalty is chosen on validation images."""
    started = time.monotonic()
    (train, val), (labels, val_labels) = task.fitting, task.fitting_labels
    mean, sd = train.values[0].mean(axis=0), train.values[0].std(axis=0)
    sd[sd == 0] = 1

    def logits(model: LogisticRegression, views: Array) -> Array:
        values = model.decision_function(((views.mean(axis=0)) - mean) / sd)
        return np.column_stack([-values / 2, values / 2]) if values.ndim == 1 else values

    def loss(model: LogisticRegression) -> float:
        log_probs = log_softmax(logits(model, val.values), axis=1)
        return -float(log_probs[np.arange(len(val_labels)), val_labels].mean())

    x = (train.values[0] - mean) / sd
    models = [LogisticRegression(C=c, max_iter=2000).fit(x, labels) for c in (1e-4, 1e-3, 1e-2)]
    best = min(models, key=loss)
    made: dict[str, Any] = {key: logits(best, views)[None] for key, views in task.seen.items()}
    return made | {"seconds": time.monotonic() - started}


def parse(arguments: Sequence[str] | None = None) -> tuple[Config, Path, int]:
    """The configuration, the output folder and the number of processes, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormat)
    parser.add_argument("--skin", required=True, help="HAM10000 folder")
    parser.add_argument("--skin-run", required=True, nargs="+", help="of skin_lesions.py")
    parser.add_argument("--chest", required=True, help="chest X-ray folder (Kermany)")
    parser.add_argument("--weights", help='backbone weights, an .h5 file or "imagenet"')
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--seeds", type=int, nargs="+", default=Config.seeds)
    parser.add_argument("--splits", type=int, nargs="+", default=Config.splits)
    parser.add_argument("--heads", nargs="+", choices=list(HEADS), default=Config.heads)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    given = vars(parser.parse_args(arguments))
    out, jobs = given.pop("out"), given.pop("jobs")
    lists = {key: tuple(given.pop(key)) for key in ("seeds", "splits", "heads")}
    lists["skin_runs"] = tuple(given.pop("skin_run"))
    return Config(**given, **lists), out, jobs


if __name__ == "__main__":
    try:
        config, out, jobs = parse()
        main(config, out, jobs=jobs)
    except bc.InputError as error:
        print(f"posterior_comparison: {error}", file=sys.stderr)
        sys.exit(2)
