"""The figures of an evaluation: judged images and numbers in, PNG files out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescam.report import (
    draw_class_coverage,
    draw_confusion,
    draw_entropy_histograms,
    draw_missed_silently,
    draw_reliability,
    draw_ridges,
    draw_risk_coverage,
    draw_set_sizes,
    figure_style,
)
from bayescam.types import Array
from bayescam.uncertainty import class_at_referral, reliability_curve, risk_coverage
from bayescam.workflows.folders import write_atomically
from bayescam.workflows.judging import JudgedImages

__all__ = ["draw_figures", "draw_missed_figure", "draw_sets_figure"]

_CURVES = ("1 - confidence", "predictive_entropy", "mutual_information", "epistemic_variance")
_RATES = np.linspace(0.0, 0.6, 61)


def draw_figures(
    judged: dict[str, JudgedImages],
    ridges: tuple[Array, Array],
    names: tuple[str, ...],
    folder: Path,
    split: str,
) -> None:
    """Write reliability, referral, entropy, density and confusion figures.

    Args:
        judged: by state of calibration; the last is the best, to which the others refer.
        ridges: histograms (K, B) of the probability of each class, see `draw_ridges`.
        names: K names.
        folder: where to write.
        split: what is scored, for the titles.
    """
    best_name, best = list(judged.items())[-1]
    about = f"{split}, {len(best.labels):,} images, {best_name}"

    def reliability(axes: list[Axes]) -> None:
        for ax, (name, part) in zip(axes, judged.items(), strict=True):
            curve = reliability_curve(part.mean_probs, part.labels)
            draw_reliability(curve, ax=ax, title=f"Reliability ({name})")

    def confusion(axes: list[Axes]) -> None:
        draw_confusion(best.confusion(), names, ax=axes[0], title=about)

    def referral(axes: list[Axes]) -> None:
        curves = {
            name.replace("_", " "): risk_coverage(best.scores[name], best.correct)
            for name in _CURVES
            if name in best.scores
        }
        draw_risk_coverage(curves, ax=axes[0], title=about)

    def histograms(axes: list[Axes]) -> None:
        entropy = best.scores["predictive_entropy"]
        draw_entropy_histograms(
            entropy, best.correct, ax=axes[0], num_classes=len(names), title=about
        )

    def densities(axes: list[Axes]) -> None:
        counts = np.bincount(best.labels, minlength=len(names)).tolist()
        draw_ridges(*ridges, names, ax=axes[0], counts=counts, title=about)

    side = max(4.2, 0.62 * len(names) + 1.6)
    _save(folder / "reliability.png", (4.2 * len(judged), 4.2), len(judged), reliability)
    _save(folder / "risk_coverage.png", (5.4, 3.8), 1, referral)
    _save(folder / "entropy.png", (5.4, 3.4), 1, histograms)
    _save(folder / "densities.png", (5.4, 1.2 + 0.5 * len(names)), 1, densities)
    _save(folder / "confusion.png", (side + 0.8, side), 1, confusion)


def draw_missed_figure(
    best: JudgedImages, concern: int, names: tuple[str, ...], folder: Path
) -> None:
    """Write the figure of the images of one class that no reader sees, by referral rate."""
    shares = {
        name.replace("_", " "): class_at_referral(
            best.scores[name],
            best.predicted,
            best.labels,
            class_index=concern,
            rates=_RATES.tolist(),
        ).missed_silently
        for name in _CURVES
        if name in best.scores
    }
    count = int((best.labels == concern).sum())
    title = f"{count:,} images of {names[concern]} among {len(best.labels):,}"

    def draw(axes: list[Axes]) -> None:
        draw_missed_silently(_RATES, shares, names[concern], ax=axes[0], title=title)

    if count:
        _save(folder / "missed_silently.png", (5.4, 3.8), 1, draw)


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

    height = max(3.6, 1.2 + 0.42 * len(names))
    _save(folder / "conformal.png", (9.6, height), 2, draw)


def _save(
    path: Path,
    size: tuple[float, float],
    columns: int,
    draw: Callable[[list[Axes]], None],
) -> None:
    with figure_style():
        figure = Figure(figsize=size, layout="constrained")
        draw(list(figure.subplots(1, columns, squeeze=False)[0]))
        write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=150))
