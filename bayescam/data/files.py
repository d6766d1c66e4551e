"""Finding image and mask files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from bayescam.data.places import claims_dicom, is_dicom
from bayescam.types import InputError

__all__ = [
    "IMAGE_SUFFIXES",
    "find_dicom",
    "find_images",
    "find_masks",
    "is_mask_folder",
    "require_folder",
]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".dcm", ".dicom"}
)
_MASK_ENDINGS = ("_segmentation", "_lung", "_mask")


def require_folder(root: str | Path, what: str) -> Path:
    """Return `root` as an absolute path, or refuse it.

    Args:
        root: a folder; `~` is the home folder.
        what: the data set expected there, for the message.

    Raises:
        InputError: if there is no such folder.
    """
    folder = Path(root).expanduser().absolute()
    if not folder.exists():
        raise InputError(f"{what}: no such folder: {folder}")
    if not folder.is_dir():
        raise InputError(f"{what}: a folder was expected, but this is a file: {folder}")
    return folder


def find_images(folder: Path) -> list[Path]:
    """Return everything below `folder` that claims to be an image, sorted, masks left out.

    An entry claims it by its suffix (`IMAGE_SUFFIXES`), or, without any suffix, by the DICOM
    preamble. Nothing is decoded: a broken file, a dangling link or a folder named `x.jpg` is
    listed too, so that the run which cannot read it says so. Hidden entries are left out.
    """
    return [
        path
        for path in _walk(folder)
        if not path.stem.endswith(_MASK_ENDINGS) and _claims_image(path)
    ]


def find_dicom(place: Path) -> list[Path]:
    """Return the DICOM files below a folder, sorted, or the file itself; a media index is left out.

    A DICOM file has its suffix, or whatever its name, the preamble: archives name files by unique
    ids. Hidden entries are left out.
    """
    found = _walk(place) if place.is_dir() else iter([place] if place.is_file() else [])
    return [path for path in found if path.name.upper() != "DICOMDIR" and claims_dicom(path)]


def find_masks(folders: Iterable[Path]) -> dict[str, str]:
    """Return mask paths by image stem: `<stem>_segmentation`, `<stem>_lung` or `<stem>_mask`."""
    masks: dict[str, str] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        for path in _walk(folder):
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            for ending in _MASK_ENDINGS:
                if path.stem.endswith(ending):
                    masks.setdefault(path.stem.removesuffix(ending), str(path))
    return masks


def is_mask_folder(name: str) -> bool:
    """Return whether a folder of this name holds masks, not a class of images."""
    return "mask" in name.lower() or "segmentation" in name.lower()


def _walk(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Yield the entries below `folder` in order of name; a link back to a parent ends there."""
    here = os.path.realpath(folder)
    if here in above:
        return
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        path = Path(entry.path)
        if path.suffix.lower() in IMAGE_SUFFIXES or not _is_folder(entry):
            yield path
        else:
            yield from _walk(path, above | {here})


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _claims_image(path: Path) -> bool:
    if path.suffix:
        return path.suffix.lower() in IMAGE_SUFFIXES
    return is_dicom(path)
