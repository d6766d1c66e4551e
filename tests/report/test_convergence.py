from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from bayescam.report import draw_convergence
from bayescam.types import InputError
from bayescam.uncertainty import DrawsConvergence


def curve(enough: int, points: int = 3) -> DrawsConvergence:
    draws, middle = np.array([10, 50, 100])[:points], np.array([0.2, 0.4, 0.3])[:points]
    return DrawsConvergence(
        "sd_probs", draws, middle, middle - 0.1, middle + 0.2, 0.9, 0.05, enough
    )


def test_band_tolerance_and_the_number_that_is_enough_stand_where_they_should() -> None:
    ax = draw_convergence(curve(62), ax=Figure().subplots())
    last, estimate, enough = ax.lines
    np.testing.assert_allclose(last.get_ydata(), 0.3)
    np.testing.assert_allclose(estimate.get_data(), [[10, 50, 100], [0.2, 0.4, 0.3]])
    assert enough.get_xdata() == [62, 62]
    (span,) = ax.patches
    assert (span.get_y(), span.get_y() + span.get_height()) == pytest.approx((0.25, 0.35))
    corners = {tuple(v) for v in ax.collections[0].get_paths()[0].vertices.round(9).tolist()}
    assert {(10.0, 0.1), (50.0, 0.6), (100.0, 0.2), (100.0, 0.5)} <= corners
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[-1] == "62 draws are enough"
    assert "90 % Monte Carlo band" in labels
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "20", "50", "100"]


def test_more_draws_than_there_are_are_said_not_drawn() -> None:
    ax = draw_convergence(curve(1234), ax=Figure().subplots(), label="sd", title="a")
    assert ax.get_xlim() == (10, 100)
    assert all(max(line.get_xdata(), default=0) <= 100 for line in ax.lines)
    assert ax.get_legend().get_texts()[-1].get_text() == "1,234 draws are enough (not reached)"
    with pytest.raises(InputError, match="at least two points; got 1"):
        draw_convergence(curve(5, points=1), ax=ax)
