"""Map panels: original, mean map, its standard deviation and P(relevant), side by side.

Maps arrive signed, unnormalised and at map resolution. They are enlarged, rectified and coloured
here and nowhere earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError

__all__ = ["MapMode", "check_image", "draw_map_panels", "scale_map", "upsample_map"]

MapMode = Literal["relu", "signed"]

_OPACITY = 0.7
_LETTER = 0.52  # mean width of a letter, in heights of the font


def draw_map_panels(
    image: ArrayLike,
    mean_map: ArrayLike,
    sd_map: ArrayLike,
    p_relevant: ArrayLike,
    *,
    axes: Sequence[Axes],
    threshold: float,
    target: str = "",
    mode: MapMode = "relu",
    colormap: str | None = None,
    mask: ArrayLike | None = None,
    has_evidence: bool = True,
) -> list[Axes]:
    """Draws original | mean map | standard deviation of the map | P(map > threshold).

    Args:
        image: (H, W, 3) or (H, W), values 0..255.
        mean_map: (h, w), mean over draws of the signed map.
        sd_map: (h, w), standard deviation over draws.
        p_relevant: (h, w), share of the draws (or probability) with map > `threshold`.
        axes: four axes, in one figure or several.
        threshold: the c of P(map > c), in the units of the map.
        target: the explained class, named in the title of the mean map.
        mode: "relu" shows `relu(mean map)`, the usual Grad-CAM picture; "signed" shows the mean
            map itself, with colours on both sides of zero. The title says which.
        colormap: of the mean map; by default "inferno", or "RdBu_r" for the signed map.
        mask: (H, W) of the image, a region outlined in the first two panels where it is nonzero.
        has_evidence: whether the mean map is positive anywhere beyond chance. If not, "relu" would
            be a picture of noise: the second panel says so above the plain image.

    Returns:
        The four axes. Maps are enlarged to (H, W) by bilinear interpolation. The colour bars are
        in the units of the map. The overlay is the more opaque the larger the absolute value.

    Raises:
        InputError: shapes that do not fit, negative `sd_map`, `p_relevant` outside [0, 1], or not
            four axes.
    """
    picture = check_image(image)
    mean, sd, relevant = _check_maps(mean_map, sd_map, p_relevant)
    if len(axes) != 4:
        raise InputError(f"`axes` must be four axes; got {len(axes)}.")
    size = (picture.shape[0], picture.shape[1])
    for_target = f" for {target}" if target else ""
    first, second, third, fourth = axes
    _draw_original(first, picture)
    if mode == "relu" and not has_evidence:
        _draw_original(second, picture)
        second.set_title("no positive evidence" + for_target)
    else:
        _draw_overlay(second, picture, upsample_map(mean, size), mode, colormap)
        second.set_title(("relu(mean map)" if mode == "relu" else "mean map, signed") + for_target)
    _draw_map(third, upsample_map(sd, size), "viridis", Normalize(0.0, float(sd.max()) or 1.0))
    third.set_title("uncertainty of the map (sd)")
    _draw_map(fourth, upsample_map(relevant, size), "cividis", Normalize(0.0, 1.0))
    fourth.set_title(f"P(map > {threshold:.3g})")
    _fit_titles(axes)
    if mask is not None:
        _draw_outline((first, second), np.asarray(mask), size)
    return list(axes)


def upsample_map(cam: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
    """The map (h, w) at `size` (H, W), bilinear, with cell centres where the cells are.

    Pixel `i` of H reads the map at `(i + 0.5) * h / H - 0.5`, held constant beyond the outermost
    centres (half-pixel centres, as `tf.image.resize`).

    Example:
        >>> upsample_map([[0.0, 1.0]], (1, 4))
        array([[0.  , 0.25, 0.75, 1.  ]])
    """
    array = np.asarray(cam, dtype=np.float64)
    if array.ndim != 2:
        raise InputError(f"`cam` must be one map of shape (h, w); got {array.shape}.")
    rows, columns = (_bilinear(n, m) for n, m in zip(array.shape, size, strict=True))
    return rows @ array @ columns.T


def scale_map(cam: ArrayLike, *, mode: MapMode = "relu") -> NDArray[np.float64]:
    """The map for the eye: "relu" onto [0, 1], "signed" onto [-1, 1] with zero kept in place.

    "relu" cuts negative values, subtracts the minimum and divides by the range. "signed" divides
    by the largest absolute value. A constant map becomes zeros. Only for drawing: never average
    maps that were scaled one by one.
    """
    if mode not in get_args(MapMode):
        raise InputError(f"`mode` must be one of {get_args(MapMode)}; got {mode!r}.")
    array = np.asarray(cam, dtype=np.float64)
    if np.ptp(array) == 0.0:
        return np.zeros_like(array)
    if mode == "signed":
        return array / np.abs(array).max()
    positive = np.maximum(array, 0.0)
    positive = positive - positive.min()
    return positive / (positive.max() or 1.0)


def _bilinear(cells: int, pixels: int) -> NDArray[np.float64]:
    """The (pixels, cells) matrix of one-dimensional linear interpolation."""
    place = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    return np.maximum(1.0 - np.abs(place[:, np.newaxis] - np.arange(cells)), 0.0)


def _draw_original(ax: Axes, picture: NDArray[np.uint8]) -> None:
    """The image, above the room of a colour bar that is not drawn, so that the panels align."""
    bar = _draw_colorbar(ax, ax.imshow(picture, cmap="gray", vmin=0, vmax=255))
    for fill in bar.ax.collections:
        fill.set_visible(False)
    bar.ax.tick_params(color="none", labelcolor="none")
    ax.set_title("original")
    ax.set_axis_off()


def _draw_overlay(
    ax: Axes, picture: NDArray[np.uint8], cam: NDArray[np.float64], mode: MapMode, name: str | None
) -> None:
    scaled = scale_map(cam, mode=mode)
    shown = np.maximum(cam, 0.0) if mode == "relu" else cam
    largest = float(np.abs(shown).max()) or 1.0
    norm = Normalize(0.0 if mode == "relu" else -largest, largest)
    cmap = mpl.colormaps[name or ("inferno" if mode == "relu" else "RdBu_r")]
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
    ax.imshow(shown, cmap=cmap, norm=norm, alpha=_OPACITY * np.abs(scaled))
    ax.set_axis_off()
    _draw_colorbar(ax, ScalarMappable(norm, cmap))


def _draw_map(ax: Axes, cam: NDArray[np.float64], name: str, norm: Normalize) -> None:
    _draw_colorbar(ax, ax.imshow(cam, cmap=name, norm=norm))
    ax.set_axis_off()


def _draw_colorbar(ax: Axes, mappable: ScalarMappable) -> Colorbar:
    bar = ax.figure.colorbar(mappable, ax=ax, orientation="horizontal", fraction=0.06, pad=0.04)
    bar.outline.set_visible(False)
    bar.ax.locator_params(nbins=4)
    bar.ax.tick_params(labelsize=7, length=2)
    return bar


def _fit_titles(axes: Sequence[Axes]) -> None:
    """All titles in one size at which the longest stays above its panel, down to 6.5 points."""
    longest = max(len(ax.get_title()) for ax in axes)
    width = min(ax.get_window_extent().width * 72.0 / ax.figure.dpi for ax in axes)
    for ax in axes:
        size = ax.title.get_fontsize()
        ax.title.set_fontsize(float(np.clip(width / (_LETTER * longest), 6.5, size)))


def _draw_outline(axes: Sequence[Axes], mask: NDArray[np.float64], size: tuple[int, int]) -> None:
    if mask.shape != size:
        raise InputError(f"`mask` must have the size of the image, {size}; got {mask.shape}.")
    inside = (mask > 0).astype(np.float64)
    if np.ptp(inside) == 0:
        return
    for ax in axes:
        ax.contour(inside, [0.5], colors="black", linewidths=2.0)
        ax.contour(inside, [0.5], colors="white", linewidths=1.0)


def check_image(image: ArrayLike) -> NDArray[np.uint8]:
    """The image as uint8, (H, W, 3) or (H, W), or a line on what is wrong with it."""
    array = np.asarray(image)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3))):
        raise InputError(f"`image` must have shape (H, W, 3) or (H, W); got {array.shape}.")
    if array.size == 0 or array.min() < 0 or array.max() > 255:
        raise InputError("`image` must hold values from 0 to 255.")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return array.round().astype(np.uint8)


def _check_maps(*maps: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    mean, sd, relevant = (np.asarray(cam, dtype=np.float64) for cam in maps)
    if mean.ndim != 2 or not mean.shape == sd.shape == relevant.shape:
        raise InputError(
            "`mean_map`, `sd_map` and `p_relevant` must have one shape (h, w); got "
            f"{mean.shape}, {sd.shape}, {relevant.shape}."
        )
    if not all(np.isfinite(cam).all() for cam in (mean, sd, relevant)):
        raise InputError("`mean_map`, `sd_map` and `p_relevant` must be finite.")
    if sd.min() < 0:
        raise InputError("`sd_map` must not be negative.")
    if relevant.min() < -1e-6 or relevant.max() > 1 + 1e-6:
        raise InputError("`p_relevant` must lie between 0 and 1.")
    return mean, sd, relevant
