from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from bayescam.report import class_colors, draw_ridges
from bayescam.types import InputError


def test_ridges_have_one_height_on_their_own_row() -> None:
    own, others = np.zeros((2, 200)), np.zeros((2, 200))
    own[0, 150], others[0, 0] = 40, 7000
    ax = draw_ridges(own, others, ["mel", "nv"], ax=Figure().subplots(), counts=[1, 0])
    grey, ridge, _, empty = ax.lines
    x, y = ridge.get_data()
    assert x[np.argmax(y)] == pytest.approx(150.5 / 200)
    assert (x[0], x[-1]) == (0.0, 1.0)
    assert (y.min(), y.max()) == pytest.approx((1.0, 1.86), abs=1e-6)
    assert np.argmax(grey.get_ydata()) == 0
    np.testing.assert_allclose(empty.get_ydata(), 0.0)
    assert ridge.get_color() == class_colors(["mel", "nv"])["mel"]
    assert to_rgba(ax.collections[0].get_facecolor()[0], 1) == to_rgba(ridge.get_color())
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["mel (1)", "nv (0)"]
    with pytest.raises(InputError, match=r"`own` and `others` must have shape \(1, B\)"):
        draw_ridges(own, others, ["mel"], ax=ax)


@pytest.mark.parametrize(("sd", "count"), [(0.1, 1_000), (0.01, 100_000)])
def test_a_normal_law_is_widened_by_silvermans_kernel_and_by_no_more_than_0012(
    sd: float, count: int
) -> None:
    """Variances add: of the law, of the kernel and of the bins."""
    places = (np.arange(200) + 0.5) / 200
    law = count * np.exp(-0.5 * ((places - 0.5) / sd) ** 2) / (sd * np.sqrt(2 * np.pi) * 200)
    ax = draw_ridges([law], [law], ["mel"], ax=Figure().subplots())
    x, y = ax.lines[1].get_data()
    weight = y[1:-1] / y[1:-1].sum()
    drawn = weight @ (x[1:-1] - 0.5) ** 2
    kernel = min(0.012, 0.9 * sd * count**-0.2)
    assert drawn == pytest.approx(sd**2 + kernel**2, rel=0.01)


def test_a_ridge_at_an_edge_is_reflected_and_not_drawn_wider_than_it_is() -> None:
    spike = np.zeros((1, 200))
    spike[0, 0] = 10_000
    ax = draw_ridges(spike, spike, ["mel"], ax=Figure().subplots())
    x, y = ax.lines[1].get_data()
    assert np.argmax(y) == 0
    assert y[x > 0.01].max() < 1e-3
    broad = np.full((1, 200), 50.0)  # reflection keeps a uniform law as it is
    _, flat = draw_ridges(broad, broad, ["mel"], ax=Figure().subplots()).lines[1].get_data()
    np.testing.assert_allclose(flat, 0.86)
