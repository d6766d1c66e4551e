from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from bayescam.report import (
    class_colors,
    draw_class_coverage,
    draw_missed_silently,
    draw_ridges,
    draw_set_sizes,
)
from bayescam.types import InputError


def test_set_sizes_are_bars_side_by_side_with_their_mean() -> None:
    shares = {"LAC": [0.1, 0.6, 0.3, 0.0], "APS": [0.0, 0.5, 0.5, 0.0]}
    ax = draw_set_sizes(shares, ax=Figure().subplots())
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == [0.1, 0.6, 0.3, 0.0, 0.5, 0.5]  # no set has three classes: not drawn
    centres = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
    np.testing.assert_allclose(centres, [-0.2, 0.8, 1.8, 0.2, 1.2, 2.2])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["LAC (mean 1.20)", "APS (mean 1.50)"]
    with pytest.raises(InputError, match="one row of equal length"):
        draw_set_sizes({"LAC": [0.1, 0.9], "APS": [1.0]}, ax=ax)


def test_class_coverage_has_dots_bands_and_the_promise() -> None:
    ax = draw_class_coverage(
        {"one": [0.5, np.nan], "each": [0.95, 0.9]},
        [(0.8, 1.0), None],
        ["mel", "nv"],
        ax=Figure().subplots(),
        promised=0.9,
    )
    dots = [collection.get_offsets() for collection in ax.collections]
    np.testing.assert_allclose(dots[1], [[0.95, 0.18], [0.9, 1.18]])
    assert dots[0][0][0] == 0.5
    (band,) = ax.patches
    assert (band.get_x(), band.get_width(), band.get_y()) == pytest.approx((0.8, 0.2, -0.31))
    assert ax.lines[0].get_xdata() == [0.9, 0.9]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["mel", "nv"]
    assert ax.get_xlim() == pytest.approx((0.46, 1.0))
    with pytest.raises(InputError, match="must be of 1 classes"):
        draw_class_coverage({"a": [0.5, 0.6]}, [None], ["x"], ax=ax, promised=0.9)


def test_ridges_are_smoothed_histograms_of_one_height_on_their_own_row() -> None:
    own, others = np.zeros((2, 200)), np.zeros((2, 200))
    own[0, 150], others[0, 0] = 40, 7000
    ax = draw_ridges(own, others, ["mel", "nv"], ax=Figure().subplots(), counts=[1, 0])
    grey, ridge, _, empty = ax.lines
    x, y = ridge.get_data()
    assert x[np.argmax(y)] == pytest.approx(150.5 / 200)
    assert (y.min(), y.max()) == pytest.approx((1.0, 1.86), abs=1e-6)
    # a Gaussian kernel of sd 0.012: at one sd (2.4 bins) the height falls by exp(-1/2)
    at_sd = np.interp(150.5 / 200 + 0.012, x, y) - 1
    assert at_sd / 0.86 == pytest.approx(np.exp(-0.5), rel=0.03)
    assert np.argmax(grey.get_ydata()) == 0
    np.testing.assert_allclose(empty.get_ydata(), 0.0)
    assert ridge.get_color() == class_colors(["mel", "nv"])["mel"]
    assert to_rgba(ax.collections[0].get_facecolor()[0], 1) == to_rgba(ridge.get_color())
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["mel (1)", "nv (0)"]
    with pytest.raises(InputError, match=r"`own` and `others` must have shape \(1, B\)"):
        draw_ridges(own, others, ["mel"], ax=ax)


def test_silent_misses_are_lines_over_the_referred_share() -> None:
    ax = draw_missed_silently(
        [0.0, 0.5], {"entropy": [0.4, 0.1]}, "mel", ax=Figure().subplots(), title="t"
    )
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.4, 0.1])
    assert ax.get_ylim() == pytest.approx((0.0, 0.44))
    assert ax.get_ylabel() == "share of mel missed silently"
    with pytest.raises(InputError, match="at least one score"):
        draw_missed_silently([0.0], {}, "mel", ax=ax)
