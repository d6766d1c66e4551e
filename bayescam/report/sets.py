"""Conformal sets drawn: how large they are, and how often they hold each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from bayescam.report.style import LINE_COLORS
from bayescam.types import InputError

__all__ = ["draw_class_coverage", "draw_set_sizes"]

_MARKERS = "osD^vP"


def draw_set_sizes(shares: Mapping[str, ArrayLike], *, ax: Axes, title: str | None = None) -> Axes:
    """Share of sets with 0, 1, 2, ... classes, one group of bars per size.

    Args:
        shares: name of the method -> (K + 1,), share of sets of each size.
        ax: where to draw.
        title: above the axes.
    """
    values = _same_length(shares)
    last = int(np.flatnonzero(values.max(axis=0) > 0).max(initial=1))
    width = 0.8 / len(values)
    for i, (name, row) in enumerate(zip(shares, values, strict=True)):
        mean = float(row @ np.arange(len(row)))
        ax.bar(
            np.arange(last + 1) + (i - (len(values) - 1) / 2) * width,
            row[: last + 1],
            width,
            color=LINE_COLORS[i % len(LINE_COLORS)],
            label=f"{name} (mean {mean:.2f})",
        )
    ax.set_xticks(range(last + 1))
    ax.set(xlabel="classes in the set", ylabel="share of images")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
    if title is not None:
        ax.set_title(title, loc="left")
    return ax


def draw_class_coverage(
    coverage: Mapping[str, ArrayLike],
    bands: Sequence[tuple[float, float] | None],
    class_names: Sequence[str],
    *,
    ax: Axes,
    promised: float,
    title: str | None = None,
) -> Axes:
    """How often the sets hold the right class, class by class, against what is promised.

    Args:
        coverage: name of the method -> (K,), NaN where there is no image.
        bands: of each class, between which values chance leaves the coverage of class-conditional
            sets (grey bars), or None.
        class_names: K names.
        ax: where to draw.
        promised: the vertical line.
        title: above the axes.
    """
    values = _same_length(coverage)
    if values.shape[1] != len(class_names) or len(bands) != len(class_names):
        raise InputError(f"`coverage` and `bands` must be of {len(class_names)} classes.")
    rows, banded = np.arange(len(class_names)), False
    for row, band in zip(rows, bands, strict=True):
        if band is not None:
            low, high = band
            label = None if banded else "99 % band, one per class"
            ax.barh(row, high - low, 0.62, left=low, color="#E4E4E4", zorder=1, label=label)
            banded = True
    ax.axvline(promised, color="#888888", linestyle="--", linewidth=1, zorder=2)
    shift = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else [0.0]
    for i, (name, points) in enumerate(zip(coverage, values, strict=True)):
        ax.scatter(
            points,
            rows + shift[i],
            s=26,
            color=LINE_COLORS[i % len(LINE_COLORS)],
            marker=_MARKERS[i % len(_MARKERS)],
            label=name,
            zorder=3,
            clip_on=False,
        )
    ax.set_yticks(rows, class_names)
    ax.invert_yaxis()
    lowest = min([*(band[0] for band in bands if band), promised, float(np.nanmin(values))])
    ax.set(xlim=(max(0.0, lowest - 0.04), 1.0), xlabel=f"coverage (promised {promised:.0%})")
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
    if title is not None:
        ax.set_title(title, loc="left")
    return ax


def _same_length(rows: Mapping[str, ArrayLike]) -> np.ndarray:
    arrays = [np.asarray(row, dtype=np.float64) for row in rows.values()]
    if not arrays or len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
        raise InputError("one row of equal length is needed for each of at least one method.")
    return np.stack(arrays)
