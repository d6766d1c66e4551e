"""A strip of heat maps: one image, the maps of single draws with their probability, mean and sd.

All maps of a strip share one scale in the units of the map, so that a faint draw looks faint.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import ArrayLike, NDArray

from bayescam.report.maps import check_image, upsample_map
from bayescam.types import InputError

__all__ = ["draw_map_strip"]

_OPACITY = 0.75


def draw_map_strip(
    image: ArrayLike,
    cams: ArrayLike,
    probs: ArrayLike,
    mean_map: ArrayLike,
    sd_map: ArrayLike,
    *,
    axes: Sequence[Axes],
    target: str,
    draws: Sequence[int] | None = None,
    colormap: str = "inferno",
    mask: ArrayLike | None = None,
) -> list[Axes]:
    """Draws image | `relu(map)` of D single draws | `relu(mean map)` | sd of the map.

    Args:
        image: (H, W, 3) or (H, W), values 0..255.
        cams: (D, h, w), signed maps of the draws to show.
        probs: (D,), the probability of the target in each of these draws.
        mean_map: (h, w), mean over all draws, not only these.
        sd_map: (h, w), standard deviation over all draws.
        axes: D + 3 axes.
        target: the explained class.
        draws: D numbers of the draws, written above; by default 0, 1, 2, ...
        colormap: of the maps.
        mask: (H, W), outlined in the image where it is nonzero.

    Returns:
        The axes. Maps are enlarged by bilinear interpolation; those of the draws and the mean have
        one scale, whose bar is below the mean, the sd has a bar of its own.

    Raises:
        InputError: shapes that do not fit, or another number of axes.
    """
    picture = check_image(image)
    maps, mean, sd = (np.asarray(part, np.float64) for part in (cams, mean_map, sd_map))
    shares = np.asarray(probs, np.float64)
    _check(maps, shares, mean, sd, axes)
    numbers = range(len(maps)) if draws is None else draws
    size = (picture.shape[0], picture.shape[1])
    norm = Normalize(
        0.0, float(max(maps.max(), mean.max())) if max(maps.max(), mean.max()) > 0 else 1.0
    )
    axes[0].imshow(picture, cmap="gray", vmin=0, vmax=255)
    axes[0].set_title("image", fontsize=8)
    _outline(axes[0], mask, size)
    for ax, cam, share, number in zip(axes[1:-2], maps, shares, numbers, strict=True):
        _draw_map(ax, picture, upsample_map(cam, size), colormap, norm)
        ax.set_title(f"draw {number}", fontsize=8)
        ax.set_xlabel(f"P({target})\n{share:.2f}", fontsize=8)
    _draw_map(axes[-2], picture, upsample_map(mean, size), colormap, norm)
    axes[-2].set_title("relu(mean)", fontsize=8)
    _draw_bar(axes[-2], ScalarMappable(norm, colormap))
    spread = Normalize(0.0, float(sd.max()) or 1.0)
    axes[-1].imshow(upsample_map(sd, size), cmap="viridis", norm=spread)
    axes[-1].set_title("sd", fontsize=8)
    _draw_bar(axes[-1], ScalarMappable(spread, "viridis"))
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return list(axes)


def _draw_map(
    ax: Axes,
    picture: NDArray[np.uint8],
    cam: NDArray[np.float64],
    colormap: str,
    norm: Normalize,
) -> None:
    positive = np.maximum(cam, 0.0)
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
    opacity = _OPACITY * np.clip(positive / norm.vmax, 0.0, 1.0)
    ax.imshow(positive, cmap=mpl.colormaps[colormap], norm=norm, alpha=opacity)


def _draw_bar(ax: Axes, mappable: ScalarMappable) -> None:
    """A bar just below the axes, which keep their size."""
    bar = ax.figure.colorbar(
        mappable, cax=ax.inset_axes((0.0, -0.13, 1.0, 0.06)), orientation="horizontal"
    )
    bar.outline.set_visible(False)
    bar.ax.locator_params(nbins=3)
    bar.ax.tick_params(labelsize=7, length=2)


def _outline(ax: Axes, mask: ArrayLike | None, size: tuple[int, int]) -> None:
    if mask is None:
        return
    inside = (np.asarray(mask) > 0).astype(np.float64)
    if inside.shape != size:
        raise InputError(f"`mask` must have the size of the image, {size}; got {inside.shape}.")
    if np.ptp(inside) > 0:
        ax.contour(inside, [0.5], colors="black", linewidths=1.6)
        ax.contour(inside, [0.5], colors="white", linewidths=0.8)


def _check(
    maps: NDArray[np.float64],
    probs: NDArray[np.float64],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    axes: Sequence[Axes],
) -> None:
    if maps.ndim != 3 or probs.shape != maps.shape[:1]:
        raise InputError(
            f"`cams` must have shape (D, h, w) and `probs` (D,); got {maps.shape}, {probs.shape}."
        )
    if not maps.shape[1:] == mean.shape == sd.shape:
        raise InputError(
            f"`mean_map` and `sd_map` must have the shape of each map, {maps.shape[1:]}; got "
            f"{mean.shape}, {sd.shape}."
        )
    if len(axes) != len(maps) + 3:
        raise InputError(f"`axes` must be {len(maps) + 3} axes; got {len(axes)}.")
