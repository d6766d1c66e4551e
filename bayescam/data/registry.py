"""Data sets by name: `KIND:PATH`, as the command line takes them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bayescam.data.chest_xray import read_chest_xray
from bayescam.data.covid_chestxray import read_covid_chestxray
from bayescam.data.dicom_records import hide_identifiers, read_dicom
from bayescam.data.folders import read_image_folder, read_mura
from bayescam.data.ham10000 import read_ham10000
from bayescam.data.tables import read_chexpert, read_table
from bayescam.types import InputError

__all__ = ["READERS", "parse_source", "read_records"]

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "ham10000": read_ham10000,
    "chest_xray": read_chest_xray,
    "covid": read_covid_chestxray,
    "folder": read_image_folder,
    "table": read_table,
    "chexpert": read_chexpert,
    "mura": read_mura,
    "dicom": read_dicom,
}


def parse_source(source: str) -> tuple[str, Path]:
    """Return the kind and the path of a `KIND:PATH`.

    Raises:
        InputError: if there is no colon or no path, or the kind is not one of `READERS`.

    Example:
        >>> kind, path = parse_source("folder:images/skin")
        >>> kind, path.as_posix()
        ('folder', 'images/skin')
    """
    kinds = ", ".join(READERS)
    kind, colon, path = source.partition(":")
    if not colon:
        guess = "table" if source.lower().endswith(".csv") else "folder"
        raise InputError(
            f"data set must be written KIND:PATH with KIND one of {kinds}; got {source!r}. "
            f"Did you mean {guess}:{source}?"
        )
    if kind not in READERS:
        near = difflib.get_close_matches(kind.lower(), READERS, n=1, cutoff=0.5)
        slip = f" Did you mean {near[0]}:{path}?" if near else ""
        raise InputError(f"data set: KIND must be one of {kinds}; got {kind!r}.{slip}")
    if not path:
        raise InputError(f"data set: the path after {kind}: is empty")
    return kind, Path(path).expanduser()


def read_records(
    source: str, *, published_split: bool = False, seed: int = 0, keep_identifiers: bool = False
) -> pd.DataFrame:
    """Return the records of a data set named `KIND:PATH`, for example `ham10000:~/ham10000`.

    Args:
        source: kind and path.
        published_split: keep the folders' own split where the reader would cut train and val
            again (`chest_xray` only; other kinds never change a split they find).
        seed: of that new cut.
        keep_identifiers: leave names and ids of patients as they stand in DICOM files and their
            paths; by default hashes stand for them, see `read_dicom` and `hide_identifiers`.

    Returns:
        The records table.

    Raises:
        InputError: if the kind is unknown or the path does not hold such a data set.
    """
    kind, path = parse_source(source)
    if kind == "dicom":
        return read_dicom(path, keep_identifiers=keep_identifiers)
    if kind == "chest_xray":
        records = read_chest_xray(path, published_split=published_split, seed=seed)
    else:
        records = READERS[kind](path)
    return records if keep_identifiers else hide_identifiers(records)
