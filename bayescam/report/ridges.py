"""Ridges: one row per class, how the probability of the class is distributed over many images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from bayescam.report.style import class_colors
from bayescam.types import InputError

__all__ = ["draw_ridges"]

_MOST_SMOOTHING = 0.012  # standard deviation of the kernel, on the scale of probability
_OVERLAP = 0.86  # height of a ridge, rows being 1 apart


def draw_ridges(
    own: ArrayLike,
    others: ArrayLike,
    class_names: Sequence[str],
    *,
    ax: Axes,
    counts: Sequence[int] | None = None,
    title: str | None = None,
) -> Axes:
    """One ridge per class: its probability among its own images, and among all others (grey).

    Args:
        own: (K, B), counts on [0, 1] in B bins of equal width of the probability of class k, over
            all draws of the images of class k. Each ridge is smoothed, reflected at 0 and 1, and
            drawn as high as its row.
        others: (K, B), likewise over the images of the other classes.
        class_names: K names.
        ax: where to draw.
        counts: images of each class, written beside its name.
        title: above the axes.

    Returns:
        `ax`. Both curves of a row have their own scale, since nearly all other images lie close
        to 0. A class without images has no filled ridge. The kernel has the bandwidth of
        `unit_interval_density` on the scale of probability, at most 0.012: a narrow ridge is not
        drawn wider than it is.
    """
    first, second = np.asarray(own, np.float64), np.asarray(others, np.float64)
    if first.shape != second.shape or first.ndim != 2 or len(first) != len(class_names):
        raise InputError(
            f"`own` and `others` must have shape ({len(class_names)}, B); got {first.shape} and "
            f"{second.shape}."
        )
    colors, num_bins = class_colors(class_names), first.shape[1]
    places = np.concatenate([[0.0], (np.arange(num_bins) + 0.5) / num_bins, [1.0]])
    for row, name in enumerate(class_names):
        foot = len(class_names) - 1.0 - row
        grey, colored = (_height(part[row]) for part in (second, first))
        of_others, of_class = ("others", "images of the class") if row == 0 else (None, None)
        ax.plot(
            places, foot + grey, color="#999999", lw=0.9, linestyle=":", zorder=2, label=of_others
        )
        ax.fill_between(
            places, foot, foot + colored, color=colors[name], alpha=0.5, lw=0, label=of_class
        )
        ax.plot(places, foot + colored, color=colors[name], linewidth=1.3, zorder=3)
    labels = [
        name if counts is None else f"{name} ({counts[k]:,})" for k, name in enumerate(class_names)
    ]
    ax.set_yticks(range(len(class_names) - 1, -1, -1), labels)
    ax.set(xlim=(0, 1), ylim=(-0.05, len(class_names)), xlabel="probability of the class")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    ax.spines["left"].set_visible(False)
    ax.legend(loc="upper right", bbox_to_anchor=(1.0, 1.04), ncols=2)
    if title is not None:
        ax.set_title(title, loc="left")
    return ax


def _height(histogram: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smoothed histogram (B + 2,), from 0 to 1, its peak at the height of a ridge."""
    if not histogram.any():
        return np.zeros(len(histogram) + 2)
    width = min(_bandwidth(histogram), _MOST_SMOOTHING) * len(histogram)
    smooth = np.pad(gaussian_filter1d(histogram, width, mode="reflect"), 1, mode="edge")
    return _OVERLAP * smooth / smooth.max()


def _bandwidth(counts: NDArray[np.float64]) -> float:
    """Silverman 1986, equation 3.31, from counts in bins of equal width on [0, 1]."""
    num_bins, total = len(counts), counts.sum()
    centres = (np.arange(num_bins) + 0.5) / num_bins
    mean = counts @ centres / total
    sd = np.sqrt(counts @ (centres - mean) ** 2 / total + 1.0 / (12.0 * num_bins**2))
    upto = np.concatenate([[0.0], np.cumsum(counts)]) / total
    low, high = np.interp((0.25, 0.75), upto, np.linspace(0.0, 1.0, num_bins + 1))
    return float(0.9 * min(sd, (high - low) / 1.34) * total**-0.2)
