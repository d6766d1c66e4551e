from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit, softmax
from scipy.stats import norm

from bayescam.report import class_colors, draw_class_densities, figure_style, unit_interval_density
from bayescam.types import InputError

NAMES = ["bkl", "mel", "nv"]


def axes() -> Axes:
    return Figure().subplots()


def draws(logits=(0.0, 1.0, 2.0), sd: float = 0.5, num_samples: int = 200) -> np.ndarray:
    noise = sd * np.random.default_rng(0).normal(size=(num_samples, 3))
    return softmax(np.asarray(logits) + noise, axis=1)


def test_density_of_logit_normal_quantiles_is_a_logit_normal_widened_by_the_kernel() -> None:
    num_samples = 5000
    z = norm.ppf((np.arange(num_samples) + 0.5) / num_samples, -1.0, 0.8)
    spread = min(0.8, 0.8 * (norm.ppf(0.75) - norm.ppf(0.25)) / 1.34)
    bandwidth = 0.9 * spread * num_samples**-0.2
    grid = np.linspace(0.04, 0.9, 50)
    widened = np.hypot(0.8, bandwidth)
    exact = norm.pdf(np.log(grid / (1 - grid)), -1.0, widened) / (grid * (1 - grid))
    np.testing.assert_allclose(unit_interval_density(expit(z), grid), exact, atol=2e-3)


@pytest.mark.parametrize("location", [-6.0, -2.0, 0.0, 3.0])
def test_nothing_leaks_outside_of_zero_and_one(location: float) -> None:
    values = expit(np.random.default_rng(2).normal(location, 1.0, size=100))
    z = np.linspace(-13, 13, 4001)
    grid = expit(z)
    area = np.trapezoid(unit_interval_density(values, grid), grid)
    assert area == pytest.approx(1.0, abs=2e-3)


def test_curves_have_area_one_fixed_colours_and_the_right_place() -> None:
    probs, ax = draws(), axes()
    assert draw_class_densities(probs, NAMES, ax=ax, title="unsure") is ax
    assert [line.get_color() for line in ax.lines] == ["#0072B2", "#E8740C", "#009E73"]
    for line, k in zip(ax.lines, [2, 1, 0], strict=True):
        x, y = line.get_data()
        assert 0 < x.min() < x.max() < 1
        assert np.trapezoid(y, x) == pytest.approx(1.0, abs=0.01)
        assert np.trapezoid(x * y, x) == pytest.approx(probs[:, k].mean(), abs=0.02)
    assert ax.get_title(loc="left") == "unsure"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("probability", "density")


def test_legend_gives_mean_and_interval_most_probable_first() -> None:
    probs, ax = draws(), axes()
    draw_class_densities(probs, NAMES, ax=ax, level=0.9)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    lower, upper = np.quantile(probs[:, 2], [0.05, 0.95])
    assert texts[0] == f"nv  {probs[:, 2].mean():.2f} [{lower:.2f}, {upper:.2f}]"
    assert [text.split()[0] for text in texts] == ["nv", "mel", "bkl"]
    assert ax.get_legend().get_title().get_text() == "mean [90 % interval]"


def test_a_single_draw_is_a_vertical_line_a_class() -> None:
    ax = axes()
    draw_class_densities([[0.2, 0.3, 0.5]], NAMES, ax=ax, legend="none")
    assert [line.get_xdata()[0] for line in ax.lines] == [0.5, 0.3, 0.2]
    assert ax.get_ylabel() == "no spread: one value per class"
    assert ax.get_legend() is None


def test_narrow_peaks_do_not_hide_the_two_most_probable_classes() -> None:
    probs = draws((-6.0, 1.0, 1.4), sd=0.8)
    ax = axes()
    draw_class_densities(probs, NAMES, ax=ax)
    peaks = [line.get_ydata().max() for line in ax.lines]
    assert peaks[2] > 10 * max(peaks[:2])
    assert ax.get_ylim()[1] == pytest.approx(1.12 * max(peaks[:2]))
    assert [text.get_text() for text in ax.texts] == ["narrow peaks are cut off"]


def test_classes_can_be_chosen() -> None:
    ax = axes()
    draw_class_densities(draws(), NAMES, ax=ax, classes=["mel", "nv"])
    assert [line.get_label().split()[0] for line in ax.lines] == ["nv", "mel"]


def test_many_classes_show_the_eight_most_probable() -> None:
    logits = np.linspace(0, 3, 12) + 0.1 * np.random.default_rng(0).normal(size=(50, 12))
    names = [f"class {k}" for k in range(12)]
    ax = axes()
    draw_class_densities(softmax(logits, axis=1), names, ax=ax)
    assert len(ax.lines) == 8
    assert ax.lines[0].get_label().startswith("class 11")


def test_draws_at_zero_and_one_are_drawn() -> None:
    probs = np.zeros((20, 2))
    probs[:12, 0] = 1.0
    probs[12:, 1] = 1.0
    ax = axes()
    draw_class_densities(probs, ["a", "b"], ax=ax)
    assert all(np.isfinite(line.get_ydata()).all() for line in ax.lines)


def test_style_leaves_the_settings_of_matplotlib_alone() -> None:
    before = dict(mpl.rcParams)
    with figure_style():
        assert mpl.rcParams["axes.spines.top"] is False
        draw_class_densities(draws(), NAMES, ax=axes())
    assert dict(mpl.rcParams) == before


def test_colours_are_different_up_to_eight_and_know_the_two_names() -> None:
    names = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc", "other"]
    assert len(set(class_colors(names).values())) == 8
    long = class_colors(["Melanoma", "Melanocytic nevi"])
    assert long == {"Melanoma": "#E8740C", "Melanocytic nevi": "#0072B2"}
    assert class_colors(["NORMAL", "PNEUMONIA"]) == {"NORMAL": "#0072B2", "PNEUMONIA": "#E8740C"}


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"`probs` must have shape \(S, 3\)"):
        draw_class_densities(np.zeros((2, 4, 3)), NAMES, ax=axes())
    with pytest.raises(InputError, match="Are these logits"):
        draw_class_densities([[3.0, -1.0, 0.0]], NAMES, ax=axes())
    with pytest.raises(InputError, match="`classes` names 'scc'"):
        draw_class_densities(draws(), NAMES, ax=axes(), classes=["scc"])
    with pytest.raises(InputError, match="`legend` must be one of"):
        draw_class_densities(draws(), NAMES, ax=axes(), legend="left")  # type: ignore[arg-type]


def test_one_class_with_a_spread_fills_the_axis() -> None:
    """The others have no density: all their draws are equal."""
    probs, ax = draws(num_samples=50), axes()
    probs[:, 1:] = 0.25
    draw_class_densities(probs, NAMES, ax=ax)
    (curve,) = [line for line in ax.lines if len(line.get_ydata()) > 2]
    assert ax.get_ylim()[1] == pytest.approx(1.12 * curve.get_ydata().max())
