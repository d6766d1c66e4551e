from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from bayescam.report import (
    draw_class_coverage,
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
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().y1 < ax.get_window_extent().y0  # not over bars
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
