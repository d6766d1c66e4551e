"""What the checklist is answered from: the parts of a finished analysis folder that hold no ids."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pandas as pd

from bayescam.report import format_interval
from bayescam.types import InputError
from bayescam.workflows.finished import Analysis
from bayescam.workflows.tables import EVALUATION_SCHEMA
from bayescam.workflows.training_record import read_training_record

__all__ = [
    "Answer",
    "AnalysisFacts",
    "ChecklistItem",
    "NOT_ASSESSED",
    "Status",
    "count",
    "gather_facts",
    "interval",
    "listed",
    "shown",
    "source_of",
]

Status = Literal["answered", "partly", "not assessed"]

_LONGEST_NAME = 60


class Answer(NamedTuple):
    """What the run says to one item, and where that stands."""

    status: Status
    text: str
    source: str


NOT_ASSESSED = Answer("not assessed", "", "")


@dataclass(frozen=True)
class AnalysisFacts:
    """What is known of an analysis.

    Attributes:
        manifest: of the analysis.
        training: entries of `training.json`, one for each run; empty where it is not there.
        evaluation: `evaluation.json`, or None.
        num_images: images analysed.
        num_skipped: images that could not be decoded.
        num_unlabelled: images analysed whose label is missing or no class of the model.
        splits: images analysed of each split; "none" where they have none.
    """

    manifest: Mapping[str, Any]
    training: tuple[Mapping[str, Any], ...]
    evaluation: Mapping[str, Any] | None
    num_images: int
    num_skipped: int
    num_unlabelled: int
    splits: Mapping[str, int]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the analysis."""
        settings: Mapping[str, Any] = self.manifest["settings"]
        return settings


class ChecklistItem(NamedTuple):
    """One item of CLAIM: its number, section and topic, and what answers it."""

    number: int
    section: str
    topic: str
    answer: Callable[[AnalysisFacts], Answer]


def gather_facts(analysis: Analysis) -> AnalysisFacts:
    """Read what the checklist needs of a finished analysis folder.

    Raises:
        InputError: `evaluation.json` is of another version, or `training.json` of other models.
    """
    folder = analysis.folder
    evaluation = _read(folder / "evaluation.json")
    if evaluation is not None and evaluation.get("schema") != EVALUATION_SCHEMA:
        raise InputError(
            f"{folder / 'evaluation.json'} is of another bayescam: run bayescam evaluate {folder} "
            "again"
        )
    training = tuple(read_training_record(folder))
    fingerprint = "+".join(run["model"] for run in training)
    if training and fingerprint != analysis.manifest["settings"]["model"]:
        raise InputError(
            f"{folder / 'training.json'} is of other models than the analysis; was it copied?"
        )
    splits = analysis.predictions["split"].fillna("none").value_counts().to_dict()
    return AnalysisFacts(
        manifest=analysis.manifest,
        training=training,
        evaluation=evaluation,
        num_images=len(analysis.predictions),
        num_skipped=len(pd.read_csv(folder / "skipped.csv", dtype="str")),
        num_unlabelled=int((analysis.labels < 0).sum()),
        splits={name: splits[name] for name in ("train", "val", "test", "none") if name in splits},
    )


def count(number: int, thing: str) -> str:
    """A number of things in words.

    Example:
        >>> count(1200, "image"), count(1, "group"), count(2, "class")
        ('1,200 images', '1 group', '2 classes')
    """
    if number == 1:
        return f"1 {thing}"
    return f"{number:,} {thing}{'es' if thing.endswith('s') else 's'}"


def interval(found: Mapping[str, float | None]) -> str:
    """An estimate with its interval, from `estimate, lower, upper` of `evaluation.json`."""
    numbers = (found[name] for name in ("estimate", "lower", "upper"))
    return format_interval(*(float("nan") if value is None else value for value in numbers))


def listed(counts: Mapping[str, int]) -> str:
    """Names with their numbers: `mel 12, nv 300`."""
    return ", ".join(f"{shown(name)} {number:,}" for name, number in counts.items())


def shown(name: object) -> str:
    """A name from data as it may stand in a line: no control or direction marks, not too long.

    Example:
        >>> shown("nevus" + chr(0x202E) + "suven"), len(shown("x" * 10_000))
        ('nevus suven', 60)
    """
    marks = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    letters = (" " if unicodedata.category(sign) in marks else sign for sign in str(name))
    text = " ".join("".join(letters).split())
    return (
        text
        if len(text) <= _LONGEST_NAME
        else text[: _LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"
    )


def source_of(facts: AnalysisFacts, entries: str) -> str:
    """Where in `training.json` an answer stands; of an ensemble of runs the first one is told."""
    first = f" (first of {len(facts.training)} runs)" if len(facts.training) > 1 else ""
    return f"training.json: {entries}{first}"


def _read(path: Any) -> Any:  # noqa: ANN401
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
