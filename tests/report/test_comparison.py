from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bayescam.report import draw_posterior_comparison
from bayescam.types import InputError

COLUMNS = {
    "dense": {"accuracy": (0.8, 0.78, 0.82), "NLL": (0.6, 0.55, 0.65)},
    "flipout": {"accuracy": (0.81, np.nan, np.nan)},
}


def test_each_model_has_a_row_and_each_score_its_axes() -> None:
    axes = draw_posterior_comparison(COLUMNS, axes=Figure().subplots(1, 2), reference="dense")
    (dense, dense_dot, alone), other = axes[0].lines, axes[1].lines
    np.testing.assert_allclose(dense.get_data(), [[0.78, 0.82], [0, 0]])
    np.testing.assert_allclose(dense_dot.get_data(), [[0.8], [0]])
    np.testing.assert_allclose(alone.get_data(), [[0.81], [1]])
    assert len(other) == 2  # flipout has no NLL
    assert dense_dot.get_color() != alone.get_color()
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == ["dense", "flipout"]
    assert axes[0].get_ylim()[0] > axes[0].get_ylim()[1]
    assert [ax.get_xlabel() for ax in axes] == ["accuracy", "NLL"]


def test_a_difference_is_hollow_where_it_may_be_zero() -> None:
    differences = {"b": {"x": (0.1, -0.1, 0.3)}, "c": {"x": (0.2, 0.1, 0.3)}, "d": {}}
    (ax,) = draw_posterior_comparison(
        differences, axes=[Figure().subplots()], differences=True, reference="a"
    )
    faces = [to_hex(line.get_markerfacecolor()) for line in ax.lines if line.get_marker() == "o"]
    assert faces == ["#ffffff", "#0072b2"]
    assert ax.lines[0].get_xdata() == [0.0, 0.0]
    assert ax.get_xlabel() == "x\nminus that of a"


@pytest.mark.parametrize(
    ("columns", "options", "match"),
    [
        ({}, {}, "at least one model"),
        ({"a": {"x": (0, 0, 0), "y": (0, 0, 0)}}, {}, "`axes` must be 2, one for each score"),
        ({"a": {"x": (0, 0, 0)}}, {"reference": "b"}, "`reference` must be one of a; got 'b'"),
    ],
)
def test_bad_input_is_named(columns: dict, options: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        draw_posterior_comparison(columns, axes=[Figure().subplots()], **options)
