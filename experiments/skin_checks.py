"""Do the maps of the skin lesion classifier depend on the model, and do its probabilities on them?

Stands on a run of `skin_lesions.py`, as `skin_maps.py` does: the first network of one split with a
flipout head, Grad-CAM of the predicted class, on some test images. Prints and writes two tables.

`sanity.csv` (Adebayo et al. 2018): rank correlation with the maps of a random head, of a network
that is random from the output back to some layer, of a head trained on permuted labels, of noisy
images and of other draws; for the mean map, the sd map and P(map > c). A check is passed if the
correlation lies on the right side of the 95th percentile of that between different images.

`faithfulness.csv`: insertion, deletion (Petsiuk et al. 2018) and ROAD (Rong et al. 2022) of the
mean map, and ROAD of the maps of single draws, beside a centred Gaussian that knows nothing of the
image; differences are paired, with 95 % intervals from resampled lesions.

    python experiments/skin_checks.py --data ham10000 --run runs/skin --out runs/skin_checks
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tf_keras
from help_format import HelpFormat
from rich.console import Console
from scipy.special import softmax
from skin_config import Split
from skin_lesions import train_head
from skin_maps import Config as MapsConfig
from skin_maps import network_with_draws, split_features

import bayescam as bc
from bayescam.explain import (
    CamExplainer,
    MapAgreement,
    cascading_randomization,
    centred_gaussian,
    class_maps,
    compare_maps,
    deletion,
    head_randomization,
    insertion,
    noise_stability,
    road,
    seed_repeatability,
    summary_maps,
)
from bayescam.inference.draws import run_suffix
from bayescam.report import format_interval, to_markdown
from bayescam.types import Array
from bayescam.uncertainty import bootstrap_means

BATCH = 32


@dataclass(frozen=True)
class Config:
    """One set of checks."""

    data: str
    run: str
    split: int = 0
    num_images: int = 96
    num_samples: int = 100
    num_repeats: int = 5
    noise_sd: float = 5.0  # of 255
    cascade: tuple[str, ...] = ("fire9/squeeze1x1", "fire7/squeeze1x1", "fire5/squeeze1x1")
    draws_judged: int = 5


@dataclass(frozen=True, eq=False)
class Checked:
    """The explained network and images.

    Attributes:
        model: A classifier with draws.
        images: (N, H, W, 3), 0..255.
        predicted: (N,), the class of the largest mean probability.
        groups: (N,), lesions.
    """

    model: tf_keras.Model
    images: Array
    predicted: Array
    groups: Array


def main(config: Config, output_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prints both tables, writes and returns them."""
    console = Console()
    output_dir.mkdir(parents=True, exist_ok=True)
    records = bc.read_ham10000(config.data)
    maps_config = MapsConfig(config.data, config.run)
    model, parts = network_with_draws(maps_config, records, config.split, console)
    chosen = parts["test"].sample(min(config.num_images, len(parts["test"])), random_state=0)
    images = bc.load_images(chosen["path"], model.input_shape[1:3])
    predicted = predictor(model, config)(images).argmax(axis=1)
    checked = Checked(model, images, predicted, chosen["group"].to_numpy(str))
    permuted = permuted_network(config, model, parts, console)
    tables = (sanity_table(checked, permuted, config), faithfulness_table(checked, config))
    for name, table in zip(("sanity", "faithfulness"), tables, strict=True):
        table.to_csv(output_dir / f"{name}.csv")
        print(f"\n{to_markdown(table)}")
    return tables


def permuted_network(
    config: Config, model: tf_keras.Model, parts: dict[str, pd.DataFrame], console: Console
) -> tf_keras.Model:
    """The network with a flipout head that was trained on permuted labels."""
    rng = np.random.default_rng(config.split)
    mixed = {
        name: part.assign(label=rng.permutation(part["label"])) for name, part in parts.items()
    }
    split = Split(config.split, mixed, Path(config.run))
    features = split_features(config.run, config.split)
    head = train_head(split, features, config.split, "permuted labels", console, head="flipout")
    return bc.attach_head(model, head)


def explain(
    model: tf_keras.Model, images: Array, predicted: Array, num_samples: int, seed: int = 0
) -> dict[str, Array]:
    """The mean map, sd map and P(map > c), each (N, h, w), of the class that is predicted."""
    return summary_maps(draw_maps(model, images, num_samples, seed), predicted)


def draw_maps(model: tf_keras.Model, images: Array, num_samples: int, seed: int = 0) -> Array:
    """Maps (S, N, K, h, w) of all classes."""
    explainer = CamExplainer(bc.draw_posterior(model, num_samples, seed=seed))
    starts = range(0, len(images), BATCH)
    return np.concatenate([explainer(images[i : i + BATCH]).cams for i in starts], axis=1)


def sanity_table(checked: Checked, permuted: tf_keras.Model, config: Config) -> pd.DataFrame:
    """One row per check and kind of map: correlation, the limit, and whether it is passed."""
    model, images, predicted = checked.model, checked.images, checked.predicted
    number, repeats = config.num_samples, config.num_repeats

    def again() -> dict[str, Array]:
        return explain(model, images, predicted, number)

    trained, of_permuted = again(), explain(permuted, images, predicted, number)
    cascade = cascading_randomization(model, again, layers=config.cascade, num_repeats=repeats)
    must_differ = {
        "random head": head_randomization(model, again, num_repeats=repeats),
        **{f"random from the output to {name}": found for name, found in cascade.items()},
        "permuted labels": {
            kind: compare_maps(trained[kind], of_permuted[kind]) for kind in trained
        },
    }
    must_agree = {
        f"noise of sd {config.noise_sd:g}": noise_stability(
            lambda pixels: explain(model, pixels, predicted, number),
            np.float32(images),
            noise_sd=config.noise_sd,
            num_repeats=repeats,
        ),
        "other draws": seed_repeatability(
            lambda seed: explain(model, images, predicted, number, seed), range(repeats + 1)
        ),
    }
    rows = [
        row(name, kind, found, found.differs if checks is must_differ else found.agrees)
        for checks in (must_differ, must_agree)
        for name, by_kind in checks.items()
        for kind, found in by_kind.items()
    ]
    return pd.DataFrame(rows).set_index("check")


def row(name: str, kind: str, found: MapAgreement, passed: bool) -> dict[str, object]:
    """One line of the table of checks."""
    return {
        "check": name,
        "map": kind,
        "rank correlation": found.mean,
        "95 % between images": found.limit,
        "passed": "yes" if passed else "no",
    }


def faithfulness_table(checked: Checked, config: Config) -> pd.DataFrame:
    """One row per score: of the maps, of the centred Gaussian, and the paired difference."""
    cams = class_maps(
        draw_maps(checked.model, checked.images, config.num_samples), checked.predicted
    )
    blob = np.broadcast_to(centred_gaussian(cams.shape[-2:]), cams.shape[1:])
    few = cams[: config.draws_judged]
    predict = predictor(checked.model, config)
    judged = {
        name: faithfulness(predict, checked, maps)
        for name, maps in {"maps": cams.mean(axis=0), "Gaussian": blob}.items()
    }
    judged["maps"]["ROAD, single draws"] = np.mean(
        [road(predict, checked.images, cam, checked.predicted).difference for cam in few], axis=0
    )
    judged["Gaussian"]["ROAD, single draws"] = judged["Gaussian"]["ROAD"]
    rows = {}
    for score, values in judged["maps"].items():
        other = judged["Gaussian"][score]
        columns = {"maps": values, "centred Gaussian": other, "difference": values - other}
        rows[score] = {name: interval(column, checked.groups) for name, column in columns.items()}
    return pd.DataFrame(rows).T.rename_axis("score")


def faithfulness(
    predict: Callable[[Array], Array], checked: Checked, maps: Array
) -> dict[str, Array]:
    """Areas (N,) under the curves: insertion and ROAD are large, deletion is small if faithful."""
    about = (checked.images, maps, checked.predicted)
    return {
        "insertion": insertion(predict, *about).area,
        "deletion": deletion(predict, *about).area,
        "ROAD": road(predict, *about).difference,
    }


def predictor(model: tf_keras.Model, config: Config) -> Callable[[Array], Array]:
    """The function from images (B, H, W, 3) to mean probabilities (B, K) of the draws."""
    draws = bc.draw_posterior(model, config.num_samples)
    prefix, weights = draws.split.prefix(draws.split.features), draws.weights()

    def predict(images: Array) -> Array:
        blocks = [
            run_suffix(draws.split, prefix(np.float32(images[i : i + BATCH]))[0], weights).numpy()
            for i in range(0, len(images), BATCH)
        ]
        return softmax(np.float64(np.concatenate(blocks, axis=1)), axis=-1).mean(axis=0)

    return predict


def interval(values: Array, groups: Array) -> str:
    """A mean over images with its interval."""
    found = bootstrap_means(values, groups)
    return format_interval(float(found.estimate), float(found.lower), float(found.upper))


def parse(arguments: Sequence[str] | None = None) -> tuple[Config, Path]:
    """The configuration and the output folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormat)
    parser.add_argument("--data", required=True, help="HAM10000 folder")
    parser.add_argument("--run", required=True, help="of skin_lesions.py")
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--split", type=int, default=Config.split)
    parser.add_argument("--num-images", type=int, default=Config.num_images)
    parser.add_argument("--num-samples", type=int, default=Config.num_samples, help="draws")
    parser.add_argument("--cascade", nargs="+", default=Config.cascade, help="layers")
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    return Config(**{**given, "cascade": tuple(given["cascade"])}), out


if __name__ == "__main__":
    try:
        main(*parse())
    except bc.InputError as error:
        print(f"skin_checks: {error}", file=sys.stderr)
        sys.exit(2)
