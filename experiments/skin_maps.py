"""Where does the skin lesion classifier look, and does it look at the lesion?

Stands on a run of `skin_lesions.py`. On each of its splits a flipout head is trained on the
features of the first network and attached to it; one hundred draws then give, for every test image,
the density of each class and Grad-CAM maps of the same draws. `relu(mean map)` of the predicted
class is held against the lesion masks, beside three baselines that know nothing of the image: a
centred Gaussian, the mean mask of the training images, and the same network with random weights.
The threshold of the tuned IoU is that of validation images. Background to lesion is the mean
density of the map outside the mask over that inside; a map that hardly touches its lesion has a
ratio of any size, so before the mean each map is scaled to densities that sum to one.

Writes `localization.csv` and, for a sure and an unsure image, the figure of the article (Kraan)
with density and map from one set of draws, `draws_SEED.png`. A split that is done is kept, so that
a run that was stopped carries on.

    python experiments/skin_lesions.py --data ham10000 --weights squeezenet_notop.h5 --out runs/skin
    python experiments/skin_maps.py --data ham10000 --run runs/skin --out runs/skin_maps
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tf_keras
from help_format import HelpFormat
from kept_results import keep_config, make_or_load, save_arrays
from posterior_data import skin_config
from rich.console import Console
from scipy.special import softmax
from skin_config import CLASS_NAMES, heads, label_codes, split_of
from skin_figures import choose_cases, draw_cases, load_masks
from skin_lesions import train_head
from skin_table import best_prior

import bayescam as bc
from bayescam.explain import (
    CamExplainer,
    MaskedMaps,
    class_maps,
    energy_in_masks,
    judge_beside_baselines,
    randomized,
)
from bayescam.report import format_interval, to_markdown
from bayescam.types import Array
from bayescam.uncertainty import bootstrap_means, resample_interval
from bayescam.workflows.analysis import explain_padded

BASELINES = ("centred Gaussian", "mean training mask", "random weights")
SCORES = ("enrichment", "energy", "hit_rate", "iou_tuned", "iou_otsu", "background_ratio")
TSCHANDL = 0.32  # background to lesion, Grad-CAM of a ResNet34 on all masks; 0.48 for akiec


@dataclass(frozen=True)
class Config:
    """One study of maps."""

    data: str
    run: str
    num_samples: int = 100
    splits: tuple[int, ...] = (0, 1, 2)
    batch_size: int = 64


@dataclass(frozen=True, eq=False)
class Explained:
    """What the draws say of n images.

    Attributes:
        probs: (n, K), mean probabilities.
        maps: (n, h, w), signed mean maps of the class with the largest of them.
        energy: (S, n), share of each draw's map that lies inside the mask.
    """

    probs: Array
    maps: Array
    energy: Array


def main(config: Config, output_dir: Path) -> pd.DataFrame:
    """Judges every split that is not done yet, prints the table and returns it."""
    console = Console()
    output_dir.mkdir(parents=True, exist_ok=True)
    keep_config(config, output_dir / "config.json", without={"splits"})
    records = bc.read_ham10000(config.data)
    if records["mask_path"].isna().any():
        raise bc.InputError(f"{config.data} has images without a lesion mask")
    judged = make_or_load(
        config.splits,
        output_dir,
        lambda seed, path: judge_split(config, records, seed, path, console),
    )
    table = localization_table(judged)
    table.to_csv(output_dir / "localization.csv")
    print(f"{to_markdown(table)}\n\n{verdict(judged)}")
    return table


def judge_split(
    config: Config, records: pd.DataFrame, seed: int, path: Path, console: Console
) -> None:
    """Explains the test images of one split and keeps the scores of their maps."""
    model, parts = network_with_draws(config, records, seed, console)
    explained, random = {}, {}
    for name in ("val", "test"):
        console.print(f"seed {seed}: maps of {len(parts[name])} {name} images", highlight=False)
        explained[name] = explain(model, parts[name], config, seed)
        with randomized(model, seed=seed):
            random[name] = explain(model, parts[name], config, seed).maps
    masked = {
        name: MaskedMaps(explained[name].maps, load_masks(parts[name], model), random[name])
        for name in explained
    }
    judged = judge_beside_baselines(
        masked["test"], masked["val"], training_masks=load_masks(parts["train"], model)
    )
    test = explained["test"]
    arrays = {
        "labels": label_codes(parts["test"]),
        "groups": parts["test"]["group"].to_numpy(str),
        "predicted": test.probs.argmax(axis=1),
        "draw_energy": test.energy,
        **{f"{n}/{score}": getattr(part, score) for n, part in judged.items() for score in SCORES},
    }
    cases = choose_cases(model, parts["test"], test.probs, config.num_samples, seed)
    draw_cases(cases).savefig(path.with_name(f"draws_{seed}.png"), dpi=200)
    save_arrays(path, arrays)


def network_with_draws(
    config: Config, records: pd.DataFrame, seed: int, console: Console
) -> tuple[tf_keras.Model, dict[str, pd.DataFrame]]:
    """The first network of a split with a flipout head on its features, and the records by part."""
    study, run = skin_config(config.run, seed), Path(config.run)
    split = split_of(study, records, seed, run / f"seed_{seed}")
    with np.load(run / f"seed_{seed}.npz") as arrays:
        options = heads(study)[best_prior(dict(arrays), study)]
    features = split_features(config.run, seed)
    head = train_head(split, features, seed, f"seed {seed}: flipout", console, **options)
    return bc.attach_head(
        bc.load_model(split.folder / "network_0" / "model.keras"), head
    ), split.parts


def split_features(run: str, seed: int) -> tuple[Array, Array]:
    """Features of the first network: of the training (V, N, F) and the validation images."""
    with np.load(Path(run) / f"seed_{seed}" / "network_0" / "features.npz") as arrays:
        return arrays["train"], arrays["val"]


def explain(model: tf_keras.Model, records: pd.DataFrame, config: Config, seed: int) -> Explained:
    """Draws of all images, a batch at a time: of the maps only the mean and the energy are kept."""
    explainer = CamExplainer(bc.draw_posterior(model, config.num_samples, seed=seed))
    probs, maps, energy = [], [], []
    for start in range(0, len(records), config.batch_size):
        batch = records.iloc[start : start + config.batch_size]
        images = bc.load_images(batch["path"], model.input_shape[1:3])
        draws = explain_padded(explainer, images, config.batch_size, lambda *_: None)
        mean = softmax(np.float64(draws.logits), axis=-1).mean(axis=0)
        drawn = class_maps(draws.cams, mean.argmax(axis=1))
        probs.append(mean)
        maps.append(drawn.mean(axis=0, dtype=np.float64))
        energy.append(energy_in_masks(drawn, load_masks(batch, model)))
    return Explained(np.concatenate(probs), np.concatenate(maps), np.concatenate(energy, axis=1))


def localization_table(judged: Sequence[dict[str, Array]]) -> pd.DataFrame:
    """One row per class and one of all: mean over the splits, with 95 % intervals by lesion."""
    rows = {}
    for name, of_class in class_rows(judged).items():
        row = {"images": f"{np.mean([rows_of.sum() for rows_of in of_class]):.0f}"}
        for column, key in {
            "enrichment": "maps/enrichment",
            **{f"enrichment, {baseline}": f"{baseline}/enrichment" for baseline in BASELINES},
            "energy in lesion": "maps/energy",
            "hit rate": "maps/hit_rate",
            "IoU, tuned": "maps/iou_tuned",
            "IoU, Otsu": "maps/iou_otsu",
        }.items():
            row[column] = format_interval(*interval(judged, of_class, key))
        row["background / lesion"] = format_interval(*background_to_lesion(judged, of_class))
        energies = np.concatenate(
            [part["draw_energy"][:, chosen] for part, chosen in zip(judged, of_class, strict=True)],
            axis=1,
        )
        of_draws = pd.DataFrame(energies).mean(axis=1)  # images without evidence left out
        bounds = of_draws.quantile([0.025, 0.975])
        row["energy of draws"] = format_interval(of_draws.mean(), *bounds)
        rows[name] = row
    return pd.DataFrame(rows).T.rename_axis("class")


def class_rows(judged: Sequence[dict[str, Array]]) -> dict[str, list[Array]]:
    """Which test images (n,) of each split are of a class, by class; and all of them."""
    by_class = {
        name: [part["labels"] == k for part in judged] for k, name in enumerate(CLASS_NAMES)
    }
    return by_class | {"all": [np.ones(len(part["labels"]), bool) for part in judged]}


def interval(
    judged: Sequence[dict[str, Array]], chosen: Sequence[Array], key: str, minus: str | None = None
) -> tuple[float, float, float]:
    """Mean over the splits of a score, or of its difference to another, with its interval.

    Lesions are resampled within each test split; resamples without one of the class are left out.
    """
    scores = [part[key] - (0.0 if minus is None else part[minus]) for part in judged]
    estimate, resamples = resampled_mean(judged, chosen, scores)
    return (estimate, *map(float, resample_interval(estimate, resamples)))


def background_to_lesion(
    judged: Sequence[dict[str, Array]], chosen: Sequence[Array]
) -> tuple[float, float, float]:
    """Mean density outside the lesion over that inside, each map scaled to a sum of both of one.

    A map without anything inside has the share 1 there; it has no finite ratio of its own.
    """
    with np.errstate(divide="ignore"):
        outside = [1.0 / (1.0 + 1.0 / part["maps/background_ratio"]) for part in judged]
    estimate, resamples = resampled_mean(judged, chosen, outside)
    ratios = resamples / (1.0 - resamples)
    ratio = estimate / (1.0 - estimate)
    return (ratio, *map(float, resample_interval(ratio, ratios)))


def resampled_mean(
    judged: Sequence[dict[str, Array]], chosen: Sequence[Array], scores: Sequence[Array]
) -> tuple[float, Array]:
    """Mean over the splits of the mean score of the chosen images, and of its resamples."""
    found = [
        bootstrap_means(np.where(rows & np.isfinite(values), values, np.nan), part["groups"])
        for part, rows, values in zip(judged, chosen, scores, strict=True)
    ]
    resamples = np.mean([one.resamples for one in found], axis=0)
    return float(np.mean([one.estimate for one in found])), resamples


def verdict(judged: Sequence[dict[str, Array]]) -> str:
    """For how many classes the maps lie on the lesion more than each baseline, and Tschandl's."""
    lines = []
    for baseline in BASELINES:
        above, clearly = [], []
        for name, rows in class_rows(judged).items():
            gap, lower, _ = interval(judged, rows, "maps/enrichment", f"{baseline}/enrichment")
            if name != "all" and gap > 0:
                above.append(name)
                clearly += [name] if lower > 0 else []
        lines.append(
            f"enrichment above {baseline}: {len(above)} of {len(CLASS_NAMES)} classes "
            f"({', '.join(above) or 'none'}), of which {len(clearly)} beyond chance"
        )
    ratio = format_interval(*background_to_lesion(judged, class_rows(judged)["all"]))
    lines.append(f"background to lesion {ratio}; Tschandl et al.: {TSCHANDL}")
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None = None) -> tuple[Config, Path]:
    """The configuration and the output folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormat)
    parser.add_argument("--data", required=True, help="HAM10000 folder with lesion masks")
    parser.add_argument("--run", required=True, help="of skin_lesions.py")
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--num-samples", type=int, default=Config.num_samples, help="draws")
    parser.add_argument("--splits", type=int, nargs="+", default=Config.splits)
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    return Config(**{**given, "splits": tuple(given["splits"])}), out


if __name__ == "__main__":
    try:
        main(*parse())
    except bc.InputError as error:
        print(f"skin_maps: {error}", file=sys.stderr)
        sys.exit(2)
