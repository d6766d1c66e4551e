"""A planted shortcut in one figure: scores of both models on the left, their maps on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from bayescam.report.maps import scale_map, upsample_map
from bayescam.report.style import figure_style

__all__ = [
    "ShortcutExamples",
    "draw_shortcut_example",
    "draw_shortcut_scores",
    "shortcut_figure",
]

_COLORS = {"planted": "#E8740C", "control": "#0072B2"}
_TRAINED = {"planted": "trained with it", "control": "trained without it"}
_LINES: dict[str, dict[str, Any]] = {
    "draws": {"linewidth": 4.0, "alpha": 0.35},
    "groups": {"linewidth": 0.9},
}
_OPACITY = 0.75
_SPREAD, _STEP = 0.34, 0.12  # half the height of the lines of one score, and between two of them

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ShortcutExamples:
    """Some test images with the artefact and what both models make of them.

    Attributes:
        images: uint8 RGB (E, H, W, 3), with the artefact.
        masks: Of the artefacts, (E, H, W).
        labels: Right classes, E names.
        maps: By model, the mean map of the planted class, (E, h, w), signed and unnormalised.
        probs: By model, the mean probability of the planted class without and with the artefact,
            (2, E).
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    labels: ArrayLike
    maps: Mapping[str, Floats]
    probs: Mapping[str, Floats]


def shortcut_figure(
    tables: Sequence[pd.DataFrame],
    examples: ShortcutExamples,
    *,
    planted_class: str,
    artefact: str,
    groups: str = "groups",
) -> Figure:
    """A figure of the scores of one or several seeds beside example maps.

    Args:
        tables: one per seed, with columns score, model ("planted", "control", others are not
            drawn), estimate, draws_lower, draws_upper, groups_lower, groups_upper.
        examples: of one of the seeds; a row each.
        planted_class: the class that the artefact was planted in.
        artefact: its name.
        groups: what was resampled: "lesions", "patients".
    """
    with figure_style():
        num_examples = len(examples.images)
        figure = Figure(figsize=(11.0, 0.8 + 1.6 * num_examples), layout="constrained")
        left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(0.47, 0.53)))
        ax = left.subplots()
        draw_shortcut_scores(tables, ax=ax, groups=groups)
        ax.set_title(f"{artefact.replace('_', ' ')} planted in {planted_class}", loc="left")
        panels = right.subplots(num_examples, 3, squeeze=False)
        for row, axes in enumerate(panels):
            draw_shortcut_example(examples, row, axes=axes, planted_class=planted_class)
        for title, panel in zip(("test image", *_TRAINED.values()), panels[0], strict=True):
            panel.set_title(title)
    return figure


def draw_shortcut_scores(
    tables: Sequence[pd.DataFrame], *, ax: Axes, groups: str = "groups"
) -> Axes:
    """Draws every score of both models: a dot, a pale line over draws, a thin one over groups."""
    names = list(tables[0]["score"].unique())
    spread = min(_SPREAD, _STEP * len(tables))
    places = np.linspace(-spread, spread, len(_COLORS) * len(tables) + 1)
    places = np.delete(places, len(tables))  # room between the two models
    for number, model in enumerate(_COLORS):
        for seed, table in enumerate(tables):
            rows = table[table["model"] == model].set_index("score").loc[names]
            heights = np.arange(len(names)) + places[number * len(tables) + seed]
            for kind, look in _LINES.items():
                ends = rows[f"{kind}_lower"], rows[f"{kind}_upper"]
                ax.hlines(heights, *ends, color=_COLORS[model], **look)
            ax.plot(rows["estimate"], heights, "o", color=_COLORS[model], markersize=2.8)
    ax.set_yticks(range(len(names)), [_broken(name) for name in names])
    ax.set(xlim=(-0.01, 1.01), ylim=(len(names) - 0.5, -0.5), xlabel="share")
    ax.tick_params(axis="y", length=0)
    for height in np.arange(len(names) - 1) + 0.5:
        ax.axhline(height, color="#dddddd", linewidth=0.6)
    _draw_key(ax, len(tables), groups)
    return ax


def draw_shortcut_example(
    examples: ShortcutExamples, index: int, *, axes: Sequence[Axes], planted_class: str
) -> list[Axes]:
    """Draws one image with its artefact, and `relu(mean map)` of both models on it: three axes."""
    image, mask = examples.images[index], examples.masks[index]
    for ax in axes:
        ax.imshow(image)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    axes[0].set_ylabel(str(np.asarray(examples.labels)[index]))
    for ax, model in zip(axes[1:], _COLORS, strict=True):
        cam = scale_map(upsample_map(examples.maps[model][index], mask.shape))
        ax.imshow(cam, cmap=mpl.colormaps["inferno"], vmin=0, vmax=1, alpha=_OPACITY * cam)
        ax.contour(mask, [0.5], colors="white", linewidths=1.0)
        before, after = examples.probs[model][:, index]
        ax.set_xlabel(f"P({planted_class}) {before:.2f} → {after:.2f}", fontsize=8)
    return list(axes)


def _broken(name: str) -> str:
    """A long name on two lines, cut at the middlemost space."""
    if len(name) < 20:
        return name
    spaces = [place for place, letter in enumerate(name) if letter == " "]
    cut = min(spaces, key=lambda place: abs(place - len(name) / 2))
    return f"{name[:cut]}\n{name[cut + 1 :]}"


def _draw_key(ax: Axes, num_seeds: int, groups: str) -> None:
    """The key, below the axes."""
    grey = "#444444"
    entries = [
        *(
            Line2D([], [], color=color, marker="o", markersize=2.8, label=_TRAINED[model])
            for model, color in _COLORS.items()
        ),
        Line2D([], [], color=grey, label="95 % of the draws", **_LINES["draws"]),
        Line2D([], [], color=grey, label=f"95 %, {groups} resampled", **_LINES["groups"]),
    ]
    if num_seeds > 1:
        ax.set_xlabel(f"share ({num_seeds} seeds, one line each)")
    ax.figure.legend(handles=entries, loc="outside lower center", ncols=2)
