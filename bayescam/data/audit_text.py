"""The report of an audit as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bayescam.data.audit import RecordsAudit

__all__ = ["audit_text"]


def audit_text(audit: RecordsAudit) -> str:
    """Return the report, one finding a line, with a few examples of each."""
    return "\n".join(_lines(audit))


def _lines(audit: RecordsAudit) -> Iterator[str]:
    groups = f"{audit.num_groups} groups" if audit.num_groups else "groups unknown"
    yield f"{audit.num_images} images, {groups}"
    yield from ["", *_indent(audit.counts.to_string()), ""]
    yield from _leak_lines(audit)
    if not audit.num_groups:
        yield "--   no lesion or patient is known, so leaks between their images cannot be found"
    yield from _finding(
        "groups in more than one split", audit.crossing_groups, "group", by_splits=True
    )
    if len(audit.crossing_persons):
        yield from _finding(
            "person tokens in more than one split", audit.crossing_persons, "person", by_splits=True
        )
    yield from _finding("sets of identical files", audit.identical_files, "image_ids")
    yield from _crossing_line(audit.identical_files)
    between = audit.near_duplicates[~audit.near_duplicates["same_group"]]
    yield from _finding("pairs of near-duplicates", audit.near_duplicates, None)
    yield from _crossing_line(audit.near_duplicates)
    if len(between) and audit.num_groups:
        examples = (between["first"] + " and " + between["second"]).head(5)
        yield f"     of two groups: {len(between)}, for example {'; '.join(examples)}"
    yield from _finding("groups with more than one label", audit.label_conflicts, "group")
    yield from _finding("images missing or not decodable", audit.unreadable, None)
    for row in audit.unreadable.head(5).itertuples():
        yield f"     {row.path}: {row.reason}"
    yield from _finding("images without a label", audit.unknown_labels, "image_id")


def _leak_lines(audit: RecordsAudit) -> list[str]:
    if audit.leaks.empty:
        return ["There is no val or test split yet, so nothing can leak into one.", ""]
    lines = []
    for split, rows in audit.leaks.groupby("split", sort=False):
        whole, classes = rows.iloc[0], rows.iloc[1:]
        lines.append(
            f"Leaked {split} images: {whole.leaked} of {whole.num_images} ({whole.share:.1%}) have "
            f"in train a sibling of their group ({whole.by_group}), an identical file "
            f"({whole.by_file}) or a near-duplicate ({whole.by_near_duplicate})."
        )
        if whole.leaked:
            shares = [f"{row.label} {row.share:.1%}" for row in classes.itertuples()]
            lines.append(f"     by class: {', '.join(shares)}")
    return [*lines, ""]


def _finding(
    what: str, table: pd.DataFrame, example: str | None, *, by_splits: bool = False
) -> list[str]:
    """One line: a mark (`--` is worth knowing, `!!` worth mending), how many, what, examples."""
    harmful = table["crosses"].any() if "crosses" in table else len(table) > 0
    line = f"{'!!' if harmful else '--' if len(table) else 'ok'}   {len(table)} {what}"
    if by_splits and len(table):
        kinds = table["splits"].value_counts()
        line += f" ({'; '.join(f'{splits}: {count}' for splits, count in kinds.items())})"
    if example is not None and len(table):
        line += f", for example {'; '.join(table[example].head(3))}"
    return [line]


def _crossing_line(table: pd.DataFrame) -> list[str]:
    crossing = table[table["crosses"]]
    return [f"     across splits: {len(crossing)}"] if len(table) else []


def _indent(text: str) -> list[str]:
    return [f"    {line}" for line in text.splitlines()]
