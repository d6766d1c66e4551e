"""Curves of a whole test set: each function draws numbers that are already computed."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from bayescam.report.style import RIGHT_COLOR, WRONG_COLOR

__all__ = [
    "draw_bin_counts",
    "draw_entropy_histograms",
    "draw_reliability",
]


class _Reliability(Protocol):
    """What `bayescam.uncertainty.reliability_curve` returns."""

    @property
    def edges(self) -> NDArray[np.float64]: ...
    @property
    def count(self) -> NDArray[np.int64]: ...
    @property
    def confidence(self) -> NDArray[np.float64]: ...
    @property
    def accuracy(self) -> NDArray[np.float64]: ...
    @property
    def expected_calibration_error(self) -> float: ...


def draw_reliability(curve: _Reliability, *, ax: Axes, title: str | None = None) -> Axes:
    """Accuracy against confidence, one dot per bin with images, on the diagonal when calibrated."""
    filled = np.asarray(curve.count) > 0
    ax.plot([0, 1], [0, 1], color="#888888", linestyle="--", linewidth=1, label="calibrated")
    ax.plot(
        curve.confidence[filled],
        curve.accuracy[filled],
        color=RIGHT_COLOR,
        linewidth=1,
        marker="o",
        markersize=5,
        markeredgecolor="white",
        label="accuracy in bin",
        clip_on=False,
    )
    heading = f"ECE {curve.expected_calibration_error:.3f}"
    ax.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="confidence", ylabel="accuracy")
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=2,
        title=heading,
        alignment="left",
        borderaxespad=0.1,
    )
    if title is not None:
        ax.set_title(title, loc="left", pad=34)
    return ax


def draw_bin_counts(curve: _Reliability, *, ax: Axes, title: str | None = None) -> Axes:
    """The images of each bin of a reliability curve, on a logarithmic scale.

    Nearly all images tend to be in the last bin; how few a dot stands on shows in the others.
    """
    widths = np.diff(curve.edges)
    ax.bar(curve.edges[:-1], curve.count, widths, align="edge", color="#BBBBBB", edgecolor="white")
    ax.set(xlim=(0, 1), yscale="log", ylim=(0.7, 2.0 * max(int(curve.count.max()), 1)))
    ax.set(xlabel="confidence", ylabel="images")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.minorticks_off()
    return _titled(ax, title)


def draw_entropy_histograms(
    entropy: ArrayLike,
    correct: ArrayLike,
    *,
    ax: Axes,
    num_classes: int,
    title: str | None = None,
) -> Axes:
    """Histograms of the predictive entropy (N,), of right and of wrong images, each of area 1.

    The x axis runs from 0 to `log(num_classes)`, the largest entropy there is, in 30 bins.
    """
    values, right = np.asarray(entropy, np.float64), np.asarray(correct, bool)
    edges = np.linspace(0.0, np.log(num_classes), 31)
    for chosen, name, color in ((right, "right", RIGHT_COLOR), (~right, "wrong", WRONG_COLOR)):
        if not chosen.any():
            continue
        sns.histplot(
            x=values[chosen],
            bins=list(edges),
            stat="density",
            color=color,
            alpha=0.45,
            ax=ax,
            element="step",
            label=f"{name} ({chosen.sum():,})",
        )
    ax.set(xlim=(0, edges[-1]), xlabel="predictive entropy (nats)", ylabel="density")
    ax.set_ylim(top=1.2 * ax.get_ylim()[1])
    ax.legend(loc="upper right")
    return _titled(ax, title)


def _titled(ax: Axes, title: str | None) -> Axes:
    if title is not None:
        ax.set_title(title, loc="left")
    return ax
