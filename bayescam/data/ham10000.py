"""HAM10000: dermatoscopic images of pigmented skin lesions (Tschandl et al. 2018), 7 classes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bayescam.data.files import find_images, find_masks, require_folder
from bayescam.data.records import build_records
from bayescam.data.tables import read_csv
from bayescam.types import InputError

__all__ = ["read_ham10000"]

_METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata")
_COLUMNS = ("lesion_id", "image_id", "dx")


def read_ham10000(root: str | Path) -> pd.DataFrame:
    """Return the records of HAM10000 in the Kaggle layout.

    Looked for below `root`: `HAM10000_metadata.csv`; the images `<image_id>.jpg` in any sub
    folder (usually `HAM10000_images_part_1` and `_part_2`); masks `<image_id>_segmentation.png`
    in any sub folder. An image that is in the metadata but not on disk keeps its row, with the
    path where it was expected: an audit reports it, and an analysis lists it as skipped.

    Args:
        root: the folder that holds the metadata file.

    Returns:
        The records table; `label` is `dx`, `group` the `lesion_id`, `split` missing; then
        `lesion_id, dx, dx_type, age, sex, localization`.

    Raises:
        InputError: if the metadata, its columns, or all images are absent.
    """
    folder = require_folder(root, "HAM10000")
    metadata = _read_metadata(folder)
    images: dict[str, str] = {}
    for path in find_images(folder):
        images.setdefault(path.stem, str(path))
    ids = metadata["image_id"].tolist()
    if not any(name in images for name in ids):
        raise InputError(
            f"HAM10000: none of the {len(ids)} images of the metadata found below {folder}; "
            f"looked for files like {ids[0]}.jpg in any sub folder"
        )
    masks = find_masks([folder])
    expected = folder / "HAM10000_images_part_1"
    return build_records(
        {
            "image_id": ids,
            "path": [images.get(name, str(expected / f"{name}.jpg")) for name in ids],
            "label": metadata["dx"].tolist(),
            "group": metadata["lesion_id"].tolist(),
            "mask_path": [masks.get(name) for name in ids],
        },
        own=metadata,
    )


def _read_metadata(folder: Path) -> pd.DataFrame:
    found = [folder / name for name in _METADATA if (folder / name).is_file()]
    if not found:
        raise InputError(
            f"HAM10000: no {_METADATA[0]} in {folder}. Is this the folder that was unpacked from "
            "Kaggle (skin-cancer-mnist-ham10000)?"
        )
    metadata = read_csv(found[0], dict.fromkeys(_COLUMNS, "str"))
    absent = [name for name in _COLUMNS if name not in metadata]
    if absent:
        raise InputError(
            f"HAM10000: {found[0]} must have the columns {', '.join(_COLUMNS)}; "
            f"{', '.join(absent)} not found"
        )
    return metadata
