"""The report as text: a page, its data as scripts, its style, or all of it in one file.

Nothing is fetched from elsewhere (a content security policy forbids it), everything that comes from
data is escaped, and the data are scripts, since a page that was opened from disk may not fetch.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath

import matplotlib as mpl
import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from bayescam.report.case import DENSITY_GRID
from bayescam.report.style import class_colors
from bayescam.report.tables import table_cells
from bayescam.report.wording import shown_text
from bayescam.types import InputError

__all__ = [
    "CaseList",
    "ReportFigure",
    "ReportPage",
    "case_script",
    "page_files",
    "single_file",
    "template",
]

_BOUNDS = re.compile(r"\[(\S+), (\S+)\]")
_COLORMAPS = {"mean": "inferno", "sd": "viridis", "relevant": "cividis", "contrast": "RdBu_r"}
_SCRIPTS = ("core.js", "maps.js", "density.js", "cases.js", "viewer.js", "routes.js")
_FOLDER_POLICY = (
    "default-src 'none'; img-src 'self' file: data:; style-src 'self' file:; "
    "script-src 'self' file:"
)
_SINGLE_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


@dataclass(frozen=True)
class CaseList:
    """A list of the front page: what it is called, what it holds in words, and its cases."""

    name: str
    explanation: str
    cases: tuple[int, ...]


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the whole set: its title, in words what it shows, and where the image is."""

    title: str
    caption: str
    source: str


@dataclass(frozen=True)
class ReportPage:
    """All that stands on the page beside the single cases.

    Attributes:
        title: heading of the page.
        rows: one per case, of `case_row`, with `file`: the number of its script.
        class_names: K names.
        num_images: how many images were analysed, of which the cases may be a part.
        num_samples: draws.
        unit: what a draw is called, in the plural.
        level: of the intervals of the cases.
        lists: of the cases that matter most.
        detail_names: of the columns in the `details` of every case.
        headline: heading -> table of scores, above all else.
        tables: heading -> table, further down.
        figures: of the whole set, for example reliability.
        card: section -> name -> text: data, model, intended use, limits.
        audit: lines on leaks between the splits.
        glance: name -> text, what of both stands on the front page.
        facts: how the report came to be: model, seed, versions.
        notes: remarks in plain words.
        skipped: (path, reason) of images that could not be analysed; only file names are shown.
    """

    title: str
    rows: Sequence[Mapping[str, object]]
    class_names: Sequence[str]
    num_images: int
    num_samples: int
    unit: str = "draws"
    level: float = 0.95
    lists: Sequence[CaseList] = ()
    detail_names: Sequence[str] = ()
    headline: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Sequence[ReportFigure] = ()
    card: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    audit: Sequence[str] = ()
    glance: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    skipped: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        """Refuses fewer analysed images than cases, and lists of cases that are not there."""
        if self.num_images < len(self.rows):
            raise InputError(
                f"`num_images` counts all analysed images; got {self.num_images} for "
                f"{len(self.rows)} cases."
            )
        for part in self.lists:
            if not set(part.cases) <= set(range(len(self.rows))):
                raise InputError(f"`lists`: {part.name!r} names a case that is not in `rows`.")


def page_files(page: ReportPage) -> dict[str, str]:
    """The files of the page without its cases: relative name -> text.

    `index.html`, `assets/style.css`, `assets/app.js` and `data/index.js`; the page finds case i in
    `cases/i.js`, of `case_script`.
    """
    links = ("assets/app.js", "data/index.js")
    return {
        "index.html": _render(
            page, policy=_FOLDER_POLICY, style=None, scripts=[(link, None) for link in links]
        ),
        "assets/style.css": _asset("style.css"),
        "assets/app.js": _application(),
        "data/index.js": _index_script(page),
    }


def single_file(page: ReportPage, contents: Iterable[Mapping[str, object]]) -> str:
    """The page as one file that needs no other.

    Args:
        page: with figures, thumbnails and pictures given as data URIs.
        contents: of every case, in the order of the rows.
    """
    cases = (
        case_script(int(str(row["file"])), content)
        for row, content in zip(page.rows, contents, strict=True)
    )
    texts = [_application(), _index_script(page), *cases]
    return _render(
        page,
        policy=_SINGLE_POLICY,
        style=_asset("style.css"),
        scripts=[(None, text) for text in texts],
    )


def case_script(number: int, content: Mapping[str, object]) -> str:
    """The script that hands `case_content` to the page."""
    return f"Bayescam.receiveCase({number}, {_json(content)});\n"


def _render(
    page: ReportPage,
    *,
    policy: str,
    style: str | None,
    scripts: Sequence[tuple[str | None, str | None]],
) -> str:
    return _ENVIRONMENT.get_template("report.html").render(
        page=page,
        policy=policy,
        style=style,
        scripts=scripts,
        headline={name: table_cells(table) for name, table in page.headline.items()},
        tables={name: table_cells(table) for name, table in page.tables.items()},
        skipped=[_file_name_only(path, reason) for path, reason in page.skipped],
    )


def _index_script(page: ReportPage) -> str:
    """Everything that the lists and the drawing of all cases need, as a script."""
    names = [shown_text(name) for name in page.class_names]
    colors = class_colors(page.class_names)
    index = {
        "classes": names,
        "colors": [colors[name] for name in page.class_names],
        "grid": [round(float(place), 5) for place in DENSITY_GRID],
        "level": page.level,
        "samples": page.num_samples,
        "unit": page.unit,
        "details": [shown_text(name) for name in page.detail_names],
        "lists": [
            {"name": part.name, "explanation": part.explanation, "cases": list(part.cases)}
            for part in page.lists
        ],
        "colormaps": {kind: _colormap(name) for kind, name in _COLORMAPS.items()},
        "rows": list(page.rows),
    }
    return f"Bayescam.receiveIndex({_json(index)});\n"


def _json(value: object) -> str:
    """JSON that is a script too: nothing in it can end the script or begin another tag."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _colormap(name: str) -> str:
    """The 256 colours of a colour map, RGB bytes in base64."""
    colors = np.rint(mpl.colormaps[name](np.arange(256))[:, :3] * 255).astype(np.uint8)
    return base64.b64encode(colors.tobytes()).decode("ascii")


def _application() -> str:
    return "\n".join(_asset(f"app/{name}") for name in _SCRIPTS)


def _asset(name: str) -> str:
    loader = _ENVIRONMENT.loader
    assert loader is not None
    return loader.get_source(_ENVIRONMENT, name)[0]


def _unbroken(cell: str) -> str:
    """The cell with bounds that stay on one line, below their estimate where there is no room."""
    return _BOUNDS.sub("[\\1,\N{NO-BREAK SPACE}\\2]", cell)


def _file_name_only(path: str, reason: str) -> tuple[str, str]:
    """Folders often carry patient names: they are cut from the path, and from the reason too."""
    name = PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name
    reason = reason.replace(path, name)
    cut = re.sub(r"(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\":]+)+[/\\]", "", reason)
    return shown_text(name), shown_text(cut, longest=400)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bayescam.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown_text, "unbroken": _unbroken}
    return environment


_ENVIRONMENT = _environment()


def template(name: str) -> Template:
    """A template of this room, which escapes everything that is put into it."""
    return _ENVIRONMENT.get_template(name)
