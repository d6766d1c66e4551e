"""What images that are named one by one are called: in files, tables and texts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bayescam.data import seal_path
from bayescam.data.dicom_header import image_name, read_header
from bayescam.data.dicom_records import warn_of_text
from bayescam.data.places import claims_dicom, find_place
from bayescam.data.sealing import is_sealed
from bayescam.report import safe_file_name

__all__ = ["name_images", "shown_name"]


def name_images(
    images: Sequence[str | os.PathLike[str]], keep_identifiers: bool
) -> tuple[list[str], list[str]]:
    """The absolute path of each image, sealed where it is of DICOM, and the stem of its files."""
    plain = [str(Path(path).expanduser().absolute()) for path in images]
    headers = {
        path: read_header(find_place(path).file)
        for path in plain
        if claims_dicom(find_place(path).file)
    }
    warn_of_text([*headers.values()])
    hidden = {} if keep_identifiers else headers
    stems = [image_name(hidden[path], path) if path in hidden else _stem(path) for path in plain]
    return [seal_path(path) if path in hidden else path for path in plain], _different(stems)


def shown_name(row: pd.Series) -> str:
    """What texts call an image: its file, or the hash that stands for it."""
    return Path(row["figure"]).stem if is_sealed(row["path"]) else Path(row["path"]).name


def _stem(path: str) -> str:
    """The stem of a file, and the number of its frame."""
    file, frame = find_place(path)
    return safe_file_name(file.stem if frame is None else f"{file.stem}-{frame}")


def _different(stems: Sequence[str]) -> list[str]:
    """The stems; all with their place before them where two are the same, or one is a hash."""
    hashed = any(stem.startswith("dicom-") for stem in stems) and len(stems) > 1
    if not hashed and len({stem.casefold() for stem in stems}) == len(stems):
        return list(stems)
    width = len(str(len(stems)))
    return [f"{place:0{width}}-{stem}" for place, stem in enumerate(stems, start=1)]
