"""The checklist as a page: one table, item by item, with what is open marked as such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from bayescam.report.page import template
from bayescam.types import InputError

__all__ = ["ChecklistRow", "render_checklist"]

_STATUSES = ("answered", "partly", "not assessed")


@dataclass(frozen=True)
class ChecklistRow:
    """One item of a checklist.

    Attributes:
        number: of the item.
        section: that it stands in; items of one section follow each other.
        topic: in a few words.
        status: "answered", "partly" or "not assessed".
        answer: text; empty if not assessed.
        source: where the answer comes from.
    """

    number: int
    section: str
    topic: str
    status: str
    answer: str
    source: str

    def __post_init__(self) -> None:
        """Refuses a status that the page has no mark for."""
        if self.status not in _STATUSES:
            raise InputError(
                f"`status` must be one of {', '.join(_STATUSES)}; got {self.status!r}."
            )


def render_checklist(
    rows: Sequence[ChecklistRow], *, facts: Mapping[str, str] | None = None
) -> str:
    """The page as HTML text that needs no other file; everything from data is escaped.

    Args:
        rows: of CLAIM 2024, in order.
        facts: how the run came to be: fingerprints, seed, version.
    """
    return template("checklist.html").render(
        sections=[(name, list(part)) for name, part in groupby(rows, lambda row: row.section)],
        counts={status: sum(row.status == status for row in rows) for status in _STATUSES},
        num_items=len(rows),
        facts=facts or {},
    )
