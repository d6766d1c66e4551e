"""The density plot: one curve per class, how probable the draws say the class is.

The figure of Kraan, "Medical image analysis using probabilistic layers and Grad-CAM", with two
repairs: the density does not leak outside [0, 1], and draws without spread are shown as a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from bayescam.report.style import class_colors
from bayescam.types import InputError

__all__ = ["draw_class_densities", "unit_interval_density"]

LegendPlace = Literal["right", "below", "none"]

_EDGE = 1e-6
_GRID = np.unique(
    np.concatenate([np.linspace(0.002, 0.998, 499), expit(np.linspace(-13.8, 13.8, 400))])
)
_NO_SPREAD = 1e-3  # a narrower range is less than a pixel wide: a line says the same
_MAX_CLASSES = 8


def draw_class_densities(
    probs: ArrayLike,
    class_names: Sequence[str],
    *,
    ax: Axes,
    classes: Sequence[str] | None = None,
    level: float = 0.95,
    legend: LegendPlace = "right",
    title: str | None = None,
) -> Axes:
    """Draws the density over the draws of each class probability of one image.

    Args:
        probs: (S, K), draws of the class probabilities of one image.
        class_names: K names.
        ax: where to draw.
        classes: names to show; by default all, or the 8 most probable when there are more.
        level: of the equal-tailed intervals in the legend.
        legend: "right" of the axes, "below" it, or "none"; lists the most probable class first,
            with its mean and interval.
        title: above the axes.

    Returns:
        `ax`. A class whose draws do not vary visibly (a head without posterior, a single draw)
        is a vertical line. The y axis fits the most probable class, and the second up to 2.5
        times its peak; narrower peaks leave it at the top, and a note says so.

    Raises:
        InputError: another shape, values outside [0, 1], or an unknown name.
    """
    draws = _check(probs, class_names, legend)
    shown = _shown_classes(draws, class_names, classes)
    colors = class_colors(class_names)
    peaks = []
    for rank, k in enumerate(shown):
        color, label = colors[class_names[k]], _label(class_names[k], draws[:, k], level)
        if np.ptp(draws[:, k]) < _NO_SPREAD:
            line = ax.axvline(draws[:, k].mean(), color=color, linewidth=2.0, label=label)
            line.set_zorder(3 - rank / len(shown))
            continue
        density = unit_interval_density(draws[:, k], _GRID)
        peaks.append(float(density.max()))
        order, opacity = 3 - rank / len(shown), 0.2 if rank < 2 else 0.06
        ax.plot(_GRID, density, color=color, linewidth=1.8, label=label, zorder=order)
        ax.fill_between(_GRID, density, color=color, alpha=opacity, linewidth=0, zorder=order)
    _finish(ax, peaks, title)
    _draw_legend(ax, legend, level)
    return ax


def unit_interval_density(values: ArrayLike, grid: ArrayLike) -> NDArray[np.float64]:
    """A kernel density of values in [0, 1], smoothed on the logit scale so that none leaks out.

    With `z = logit(p)` and a Gaussian kernel density g of the z, the density of p is
    `g(z) / (p * (1 - p))`: it integrates to 1 over (0, 1), and a long tail is smoothed as much as
    it is long. The bandwidth of g is Silverman's (1986, equation 3.31),
    `0.9 * min(sd, IQR / 1.34) * S**-0.2`.

    Args:
        values: (S,), at least two different ones; kept 1e-6 away from 0 and 1.
        grid: (G,), where to evaluate it, strictly between 0 and 1.

    Returns:
        (G,).
    """
    points, at = _logit(np.asarray(values, np.float64)), np.asarray(grid, np.float64)
    bandwidth = _bandwidth(points)
    distance = (_logit(at)[:, np.newaxis] - points) / bandwidth
    kernel = np.exp(-0.5 * distance**2).sum(axis=1)
    return kernel / (len(points) * bandwidth * np.sqrt(2.0 * np.pi) * at * (1.0 - at))


def _logit(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(probs, _EDGE, 1.0 - _EDGE)
    return np.log(inside) - np.log1p(-inside)


def _bandwidth(points: NDArray[np.float64]) -> float:
    quartiles = np.quantile(points, [0.25, 0.75])
    sd, robust = points.std(ddof=1), (quartiles[1] - quartiles[0]) / 1.34
    return float(0.9 * (min(sd, robust) or sd) * len(points) ** -0.2)


def _label(name: str, draws: NDArray[np.float64], level: float) -> str:
    mean, (lower, upper) = draws.mean(), np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return f"{name}  {mean:.2f} [{lower:.2f}, {upper:.2f}]"


def _finish(ax: Axes, peaks: list[float], title: str | None) -> None:
    ax.set_xlim(-0.01, 1.01)
    ax.set_xlabel("probability")
    if peaks:
        top = 1.12 * max([peaks[0], *(min(peak, 2.5 * peaks[0]) for peak in peaks[1:2])])
        ax.set_ylim(0.0, top)
        ax.set_ylabel("density")
        if max(peaks) > top:
            note = "narrow peaks are cut off"
            ax.text(0.99, 0.98, note, ha="right", va="top", fontsize=7, transform=ax.transAxes)
    else:
        ax.set_ylim(0.0, 1.0)
        ax.set_yticks([])
        ax.set_ylabel("no spread: one value per class")
    if title is not None:
        ax.set_title(title, loc="left")


def _draw_legend(ax: Axes, place: LegendPlace, level: float) -> None:
    heading = f"mean [{100 * level:g} % interval]"
    if place == "right":
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), title=heading, alignment="left")
    elif place == "below":
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, title=heading)


def _shown_classes(
    draws: NDArray[np.float64], class_names: Sequence[str], classes: Sequence[str] | None
) -> list[int]:
    """Column numbers, most probable first."""
    unknown = [name for name in classes or () if name not in class_names]
    if unknown:
        raise InputError(f"`classes` names {unknown[0]!r}; the classes are {list(class_names)}.")
    order = [int(k) for k in np.argsort(-draws.mean(axis=0), kind="stable")]
    if classes is None:
        return order[:_MAX_CLASSES]
    return [k for k in order if class_names[k] in classes]


def _check(
    probs: ArrayLike, class_names: Sequence[str], legend: LegendPlace
) -> NDArray[np.float64]:
    draws = np.asarray(probs, dtype=np.float64)
    if draws.ndim != 2 or draws.shape[1] != len(class_names) or len(draws) == 0:
        raise InputError(
            f"`probs` must have shape (S, {len(class_names)}), the draws of one image; "
            f"got {draws.shape}."
        )
    if not ((draws >= -1e-3) & (draws <= 1 + 1e-3)).all():
        raise InputError("`probs` must lie between 0 and 1. Are these logits?")
    if legend not in get_args(LegendPlace):
        raise InputError(f"`legend` must be one of {get_args(LegendPlace)}; got {legend!r}.")
    return draws
