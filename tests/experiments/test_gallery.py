"""Every figure is in the gallery, which can be made anew."""

from __future__ import annotations

import re

import gallery
import pytest
from PIL import Image

import bayescam.report

FOLDER = gallery.DOCS / "gallery"


def test_every_public_figure_is_in_the_gallery() -> None:
    public = {name for name in bayescam.report.__all__ if name.startswith("draw_")}
    shown = [name for exhibit in gallery.EXHIBITS for name in exhibit.functions]
    assert sorted(shown) == sorted(public)


def test_the_page_and_its_pictures_are_those_of_the_script() -> None:
    assert (gallery.DOCS / "gallery.md").read_text() == gallery.page()
    linked = re.findall(r"\]\(gallery/(\w+)\.png\)", gallery.page())
    assert sorted(linked) == sorted(path.stem for path in FOLDER.iterdir())
    sizes = {path: path.stat().st_size for path in FOLDER.iterdir()}
    assert max(sizes.values()) < 80_000
    assert sum(sizes.values()) < 800_000
    for exhibit in gallery.EXHIBITS:
        with Image.open(FOLDER / f"{exhibit.name}.png") as picture:
            wanted = [side / 25.4 * gallery.DPI for side in exhibit.size_mm]
            assert picture.size == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize("exhibit", gallery.EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_every_exhibit_is_drawn_by_what_it_names(exhibit: gallery.Exhibit, monkeypatch) -> None:
    called = []
    for name in bayescam.report.__all__:
        if name.startswith("draw_"):
            function = getattr(bayescam.report, name)

            def noted(*args, _name=name, _function=function, **options):
                called.append(_name)
                return _function(*args, **options)

            monkeypatch.setattr(bayescam.report, name, noted, raising=False)
    figure = gallery.draw_exhibit(exhibit)
    assert list(dict.fromkeys(called)) == list(exhibit.functions)
    assert figure.axes
