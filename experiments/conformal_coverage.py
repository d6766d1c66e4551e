"""Do conformal sets hold the right class as often as promised, on real predictions?

The test images of finished predictions, one a lesion or patient, are split at random many times:
one half fits the thresholds, the other is covered by the sets. Probabilities are calibrated on
validation images, so no label of a split image has served before.

A random split of n + m distinct scores has one distribution of covered images, beta-binomial,
whatever the scores are. So the splits of one set of images are independent repetitions, and the
distribution of their *mean* is known exactly: the band is the 99 % interval of that mean, some
`sqrt(splits)` times narrower than the band of one split. For class-conditional sets it is that of
the sum over the classes, each with the numbers of images that it had in each split. An honest
method is outside once in a hundred rows; rows of the same images go together.

LAC and the randomised methods must be inside. Deterministic APS and RAPS cover more than promised
and must not be below the promise.

    python experiments/conformal_coverage.py analyses/skin
    python experiments/conformal_coverage.py runs/skin/seed_*.npz --head "flipout, prior sd 0.05"
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from help_format import HelpFormat
from numpy.typing import NDArray
from scipy.special import softmax

from bayescam.data.records import group_keys
from bayescam.report import to_markdown
from bayescam.types import InputError
from bayescam.uncertainty import (
    ConformalMethod,
    coverage_band,
    expected_coverage,
    fit_calibration,
    fit_conformal,
    one_per_group,
    refuse_shared_groups,
)
from bayescam.workflows.finished import load_analysis

METHODS: dict[str, tuple[ConformalMethod, bool]] = {
    "LAC": ("lac", False),
    "APS, randomised": ("aps", True),
    "RAPS, randomised": ("raps", True),
    "APS, deterministic": ("aps", False),
    "RAPS, deterministic": ("raps", False),
}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Config:
    """One study; everything that decides its numbers.

    Attributes:
        sources: analysis folders, or result files of `skin_lesions.py`.
        head: which head of a result file.
        alphas: shares of sets that may miss the right class.
        num_splits: random splits of each source.
        level: of the band.
        seed: of the choice of images, the splits and the randomised sets.
    """

    sources: tuple[str, ...]
    head: str = "flipout, prior sd 0.05"
    alphas: tuple[float, ...] = (0.05, 0.1, 0.2)
    num_splits: int = 200
    level: float = 0.99
    seed: int = 0


@dataclass(frozen=True)
class Images:
    """Calibrated mean probabilities (N, K), labels (N,) and names (N,) of test images, one a group.

    The names key the numbers of the randomised sets, so those of two sources are independent.
    """

    probs: Floats
    labels: NDArray[np.int64]
    names: NDArray[np.str_]


@dataclass(frozen=True)
class Splits:
    """What the sets of one method did in R splits.

    Attributes:
        covered: (R, K), images of each class whose set held it.
        fitted: (R, K), images of each class in the halves that fitted.
        images: (R, K), images of each class in the other halves.
        size: mean number of classes in a set.
        empty: share of sets without a class.
    """

    covered: NDArray[np.int64]
    fitted: NDArray[np.int64]
    images: NDArray[np.int64]
    size: float
    empty: float


def main(config: Config) -> pd.DataFrame:
    """Prints the table and how many rows keep the promise; returns the table."""
    rows = []
    for source in config.sources:
        images = read_images(source, config)
        for name, class_conditional, alpha in product(METHODS, (False, True), config.alphas):
            splits = run_splits(images, name, class_conditional, alpha, config)
            row = judge(splits, name, class_conditional, alpha, config.level)
            rows.append({"source": Path(source).stem, **row})
    table = pd.DataFrame(rows).set_index("source")
    print(to_markdown(table, digits=4))
    exact = ~table["method"].str.contains("deterministic")
    for kind, part in (("exact", table[exact]), ("deterministic", table[~exact])):
        print(f"{(part['kept'] == 'yes').sum()} of {len(part)} {kind} rows keep the promise.")
    return table


def read_images(source: str, config: Config) -> Images:
    """The test images of an analysis folder or a result file, calibrated on its validation images.

    Raises:
        InputError: no such head, no validation or test images, or groups on both sides.
    """
    parts = from_folder(source) if Path(source).is_dir() else from_file(source, config.head)
    (val_logits, val_labels, val_groups), (logits, labels, groups) = parts
    if not (len(val_labels) and len(labels)):
        raise InputError(f"{source} must hold labelled validation and test images")
    refuse_shared_groups(val_groups, groups)
    calibrated = fit_calibration(val_logits, val_labels).apply(logits)
    chosen = one_per_group(groups, seed=config.seed)
    probs = softmax(calibrated[:, chosen], axis=-1).mean(axis=0)
    return Images(probs, labels[chosen], np.array([f"{source}/{i}" for i in chosen]))


def from_folder(source: str) -> list[tuple[Floats, NDArray[np.int64], Sequence[str]]]:
    """Logits, labels and groups of the validation and of the test images of an analysis."""
    analysis = load_analysis(source)
    groups = group_keys(analysis.predictions)
    parts = (analysis.part((split,)) for split in ("val", "test"))
    return [
        (analysis.logits[:, rows], analysis.labels[rows], groups.iloc[rows].tolist())
        for rows in parts
    ]


def from_file(source: str, head: str) -> list[tuple[Floats, NDArray[np.int64], Sequence[str]]]:
    """The same of a result file of `skin_lesions.py`."""
    if not Path(source).is_file():
        raise InputError(f"{source} is neither an analysis folder nor a result file")
    with np.load(source, allow_pickle=False) as arrays:
        if f"{head}/val" not in arrays:
            heads = [name.removesuffix("/val") for name in arrays if name.endswith("/val")]
            raise InputError(f"{source} has no head {head!r}; it has {', '.join(heads[:-2])}")
        return [
            (arrays[f"{head}/{s}"], arrays[f"labels/{s}"], arrays[f"groups/{s}"].tolist())
            for s in ("val", "test")
        ]


def run_splits(
    images: Images, name: str, class_conditional: bool, alpha: float, config: Config
) -> Splits:
    """Fits and counts in every split; the same splits for all methods."""
    method, randomised = METHODS[name]
    num_images, num_classes = images.probs.shape
    counts, sizes = [], []
    for split in range(config.num_splits):
        order = np.random.default_rng([config.seed, split]).permutation(num_images)
        fit, rest = order[: num_images // 2], order[num_images // 2 :]
        seed = config.num_splits * config.seed + split  # another for every split of every study
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="alpha .* needs")  # the band counts them
            predictor = fit_conformal(
                images.probs[fit],
                images.labels[fit],
                alpha=alpha,
                method=method,
                randomised=randomised,
                class_conditional=class_conditional,
                keys=images.names[fit],
                seed=seed,
            )
        sets = predictor.sets(images.probs[rest], keys=images.names[rest], seed=seed)
        truth = images.labels[rest]
        held = sets[np.arange(len(rest)), truth]
        counted = (truth[held], images.labels[fit], truth)
        counts.append([np.bincount(part, minlength=num_classes) for part in counted])
        sizes.append(sets.sum(axis=1))
    covered, fitted, rest_images = np.array(counts).transpose(1, 0, 2)
    size = np.concatenate(sizes)
    return Splits(covered, fitted, rest_images, float(size.mean()), float((size == 0).mean()))


def judge(
    splits: Splits, name: str, class_conditional: bool, alpha: float, level: float
) -> dict[str, str | float]:
    """One row: the mean coverage against its band, and whether the promise is kept."""
    numbers = splits.fitted, splits.images
    if not class_conditional:  # one threshold a split, of all classes together
        numbers = splits.fitted.sum(axis=1), splits.images.sum(axis=1)
    coverage = splits.covered.sum() / splits.images.sum()
    promised = expected_coverage(*numbers, alpha=alpha)
    low, high = coverage_band(*numbers, alpha=alpha, level=level)
    kept = coverage >= promised if "deterministic" in name else low <= coverage <= high
    present = splits.images.sum(axis=0) > 0
    by_class = splits.covered.sum(axis=0)[present] / splits.images.sum(axis=0)[present]
    return {
        "method": name,
        "thresholds": "class-conditional" if class_conditional else "marginal",
        "alpha": f"{alpha:g}",
        "coverage": float(coverage),
        "promised": promised,
        "band": f"{low:.4f}-{high:.4f}",
        "kept": "yes" if kept else "NO",
        "lowest class": float(by_class.min()),
        "mean size": splits.size,
        "empty": splits.empty,
    }


def parse(arguments: Sequence[str] | None = None) -> Config:
    """The configuration from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormat)
    parser.add_argument("sources", nargs="+", help="analysis folders or result files")
    parser.add_argument("--head", default=Config.head, help="which head of a result file")
    parser.add_argument("--alphas", type=float, nargs="+", default=Config.alphas)
    parser.add_argument("--num-splits", type=int, default=Config.num_splits)
    parser.add_argument("--seed", type=int, default=Config.seed)
    given = vars(parser.parse_args(arguments))
    return Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


if __name__ == "__main__":
    try:
        main(parse())
    except InputError as error:
        print(f"conformal_coverage: {error}", file=sys.stderr)
        sys.exit(2)
