from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from bayescam.report import (
    draw_bin_counts,
    draw_entropy_histograms,
    draw_reliability,
)
from bayescam.uncertainty import reliability_curve


def test_reliability_shows_bins_error_and_counts() -> None:
    probs = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.1, 0.9]])
    curve = reliability_curve(probs, [0, 1, 0, 1], num_bins=10)
    ax = draw_reliability(curve, ax=Figure().subplots(), title="test split")
    line = ax.lines[1]
    np.testing.assert_allclose(line.get_xdata(), [0.65, 0.9333333333])
    np.testing.assert_allclose(line.get_ydata(), [1.0, 2 / 3])
    assert ax.get_legend().get_title().get_text() == f"ECE {curve.expected_calibration_error:.3f}"
    assert ax.get_title(loc="left") == "test split"
    below = draw_bin_counts(curve, ax=Figure().subplots())
    assert [bar.get_height() for bar in below.patches] == [0] * 6 + [1, 0, 0, 3]
    np.testing.assert_allclose([bar.get_x() for bar in below.patches], np.arange(10) / 10)
    assert (below.get_yscale(), below.get_ylim()) == ("log", (0.7, 6.0))


def test_entropy_histograms_hold_right_and_wrong_images() -> None:
    entropy = np.array([0.05, 0.05, 0.1, 0.6])
    ax = draw_entropy_histograms(
        entropy, [True, True, True, False], ax=Figure().subplots(), num_classes=2
    )
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["right (3)", "wrong (1)"]
    width = np.log(2) / 30
    heights = [collection.get_paths()[0].vertices[:, 1].max() for collection in ax.collections]
    assert heights == pytest.approx([2 / 3 / width, 1 / width])
    assert ax.get_xlim() == pytest.approx((0, np.log(2)))
    only_right = draw_entropy_histograms([0.1], [True], ax=Figure().subplots(), num_classes=2)
    assert [t.get_text() for t in only_right.get_legend().get_texts()] == ["right (1)"]
