"""Original | heat map | overlay, pixel for pixel at the size of the image, in any colour map.

The usual figure of Grad-CAM articles. Each heat map is scaled to its own largest value, so its
colours say where, not how much; `draw_map_panels` has the units.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from bayescam.report.maps import check_image, scale_map, upsample_map
from bayescam.report.style import figure_style
from bayescam.types import InputError

__all__ = ["color_overlay", "draw_overlays", "faded_overlay", "overlay_figure"]

_PANEL_INCHES, _GAP, _MARGIN = 2.6, 0.08, 0.3


def color_overlay(
    image: ArrayLike, cam: ArrayLike, *, colormap: str = "inferno", opacity: float = 0.4
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The heat map of `relu(cam)` and its overlay on the image, uint8 (H, W, 3) each.

    Args:
        image: (H, W, 3) or (H, W), values 0..255.
        cam: (h, w), signed and unnormalised; enlarged by bilinear interpolation.
        colormap: a name of matplotlib: "inferno", "viridis"; "jet" only where an article has it.
        opacity: of the heat map in the overlay, the same everywhere.

    Returns:
        The heat map, from the least to the largest value of `relu(cam)`; all of the lowest colour
        where no value is positive. The overlay `(1 - opacity) * image + opacity * heat map`.

    Raises:
        InputError: shapes that do not fit, an unknown colour map, or an opacity outside [0, 1].
    """
    picture = check_image(image)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., np.newaxis], 3, axis=2)
    if colormap not in mpl.colormaps:
        raise InputError(f"`colormap` must be one of matplotlib; got {colormap!r}.")
    if not 0.0 <= opacity <= 1.0:
        raise InputError(f"`opacity` must lie between 0 and 1; got {opacity}.")
    positive = np.maximum(np.asarray(cam, dtype=np.float64), 0.0)
    scaled = scale_map(upsample_map(positive, (picture.shape[0], picture.shape[1])))
    heat = mpl.colormaps[colormap](scaled, bytes=True)[..., :3]
    mixed = (1.0 - opacity) * picture + opacity * heat.astype(np.float64)
    return heat, np.rint(mixed).astype(np.uint8)


def faded_overlay(
    image: ArrayLike, cam: ArrayLike, *, colormap: str = "inferno", opacity: float = 0.7
) -> NDArray[np.uint8]:
    """`relu(cam)` in colour on the image, uint8 (H, W, 3); where nothing is positive, the image.

    Args:
        image: (H, W, 3), values 0..255.
        cam: (h, w), signed and unnormalised; enlarged by bilinear interpolation.
        colormap: a name of matplotlib.
        opacity: of the largest value; that of the others is in proportion.

    Raises:
        InputError: as `color_overlay`.
    """
    picture = check_image(image)
    grown = upsample_map(cam, (picture.shape[0], picture.shape[1]))
    heat, _ = color_overlay(picture, grown, colormap=colormap, opacity=opacity)
    weight = opacity * scale_map(grown)[..., np.newaxis]
    return np.rint((1.0 - weight) * picture + weight * heat.astype(np.float64)).astype(np.uint8)


def draw_overlays(
    image: ArrayLike,
    cam: ArrayLike,
    *,
    axes: Sequence[Sequence[Axes]],
    colormaps: Sequence[str] = ("inferno",),
    opacity: float = 0.4,
) -> list[list[Axes]]:
    """Draws one row per colour map: original | heat map | overlay.

    Args:
        image: (H, W, 3) or (H, W), values 0..255.
        cam: (h, w), signed and unnormalised.
        axes: as many rows as there are colour maps, of three axes each.
        colormaps: names of matplotlib.
        opacity: see `color_overlay`.

    Returns:
        The axes, which are filled by the panels; `overlay_figure` makes them of the size of the
        image, pixel for pixel.

    Raises:
        InputError: as `color_overlay`, or another number of axes.
    """
    picture = check_image(image)
    if [len(row) for row in axes] != [3] * len(colormaps):
        raise InputError(
            f"`axes` must be {len(colormaps)} rows of three axes, one for each colour map; got "
            f"{[len(row) for row in axes]}."
        )
    for number, (row, name) in enumerate(zip(axes, colormaps, strict=True)):
        panels = (picture, *color_overlay(picture, cam, colormap=name, opacity=opacity))
        titles = ("original", "heat map", "overlay")
        for ax, panel, title in zip(row, panels, titles, strict=True):
            ax.imshow(panel, cmap="gray", vmin=0, vmax=255, interpolation="none", aspect="auto")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            if number == 0:
                ax.set_title(title)
        row[0].set_ylabel(name)
    return [list(row) for row in axes]


def overlay_figure(
    image: ArrayLike,
    cam: ArrayLike,
    *,
    colormaps: Sequence[str] = ("inferno",),
    title: str = "",
    opacity: float = 0.4,
) -> Figure:
    """A figure of `draw_overlays` whose panels have one dot per pixel of the image.

    That holds at the figure's own resolution: save it with `figure.savefig(path)`. Arguments as in
    `draw_overlays`; `title` stands above all.

    Raises:
        InputError: as `color_overlay`.
    """
    height, width = check_image(image).shape[:2]
    dpi = width / _PANEL_INCHES
    gap, margin = round(_GAP * dpi), round(_MARGIN * dpi)
    above = margin * (2 if title else 1)
    size = (3 * width + 2 * gap + 2 * margin, len(colormaps) * (height + gap) + above + margin)
    with figure_style():
        figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi)
        axes = []
        for row in range(len(colormaps)):
            bottom = (size[1] - above - (row + 1) * height - row * gap) / size[1]
            lefts = [(margin + column * (width + gap)) / size[0] for column in range(3)]
            box = (width / size[0], height / size[1])
            axes.append([figure.add_axes((left, bottom, *box)) for left in lefts])
        draw_overlays(image, cam, axes=axes, colormaps=colormaps, opacity=opacity)
        if title:
            figure.suptitle(title, y=1 - 0.35 * above / size[1], va="center", fontsize=10)
    return figure
