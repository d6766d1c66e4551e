"""Models compared: every score as a dot with its interval, and the paired difference below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayescam.report.style import LINE_COLORS
from bayescam.types import InputError

__all__ = ["draw_posterior_comparison"]

Interval = tuple[float, float, float]

_REFERENCE = "#777777"


def draw_posterior_comparison(
    columns: Mapping[str, Mapping[str, Interval]],
    *,
    axes: Sequence[Axes],
    differences: bool = False,
    reference: str | None = None,
) -> list[Axes]:
    """Models against scores: a row for each model, axes for each score, dots with intervals.

    Args:
        columns: model -> score -> (estimate, lower, upper), as for `interval_table`; a model may
            lack a score. The scores are those of the first model, in its order.
        axes: as many as there are scores, from left to right.
        differences: whether the numbers are paired differences to the reference: then there is a
            line at zero, and a dot is filled where the interval leaves zero out.
        reference: a model drawn in grey, that the others are compared with; its own differences
            need not be there.

    Returns:
        The axes. Names of models stand at the first one, from the top down.

    Raises:
        InputError: no model, another number of axes than of scores, or an unknown reference.
    """
    if not columns:
        raise InputError("`columns` must hold at least one model.")
    scores = list(next(iter(columns.values())))
    if len(axes) != len(scores):
        raise InputError(f"`axes` must be {len(scores)}, one for each score; got {len(axes)}.")
    if reference is not None and not differences and reference not in columns:
        raise InputError(f"`reference` must be one of {', '.join(columns)}; got {reference!r}.")
    named = differences and reference is not None
    for place, (ax, score) in enumerate(zip(axes, scores, strict=True)):
        if differences:
            ax.axvline(0.0, color="#888888", linestyle="--", linewidth=1, zorder=1)
        for row, (model, found) in enumerate(columns.items()):
            color = _REFERENCE if model == reference else LINE_COLORS[0]
            _draw_dot(ax, row, found.get(score), color, hollow=differences)
        ax.set_yticks(range(len(columns)), list(columns) if place == 0 else [""] * len(columns))
        ax.set_ylim(len(columns) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", color="#EEEEEE", linewidth=0.8)
        ax.spines["left"].set_visible(False)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.set_xlabel(f"{score}\nminus that of {reference}" if named else score)
    return list(axes)


def _draw_dot(ax: Axes, row: int, interval: Interval | None, color: str, *, hollow: bool) -> None:
    """One dot with its interval; hollow where a difference may be zero."""
    if interval is None or np.isnan(interval[0]):
        return
    estimate, lower, upper = interval
    open_dot = hollow and not (lower > 0.0 or upper < 0.0)
    if not (np.isnan(lower) or np.isnan(upper)):
        ax.plot([lower, upper], [row, row], color=color, linewidth=1.6, zorder=2)
    face = "white" if open_dot else color
    ax.plot([estimate], [row], "o", color=color, markerfacecolor=face, markersize=4.5, zorder=3)
