"""Every measure of every scored image with its Monte Carlo standard error, and their summary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayescam.types import Array
from bayescam.uncertainty import (
    Calibration,
    draws_needed,
    interval_error,
    labelwise_variance,
    monte_carlo_error,
)
from bayescam.uncertainty.intervals import interval_of
from bayescam.workflows.finished import Analysis
from bayescam.workflows.judging import JudgedImages, map_blocks

__all__ = ["draw_notes", "measure_images", "summarize_measures"]

_CLASS_ERRORS = {
    "mean": "mean_probs",
    "sd": "sd_probs",
    "lower": "interval_lower",
    "upper": "interval_upper",
    "aleatoric": "labelwise_aleatoric",
    "epistemic": "labelwise_epistemic",
}


def measure_images(
    analysis: Analysis,
    rows: Array,
    calibration: Calibration | None,
    judged: JudgedImages,
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row per image: its scores and, class by class, what the draws say.

    Args:
        analysis: of the images.
        rows: which of its images, in the order of `judged`.
        calibration: applied to the draws, or None.
        judged: the same images, judged after the same calibration.
        level: of the credible intervals.

    Returns:
        `image_id, label, predicted`, `confidence` (of `predicted`), the scores of `judged`, and for
        each class `p_<class>_mean`, `_sd`, `_lower`, `_upper` (equal-tailed), `_hd_lower`,
        `_hd_upper` (highest density), `_aleatoric`, `_epistemic` (variances of the label). From two
        draws on, `<column>_error` is the Monte Carlo standard error of every score and of every
        column of a class.
    """
    names = analysis.class_names
    blocks = map_blocks(
        lambda probs, _: _measure_block(probs, names, level), analysis, rows, calibration
    )
    classes = np.array(names, dtype=object)
    facts: dict[str, Array] = {
        "image_id": judged.image_ids,
        "label": classes[judged.labels],
        "predicted": classes[judged.predicted],
        "confidence": judged.mean_probs.max(axis=1),
        **judged.scores,
    }
    found = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return pd.DataFrame({**facts, **found})


def _measure_block(probs: Array, names: tuple[str, ...], level: float) -> dict[str, Array]:
    tails = interval_of(probs, level)
    densest = interval_of(probs, level, "highest-density")
    by_class = {
        "mean": probs.mean(axis=0),
        "sd": probs.std(axis=0),
        "lower": tails.lower,
        "upper": tails.upper,
        "hd_lower": densest.lower,
        "hd_upper": densest.upper,
    }
    errors: dict[str, Array] = {}
    if len(probs) > 1:
        variance = labelwise_variance(probs)
        by_class |= {"aleatoric": variance.aleatoric, "epistemic": variance.epistemic}
        found = monte_carlo_error(probs, level=level).as_dict()
        leading = by_class["mean"].argmax(axis=1)[:, np.newaxis]
        of_leading = np.take_along_axis(found["mean_probs"], leading, axis=1)[:, 0]
        errors = {"1 - confidence_error": of_leading}
        errors |= {f"{name}_error": values for name, values in found.items() if values.ndim == 1}
        by_class |= {f"{name}_error": found[of] for name, of in _CLASS_ERRORS.items()}
        ends = interval_error(probs, level=level, kind="highest-density")
        by_class |= dict(zip(("hd_lower_error", "hd_upper_error"), ends, strict=True))
    columns = {
        f"p_{name}_{what}": values[:, k]
        for k, name in enumerate(names)
        for what, values in by_class.items()
    }
    return errors | columns


def summarize_measures(
    table: pd.DataFrame, judged: JudgedImages, analysis: Analysis
) -> dict[str, Any]:
    """What `evaluation.json` says of the measures.

    Returns:
        `scores`: of each score, `mean`, quantiles `q05, q50, q95`, `mean_right`, `mean_wrong`, and
        `monte_carlo_error`, that of the image at the 95 % quantile, or None where there is none.
        `classes`: of each class, means over the images: `mean`, `sd`, `interval_width`,
        `hd_width`, `aleatoric`, `epistemic`. `draws`: None, or one line that says for which
        measure the draws are too few; the ends of highest-density intervals are not among these,
        since their errors fall more slowly than those of all others.
    """
    right = judged.correct
    scores = {
        name: {
            "mean": values.mean(),
            **dict(zip(("q05", "q50", "q95"), np.quantile(values, (0.05, 0.5, 0.95)), strict=True)),
            "mean_right": _mean(values[right]),
            "mean_wrong": _mean(values[~right]),
            "monte_carlo_error": _high(table, f"{name}_error"),
        }
        for name, values in judged.scores.items()
    }
    return {
        "scores": scores,
        "classes": {name: _describe_class(table, f"p_{name}") for name in analysis.class_names},
        "draws": _judge_draws(table, judged, analysis),
    }


def draw_notes(num_samples: int, line: str | None) -> list[str]:
    """What to say of the number of draws, given the line of `summarize_measures`."""
    if num_samples > 1:
        return [] if line is None else [line]
    return [
        "S = 1: the analysis has one draw, so what compares draws is left out: expected entropy, "
        "mutual information, variation ratio, class overlap, the split of the variance, and all "
        "Monte Carlo errors."
    ]


def _describe_class(table: pd.DataFrame, stem: str) -> dict[str, float]:
    means = {
        "mean": table[f"{stem}_mean"],
        "sd": table[f"{stem}_sd"],
        "interval_width": table[f"{stem}_upper"] - table[f"{stem}_lower"],
        "hd_width": table[f"{stem}_hd_upper"] - table[f"{stem}_hd_lower"],
    }
    for part in ("aleatoric", "epistemic"):
        if f"{stem}_{part}" in table:
            means[part] = table[f"{stem}_{part}"]
    return {name: float(values.mean()) for name, values in means.items()}


def _judge_draws(table: pd.DataFrame, judged: JudgedImages, analysis: Analysis) -> str | None:
    errors: dict[str, Array] = {
        name: table[f"{name}_error"].to_numpy()
        for name in judged.scores
        if f"{name}_error" in table
    }
    values: dict[str, Array] = dict(judged.scores)
    for what, measure in _CLASS_ERRORS.items():
        columns = [f"p_{name}_{what}" for name in analysis.class_names]
        if f"{columns[0]}_error" in table:
            errors[measure] = table[[f"{column}_error" for column in columns]].to_numpy()
            values[measure] = table[columns].to_numpy()
    return draws_needed(errors, values, len(analysis.logits), unit=analysis.draws_are)


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _high(table: pd.DataFrame, column: str) -> float | None:
    return float(table[column].quantile(0.95)) if column in table else None
