"""The files of a paper: their size in mm, their text, their bytes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bayescam.report import figure_style, save_figure
from bayescam.types import InputError

POINTS_PER_MM = 72 / 25.4


def figure() -> Figure:
    with figure_style():
        made = Figure(layout="constrained")
        ax = made.subplots()
        ax.plot([0, 1], [0, 1], label="melanoma")
        ax.imshow(np.eye(3), extent=(0, 1, 0, 1))
        ax.legend()
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    stem = tmp_path_factory.mktemp("paper") / "figure.1"
    paths = save_figure(figure(), stem, width_mm=88, height_mm=62.5, dpi=200)
    assert [path.name for path in paths] == ["figure.1.pdf", "figure.1.svg", "figure.1.png"]
    assert sorted(path.name for path in stem.parent.iterdir()) == sorted(p.name for p in paths)
    return {path.suffix[1:]: path for path in paths}


def test_the_page_has_the_size_asked_for(files: dict[str, Path]) -> None:
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", files["pdf"].read_bytes())
    size = [float(number) / POINTS_PER_MM for number in box.groups()]
    assert size == pytest.approx([88, 62.5], abs=0.01)
    head = files["svg"].read_text()[:1500]
    sides = [re.search(rf' {side}="([\d.]+)pt"', head)[1] for side in ("width", "height")]
    size = [float(side) / POINTS_PER_MM for side in sides]
    assert size == pytest.approx([88, 62.5], abs=0.01)
    with Image.open(files["png"]) as picture:
        assert picture.size == pytest.approx((88 / 25.4 * 200, 62.5 / 25.4 * 200), abs=1)


def test_text_stays_text_in_embedded_truetype_fonts(files: dict[str, Path]) -> None:
    assert ">melanoma</text>" in files["svg"].read_text()
    pdf = files["pdf"].read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/CIDFontType2" in pdf or b"/Subtype /TrueType" in pdf
    assert b"/Type3" not in pdf


def test_equal_figures_give_equal_bytes_without_a_date(
    files: dict[str, Path], tmp_path: Path
) -> None:
    again = save_figure(figure(), tmp_path / "again", width_mm=88, height_mm=62.5, dpi=200)
    for path in again:
        content = path.read_bytes()
        assert content == files[path.suffix[1:]].read_bytes()
        assert b"CreationDate" not in content
        assert b"<dc:date>" not in content


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_text("old")
    broken = figure()
    broken.axes[0].set_title("$\\frac{$")  # no formula
    with pytest.raises(ValueError, match="frac"):
        save_figure(broken, tmp_path / "old", width_mm=50, height_mm=50, formats=["png"])
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"width_mm": 0, "height_mm": 50}, "must be positive; got 0, 50, 300"),
        ({"width_mm": 50, "height_mm": 50, "formats": ["eps"]}, "of pdf, svg, png; got 'eps'"),
    ],
)
def test_bad_input_is_named(options: dict, match: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=match):
        save_figure(figure(), tmp_path / "x", **options)
