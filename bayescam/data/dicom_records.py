"""DICOM images to one records table, without identifiers: files, folders and frames."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayescam.data.dicom_header import (
    image_name,
    may_show_text,
    modality,
    patient_name,
    pixel_spacing_mm,
    read_header,
)
from bayescam.data.files import find_dicom
from bayescam.data.places import claims_dicom, find_place, name_frame
from bayescam.data.quiet_dicom import quiet_dicom
from bayescam.data.records import RECORD_COLUMNS, SPLITS, build_records
from bayescam.data.sealing import keyed_hash, open_path, seal_path
from bayescam.data.tables import read_csv
from bayescam.types import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["LABEL_KEYS", "hide_identifiers", "read_dicom", "warn_of_text"]

LABEL_KEYS = ("path", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
"""Columns that a table of labels may name images by; the first that is there is used."""
_LABELS = "labels.csv"
_Row = tuple[str, str, "Dataset | None", int | None]  # path below root, path, header, frame

_TELL_NO_ONE = frozenset(
    {
        "age",
        "bodypartexamined",
        "columnspacingmm",
        "finding",
        "localization",
        "modality",
        "patientage",
        "patientsex",
        "rowspacingmm",
        "sex",
        "site",
        "view",
        "viewposition",
    }
)


def read_dicom(root: str | Path, *, keep_identifiers: bool = False) -> pd.DataFrame:
    """Return the records of a DICOM file, or of all below a folder; each frame is an image.

    Nothing that identifies a patient is in the table: `image_id` and `group` are keyed hashes of
    the image's unique id and of the patient's id, and paths are sealed, since folders and files are
    often named after patients (see `bayescam.data.sealing`, also for where the key lies).
    `load_image` opens sealed paths.

    Labels come from `labels.csv` in the folder, if it is there: a column `label`, one of `path`
    (below the folder, a frame as `file.dcm#3`), `SOPInstanceUID`, `SeriesInstanceUID`,
    `StudyInstanceUID` or `PatientID`, and `split` or `mask_path` if wanted. Its other columns are
    not read.

    A warning counts the images whose pixels may show burned-in text.

    Args:
        root: a file or a folder; any file with the preamble of DICOM or its suffix is an image.
        keep_identifiers: plain paths, ids made of file names, and the patient's id as `group`.

    Returns:
        The records table, then `modality` and `row_spacing_mm` and `column_spacing_mm`, the
        distance between rows and between columns.

    Raises:
        InputError: if there is no DICOM file, or `labels.csv` does not fit.
    """
    place = Path(open_path(root)).expanduser().absolute()
    folder = place if place.is_dir() else place.parent
    files = find_dicom(place)
    if not files:
        raise InputError(
            f"DICOM: no file with the suffix .dcm or the preamble of DICOM found at {root}"
        )
    with quiet_dicom():  # values are converted, and complained of, when they are asked for
        return _records(files, folder, keep_identifiers)


def hide_identifiers(records: pd.DataFrame) -> pd.DataFrame:
    """Return records of any kind with what could name a patient hidden, where files are DICOM.

    There, paths are sealed; ids, which are mostly made of file names, become the keyed hash of the
    image's unique id; a group becomes its keyed hash, and one that is missing that of the patient;
    the data set's own columns are emptied but for sex, age, site, view, finding and the like. The
    label and the split are taken as the user's own words. Other rows are as they were.

    Args:
        records: the records table.
    """
    places = [find_place(path) for path in records["path"]]
    rows = np.flatnonzero([claims_dicom(place.file) for place in places])
    if not len(rows):
        return records
    with quiet_dicom():
        headers = [read_header(places[row].file) for row in rows]
        warn_of_text(headers)
        chosen = records.iloc[rows]
        below = [Path(path).as_posix() for path in chosen["path"]]
        hashed = _number_copies(
            [image_name(header, path) for header, path in zip(headers, below, strict=True)]
        )
        hidden: dict[str, Sequence[str | None]] = {
            "image_id": list(hashed),
            "path": [seal_path(path) for path in chosen["path"]],
            "group": [
                patient_name(header) if pd.isna(group) else f"patient-{keyed_hash('group', group)}"
                for header, group in zip(headers, chosen["group"], strict=True)
            ],
            "mask_path": [
                None if pd.isna(path) else seal_path(path) for path in chosen["mask_path"]
            ],
        }
        own = [str(name) for name in records if name not in RECORD_COLUMNS]
        hidden |= {name: [None] * len(rows) for name in own if _may_tell(name)}
    result = records.copy()
    for name, values in hidden.items():
        column = result[name].to_list()
        for row, value in zip(rows, values, strict=True):
            column[row] = value
        result[name] = pd.Series(column, index=records.index, dtype="str")
    return result


def _may_tell(column: str) -> bool:
    """Whether a column of the data set's own is not one of the few that surely name no one."""
    return re.sub("[^a-z]", "", column.lower()) not in _TELL_NO_ONE


def warn_of_text(headers: list[Dataset | None]) -> None:
    """Warn once, and count, if pixels may show burned-in text."""
    found = sum(may_show_text(header) for header in headers)
    if found:
        warnings.warn(
            f"{found} of {len(headers)} DICOM files say that text is burned into their pixels, or "
            "are of a kind where it often is and do not deny it: a name in the pixels stays there, "
            "in figures and reports too",
            stacklevel=4,
        )


def _records(files: list[Path], folder: Path, keep_identifiers: bool) -> pd.DataFrame:
    rows = [row for file in files for row in _frames(file, folder)]
    warn_of_text([header for *_, header, frame in rows if frame in (None, 1)])
    spacings = [pixel_spacing_mm(header, frame) for *_, header, frame in rows]
    labels = _read_labels(folder / _LABELS, rows) if (folder / _LABELS).is_file() else {}
    own = pd.DataFrame(
        {
            "modality": pd.Series([modality(row[2]) for row in rows], dtype="str"),
            "row_spacing_mm": [None if pair is None else pair[0] for pair in spacings],
            "column_spacing_mm": [None if pair is None else pair[1] for pair in spacings],
        }
    ).astype({"row_spacing_mm": "float64", "column_spacing_mm": "float64"})
    return build_records(
        {
            **labels,
            "image_id": _plain_ids(rows) if keep_identifiers else _hashed_ids(rows),
            "path": [row[1] if keep_identifiers else seal_path(row[1]) for row in rows],
            "group": [_group(row[2], keep_identifiers) for row in rows],
        },
        own=own,
    )


def _frames(file: Path, folder: Path) -> Iterator[_Row]:
    header = read_header(file)
    try:
        frames = int((header and header.get("NumberOfFrames")) or 1)
    except Exception:  # the run that decodes it says what is wrong
        frames = 1
    below = file.relative_to(folder).as_posix()
    if frames <= 1:
        yield below, str(file), header, None
        return
    for frame in range(1, frames + 1):
        yield name_frame(below, frame), name_frame(file, frame), header, frame


def _hashed_ids(rows: list[_Row]) -> list[str]:
    return _number_copies([image_name(header, path) for _, path, header, _ in rows])


def _number_copies(names: list[str]) -> list[str]:
    """The names; a copy of an image, whose unique id is the same, is numbered."""
    different, seen = [], Counter[str]()
    for name in names:
        seen[name] += 1
        different.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return different


def _plain_ids(rows: list[_Row]) -> list[str]:
    stems = [Path(below).name for below, *_ in rows]
    counts = Counter(stems)
    return [
        stem if counts[stem] == 1 else below for stem, (below, *_) in zip(stems, rows, strict=True)
    ]


def _group(header: Dataset | None, keep_identifiers: bool) -> str | None:
    if not keep_identifiers:
        return patient_name(header)
    known = str((header and header.get("PatientID")) or "").strip()
    return known or patient_name(header)


def _read_labels(file: Path, rows: list[_Row]) -> dict[str, list[str | None]]:
    """The columns label, split and mask_path for the rows; messages quote no value of the table."""
    table = read_csv(
        file,
        dict.fromkeys((*LABEL_KEYS, "label", "split", "mask_path"), "str"),
        keep_default_na=False,
        na_values=[""],
    )
    key = next((name for name in LABEL_KEYS if name in table), None)
    if key is None or "label" not in table:
        raise InputError(
            f"DICOM: {_LABELS} must have the column label and one of {', '.join(LABEL_KEYS)}"
        )
    twice = table[key].duplicated() | table[key].isna()
    if twice.any():
        line = int(twice.to_numpy().argmax()) + 2
        raise InputError(f"DICOM: {_LABELS}, line {line}: `{key}` is empty or occurs twice")
    splits = table.get("split", pd.Series(dtype="str"))
    strange = splits.notna() & ~splits.isin(SPLITS)
    if strange.any():
        line = int(strange.to_numpy().argmax()) + 2
        raise InputError(f"DICOM: {_LABELS}, line {line}: `split` must be {', '.join(SPLITS)}")
    places = dict(zip(table[key].str.strip(), range(len(table)), strict=True))
    found = [_find_label(places, key, row) for row in rows]
    if all(place is None for place in found):
        raise InputError(
            f"DICOM: none of the {len(table)} rows of {_LABELS} names an image by its `{key}`"
        )
    columns: dict[str, list[str | None]] = {}
    for name in ("label", "split", "mask_path"):
        if name in table:
            values = [None if pd.isna(value) else str(value) for value in table[name]]
            columns[name] = [None if place is None else values[place] for place in found]
    if "mask_path" in columns:
        columns["mask_path"] = [
            path and seal_path(file.parent / path) for path in columns["mask_path"]
        ]
    return columns


def _find_label(places: dict[str, int], key: str, row: _Row) -> int | None:
    below, _, header, frame = row
    if key != "path":
        return places.get(str((header and header.get(key)) or "").strip(" \0"))
    whole = below if frame is None else below.rpartition("#")[0]
    return places.get(below, places.get(whole))
