"""The records table: one row per image, the same six columns first whatever the data set.

| column | meaning |
| --- | --- |
| `image_id` | unique string |
| `path` | absolute path of the image file; the file need not exist (`audit_records` reports it) |
| `label` | class name, missing when unknown |
| `group` | what must not be cut in two: lesion or patient; missing when unknown |
| `split` | `train`, `val`, `test`, or missing |
| `mask_path` | absolute path of a mask of the relevant region, or missing |

The columns which the data set itself has come after these. All six hold strings (pandas' `str`
type, a missing value is NaN), so the table survives CSV and parquet unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bayescam.types import InputError, canonical_names

__all__ = [
    "RECORD_COLUMNS",
    "SPLITS",
    "build_records",
    "check_records",
    "group_keys",
    "group_names",
    "unique_ids",
]

RECORD_COLUMNS = ("image_id", "path", "label", "group", "split", "mask_path")
SPLITS = ("train", "val", "test")


def build_records(
    columns: Mapping[str, Sequence[str | None]], own: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return a records table from the six columns (absent ones are all missing) and `own` columns.

    Args:
        columns: values of some of `RECORD_COLUMNS`, all of one length; `None` is missing.
        own: the data set's own columns, in the same row order. Columns already in
            `RECORD_COLUMNS` are left out.
    """
    length = len(columns["image_id"])
    table = pd.DataFrame(
        {
            name: pd.Series(list(columns.get(name, [None] * length)), dtype="str")
            for name in RECORD_COLUMNS
        }
    )
    if own is not None:
        extra = own.drop(columns=[name for name in RECORD_COLUMNS if name in own])
        table = pd.concat([table, extra.reset_index(drop=True)], axis=1)
    return table


def check_records(records: pd.DataFrame) -> None:
    """Refuse a table which is not a records table.

    Raises:
        TypeError: if `records` is not a `pandas.DataFrame`.
        InputError: if a column is absent, the table is empty, an `image_id` is missing or occurs
            twice, or a split has another name than train, val or test.
    """
    if not isinstance(records, pd.DataFrame):
        raise TypeError(f"`records` must be a pandas.DataFrame; got {type(records).__name__}")
    absent = [name for name in RECORD_COLUMNS if name not in records]
    if absent:
        raise InputError(
            f"`records` must have the columns {', '.join(RECORD_COLUMNS)}; {', '.join(absent)} "
            "not found. Did the table come from one of the readers?"
        )
    if records.empty:
        raise InputError("`records` must have at least one row; got an empty table")
    if records["image_id"].isna().any():
        raise InputError("`records`: every row needs an `image_id`; some are missing")
    twice = records["image_id"][records["image_id"].duplicated()]
    if len(twice):
        raise InputError(
            f"`records`: `image_id` must be unique; {twice.iloc[0]!r} occurs more than once. "
            "Were two tables joined without renaming?"
        )
    strange = set(records["split"].dropna()) - set(SPLITS)
    if strange:
        raise InputError(
            f"`records`: `split` must be train, val, test or missing; got {sorted(strange)[0]!r}"
        )


def group_names(records: pd.DataFrame) -> pd.Series:
    """Return the group of each row as text, alike in every type (7, "7" and 7.0), or missing."""
    names = pd.Series(None, index=records.index, dtype="str")
    known = records["group"].notna()
    names[known] = canonical_names(records["group"][known])
    return names


def group_keys(records: pd.DataFrame) -> pd.Series:
    """Return one string per row, equal for rows of one group; a row without group stands alone."""
    images = pd.Series(canonical_names(records["image_id"]), index=records.index, dtype="str")
    return ("group " + group_names(records)).fillna("image " + images)


def unique_ids(paths: Sequence[Path], root: Path) -> list[str]:
    """Return the file stems, or where a stem occurs twice the path below `root`."""
    stems = Counter(path.stem for path in paths)
    return [
        path.stem if stems[path.stem] == 1 else path.relative_to(root).as_posix() for path in paths
    ]
