"""The report: one self-contained HTML page, the most uncertain cases first.

Nothing is fetched from elsewhere (a content security policy forbids it), and everything that comes
from data is escaped.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from numpy.typing import NDArray

from bayescam.report.tables import format_number, table_cells
from bayescam.types import InputError

__all__ = ["CaseMaps", "CaseReport", "ReportFigure", "render_report", "template"]

_BOUNDS = re.compile(r"\[(\S+), (\S+)\]")
_PRIVATE_COLUMNS = frozenset({"path", "mask_path", "patient", "patient_id", "patientid", "group"})


@dataclass(frozen=True)
class CaseMaps:
    """Panels of one target: encoded images (JPEG or PNG) with their titles, which say what."""

    target: str
    titles: tuple[str, ...]
    panels: tuple[bytes, ...]


@dataclass(frozen=True)
class CaseReport:
    """What the report shows of one image.

    Attributes:
        image_id: shown as it is.
        class_names: K names.
        mean_probs: (K,), posterior predictive mean.
        lower: (K,), lower bound of the equal-tailed interval.
        upper: (K,), upper bound.
        predictive_entropy: nats, total.
        expected_entropy: nats, aleatoric part.
        mutual_information: nats, epistemic part.
        num_samples: draws behind these numbers.
        label: the true class, or None where it is not known.
        level: of the intervals.
        density_png: encoded density plot.
        maps: panels, one entry per explained class.
        flags: short remarks of the caller; "wrong" is added by itself.
        decisions: lines on what the rules make of the image, such as referred.
        details: further facts, in the order given. Paths and patient names are refused.
    """

    image_id: str
    class_names: tuple[str, ...]
    mean_probs: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    predictive_entropy: float
    expected_entropy: float
    mutual_information: float
    num_samples: int
    density_png: bytes
    label: str | None = None
    level: float = 0.95
    maps: tuple[CaseMaps, ...] = ()
    flags: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses details that would identify a patient."""
        for name, value in self.details.items():
            if name.lower() in _PRIVATE_COLUMNS or _is_path(str(value)):
                raise InputError(
                    f"`details` must not hold paths or patient identifiers; got {name!r}."
                )

    @property
    def predicted(self) -> str:
        """The most probable class of the mean probabilities."""
        return self.class_names[int(self.mean_probs.argmax())]

    @property
    def confidence(self) -> float:
        """The largest mean probability."""
        return float(self.mean_probs.max())

    @property
    def wrong(self) -> bool:
        """Whether a known label differs from the prediction."""
        return self.label is not None and self.label != self.predicted


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the whole set: encoded image, its title, and in words what it shows."""

    title: str
    image: bytes
    caption: str


def render_report(
    cases: Sequence[CaseReport],
    *,
    title: str,
    num_images: int,
    skipped: Sequence[tuple[str, str]] = (),
    summary_tables: Mapping[str, pd.DataFrame] | None = None,
    figures: Sequence[ReportFigure] = (),
    facts: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The page as HTML text, with images, style and script inside.

    Args:
        cases: what to show, in any order; the page lists the largest predictive entropy first.
        title: heading of the page.
        num_images: how many images were analysed, of which `cases` may be a part.
        skipped: (path, reason) of images that could not be analysed; only file names are shown.
        summary_tables: heading -> table, for example scores with intervals.
        figures: of the whole set, for example reliability.
        facts: how the report came to be: model, seed, number of draws, versions, date.
        notes: remarks in plain words, shown above the cases.

    Returns:
        HTML of about 100 KB a case; how many cases to show is the caller's choice.

    Raises:
        InputError: there are fewer analysed images than cases, or two cases of one id.
    """
    _check(cases, num_images)
    ordered = sorted(cases, key=lambda case: (-case.predictive_entropy, case.image_id))
    return _ENVIRONMENT.get_template("report.html").render(
        title=title,
        cases=ordered,
        num_images=num_images,
        skipped=[_file_name_only(path, reason) for path, reason in skipped],
        tables={name: table_cells(table) for name, table in (summary_tables or {}).items()},
        figures=figures,
        facts=facts or {},
        notes=notes,
        class_names=_all_classes(ordered),
        any_labels=any(case.label is not None for case in ordered),
    )


def _data_uri(image: bytes) -> Markup:
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return Markup(f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}")  # noqa: S704


def _unbroken(cell: str) -> str:
    """The cell with bounds that stay on one line, below their estimate where there is no room."""
    return _BOUNDS.sub("[\\1,\N{NO-BREAK SPACE}\\2]", cell)


def _shown_classes(case: CaseReport) -> list[dict[str, object]]:
    """Rows of the table of probabilities, most probable first, in the colours of the plot."""
    from bayescam.report.style import class_colors

    colors = class_colors(case.class_names)
    return [
        {
            "name": case.class_names[k],
            "mean": case.mean_probs[k],
            "lower": case.lower[k],
            "upper": case.upper[k],
            "color": colors[case.class_names[k]],
        }
        for k in np.argsort(-case.mean_probs, kind="stable")
    ]


def _all_classes(cases: Sequence[CaseReport]) -> list[str]:
    return list(dict.fromkeys(name for case in cases for name in case.class_names))


def _file_name_only(path: str, reason: str) -> tuple[str, str]:
    """Folders often carry patient names: they are cut from the path, and from the reason too."""
    name = PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name
    reason = reason.replace(path, name)
    return name, re.sub(r"(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\":]+)+[/\\]", "", reason)


def _is_path(value: str) -> bool:
    return bool(re.match(r"^(?:[A-Za-z]:)?[/\\~]", value)) or value.count("/") > 1


def _check(cases: Sequence[CaseReport], num_images: int) -> None:
    if num_images < len(cases):
        raise InputError(
            f"`num_images` counts all analysed images; got {num_images} for {len(cases)} cases."
        )
    ids = [case.image_id for case in cases]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"`cases` must have different ids; {twice!r} comes twice.")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bayescam.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "data_uri": _data_uri,
        "nats": format_number,
        "shown_classes": _shown_classes,
        "unbroken": _unbroken,
    }
    return environment


_ENVIRONMENT = _environment()


def template(name: str) -> Template:
    """A template of this room, which escapes everything that is put into it."""
    return _ENVIRONMENT.get_template(name)
