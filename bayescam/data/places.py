"""Where an image lies: a file, or one frame of a file, written `file.dcm#3`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from bayescam.data.sealing import open_path

__all__ = ["ImagePlace", "claims_dicom", "file_size", "find_place", "is_dicom", "name_frame"]

_DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})

_FRAME = re.compile(r"(?s)^(.+)#([1-9]\d{0,6})$")


class ImagePlace(NamedTuple):
    """A file and the number of a frame in it, from 1; `None` where the file is one image."""

    file: Path
    frame: int | None


def find_place(path: str | Path) -> ImagePlace:
    """Return the file and frame that a path of a records table names; sealed paths are opened.

    A file whose own name ends like a frame is taken as it is.

    Raises:
        InputError: the path was sealed with another key.

    Example:
        >>> find_place("series/heart.dcm#3").frame
        3
    """
    text = open_path(path)
    match = _FRAME.match(text)
    if match is None or os.path.lexists(text):
        return ImagePlace(Path(text), None)
    return ImagePlace(Path(match[1]), int(match[2]))


def name_frame(file: str | Path, frame: int) -> str:
    """Return the path of a frame, numbered from 1: `file.dcm#3`."""
    return f"{file}#{frame}"


def file_size(path: str | Path) -> int:
    """Return the bytes of the file of an image, or -1 where there is none."""
    file = find_place(path).file
    return os.path.getsize(file) if file.exists() else -1


def claims_dicom(file: Path) -> bool:
    """Return whether a file is a DICOM file by its suffix or its beginning; it may be broken."""
    return file.suffix.lower() in _DICOM_SUFFIXES or is_dicom(file)


def is_dicom(file: Path) -> bool:
    """Return whether a file begins as DICOM files do: 128 bytes, then DICM."""
    try:
        if not file.is_file():
            return False
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False
