"""Images sorted into folders by class, with or without a folder per split."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from bayescam.data.files import find_images, find_masks, is_mask_folder, require_folder
from bayescam.data.records import build_records, unique_ids
from bayescam.types import InputError

__all__ = ["read_image_folder", "read_mura"]

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_MURA_STUDY = re.compile(r"^study\d+_(positive|negative)$")


def read_image_folder(root: str | Path) -> pd.DataFrame:
    """Return the records of a tree with one folder per class.

    `root/<class>/**/image`, or with splits `root/train|val|test/<class>/**/image` (`valid`,
    `validation`, `training` and `testing` are understood). Images directly in `root`, or directly
    in a split, have no label. Folders with "mask" or "segmentation" in their name are not
    classes; masks named `<stem>_mask`, `<stem>_segmentation` or `<stem>_lung` are found in them.

    Args:
        root: the folder that holds the classes or the splits.

    Returns:
        The records table; `group` is missing, as folders say nothing about patients.

    Raises:
        InputError: if there is no image, or if folders of splits and of classes are mixed.
    """
    folder = require_folder(root, "image folder")
    paths = [path for path in find_images(folder) if not _in_mask_folder(path, folder)]
    if not paths:
        raise InputError(
            f"image folder: no images below {folder}; looked for <class>/*.jpg, .png, .dcm, ..."
        )
    parents = [path.relative_to(folder).parts[:-1] for path in paths]
    splits: list[str | None] = [None] * len(paths)
    if _has_splits(parents, folder):
        splits = [_SPLIT_NAMES[parts[0].lower()] for parts in parents]
        parents = [parts[1:] for parts in parents]
    masks = find_masks([folder])
    return build_records(
        {
            "image_id": unique_ids(paths, folder),
            "path": [str(path) for path in paths],
            "label": [parts[0] if parts else None for parts in parents],
            "split": splits,
            "mask_path": [masks.get(path.stem) for path in paths],
        }
    )


def read_mura(root: str | Path) -> pd.DataFrame:
    """Return the records of MURA: `train|valid / XR_<PART> / patientN / studyN_<label> / image`.

    Args:
        root: the folder that holds `train` and `valid` (MURA-v1.1).

    Returns:
        The records table; `label` is positive or negative, `group` the patient, `split` train or
        val; then `body_part` and `study`.

    Raises:
        InputError: if no folder of studies is found.
    """
    folder = require_folder(root, "MURA")
    paths = [
        path
        for split in ("train", "valid")
        if (folder / split).is_dir()
        for path in find_images(folder / split)
        if _MURA_STUDY.match(path.parent.name)
    ]
    if not paths:
        raise InputError(
            f"MURA: no images in train|valid/XR_*/patient*/study*_positive|negative of {folder}"
        )
    own = pd.DataFrame(
        {
            "body_part": [path.parts[-4].removeprefix("XR_").lower() for path in paths],
            "study": [path.parent.relative_to(folder).as_posix() for path in paths],
        }
    )
    return build_records(
        {
            "image_id": [path.relative_to(folder).with_suffix("").as_posix() for path in paths],
            "path": [str(path) for path in paths],
            "label": [path.parent.name.rsplit("_", 1)[1] for path in paths],
            "group": [path.parts[-3] for path in paths],
            "split": [_SPLIT_NAMES[path.relative_to(folder).parts[0]] for path in paths],
        },
        own=own,
    )


def _in_mask_folder(path: Path, root: Path) -> bool:
    return any(is_mask_folder(part) for part in path.relative_to(root).parts[:-1])


def _has_splits(parents: list[tuple[str, ...]], folder: Path) -> bool:
    """Whether the first level is one of splits; a level with both kinds is refused."""
    tops = {parts[0] if parts else "" for parts in parents}
    splits = {name for name in tops if name.lower() in _SPLIT_NAMES}
    if splits and tops - splits:
        other = sorted(tops - splits)[0]
        raise InputError(
            f"image folder: {folder} has the split {sorted(splits)[0]!r} beside "
            f"{repr(other) if other else 'images without a folder'}; the first level must be "
            "either splits or classes"
        )
    return bool(splits)
