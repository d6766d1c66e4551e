from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from bayescam.report import draw_confusion, draw_confusion_intervals
from bayescam.types import InputError
from bayescam.uncertainty import ConfusionIntervals, confusion_over_draws


def test_confusion_colours_rows_and_writes_counts() -> None:
    ax = draw_confusion([[3, 1], [0, 1200]], ["mel", "nv"], ax=Figure().subplots())
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.75, 0.25], [0, 1]])
    assert [text.get_text() for text in ax.texts] == ["3", "1", "0", "1,200"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["mel", "nv"]
    with pytest.raises(InputError, match=r"`table` must have shape \(2, 2\)"):
        draw_confusion(np.ones((3, 3), int), ["mel", "nv"], ax=ax)


def test_a_class_without_images_has_an_empty_row() -> None:
    ax = draw_confusion([[0, 0], [1, 1]], ["mel", "nv"], ax=Figure().subplots())
    np.testing.assert_allclose(ax.images[0].get_array(), [[0, 0], [0.5, 0.5]])


def test_intervals_are_written_in_every_cell_that_is_not_zero_throughout() -> None:
    nan = np.nan
    table = ConfusionIntervals(
        np.array([[0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [nan, nan, nan]]),
        np.array([[0.5, 0.0, 0.0], [0.0, 0.9, 0.0], [nan, nan, nan]]),
        np.array([[1.0, 0.5, 0.0], [0.04, 1.0, 0.0], [nan, nan, nan]]),
        np.zeros((3, 3)),
        0.9,
        "share",
        "draws",
    )
    ax = draw_confusion_intervals(
        table, ["mel", "nv", "df"], ax=Figure().subplots(), counts=[4, 1200, 0]
    )
    assert [text.get_text() for text in ax.texts] == [
        *("0.75", "0.50–1.00", "0.25", "0.00–0.50", "0"),
        *("0.00", "0.00–0.04", "1.00", "0.90–1.00", "0"),
        *("–", "–", "–"),
    ]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["mel (4)", "nv (1,200)", "df (0)"]
    assert ax.get_xlabel().endswith("share of the true class, 90 % of the draws below")
    np.testing.assert_allclose(ax.images[0].get_array()[2], 0.0)


def test_images_are_whole_numbers_coloured_by_their_share() -> None:
    probs = np.tile([[[0.9, 0.1]], [[0.2, 0.8]]], (1, 4, 1))
    ax = draw_confusion_intervals(
        confusion_over_draws(probs, [0, 0, 0, 1], unit="images"), ["a", "b"], ax=Figure().subplots()
    )
    assert ax.texts[0].get_text() == "2"  # 3 and 0, on average 1.5
    np.testing.assert_allclose(ax.images[0].get_array(), 0.5)
    with pytest.raises(InputError, match=r"`table.estimate` must have shape \(3, 3\); got"):
        draw_confusion_intervals(confusion_over_draws(probs, [0, 0, 0, 1]), "abc", ax=ax)
