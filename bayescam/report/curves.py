"""Curves and counts of a whole test set: each function draws numbers that are already computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError

__all__ = [
    "draw_confusion",
    "draw_entropy_histograms",
    "draw_missed_silently",
    "draw_reliability",
    "draw_risk_coverage",
]

_RIGHT, _WRONG = "#0072B2", "#D55E00"
_LINES = ("#0072B2", "#E8740C", "#009E73", "#CC79A7", "#4D4D4D", "#56B4E9")


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


class _RiskCoverage(Protocol):
    """What `bayescam.uncertainty.risk_coverage` returns."""

    @property
    def coverage(self) -> NDArray[np.float64]: ...
    @property
    def risk(self) -> NDArray[np.float64]: ...
    @property
    def aurc(self) -> float: ...


def draw_reliability(curve: _Reliability, *, ax: Axes, title: str | None = None) -> Axes:
    """Accuracy against confidence: dots as large as their bin, on the diagonal when calibrated.

    Grey bars at the foot show the share of images in each bin, on the scale of the same axis.
    """
    filled = np.asarray(curve.count) > 0
    share = curve.count / curve.count.sum()
    ax.bar(
        curve.edges[:-1],
        share,
        np.diff(curve.edges),
        align="edge",
        color="#CCCCCC",
        edgecolor="white",
        label="share of images",
    )
    ax.plot([0, 1], [0, 1], color="#888888", linestyle="--", linewidth=1, label="calibrated")
    ax.plot(curve.confidence[filled], curve.accuracy[filled], color=_RIGHT, linewidth=1)
    ax.scatter(
        curve.confidence[filled],
        curve.accuracy[filled],
        s=20 + 200 * share[filled],
        color=_RIGHT,
        zorder=3,
        edgecolor="white",
        label="accuracy in bin",
    )
    heading = f"ECE {curve.expected_calibration_error:.3f}"
    ax.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="confidence", ylabel="accuracy", aspect="equal")
    ax.legend(loc="upper left", title=heading, alignment="left")
    return _titled(ax, title)


def draw_risk_coverage(
    curves: Mapping[str, _RiskCoverage], *, ax: Axes, title: str | None = None
) -> Axes:
    """Error rate among the kept images against the share kept, one line per named score.

    The y axis fits what happens from 5 % kept on; below that a few images decide.
    """
    if not curves:
        raise InputError("`curves` must hold at least one curve.")
    for i, (name, curve) in enumerate(curves.items()):
        label = f"{name} (AURC {curve.aurc:.3f})"
        ax.plot(
            curve.coverage, curve.risk, color=_LINES[i % len(_LINES)], linewidth=1.6, label=label
        )
    ax.set(xlim=(0, 1), xlabel="share of images kept", ylabel="error rate among the kept")
    steady = max(curve.risk[curve.coverage >= 0.05].max() for curve in curves.values())
    ax.set_ylim(0, 1.3 * steady or 1.0)
    ax.legend(loc="upper left")
    return _titled(ax, title)


def draw_missed_silently(
    rates: ArrayLike,
    shares: Mapping[str, ArrayLike],
    class_name: str,
    *,
    ax: Axes,
    title: str | None = None,
) -> Axes:
    """Images of one class that are kept and called something else, against the share referred.

    Args:
        rates: (R,), shares of all images that are referred.
        shares: name of the score -> (R,), share of all images of the class.
        class_name: the class of concern.
        ax: where to draw.
        title: above the axes.
    """
    if not shares:
        raise InputError("`shares` must hold at least one score.")
    for i, (name, values) in enumerate(shares.items()):
        ax.plot(rates, np.asarray(values), color=_LINES[i % len(_LINES)], linewidth=1.6, label=name)
    top = max(float(np.max(np.asarray(values))) for values in shares.values())
    ax.set(
        xlim=(0, float(np.max(np.asarray(rates)))),
        ylim=(0, 1.1 * top or 1.0),
        xlabel="share of images referred",
        ylabel=f"share of {class_name} missed silently",
    )
    ax.legend(loc="upper right")
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
    for chosen, name, color in ((right, "right", _RIGHT), (~right, "wrong", _WRONG)):
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


def draw_confusion(
    table: ArrayLike, class_names: Sequence[str], *, ax: Axes, title: str | None = None
) -> Axes:
    """The confusion table (K, K): rows are true classes, columns predicted, counts written.

    Colours are shares of the row, so that a rare class is as visible as a common one.
    """
    counts = np.asarray(table)
    if counts.shape != (len(class_names), len(class_names)):
        raise InputError(
            f"`table` must have shape ({len(class_names)}, {len(class_names)}); got {counts.shape}."
        )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    picture = ax.imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=color)
    ax.figure.colorbar(picture, ax=ax, label="share of the true class", fraction=0.046)
    places = range(len(class_names))
    ax.set_xticks(places, class_names, rotation=30 if max(map(len, class_names)) > 6 else 0)
    ax.set_yticks(places, class_names)
    ax.set(xlabel="predicted", ylabel="true")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return _titled(ax, title)


def _titled(ax: Axes, title: str | None) -> Axes:
    if title is not None:
        ax.set_title(title, loc="left")
    return ax
