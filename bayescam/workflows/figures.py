"""The figures of an evaluation: labelled draws in, PNG files out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from bayescam.report import (
    draw_confusion,
    draw_entropy_histograms,
    draw_reliability,
    draw_risk_coverage,
    figure_style,
)
from bayescam.types import Array
from bayescam.uncertainty import RiskCoverage, decompose, reliability_curve, risk_coverage
from bayescam.workflows.folders import write_atomically

__all__ = ["JudgedDraws", "confusion_table", "draw_figures"]


@dataclass(frozen=True, eq=False)
class JudgedDraws:
    """Draws of probabilities of labelled images, before or after calibration.

    Attributes:
        probs: (S, n, K).
        labels: class index of each image, (n,).
        groups: lesion or patient of each image.
    """

    probs: Array
    labels: NDArray[np.int64]
    groups: list[str]

    @property
    def mean_probs(self) -> Array:
        """Mean over the draws, (n, K)."""
        return self.probs.mean(axis=0)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the class of the largest mean probability is the label, (n,)."""
        return self.mean_probs.argmax(axis=1) == self.labels

    def uncertainties(self) -> dict[str, Array]:
        """Return scores by which images can be referred, larger is less sure, (n,) each."""
        parts = decompose(self.probs)
        return {
            "predictive_entropy": parts.predictive_entropy,
            "mutual_information": parts.mutual_information,
            "1 - confidence": 1 - self.mean_probs.max(axis=1),
        }


def confusion_table(part: JudgedDraws, num_classes: int) -> NDArray[np.int64]:
    """Return counts (K, K): rows are true classes, columns predicted."""
    predicted = part.mean_probs.argmax(axis=1)
    return np.asarray(confusion_matrix(part.labels, predicted, labels=range(num_classes)))


def draw_figures(
    judged: dict[str, JudgedDraws], names: tuple[str, ...], folder: Path, split: str
) -> None:
    """Write reliability, referral, entropy and confusion figures; the last set is the best."""
    best_name, best = list(judged.items())[-1]
    curves: dict[str, RiskCoverage] = {
        name.replace("_", " "): risk_coverage(values, best.correct)
        for name, values in best.uncertainties().items()
    }
    entropy = best.uncertainties()["predictive_entropy"]
    about = f"{split}, {len(best.labels)} images, {best_name}"

    def reliability(axes: list[Axes]) -> None:
        for ax, (name, part) in zip(axes, judged.items(), strict=True):
            curve = reliability_curve(part.mean_probs, part.labels)
            draw_reliability(curve, ax=ax, title=f"Reliability ({name})")

    def confusion(axes: list[Axes]) -> None:
        draw_confusion(confusion_table(best, len(names)), names, ax=axes[0], title=about)

    def referral(axes: list[Axes]) -> None:
        draw_risk_coverage(curves, ax=axes[0], title=about)

    def histograms(axes: list[Axes]) -> None:
        draw_entropy_histograms(
            entropy, best.correct, ax=axes[0], num_classes=len(names), title=about
        )

    side = max(4.2, 0.62 * len(names) + 1.6)
    _save(folder / "reliability.png", (4.2 * len(judged), 4.2), len(judged), reliability)
    _save(folder / "risk_coverage.png", (5.4, 3.8), 1, referral)
    _save(folder / "entropy.png", (5.4, 3.4), 1, histograms)
    _save(folder / "confusion.png", (side + 0.8, side), 1, confusion)


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
