"""Records from a CSV file: any table with paths and labels, and the layout of CheXpert."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bayescam.data.records import RECORD_COLUMNS, SPLITS, build_records, unique_ids
from bayescam.types import InputError

__all__ = ["read_chexpert", "read_csv", "read_table"]

_SPLIT_ALIASES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_WORDS_ARE_LABELS: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}
_CHEXPERT_PATIENT = re.compile(r"(?:^|/)(train|valid|test)/(patient\d+)/")


def read_table(csv: str | Path) -> pd.DataFrame:
    """Return the records of a CSV file with at least the columns `path` and `label`.

    Further columns of the records table (`image_id, group, split, mask_path`) are used where
    present, all others are kept. Relative paths count from the folder of the CSV file. An empty
    cell is a missing value; words such as NA or None are ordinary labels. Without `image_id`,
    file stems are the names, or the paths where stems occur twice.

    Args:
        csv: path of the file; the first line names the columns.

    Returns:
        The records table.

    Raises:
        InputError: if the file cannot be read, a column is absent, a path is missing, an
            `image_id` occurs twice, or a split is none of train, val, test.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     csv = Path(folder) / "images.csv"
        ...     pd.DataFrame({"path": ["a.png"], "label": ["mel"], "age": [61]}).to_csv(csv)
        ...     read_table(csv)[["image_id", "label", "age"]]
          image_id label  age
        0        a   mel   61
    """
    file = _require_file(csv, "table")
    table = read_csv(file, dict.fromkeys(RECORD_COLUMNS, "str"), **_WORDS_ARE_LABELS)
    for name in ("path", "label"):
        if name not in table:
            near = [column for column in table if str(column).strip().lower() == name]
            slip = f" Rename {near[0]!r} to {name!r}?" if near else ""
            raise InputError(
                f"table: {file} must have the columns path and label; {name} not found among "
                f"{', '.join(map(str, table.columns))}.{slip}"
            )
    if table["path"].isna().any():
        line = int(table["path"].isna().to_numpy().argmax()) + 2
        raise InputError(f"table: {file}, line {line}: `path` is empty")
    paths = [file.parent / Path(name).expanduser() for name in table["path"]]
    columns: dict[str, Sequence[str | None]] = {
        "image_id": _table_ids(table, paths, file),
        "path": [str(path) for path in paths],
        "label": _column(table, "label"),
        "group": _column(table, "group"),
        "split": _splits(table, file),
        "mask_path": [
            str(file.parent / Path(name).expanduser()) if name else None
            for name in _column(table, "mask_path")
        ],
    }
    return build_records(columns, own=table)


def read_chexpert(
    root: str | Path,
    *,
    finding: str = "Pneumonia",
    uncertain: Literal["ignore", "zero", "one"] = "ignore",
) -> pd.DataFrame:
    """Return the records of CheXpert for one finding: `train.csv` with a `Path` column.

    The paths in the file begin with the name of the data set's folder
    (`CheXpert-v1.0-small/train/patient00001/...`), which is the folder of the CSV file, whatever
    it is called now.

    Args:
        root: the folder that holds `train.csv`, or the path of `train.csv` or `valid.csv`.
        finding: column of the observation, cells 1, 0, -1 (uncertain) or empty (not mentioned).
        uncertain: what -1 becomes: "ignore" a missing label, "zero" negative, "one" positive
            (U-Ignore, U-Zeros and U-Ones of Irvin et al. 2019). A cell that is empty is always
            negative, as the labeller found no mention.

    Returns:
        The records table; `label` is positive, negative or missing, `group` the patient, `split`
        the folder (valid becomes val); then the columns of the file.

    Raises:
        InputError: if the file, its columns or all images are absent, a cell holds another value,
            or `uncertain` is none of the three.
    """
    doubtful = {"ignore": None, "zero": "negative", "one": "positive"}
    if uncertain not in doubtful:
        raise InputError(f"`uncertain` must be one of {', '.join(doubtful)}; got {uncertain!r}")
    place = Path(root).expanduser().absolute()
    file = _require_file(place / "train.csv" if place.is_dir() else place, "CheXpert")
    table = read_csv(file, {"Path": "str"}, **_WORDS_ARE_LABELS)
    for name in ("Path", finding):
        if name not in table:
            raise InputError(
                f"CheXpert: {file} must have the column {name!r}; found "
                f"{', '.join(map(str, table.columns))}"
            )
    names = {1.0: "positive", 0.0: "negative", -1.0: doubtful[uncertain]}
    values = pd.to_numeric(table[finding], errors="coerce").where(table[finding].notna(), 0.0)
    if not set(values) <= set(names):
        raise InputError(f"CheXpert: {file}: {finding!r} must hold 1, 0, -1 or nothing")
    if table["Path"].isna().any():
        line = 2 + int(table["Path"].isna().to_numpy().argmax())
        raise InputError(f"CheXpert: {file}, line {line}: `Path` is empty")
    matches = [_CHEXPERT_PATIENT.search(name) for name in table["Path"]]
    inside = [
        name[m.start(1) :] if m else name.split("/", 1)[-1]
        for m, name in zip(matches, table["Path"], strict=True)
    ]
    paths = [file.parent / name for name in inside]
    if not any(path.is_file() for path in paths):
        raise InputError(
            f"CheXpert: none of the {len(paths)} images of {file} found; looked for files like "
            f"{paths[0]}"
        )
    return build_records(
        {
            "image_id": [name.rsplit(".", 1)[0] for name in inside],
            "path": [str(path) for path in paths],
            "label": [names[value] for value in values],
            "group": [m and m.group(2) for m in matches],
            "split": [m and _SPLIT_ALIASES.get(m.group(1), m.group(1)) for m in matches],
        },
        own=table,
    )


def _require_file(path: str | Path, what: str) -> Path:
    file = Path(path).expanduser().absolute()
    if file.is_dir():
        raise InputError(f"{what}: a CSV file was expected, but this is a folder: {file}")
    if not file.is_file():
        raise InputError(f"{what}: no such file: {file}")
    return file


def read_csv(file: Path, dtype: dict[str, str], **options: Any) -> pd.DataFrame:  # noqa: ANN401
    """Return a CSV file with at least one row.

    Args:
        file: the file.
        dtype: of columns; the others are guessed.
        **options: more arguments of `pandas.read_csv`.

    Raises:
        InputError: if it cannot be read, or has no row.
    """
    try:
        table = pd.read_csv(file, dtype=dtype, **options)
    except (ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{file} cannot be read as CSV: {reason}") from error
    if table.empty:
        raise InputError(f"{file} must have at least one row below its header; got none")
    return table


def _column(table: pd.DataFrame, name: str) -> list[str | None]:
    if name not in table:
        return [None] * len(table)
    return [value if isinstance(value, str) else None for value in table[name]]


def _table_ids(table: pd.DataFrame, paths: list[Path], file: Path) -> list[str]:
    if "image_id" not in table:
        twice = pd.Series(paths)[pd.Series(paths).duplicated()]
        if len(twice):
            raise InputError(f"table: {file} lists {twice.iloc[0]} more than once")
        outside = [path for path in paths if not path.is_relative_to(file.parent)]
        return [str(path) for path in paths] if outside else unique_ids(paths, file.parent)
    ids = table["image_id"]
    if ids.isna().any() or ids.duplicated().any():
        line = int((ids.isna() | ids.duplicated()).to_numpy().argmax()) + 2
        raise InputError(f"table: {file}, line {line}: `image_id` is empty or occurs twice")
    return ids.tolist()


def _splits(table: pd.DataFrame, file: Path) -> list[str | None]:
    splits = [
        name and _SPLIT_ALIASES.get(name.strip().lower(), name.strip().lower())
        for name in _column(table, "split")
    ]
    for line, name in enumerate(splits, start=2):
        if name is not None and name not in SPLITS:
            raise InputError(
                f"table: {file}, line {line}: `split` must be train, val, test or empty; "
                f"got {name!r}"
            )
    return splits
