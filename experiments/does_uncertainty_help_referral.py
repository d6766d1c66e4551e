"""Does uncertainty tell errors apart better than 1 - max probability?

For each analysis folder, the draws are calibrated on its validation images, and each score of the
test images is asked to put the wrong ones first: area under the ROC curve of "this call is wrong"
(AUROC, larger is better) and area under the risk-coverage curve (AURC, smaller is better). The
differences from 1 - max probability have 95 % intervals from a paired bootstrap: lesions or
patients are drawn with replacement, the same ones for both scores.

Scores of the draws: predictive entropy, mutual information, variation ratio, overlap of the two
leading classes. Scores of the maps of the predicted class, signed and unnormalised, both without
unit:

- map spread: `sqrt(sum_ij var_ij) / sqrt(sum_ij mean_ij^2)`, variance and mean over the draws;
- map disagreement: 1 minus the mean cosine between the maps of two draws (needs `--maps draws`).

Logistic regressions of log scores, fitted on the validation images (each calibrated by a fit
without its lesion or patient), say whether a score adds to 1 - max probability.

The verdict is "gain" or "worse" where both intervals lie on that side of zero, and "no gain"
otherwise. Of many scores that add nothing, one in forty may still be called a gain by chance.

    bayescam analyze runs/skin --maps draws --out analyses/skin
    python experiments/does_uncertainty_help_referral.py analyses/skin analyses/chest
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import zarr
from help_format import HelpFormat
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bayescam.data.records import group_keys
from bayescam.report import format_interval, to_markdown
from bayescam.types import InputError
from bayescam.uncertainty import (
    bootstrap_aurc,
    bootstrap_auroc,
    check_draws,
    class_overlap,
    cross_fit_logits,
    decompose,
    fit_calibration,
    refuse_shared_groups,
    resample_interval,
    variation_ratio,
)
from bayescam.workflows.finished import Analysis, load_analysis

BASELINE = "1 - max probability"
COMBINATIONS = {
    f"{BASELINE}, mutual information": (BASELINE, "mutual information"),
    f"{BASELINE}, map spread": (BASELINE, "map spread"),
    f"{BASELINE}, both": (BASELINE, "mutual information", "map spread"),
}
LEAST_COMBINED = 1e-9  # logarithms are taken of no less

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Config:
    """One study; everything that decides its numbers.

    Attributes:
        folders: analysis folders with validation and test images.
        num_resamples: of the bootstrap over groups.
        seed: of the bootstrap and of the folds of the validation images.
    """

    folders: tuple[str, ...]
    num_resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Scores:
    """Scores of N images by name, larger is less sure, and whether each is called wrong."""

    values: dict[str, Floats]
    wrong: NDArray[np.bool_]


def main(config: Config) -> pd.DataFrame:
    """Prints one table of all folders and returns it."""
    tables = []
    for folder in config.folders:
        analysis = load_analysis(folder)
        rows = {split: analysis.part((split,)) for split in ("val", "test")}
        groups = {split: group_keys(analysis.predictions).iloc[rows[split]] for split in rows}
        check_parts(analysis, groups)
        val, test = scores_of_parts(analysis, rows, groups["val"].tolist(), config.seed)
        values = {**test.values, **combine(val, test)}
        codes = np.unique(groups["test"], return_inverse=True)[1]
        table = compare(values, test.wrong, codes, config)
        table.insert(0, "folder", analysis.folder.name)
        tables.append(table)
        print(
            f"{analysis.folder.name}: {len(test.wrong)} test images of {codes.max() + 1} groups, "
            f"{test.wrong.sum()} called wrong; {len(val.wrong)} validation images, "
            f"{val.wrong.sum()} called wrong; S = {len(analysis.logits)}."
        )
    table = pd.concat(tables)
    print(to_markdown(table))
    for folder, part in table.groupby("folder", sort=False):
        gains = part.index[part["verdict"] == "gain"].tolist()
        print(f"{folder}: {'gain: ' + '; '.join(gains) if gains else 'no gain'}")
    return table


def check_parts(analysis: Analysis, groups: Mapping[str, pd.Series]) -> None:
    """Makes sure that there are validation and test images, which share no group.

    Raises:
        InputError: a part is missing or a group is in both.
    """
    for split, part in groups.items():
        if not len(part):
            raise InputError(f"{analysis.folder} must hold labelled {split} images")
    refuse_shared_groups(groups["val"], groups["test"])


def scores_of_parts(
    analysis: Analysis,
    rows: Mapping[str, NDArray[np.int64]],
    val_groups: Sequence[str],
    seed: int,
) -> tuple[Scores, Scores]:
    """Scores of validation and test images; no image is calibrated by its own label."""
    logits = {split: analysis.logits[:, part].astype(np.float64) for split, part in rows.items()}
    labels = {split: analysis.labels[part] for split, part in rows.items()}
    val, names = (logits["val"], labels["val"]), analysis.class_names
    calibrated = {
        "val": cross_fit_logits(*val, val_groups, seed=seed, class_names=names),
        "test": fit_calibration(*val, class_names=names).apply(logits["test"]),
    }
    maps = read_map_scores(analysis)
    scores = [
        scores_of(softmax(calibrated[split], axis=-1), labels[split], maps, rows[split])
        for split in ("val", "test")
    ]
    return scores[0], scores[1]


def scores_of(
    probs: Floats,
    labels: NDArray[np.int64],
    map_scores: Mapping[str, Floats],
    rows: NDArray[np.int64],
) -> Scores:
    """All scores of draws (S, N, K) of the images in these rows of the analysis."""
    line = check_draws(probs, measures=["mutual_information"])
    if line is not None:
        print(f"warning: {line}", file=sys.stderr)
    mean = probs.mean(axis=0)
    predicted, parts = mean.argmax(axis=1), decompose(probs)
    values = {
        BASELINE: 1.0 - mean.max(axis=1),
        "predictive entropy": parts.predictive_entropy,
        "mutual information": parts.mutual_information,
        "variation ratio": variation_ratio(probs),
        "class overlap": class_overlap(probs),
        **{name: by_class[rows, predicted] for name, by_class in map_scores.items()},
    }
    return Scores(values, predicted != labels)


def read_map_scores(analysis: Analysis) -> dict[str, Floats]:
    """Scores (n, K) of the maps of all classes of all images, by name, read a chunk at a time.

    Raises:
        InputError: the analysis has no map of a class.
    """
    group = zarr.open_group(analysis.folder / "analysis.zarr", mode="r", zarr_format=2)
    targets = [str(name) for name in np.asarray(group["target"][:])]
    absent = [name for name in analysis.class_names if name not in targets]
    if absent:
        raise InputError(f"{analysis.folder} has no maps of {', '.join(absent)}")
    place = [targets.index(name) for name in analysis.class_names]
    kept = "cam" if "cam" in group else "cam_mean"
    axis = 1 if kept == "cam" else 0
    size, step = group[kept].shape[axis], group[kept].chunks[axis]
    blocks = []
    for part in (slice(start, start + step) for start in range(0, size, step)):
        if kept == "cam":
            cams = np.asarray(group["cam"][:, part], np.float64)
            spread = map_spread(cams.mean(axis=0), cams.std(axis=0))
            blocks.append({"map spread": spread, "map disagreement": map_disagreement(cams)})
        else:
            blocks.append(
                {"map spread": map_spread(group["cam_mean"][part], group["cam_sd"][part])}
            )
    images = analysis.predictions["image"].to_numpy()
    return {
        name: np.concatenate([block[name] for block in blocks])[images][:, place]
        for name in blocks[0]
    }


def map_spread(mean: NDArray[np.floating], sd: NDArray[np.floating]) -> Floats:
    """The norm of standard deviations (..., h, w) over that of the mean maps, 0 for empty maps."""
    size, spread = (np.linalg.norm(part.astype(np.float64), axis=(-2, -1)) for part in (mean, sd))
    return np.divide(spread, size, out=np.zeros_like(spread), where=size > 0)


def map_disagreement(cams: Floats) -> Floats:
    """1 minus the mean cosine over all pairs of draws (S, ..., h, w); an empty map has cosine 0."""
    size = np.linalg.norm(cams, axis=(-2, -1), keepdims=True)
    unit = np.divide(cams, size, out=np.zeros_like(cams), where=size > 0)
    pairs = np.square(unit.sum(axis=0)).sum(axis=(-2, -1)) - np.square(unit).sum(axis=(0, -2, -1))
    return 1.0 - pairs / (len(cams) * (len(cams) - 1))


def combine(val: Scores, test: Scores) -> dict[str, Floats]:
    """Of the test images, the log odds of an error by regressions on the validation images."""
    if val.wrong.all() or not val.wrong.any():
        raise InputError("the validation images must hold right and wrong calls")
    combined = {}
    for label, names in COMBINATIONS.items():
        x_val, x_test = (
            np.log(np.maximum(np.stack([part.values[n] for n in names], axis=1), LEAST_COMBINED))
            for part in (val, test)
        )
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x_val, val.wrong)
        combined[label] = model.decision_function(x_test)
    return combined


def compare(
    values: Mapping[str, Floats], wrong: NDArray[np.bool_], codes: NDArray[np.int64], config: Config
) -> pd.DataFrame:
    """AUROC and AURC of each score, their differences from the baseline, and the verdict."""
    if wrong.all() or not wrong.any():
        raise InputError("the test images must hold right and wrong calls")
    names, options = list(values), {"num_resamples": config.num_resamples, "seed": config.seed}
    auroc = bootstrap_auroc(values, wrong, codes, **options)
    aurc = bootstrap_aurc(values, ~wrong, codes, **options)
    estimate = np.array([[auroc[name].auroc, aurc[name].aurc] for name in names])
    resamples = np.stack(
        [
            np.stack([auroc[name].resamples for name in names], axis=1),
            np.stack([aurc[name].aurc_resamples for name in names], axis=1),
        ],
        axis=-1,
    )
    base = names.index(BASELINE)
    gap = estimate - estimate[base]
    low, high = resample_interval(gap, resamples - resamples[:, [base]])
    rows = {
        name: {
            "AUROC": estimate[i, 0],
            "difference": format_interval(gap[i, 0], low[i, 0], high[i, 0]),
            "AURC": f"{estimate[i, 1]:.4f}",
            "difference ": format_interval(gap[i, 1], low[i, 1], high[i, 1], digits=4),
            "verdict": verdict(low[i], high[i]),
        }
        for i, name in enumerate(names)
        if name != BASELINE
    }
    first = {"AUROC": estimate[base, 0], "AURC": f"{estimate[base, 1]:.4f}"}
    blank = dict.fromkeys(("difference", "difference ", "verdict"), "")
    table = pd.DataFrame({BASELINE: {**first, **blank}, **rows}).T.infer_objects()
    return table[["AUROC", "difference", "AURC", "difference ", "verdict"]].rename_axis("score")


def verdict(low: Floats, high: Floats) -> str:
    """What intervals of the differences in (AUROC, AURC) say."""
    if low[0] > 0 and high[1] < 0:
        return "gain"
    return "worse" if high[0] < 0 and low[1] > 0 else "no gain"


def parse(arguments: Sequence[str] | None = None) -> Config:
    """The configuration from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormat)
    parser.add_argument("folders", nargs="+", help="folders of bayescam analyze")
    parser.add_argument("--num-resamples", type=int, default=Config.num_resamples)
    parser.add_argument("--seed", type=int, default=Config.seed)
    given = parser.parse_args(arguments)
    return Config(tuple(given.folders), given.num_resamples, given.seed)


if __name__ == "__main__":
    try:
        main(parse())
    except InputError as error:
        print(f"does_uncertainty_help_referral: {error}", file=sys.stderr)
        sys.exit(2)
