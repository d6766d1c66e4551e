"""A figure as the files of a paper: vector PDF and SVG and a PNG, of the size asked for in mm."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib as mpl
from matplotlib.figure import Figure

from bayescam.types import InputError

__all__ = ["FigureFormat", "save_figure"]

FigureFormat = Literal["pdf", "svg", "png"]

_MM_PER_INCH = 25.4
_NO_DATE: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {"Software": None},
}
_TEXT_STAYS_TEXT: dict[Any, Any] = {
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "bayescam",
}


def save_figure(
    figure: Figure,
    stem: str | os.PathLike[str],
    *,
    width_mm: float,
    height_mm: float,
    formats: Sequence[FigureFormat] = get_args(FigureFormat),
    dpi: int = 300,
) -> list[Path]:
    """Writes `stem.pdf`, `stem.svg` and `stem.png` and returns their paths.

    The figure is given that size, so that 8 points of text are 8 points on the page: a column of a
    journal is 85 to 90 mm wide, a page 170 to 180 mm. In the PDF, text is text in TrueType fonts
    that are embedded; in the SVG it is text in the fonts of the reader's machine. Equal figures
    give equal bytes, since no date is written. Each file appears whole or not at all.

    Args:
        figure: made with axes that fit a size, best with `layout="constrained"`; its size changes.
        stem: path of the files without a suffix; its folder must exist.
        width_mm: of the figure, with nothing cut off or added.
        height_mm: likewise.
        formats: which files, in order.
        dpi: pixels an inch of the PNG, and of pictures inside the others.

    Raises:
        InputError: a size that is not positive, or an unknown format.
    """
    if not (width_mm > 0 and height_mm > 0 and dpi > 0):
        raise InputError(
            f"`width_mm`, `height_mm` and `dpi` must be positive; got {width_mm}, {height_mm}, "
            f"{dpi}."
        )
    unknown = [name for name in formats if name not in get_args(FigureFormat)]
    if unknown:
        raise InputError(f"`formats` must be of pdf, svg, png; got {unknown[0]!r}.")
    figure.set_size_inches(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH)
    places = [Path(f"{os.fspath(stem)}.{name}") for name in formats]
    with _arranged_once(figure):
        for place, name in zip(places, formats, strict=True):
            _replace(place, _bytes_of(figure, name, dpi))
    return places


@contextmanager
def _arranged_once(figure: Figure) -> Iterator[None]:
    """Axes are arranged for the size once, so that all files agree and none takes that time."""
    engine = figure.get_layout_engine()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


def _bytes_of(figure: Figure, name: str, dpi: int) -> bytes:
    packed = io.BytesIO()
    with mpl.rc_context(_TEXT_STAYS_TEXT):
        figure.savefig(packed, format=name, dpi=dpi, metadata=_NO_DATE[name])
    return packed.getvalue()


def _replace(path: Path, content: bytes) -> None:
    """Write beside `path` and move there in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
