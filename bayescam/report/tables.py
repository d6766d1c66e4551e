"""Tables as Markdown and as aligned text, with intervals written the same way everywhere."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

__all__ = [
    "format_interval",
    "format_number",
    "interval_table",
    "merge_intervals",
    "table_cells",
    "to_markdown",
    "to_text",
]


def format_interval(estimate: float, lower: float, upper: float, *, digits: int = 3) -> str:
    """An estimate with its interval; a dash where there is no number.

    Example:
        >>> format_interval(0.8124, 0.79, 0.833)
        '0.812 [0.790, 0.833]'
    """
    if np.isnan(estimate):
        return "–"
    found, low, high = (format_number(value, digits=digits) for value in (estimate, lower, upper))
    if np.isnan(lower) or np.isnan(upper):
        return found
    return f"{found} [{low}, {high}]"


def format_number(value: float, *, digits: int = 3) -> str:
    """A number with so many decimals; below 0.01, with two significant digits at least.

    Example:
        >>> [format_number(value) for value in (0.8124, 0.00042, 3.1e-7, 0.0)]
        ['0.812', '0.00042', '3.1e-07', '0.000']
    """
    if 0.0 < abs(value) < min(0.01, 10.0 ** (1 - digits)):
        return f"{value:#.2g}"
    return f"{value:.{digits}f}"


def interval_table(
    columns: Mapping[str, Mapping[str, tuple[float, float, float]]], *, digits: int = 3
) -> pd.DataFrame:
    """One column per model, one row per score: `columns[model][score] = (estimate, low, high)`.

    Example:
        >>> interval_table({"flipout": {"accuracy": (0.8, 0.78, 0.82)}}).loc["accuracy", "flipout"]
        '0.800 [0.780, 0.820]'
    """
    cells = {
        model: {name: format_interval(*triple, digits=digits) for name, triple in scores.items()}
        for model, scores in columns.items()
    }
    table = pd.DataFrame(cells).fillna("–")
    table.index.name = "score"
    return table


def merge_intervals(table: pd.DataFrame, *, digits: int = 3) -> pd.DataFrame:
    """The same table with `x`, `x_lower` and `x_upper` written as one column `x`.

    Example:
        >>> merge_intervals(pd.DataFrame({"a": [0.8], "a_lower": [0.78], "a_upper": [0.82]}))
                               a
        0   0.800 [0.780, 0.820]
    """
    bounds = {f"{name}_{bound}" for name in table for bound in ("lower", "upper")}
    merged = table.drop(columns=[name for name in table if name in bounds])
    for name in merged:
        if f"{name}_lower" in table:
            columns = (table[name], table[f"{name}_lower"], table[f"{name}_upper"])
            merged[name] = [
                format_interval(*triple, digits=digits) for triple in zip(*columns, strict=True)
            ]
    return merged


def to_markdown(table: pd.DataFrame, *, digits: int = 3) -> str:
    """A Markdown table with the index as its first column; numbers to the right, bars escaped.

    Example:
        >>> table = pd.DataFrame({"accuracy": [0.79]}, index=pd.Index(["dense"], name="head"))
        >>> print(to_markdown(table))
        | head  | accuracy |
        | ----- | -------: |
        | dense |    0.790 |
    """
    header, rows, right = table_cells(table, digits=digits)
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in (header, *rows)]
    widths = _widths(escaped, minimum=3)
    rule = [
        "-" * (width - 1) + ":" if is_right else "-" * width
        for width, is_right in zip(widths, right, strict=True)
    ]
    lines = [_justify(row, widths, right) for row in escaped]
    lines.insert(1, rule)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def to_text(table: pd.DataFrame, *, digits: int = 3) -> str:
    """An aligned plain-text table with a rule below the heading.

    Example:
        >>> table = pd.DataFrame({"accuracy": [0.79]}, index=pd.Index(["dense"], name="head"))
        >>> print(to_text(table))
        head   accuracy
        ---------------
        dense     0.790
    """
    header, rows, right = table_cells(table, digits=digits)
    widths = _widths([header, *rows])
    lines = ["  ".join(_justify(row, widths, right)).rstrip() for row in (header, *rows)]
    lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(lines)


def table_cells(
    table: pd.DataFrame, *, digits: int = 3
) -> tuple[list[str], list[list[str]], list[bool]]:
    """Heading, rows, and whether each column is set to the right; the index comes first."""
    header = [str(table.index.name or ""), *map(str, table.columns)]
    rows = [
        [str(name), *(_cell(value, digits) for value in row)]
        for name, row in zip(table.index, table.itertuples(index=False, name=None), strict=True)
    ]
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes]
    return header, rows, [False, *numeric]


def _cell(value: object, digits: int) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, float | np.floating):
        return format_number(float(value), digits=digits)
    return " ".join(str(value).split())


def _widths(rows: list[list[str]], minimum: int = 0) -> list[int]:
    return [max(minimum, *map(len, column)) for column in zip(*rows, strict=True)]


def _justify(row: list[str], widths: list[int], right: list[bool]) -> list[str]:
    return [
        cell.rjust(width) if is_right else cell.ljust(width)
        for cell, width, is_right in zip(row, widths, right, strict=True)
    ]
