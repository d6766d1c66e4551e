"""Referral drawn: what remains when the least sure images go to a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from bayescam.report.style import LINE_COLORS
from bayescam.report.tables import format_number
from bayescam.types import InputError

__all__ = ["draw_missed_silently", "draw_risk_coverage"]

_BROKEN = ("--", ":", "-.")
_Steps = Literal["steps-pre", "steps-post"]


class _RiskCoverage(Protocol):
    """What `bayescam.uncertainty.risk_coverage` returns."""

    @property
    def coverage(self) -> NDArray[np.float64]: ...
    @property
    def risk(self) -> NDArray[np.float64]: ...
    @property
    def aurc(self) -> float: ...


class _Band(Protocol):
    """What `bayescam.uncertainty.risk_band` returns."""

    @property
    def coverage(self) -> NDArray[np.float64]: ...
    @property
    def lower(self) -> NDArray[np.float64]: ...
    @property
    def upper(self) -> NDArray[np.float64]: ...
    @property
    def level(self) -> float: ...


def draw_risk_coverage(
    curves: Mapping[str, _RiskCoverage],
    *,
    ax: Axes,
    references: Mapping[str, _RiskCoverage] | None = None,
    bands: Mapping[str, _Band] | None = None,
    title: str | None = None,
) -> Axes:
    """Error rate among the kept images against the share kept, one line per named score.

    Lines are steps: of N images a whole number is kept. The y axis fits what happens from 5 % kept
    on; below that a few images decide.

    Args:
        curves: name of the score -> its curve.
        ax: where to draw.
        references: name -> curve, drawn grey and broken: referral at random, or the best there is.
        bands: name of a score of `curves` -> band, drawn in the colour of its line.
        title: above the axes.
    """
    if not curves:
        raise InputError("`curves` must hold at least one curve.")
    colors = _line_colors(curves, bands or {})
    for name, curve in curves.items():
        label = f"{name} (AURC {format_number(curve.aurc)})"
        ax.plot(
            curve.coverage,
            curve.risk,
            color=colors[name],
            linewidth=1.4,
            label=label,
            drawstyle="steps-pre",
        )
    for i, (name, curve) in enumerate((references or {}).items()):
        _draw_reference(ax, curve.coverage, curve.risk, name, i, "steps-pre")
    for name, band in (bands or {}).items():
        _draw_band(ax, band.coverage, band, colors[name])
    ax.set(xlim=(0, 1), xlabel="share of images kept", ylabel="error rate among the kept")
    steady = [curve.risk[curve.coverage >= 0.05].max() for curve in curves.values()]
    steady += [band.upper[band.coverage >= 0.05].max() for band in (bands or {}).values()]
    ax.set_ylim(0, 1.08 * max(steady) or 1.0)
    return _finish(ax, title)


def draw_missed_silently(
    rates: ArrayLike,
    shares: Mapping[str, ArrayLike],
    class_name: str,
    *,
    ax: Axes,
    references: Mapping[str, ArrayLike] | None = None,
    bands: Mapping[str, _Band] | None = None,
    title: str | None = None,
) -> Axes:
    """Images of one class that are kept and called something else, against the share referred.

    Lines are steps, since whole images are referred; each rate holds up to the next.

    Args:
        rates: (R,), shares of all images that are referred.
        shares: name of the score -> (R,), share of all images of the class.
        class_name: the class of concern.
        ax: where to draw.
        references: name -> (R,), drawn grey and broken.
        bands: name of a score of `shares` -> band over the share kept, in the colour of its line.
        title: above the axes.
    """
    if not shares:
        raise InputError("`shares` must hold at least one score.")
    colors = _line_colors(shares, bands or {})
    for name, values in shares.items():
        ax.plot(
            rates, values, color=colors[name], linewidth=1.4, label=name, drawstyle="steps-post"
        )
    for i, (name, values) in enumerate((references or {}).items()):
        _draw_reference(ax, rates, values, name, i, "steps-post")
    for name, band in (bands or {}).items():
        _draw_band(ax, 1.0 - band.coverage, band, colors[name])
    highest = [float(np.max(np.asarray(values))) for values in shares.values()]
    highest += [float(band.upper.max()) for band in (bands or {}).values()]
    ax.set(
        xlim=(0, float(np.max(np.asarray(rates)))),
        ylim=(0, 1.08 * max(highest) or 1.0),
        xlabel="share of images referred",
        ylabel=f"share of {class_name} missed silently",
    )
    return _finish(ax, title)


def _line_colors(lines: Mapping[str, object], bands: Mapping[str, object]) -> dict[str, str]:
    unknown = [name for name in bands if name not in lines]
    if unknown:
        raise InputError(f"`bands` names {unknown[0]!r}; the lines are {', '.join(lines)}.")
    return {name: LINE_COLORS[i % len(LINE_COLORS)] for i, name in enumerate(lines)}


def _draw_band(ax: Axes, x: NDArray[np.float64], band: _Band, color: str) -> None:
    label = f"{100 * band.level:g} % of resampled groups"
    ax.fill_between(x, band.lower, band.upper, color=color, alpha=0.15, lw=0, label=label, zorder=1)


def _draw_reference(
    ax: Axes, x: ArrayLike, y: ArrayLike, name: str, number: int, steps: _Steps
) -> None:
    style = _BROKEN[number % len(_BROKEN)]
    ax.plot(
        x,
        y,
        color="#777777",
        linewidth=1.1,
        linestyle=style,
        label=name,
        drawstyle=steps,
        zorder=1.5,
    )


def _finish(ax: Axes, title: str | None) -> Axes:
    ax.legend(loc="upper center", bbox_to_anchor=(0.46, -0.17), ncols=2, columnspacing=1.2)
    if title is not None:
        ax.set_title(title, loc="left")
    return ax
