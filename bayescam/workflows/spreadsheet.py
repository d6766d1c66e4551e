"""Tables whose cells a spreadsheet reads as text or numbers, never as formulas."""

from __future__ import annotations

import re

import pandas as pd

__all__ = ["inert_cell", "inert_table"]

_FORMULA = re.compile(r"^ *[=+\-@\t\n\uff1d\uff0b\uff0d\uff20]")  # wide forms too
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")
_HIDING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def inert_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with every text, headings too, as `inert_cell` makes it; numbers stay."""
    changed = {
        place: table.iloc[:, place].map(inert_cell, na_action="ignore")
        for place in range(table.shape[1])
        if not pd.api.types.is_numeric_dtype(table.dtypes.iloc[place])
    }
    columns = [changed.get(place, table.iloc[:, place]) for place in range(table.shape[1])]
    names = [inert_cell(name) for name in table.columns]
    result = pd.concat(columns, axis=1) if columns else table.copy()
    result.columns = pd.Index(names, dtype=table.columns.dtype)
    return result


def inert_cell(value: object) -> object:
    """Return a value of a table; text that a spreadsheet would run begins with an apostrophe.

    A formula begins with `=`, `+`, `-`, `@`, a tab or the end of a line. Text that is a number
    stays as it is. Spelled out are controls, carriage returns among them, which pandas leaves
    unquoted though they end a row for many readers, and marks that turn the direction of writing
    and so can hide what a cell says.

    Example:
        >>> [inert_cell(cell) for cell in ("=cmd()", "-1.5e3", "mel - nv", -2)]
        ["'=cmd()", '-1.5e3', 'mel - nv', -2]
    """
    if not isinstance(value, str):
        return value
    shown = _HIDING.sub(lambda sign: f"\\u{ord(sign[0]):04x}", value)
    if _FORMULA.match(shown) and not _NUMBER.fullmatch(shown):
        return "'" + shown
    return shown
