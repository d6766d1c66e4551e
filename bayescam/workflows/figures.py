"""The figures of an evaluation: judged images and numbers in, SVG and PNG files out.

No PDF is written here: seven of them took 2.1 s of processor time, the PNG 0.9 s and the SVG 0.6 s,
and `save_figure` makes one where it is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescam.report import (
    draw_bin_counts,
    draw_class_coverage,
    draw_confusion,
    draw_confusion_intervals,
    draw_entropy_histograms,
    draw_missed_silently,
    draw_reliability,
    draw_ridges,
    draw_risk_coverage,
    draw_set_sizes,
    figure_style,
    save_figure,
)
from bayescam.types import Array
from bayescam.uncertainty import (
    class_at_referral,
    confusion_over_groups,
    missed_silently_band,
    reliability_curve,
    risk_band,
    risk_coverage_curves,
)
from bayescam.workflows.judging import JudgedImages
from bayescam.workflows.referral import RULE_SCORE

__all__ = ["draw_figures", "draw_missed_figure", "draw_sets_figure"]

_CURVES = ("1 - confidence", "predictive_entropy", "mutual_information", "epistemic_variance")
_COVERAGE = np.linspace(0.01, 1.0, 100)
_MOST_REFERRED = 0.6
_ONE_AXES = (130.0, 115.0)  # mm
_DPI = 150  # of the PNG, which the report shows; a paper takes the SVG


def draw_figures(
    judged: dict[str, JudgedImages],
    ridges: tuple[Array, Array],
    names: tuple[str, ...],
    folder: Path,
    split: str,
    *,
    seed: int,
) -> None:
    """Write reliability, referral, entropy, density and confusion figures, each as SVG and PNG.

    Args:
        judged: by state of calibration; all but reliability are drawn of the last.
        ridges: histograms (K, B) of the probability of each class, see `draw_ridges`.
        names: K names.
        folder: where to write.
        split: what is scored, for the titles.
        seed: of the resamples of the bands.
    """
    state, reported = list(judged.items())[-1]
    about = f"{split}, {len(reported.labels):,} images, {state}"

    def reliability(axes: list[Axes]) -> None:
        places = zip(axes[: len(judged)], axes[len(judged) :], judged.items(), strict=True)
        for above, below, (name, part) in places:
            curve = reliability_curve(part.mean_probs, part.labels)
            draw_reliability(curve, ax=above, title=f"Reliability ({name})")
            draw_bin_counts(curve, ax=below)
            above.set_xlabel("")

    def confusion(axes: list[Axes]) -> None:
        if len(set(reported.groups)) == 1:
            draw_confusion(reported.confusion(), names, ax=axes[0], title=about)
            return
        images = reported.mean_probs, reported.labels, reported.groups
        table = confusion_over_groups(*images, seed=seed)
        counts = np.bincount(reported.labels, minlength=len(names)).tolist()
        draw_confusion_intervals(table, names, ax=axes[0], counts=counts, title=about)

    def referral(axes: list[Axes]) -> None:
        curves = risk_coverage_curves(_shown_scores(reported), reported.correct)
        references = risk_coverage_curves(_reference_scores(~reported.correct), reported.correct)
        bands = {}
        if len(set(reported.groups)) > 1:
            bands[RULE_SCORE] = risk_band(
                reported.scores[RULE_SCORE],
                reported.correct,
                reported.groups,
                coverage=_COVERAGE,
                seed=seed,
            )
        draw_risk_coverage(curves, ax=axes[0], references=references, bands=bands, title=about)

    def histograms(axes: list[Axes]) -> None:
        entropy = reported.scores["predictive_entropy"]
        draw_entropy_histograms(
            entropy, reported.correct, ax=axes[0], num_classes=len(names), title=about
        )

    def densities(axes: list[Axes]) -> None:
        counts = np.bincount(reported.labels, minlength=len(names)).tolist()
        draw_ridges(*ridges, names, ax=axes[0], counts=counts, title=about)

    side = max(100.0, 16.0 * len(names) + 30.0)
    size = (88.0 * len(judged), 110.0)
    _save(folder / "reliability", size, len(judged), reliability, heights=(4.0, 1.0))
    _save(folder / "risk_coverage", _ONE_AXES, 1, referral)
    _save(folder / "entropy", (130.0, 82.0), 1, histograms)
    _save(folder / "densities", (130.0, 30.0 + 12.0 * len(names)), 1, densities)
    _save(folder / "confusion", (side + 15.0, 0.85 * side), 1, confusion)


def draw_missed_figure(
    reported: JudgedImages, concern: int, names: tuple[str, ...], folder: Path, *, seed: int
) -> None:
    """Write the figure of the images of one class that no reader sees, by referral rate."""
    of_class = reported.labels == concern
    num_images, count = len(of_class), int(of_class.sum())
    if not count:
        return
    rates = np.arange(int(_MOST_REFERRED * num_images) + 1) / num_images

    def missed(scores: dict[str, Array]) -> dict[str, Array]:
        return {
            name: class_at_referral(
                values,
                reported.predicted,
                reported.labels,
                class_index=concern,
                rates=rates.tolist(),
            ).missed_silently
            for name, values in scores.items()
        }

    bands = {}
    if len(set(reported.groups)) > 1:
        bands[RULE_SCORE] = missed_silently_band(
            reported.scores[RULE_SCORE],
            reported.predicted,
            reported.labels,
            reported.groups,
            class_index=concern,
            coverage=_COVERAGE[_COVERAGE >= 1.0 - _MOST_REFERRED - 1e-9],
            seed=seed,
        )
    lines = missed(_shown_scores(reported))
    references = missed(_reference_scores(of_class & ~reported.correct))
    title = f"{count:,} images of {names[concern]} among {num_images:,}"

    def draw(axes: list[Axes]) -> None:
        draw_missed_silently(
            rates,
            lines,
            names[concern],
            ax=axes[0],
            references=references,
            bands=bands,
            title=title,
        )

    _save(folder / "missed_silently", _ONE_AXES, 1, draw)


def _shown_scores(judged: JudgedImages) -> dict[str, Array]:
    return {
        name.replace("_", " "): judged.scores[name] for name in _CURVES if name in judged.scores
    }


def _reference_scores(flagged: Array) -> dict[str, Array]:
    """Scores that refer at random, and the flagged images before all others."""
    return {
        "referred at random": np.zeros(len(flagged)),
        "best possible": flagged.astype(np.float64),
    }


def draw_sets_figure(conformal: dict[str, Any], names: tuple[str, ...], folder: Path) -> None:
    """Write the figure of the sizes of conformal sets and of their coverage by class."""
    methods = conformal["methods"]
    shares = {name.upper(): kinds["marginal"]["share_of_sizes"] for name, kinds in methods.items()}
    kinds = {"LAC, one threshold": "marginal", "LAC, one per class": "class_conditional"}
    parts = {label: methods["lac"][kind]["by_class"] for label, kind in kinds.items()}
    coverage = {
        label: [
            np.nan if part[name]["coverage"] is None else part[name]["coverage"] for name in names
        ]
        for label, part in parts.items()
    }
    bands = [parts["LAC, one per class"][name]["band"] for name in names]
    promised = conformal["coverage_promised"]

    def draw(axes: list[Axes]) -> None:
        title = f"Set sizes, {conformal['num_images']:,} images, one per group"
        draw_set_sizes(shares, ax=axes[0], title=title)
        draw_class_coverage(
            coverage, bands, names, ax=axes[1], promised=promised, title="Coverage by class"
        )

    _save(folder / "conformal", (178.0, max(90.0, 30.0 + 10.0 * len(names))), 2, draw)


def _save(
    stem: Path,
    size: tuple[float, float],
    columns: int,
    draw: Callable[[list[Axes]], None],
    *,
    heights: tuple[float, ...] = (1.0,),
) -> None:
    """Write one figure of this size in mm, of axes in rows of these relative heights."""
    width, height = size
    with figure_style():
        figure = Figure(layout="constrained")
        axes = figure.subplots(
            len(heights), columns, squeeze=False, sharex="col", height_ratios=heights
        )
        draw(list(axes.ravel()))
        save_figure(
            figure, stem, width_mm=width, height_mm=height, formats=("svg", "png"), dpi=_DPI
        )
