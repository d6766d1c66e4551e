"""Confusion tables drawn: counts, and shares or counts with how far they would move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError

__all__ = ["draw_confusion", "draw_confusion_intervals"]

_DARK = 0.5  # share above which text is white


class _ConfusionIntervals(Protocol):
    """What `bayescam.uncertainty.confusion_over_groups` and `confusion_over_draws` return."""

    @property
    def estimate(self) -> NDArray[np.float64]: ...
    @property
    def lower(self) -> NDArray[np.float64]: ...
    @property
    def upper(self) -> NDArray[np.float64]: ...
    @property
    def level(self) -> float: ...
    @property
    def unit(self) -> str: ...
    @property
    def over(self) -> str: ...


def draw_confusion(
    table: ArrayLike, class_names: Sequence[str], *, ax: Axes, title: str | None = None
) -> Axes:
    """The confusion table (K, K): rows are true classes, columns predicted, counts written.

    Colours are shares of the row, so that a rare class is as visible as a common one.
    """
    counts = np.asarray(table)
    _check_shape("table", counts, class_names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    _draw_cells(ax, shares, class_names)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > _DARK else "black"
        ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=color)
    return _titled(ax, title)


def draw_confusion_intervals(
    table: _ConfusionIntervals,
    class_names: Sequence[str],
    *,
    ax: Axes,
    counts: Sequence[int] | None = None,
    title: str | None = None,
) -> Axes:
    """The confusion table with an interval in every cell: rows are true classes.

    Args:
        table: estimate, lower and upper bound, (K, K) each, NaN in rows without images. Its `unit`
            is "share" of the true class, or "images".
        class_names: K names.
        ax: where to draw.
        counts: images of each true class, written beside its name.
        title: above the axes.

    Returns:
        `ax`. Colours are shares of the row. A cell that is 0 throughout has no interval.
    """
    _check_shape("table.estimate", table.estimate, class_names)
    totals = np.nansum(table.estimate, axis=1, keepdims=True)
    shares = np.nan_to_num(table.estimate) / np.where(totals > 0, totals, 1.0)
    _draw_cells(ax, shares, class_names)
    for (row, column), value in np.ndenumerate(table.estimate):
        color = "white" if shares[row, column] > _DARK else "black"
        low, high = float(table.lower[row, column]), float(table.upper[row, column])
        written, span = _cell_text(value, low, high, table.unit)
        if not span:
            ax.text(column, row, written, ha="center", va="center", fontsize=8, color="#777777")
            continue
        ax.text(column, row - 0.02, written, ha="center", va="bottom", fontsize=8, color=color)
        ax.text(column, row + 0.06, span, ha="center", va="top", fontsize=6, color=color)
    if counts is not None:
        labels = [f"{name} ({n:,})" for name, n in zip(class_names, counts, strict=True)]
        ax.set_yticks(range(len(class_names)), labels)
    what = "share of the true class" if table.unit == "share" else "images"
    ax.set_xlabel(f"predicted\n{what}, {100 * table.level:g} % of the {table.over} below")
    return _titled(ax, title)


def _cell_text(value: float, lower: float, upper: float, unit: str) -> tuple[str, str]:
    """The estimate and its interval as text; no interval where there is none or all is 0."""
    if np.isnan(value):
        return "\N{EN DASH}", ""
    if not max(value, np.nan_to_num(upper)) > 0.0:
        return "0", ""
    digits = 2 if unit == "share" else 0
    if np.isnan(lower) or np.isnan(upper):
        return f"{value:,.{digits}f}", ""
    return f"{value:,.{digits}f}", f"{lower:,.{digits}f}\N{EN DASH}{upper:,.{digits}f}"


def _draw_cells(ax: Axes, shares: NDArray[np.float64], class_names: Sequence[str]) -> None:
    picture = ax.imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    bar = ax.figure.colorbar(picture, ax=ax, label="share of the true class", fraction=0.046)
    bar.outline.set_visible(False)
    places = range(len(class_names))
    ax.set_xticks(places, class_names)
    if max(map(len, class_names)) > 6:
        ax.tick_params(axis="x", rotation=30)
    ax.set_yticks(places, class_names)
    ax.set(xlabel="predicted", ylabel="true")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def _check_shape(name: str, table: ArrayLike, class_names: Sequence[str]) -> None:
    size = len(class_names)
    if np.shape(table) != (size, size):
        raise InputError(f"`{name}` must have shape ({size}, {size}); got {np.shape(table)}.")


def _titled(ax: Axes, title: str | None) -> Axes:
    if title is not None:
        ax.set_title(title, loc="left")
    return ax
