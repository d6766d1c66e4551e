"""One case of the report: facts of an image and its figures, drawn and encoded."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from bayescam.report.density import draw_class_densities
from bayescam.report.html import CaseMaps, CaseReport
from bayescam.report.maps import MapMode, draw_map_panels
from bayescam.report.style import figure_style
from bayescam.types import InputError, UncertaintyDecomposition

__all__ = ["MapSummary", "build_case", "encode_figure"]

_PANEL_DPI, _DENSITY_DPI = 100, 140


@dataclass(frozen=True)
class MapSummary:
    """The distribution of the map of one target of one image.

    Attributes:
        target: the explained class.
        mean: (h, w), mean of the signed map over draws.
        sd: (h, w), standard deviation over draws.
        p_relevant: (h, w), P(map > threshold).
        threshold: in the units of the map.
        has_evidence: whether the mean is positive anywhere beyond chance; if not, that is said in
            place of a picture of `relu(mean)`.
    """

    target: str
    mean: NDArray[np.floating]
    sd: NDArray[np.floating]
    p_relevant: NDArray[np.floating]
    threshold: float
    has_evidence: bool = True


def build_case(
    image_id: str,
    image: ArrayLike,
    probs: ArrayLike,
    class_names: Sequence[str],
    *,
    entropies: UncertaintyDecomposition,
    maps: Sequence[MapSummary] = (),
    label: str | None = None,
    mask: ArrayLike | None = None,
    mode: MapMode = "relu",
    colormap: str | None = None,
    level: float = 0.95,
    flags: Sequence[str] = (),
    decisions: Sequence[str] = (),
    details: Mapping[str, str] | None = None,
) -> CaseReport:
    """The case with its figures drawn: densities of the classes, and four panels per target.

    Args:
        image_id: shown as it is; must not identify the patient.
        image: (H, W, 3) or (H, W), values 0..255.
        probs: (S, K), draws of the class probabilities of this image.
        class_names: K names.
        entropies: of this image alone: numbers, or arrays of one element.
        maps: one summary per explained class.
        label: the true class, where it is known.
        mask: (H, W), outlined in the panels.
        mode: see `draw_map_panels`.
        colormap: see `draw_map_panels`.
        level: of the equal-tailed intervals.
        flags: short remarks beside "wrong", for example "referred".
        decisions: lines on what the rules make of the image.
        details: further columns to show, chosen by the caller, for example the site of a lesion.

    Returns:
        A case of about 100 KB with one target.
    """
    draws = np.asarray(probs, dtype=np.float64)
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return CaseReport(
        image_id=image_id,
        class_names=tuple(class_names),
        mean_probs=draws.mean(axis=0),
        lower=lower,
        upper=upper,
        predictive_entropy=_number(entropies.predictive_entropy),
        expected_entropy=_number(entropies.expected_entropy),
        mutual_information=_number(entropies.mutual_information),
        num_samples=len(draws),
        label=label,
        level=level,
        density_png=_density_png(draws, class_names, level),
        maps=tuple(_case_maps(image, summary, mode, colormap, mask) for summary in maps),
        flags=tuple(flags),
        decisions=tuple(decisions),
        details=dict(details or {}),
    )


def encode_figure(figure: Figure, *, kind: Literal["png", "jpeg"] = "png", dpi: int = 120) -> bytes:
    """The figure as the bytes of a file: PNG of at most 256 colours, or JPEG for photographs."""
    figure.set_dpi(dpi)
    canvas, packed = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if kind == "png":
        picture.quantize(256, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    else:
        picture.save(packed, "JPEG", quality=85, optimize=True)
    return packed.getvalue()


def _density_png(draws: NDArray[np.float64], class_names: Sequence[str], level: float) -> bytes:
    with figure_style():
        figure = Figure(figsize=(5.2, 3.4))
        ax = figure.add_axes((0.1, 0.14, 0.885, 0.84))
        draw_class_densities(draws, class_names, ax=ax, level=level, legend="none")
        return encode_figure(figure, dpi=_DENSITY_DPI)


def _case_maps(
    image: ArrayLike,
    summary: MapSummary,
    mode: MapMode,
    colormap: str | None,
    mask: ArrayLike | None,
) -> CaseMaps:
    """Four figures of one panel each, so that a page can set them in one row or in two."""
    with figure_style():
        figures = [_panel_figure(image) for _ in range(4)]
        axes = draw_map_panels(
            image,
            summary.mean,
            summary.sd,
            summary.p_relevant,
            axes=[figure.axes[0] for figure in figures],
            threshold=summary.threshold,
            target=summary.target,
            mode=mode,
            colormap=colormap,
            mask=mask,
            has_evidence=summary.has_evidence,
        )
        panels = [encode_figure(figure, kind="jpeg", dpi=_PANEL_DPI) for figure in figures]
    return CaseMaps(summary.target, tuple(ax.get_title() for ax in axes), tuple(panels))


def _panel_figure(image: ArrayLike) -> Figure:
    """As wide as a quarter of a page, as high as the image asks, with room for title and bar."""
    height, width = np.shape(image)[:2]
    figure = Figure(figsize=(3.0, float(np.clip(2.8 * height / width, 1.4, 4.5)) + 0.7))
    figure.add_axes((0.033, 0.09, 0.933, 0.82))
    return figure


def _number(value: ArrayLike) -> float:
    array = np.asarray(value, dtype=np.float64)
    if array.size != 1:
        raise InputError(f"`entropies` must be of one image; got an array of {array.shape}.")
    return float(array.reshape(()))
