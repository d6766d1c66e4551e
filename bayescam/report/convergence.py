"""How many draws are enough: an estimate and its Monte Carlo band against the number of draws."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from bayescam.report.style import LINE_COLORS
from bayescam.types import InputError

__all__ = ["draw_convergence"]

_TICKS = np.array([2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000])


class _Convergence(Protocol):
    """What `bayescam.uncertainty.draws_convergence` returns."""

    @property
    def measure(self) -> str: ...
    @property
    def num_draws(self) -> NDArray[np.int64]: ...
    @property
    def estimate(self) -> NDArray[np.float64]: ...
    @property
    def lower(self) -> NDArray[np.float64]: ...
    @property
    def upper(self) -> NDArray[np.float64]: ...
    @property
    def level(self) -> float: ...
    @property
    def tolerance(self) -> float: ...
    @property
    def enough(self) -> int: ...


def draw_convergence(
    curve: _Convergence,
    *,
    ax: Axes,
    label: str | None = None,
    color: str = LINE_COLORS[0],
    title: str | None = None,
) -> Axes:
    """An estimate with the first 2, 4, 8, ... draws, and the band of its Monte Carlo error.

    Args:
        curve: P points, of rising numbers of draws.
        ax: where to draw.
        label: of the y axis; by default the name of the measure.
        color: of the line, for a class that of `class_colors`.
        title: above the axes.

    Returns:
        `ax`, on a logarithmic scale of draws. Grey: the last estimate, and the standard error that
        is tolerated on either side. The vertical line stands at the number of draws that is enough;
        where that is more than there are, the legend says so alone.
    """
    if len(curve.num_draws) < 2:
        raise InputError(f"`curve` must have at least two points; got {len(curve.num_draws)}.")
    last, most = float(curve.estimate[-1]), int(curve.num_draws[-1])
    tolerated = (last - curve.tolerance, last + curve.tolerance)
    ax.axhspan(*tolerated, color="#E4E4E4", lw=0, zorder=0, label="tolerated standard error")
    ax.axhline(last, color="#888888", linewidth=0.9, zorder=1)
    band = f"{100 * curve.level:g} % Monte Carlo band"
    ax.fill_between(
        curve.num_draws, curve.lower, curve.upper, color=color, alpha=0.22, lw=0, label=band
    )
    ax.plot(curve.num_draws, curve.estimate, color=color, linewidth=1.4, label="estimate")
    enough = f"{curve.enough:,} draws are enough"
    if curve.enough <= most:
        ax.axvline(curve.enough, color="#333333", linestyle="--", linewidth=1, label=enough)
    else:
        ax.plot([], [], color="none", label=f"{enough} (not reached)")
    ax.set(xscale="log", xlim=(int(curve.num_draws[0]), most))
    ticks = _TICKS[(curve.num_draws[0] <= _TICKS) & (most >= _TICKS)]
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    steady = curve.num_draws >= min(8, most)
    low = min(float(np.min(curve.lower[steady])), tolerated[0])
    high = max(float(np.max(curve.upper[steady])), tolerated[1])
    ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    ax.set(xlabel="draws", ylabel=label or curve.measure.replace("_", " "))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    if title is not None:
        ax.set_title(title, loc="left")
    return ax
