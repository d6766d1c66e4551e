"""Skin lesions as the article has them, beside the same network on lesion-disjoint splits.

The system of *Medical image analysis using probabilistic layers and Grad-CAM* (R. Kraan): a network
with ImageNet weights, its last six layers trained again for ten epochs with a dense or a flipout
layer on top, one hundred draws. "as published" cuts HAM10000 by image, so that many images have a
sibling of the same lesion in training, and scores the validation images by which the epoch was
chosen. "corrected" cuts by lesion and scores test images that nothing was chosen by. All else is
the same. Writes `as_published.csv` and for each seed the article's figure, with densities and maps
of a sure and of an unsure image from the same draws (the article has them of different models). A
seed that is done is kept, so that a run that was stopped carries on.

    python experiments/skin_article.py --data ham10000 --weights squeezenet_notop.h5 --out runs/a

The article's own network: `--backbone vgg16 --weights FILE --input-shape 224 224`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tf_keras
from help_format import HelpFormat
from kept_results import keep_config, make_or_load, save_arrays
from rich.console import Console
from skin_config import CLASS_NAMES, Floats, label_codes
from skin_figures import choose_cases, draw_cases
from skin_lesions import reporter
from skin_table import mean_probs, score_cells

import bayescam as bc
from bayescam.inference.draws import run_suffix
from bayescam.inference.training import TrainingSettings, fit_classifier
from bayescam.report import to_markdown
from bayescam.uncertainty import group_bootstrap
from bayescam.workflows.train import training_images

HEADS = ("dense", "flipout")
SCORED = {"as published": "val", "corrected": "test"}  # the images that are scored
SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Config:
    """One study; everything that decides its numbers."""

    data: str
    weights: str | None = None
    backbone: str = "squeezenet"
    input_shape: tuple[int, int, int] = (225, 300, 3)
    fine_tune_layers: int = 6
    epochs: int = 10
    num_samples: int = 100
    seeds: tuple[int, ...] = (0, 1, 2)

    def training(self, seed: int) -> TrainingSettings:
        """As in the article: no augmentation, every image with the same weight."""
        return TrainingSettings(
            seed=seed,
            num_views=1,
            class_weight_power=0.0,
            fine_tune_layers=self.fine_tune_layers,
            fine_tune_epochs=self.epochs,
        )


def main(config: Config, output_dir: Path) -> pd.DataFrame:
    """Trains what is not trained yet, prints the table and returns it."""
    console = Console()
    output_dir.mkdir(parents=True, exist_ok=True)
    keep_config(config, output_dir / "config.json", without={"seeds"})
    records = bc.read_ham10000(config.data)
    runs = make_or_load(
        config.seeds,
        output_dir,
        lambda seed, path: run_seed(config, records, seed, path, console),
    )
    table = compare(runs)
    table.to_csv(output_dir / "as_published.csv")
    print(to_markdown(table))
    return table


def run_seed(
    config: Config, records: pd.DataFrame, seed: int, path: Path, console: Console
) -> None:
    """Trains both heads on both splits of a seed and keeps the probabilities of scored images."""
    arrays = {}
    for variant, scored in SCORED.items():
        parts = cut(records, variant, seed)
        home = path.with_suffix("") / variant
        for head in HEADS:
            model, probs = train_and_score(config, parts, scored, head, seed, home, console)
            arrays[f"{variant}, {head}/probs"] = probs
            if (variant, head) == ("corrected", "flipout"):
                cases = choose_cases(model, parts[scored], probs, config.num_samples, seed)
                draw_cases(cases).savefig(path.with_name(f"draws_{seed}.png"), dpi=200)
        shutil.rmtree(home)
        arrays[f"{variant}/labels"] = label_codes(parts[scored])
        arrays[f"{variant}/groups"] = parts[scored]["group"].to_numpy(str)
        arrays[f"{variant}/siblings"] = parts[scored]["group"].isin(parts["train"]["group"])
    save_arrays(path, arrays)


def cut(records: pd.DataFrame, variant: str, seed: int) -> dict[str, pd.DataFrame]:
    """The records by part: cut by image as published, by lesion as corrected."""
    by_image = records.assign(group=records["image_id"])
    cut_by = by_image if variant == "as published" else records
    split = bc.split_records(cut_by, fractions=SHARES, seed=seed)["split"]
    return {name: part.reset_index(drop=True) for name, part in records.groupby(split)}


def train_and_score(
    config: Config,
    parts: dict[str, pd.DataFrame],
    scored: str,
    head: str,
    seed: int,
    home: Path,
    console: Console,
) -> tuple[tf_keras.Model, Floats]:
    """A trained network and its mean probabilities (N, K) over the draws, of the scored images."""
    model = bc.build_classifier(
        config.backbone,
        class_names=CLASS_NAMES,
        head=head,
        weights=config.weights,
        input_shape=config.input_shape,
        seed=seed,
    )
    images = {name: training_images(model, part, "none", seed) for name, part in parts.items()}
    report = reporter(f"seed {seed}, {home.name}, {head}:", console)
    result = fit_classifier(
        model,
        images["train"],
        images["val"],
        settings=config.training(seed),
        work_dir=home / head,
        features_dir=home / "features",
        report=report,
    )
    below = result.frozen.cache(
        images[scored], 1, path=home / "features" / f"scored {scored}.npy", report=report
    )
    features = result.frozen.to_features(below).values[0]
    draws = bc.draw_posterior(model, config.num_samples if head == "flipout" else 1, seed=seed)
    return model, mean_probs(run_suffix(draws.split, features, draws.weights()).numpy())


def compare(runs: Sequence[dict[str, Floats]]) -> pd.DataFrame:
    """Scores of both heads, as published and corrected: mean over the seeds, 95 % intervals."""
    rows = {}
    for variant in SCORED:
        for head in HEADS:
            found = [
                group_bootstrap(
                    run[f"{variant}, {head}/probs"],
                    run[f"{variant}/labels"],
                    run[f"{variant}/groups"],
                    CLASS_NAMES,
                )
                for run in runs
            ]
            rows[f"{head}, {variant}"] = score_cells(
                np.mean([one.estimate for one in found], axis=0),
                np.mean([one.resamples for one in found], axis=0),
            ) | {
                "images with a sibling in training": share(runs, variant),
                "melanomas with one": share(runs, variant, "mel"),
            }
    return pd.DataFrame(rows).rename_axis(f"mean of {len(runs)} seeds")


def share(runs: Sequence[dict[str, Floats]], variant: str, name: str | None = None) -> str:
    """Share of the scored images, or of those of a class, whose lesion is in training too."""
    shares = []
    for run in runs:
        labels = run[f"{variant}/labels"]
        chosen = labels == CLASS_NAMES.index(name) if name else np.ones(len(labels), bool)
        shares.append(run[f"{variant}/siblings"][chosen].mean())
    return f"{np.mean(shares):.1%}"


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
    parser.add_argument("--seeds", type=int, nargs="+", default=Config.seeds)
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    given |= {"input_shape": (*given["input_shape"], 3), "seeds": tuple(given["seeds"])}
    return Config(**given), out


if __name__ == "__main__":
    try:
        main(*parse())
    except bc.InputError as error:
        print(f"skin_article: {error}", file=sys.stderr)
        sys.exit(2)
