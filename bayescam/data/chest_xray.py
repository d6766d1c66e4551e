"""Kermany's paediatric chest X-rays (Kermany et al. 2018): normal against pneumonia."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from bayescam.data.files import find_images, find_masks, is_mask_folder, require_folder
from bayescam.data.records import SPLITS, build_records, unique_ids
from bayescam.data.splits import recut_validation
from bayescam.types import InputError

__all__ = ["read_chest_xray"]

_LABELS = ("NORMAL", "PNEUMONIA")
_NORMAL = re.compile(r"^((?:NORMAL2-)?IM-\d+)-")
_PERSON = re.compile(r"^(person\d+)_(bacteria|virus)_")


def read_chest_xray(
    root: str | Path, *, published_split: bool = False, val_fraction: float = 0.15, seed: int = 0
) -> pd.DataFrame:
    """Return the records of Kermany's chest X-rays, `train|val|test / NORMAL|PNEUMONIA`.

    The patient is read from the file name: `IM-nnnn` and `NORMAL2-IM-nnnn` (two series, numbered
    apart) or `personN`, whatever the subtype, since it is unknown whether bacteria and virus are
    numbered apart. The published `val` holds 16 images only, so train and val are cut again by
    patient unless `published_split` is set; `test` always stays as published.

    Lung masks `<stem>_lung.png` are looked for in folders below `root` with "mask" in their
    name, and in the folder `<root>_lung_masks` beside it.

    Args:
        root: the folder that holds train, val and test (or one level above it).
        published_split: keep the folders' own split.
        val_fraction: share of the images of train and val that becomes val.
        seed: of the new cut.

    Returns:
        The records table, then `published_split` (the folder), `subtype` (bacteria, virus or
        missing) and `person` (the `personN` token or missing).

    Raises:
        InputError: if the folders are not there.
    """
    folder = _find_root(require_folder(root, "chest X-ray"))
    found = [
        (split, label, path)
        for split in SPLITS
        for label in _LABELS
        if (folder / split / label).is_dir()
        for path in find_images(folder / split / label)
    ]
    if not found:
        raise InputError(f"chest X-ray: no images in train|val|test / NORMAL|PNEUMONIA of {folder}")
    splits, labels, paths = (list(column) for column in zip(*found, strict=True))
    persons = [_PERSON.match(path.name) for path in paths]
    masks = find_masks(_mask_folders(folder))
    records = build_records(
        {
            "image_id": unique_ids(paths, folder),
            "path": [str(path) for path in paths],
            "label": labels,
            "group": [_patient(path) for path in paths],
            "split": splits,
            "mask_path": [masks.get(path.stem) for path in paths],
        },
        own=pd.DataFrame(
            {
                "published_split": pd.Series(splits, dtype="str"),
                "subtype": pd.Series([m and m.group(2) for m in persons], dtype="str"),
                "person": pd.Series([m and m.group(1) for m in persons], dtype="str"),
            }
        ),
    )
    if published_split:
        return records
    return recut_validation(records, fraction=val_fraction, seed=seed)


def _find_root(folder: Path) -> Path:
    for candidate in (folder, folder / "chest_xray"):
        if any((candidate / "train" / label).is_dir() for label in _LABELS):
            return candidate
    raise InputError(
        f"chest X-ray: no train/NORMAL or train/PNEUMONIA in {folder}. Is this the folder with "
        "train, val and test (chest_xray)?"
    )


def _mask_folders(folder: Path) -> list[Path]:
    inside = [path for path in sorted(folder.iterdir()) if is_mask_folder(path.name)]
    return [*inside, folder.with_name(f"{folder.name}_lung_masks")]


def _patient(path: Path) -> str | None:
    match = _NORMAL.match(path.name) or _PERSON.match(path.name)
    return match.group(1) if match else None
