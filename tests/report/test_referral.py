from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from bayescam.report import draw_missed_silently, draw_risk_coverage
from bayescam.types import InputError
from bayescam.uncertainty import ReferralBand, risk_coverage


def band(lower: list[float], upper: list[float]) -> ReferralBand:
    return ReferralBand(np.array([0.5, 1.0]), np.array(lower), np.array(upper), 0.95)


def test_risk_coverage_draws_each_score_as_steps_with_its_area() -> None:
    correct = np.array([True] * 8 + [False] * 2)
    curves = {
        "entropy": risk_coverage(np.arange(10.0), correct),
        "other": risk_coverage(-np.arange(10.0), correct),
    }
    references = {"random": risk_coverage(np.ones(10), correct)}
    ax = draw_risk_coverage(
        curves,
        ax=Figure().subplots(),
        references=references,
        bands={"entropy": band([0, 0.1], [0.2, 1.5])},
    )
    for line, (name, curve) in zip(ax.lines[:2], curves.items(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), curve.risk)
        np.testing.assert_array_equal(line.get_xdata(), curve.coverage)
        assert line.get_drawstyle() == "steps-pre"
        assert line.get_label() == f"{name} (AURC {curve.aurc:.3f})"
    np.testing.assert_allclose(ax.lines[2].get_ydata(), 0.2)
    (area,) = ax.collections
    corners = {tuple(corner) for corner in area.get_paths()[0].vertices.tolist()}
    assert corners == {(0.5, 0.0), (0.5, 0.2), (1.0, 0.1), (1.0, 1.5)}
    assert area.get_label() == "95 % of resampled groups"
    assert ax.get_ylim() == pytest.approx((0.0, 1.08 * 1.5))
    with pytest.raises(InputError, match="at least one curve"):
        draw_risk_coverage({}, ax=ax)
    with pytest.raises(InputError, match="`bands` names 'x'; the lines are entropy, other"):
        draw_risk_coverage(curves, ax=ax, bands={"x": band([0, 0], [1, 1])})


def test_risk_coverage_without_errors_is_drawn() -> None:
    ax = draw_risk_coverage(
        {"entropy": risk_coverage([0.1, 0.2], [True, True])}, ax=Figure().subplots()
    )
    assert ax.get_ylim() == (0.0, 1.0)


def test_silent_misses_are_steps_over_the_referred_share() -> None:
    ax = draw_missed_silently(
        [0.0, 0.5],
        {"entropy": [0.4, 0.1]},
        "mel",
        ax=Figure().subplots(),
        references={"random": [0.4, 0.2]},
        bands={"entropy": band([0.0, 0.3], [0.2, 0.5])},
        title="t",
    )
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.4, 0.1])
    assert ax.lines[0].get_drawstyle() == "steps-post"
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [0.4, 0.2])
    corners = {tuple(corner) for corner in ax.collections[0].get_paths()[0].vertices.tolist()}
    assert corners == {(0.5, 0.0), (0.5, 0.2), (0.0, 0.3), (0.0, 0.5)}  # kept 1 is referred 0
    assert ax.get_ylim() == pytest.approx((0.0, 1.08 * 0.5))
    assert ax.get_ylabel() == "share of mel missed silently"
    with pytest.raises(InputError, match="at least one score"):
        draw_missed_silently([0.0], {}, "mel", ax=ax)
