from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bayescam.report import color_overlay, draw_overlays, overlay_figure, upsample_map
from bayescam.types import InputError


def image(shape: tuple[int, ...] = (60, 90, 3)) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, size=shape).astype(np.uint8)


CAM = np.random.default_rng(2).normal(size=(4, 5))


@pytest.mark.parametrize("name", ["hot", "jet", "viridis"])
def test_colours_are_those_of_the_map_cut_at_zero_and_scaled_to_its_peak(name) -> None:
    heat, overlay = color_overlay(image(), CAM, colormap=name, opacity=0.3)
    large = upsample_map(np.maximum(CAM, 0), (60, 90))
    scaled = (large - large.min()) / (large.max() - large.min())
    np.testing.assert_array_equal(heat, mpl.colormaps[name](scaled, bytes=True)[..., :3])
    np.testing.assert_allclose(overlay, 0.7 * image() + 0.3 * heat, atol=0.5001)


def test_a_grey_image_is_laid_under_in_grey() -> None:
    grey = image((60, 90))
    _, overlay = color_overlay(grey, CAM, opacity=0.0)
    np.testing.assert_array_equal(overlay, np.repeat(grey[..., None], 3, axis=2))


def test_without_positive_evidence_the_heat_map_has_one_colour() -> None:
    heat, _ = color_overlay(image(), -np.abs(CAM), colormap="hot")
    np.testing.assert_array_equal(heat, np.broadcast_to(heat[0, 0], heat.shape))


def test_panels_are_the_pixels_themselves() -> None:
    """Each panel is found in what is drawn, without any resampling."""
    picture = image((301, 260, 3))
    figure = overlay_figure(picture, CAM, colormaps=("hot", "jet"), title="COVID-19 0.92")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3]
    wanted = [(picture, *color_overlay(picture, CAM, colormap=name)) for name in ("hot", "jet")]
    assert len(figure.axes) == 6
    for ax, panel in zip(figure.axes, (part for row in wanted for part in row), strict=True):
        box = ax.get_window_extent()
        top, left = round(len(drawn) - box.y1), round(box.x0)
        np.testing.assert_array_equal(drawn[top : top + 301, left : left + 260], panel)
    assert [ax.get_title() for ax in figure.axes[:3]] == ["original", "heat map", "overlay"]
    assert [figure.axes[i].get_ylabel() for i in (0, 3)] == ["hot", "jet"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"colormap": "rainbows"}, "`colormap` must be one of matplotlib; got 'rainbows'"),
        ({"opacity": 40}, "`opacity` must lie between 0 and 1; got 40"),
    ],
)
def test_bad_options_are_refused(options, match) -> None:
    with pytest.raises(InputError, match=match):
        color_overlay(image(), CAM, **options)


def test_overlays_want_three_axes_for_each_colour_map() -> None:
    axes = Figure().subplots(1, 3, squeeze=False)
    drawn = draw_overlays(image(), CAM, axes=axes)
    np.testing.assert_array_equal(drawn[0][2].images[0].get_array(), color_overlay(image(), CAM)[1])
    assert drawn[0][0].get_ylabel() == "inferno"
    with pytest.raises(InputError, match=r"`axes` must be 2 rows of three axes.*got \[3\]"):
        draw_overlays(image(), CAM, axes=axes, colormaps=("hot", "jet"))
