"""The ieee8023 COVID-19 image data collection (Cohen et al. 2020)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bayescam.data.files import find_masks, is_mask_folder, require_folder
from bayescam.data.records import build_records, unique_ids
from bayescam.data.tables import read_csv
from bayescam.types import InputError

__all__ = ["read_covid_chestxray"]

_COLUMNS = ("patientid", "finding", "filename")
_UNKNOWN = frozenset({"", "todo", "unknown"})


def read_covid_chestxray(root: str | Path) -> pd.DataFrame:
    """Return the records of the COVID-19 collection: `metadata.csv` and `images/`.

    Only rows whose `modality` is X-ray are kept (the collection lists some CT volumes too). The
    label is `COVID-19` where the finding names it (also "COVID-19, ARDS"), `no finding`,
    `other finding`, or missing ("todo", "Unknown"); the original words stay in `finding`.

    Lung masks `<stem>_lung.png` are looked for in folders below `root` with "mask" in their
    name, and in the folder `<root>_lung_masks` beside it.

    Args:
        root: the folder that holds `metadata.csv`.

    Returns:
        The records table; `group` is `patient-<patientid>`, `split` missing; then the columns of
        `metadata.csv`.

    Raises:
        InputError: if the metadata, its columns, or all images are absent.
    """
    folder = require_folder(root, "COVID-19 chest X-ray")
    metadata = _read_metadata(folder)
    subfolders = metadata["folder"].fillna("images") if "folder" in metadata else "images"
    paths = [
        folder / subfolder / name
        for subfolder, name in zip(
            pd.Series(subfolders, index=metadata.index), metadata["filename"], strict=True
        )
    ]
    if not any(path.is_file() for path in paths):
        raise InputError(
            f"COVID-19 chest X-ray: none of the {len(paths)} X-rays of metadata.csv found; "
            f"looked for files like {paths[0]}"
        )
    inside = [path for path in sorted(folder.iterdir()) if is_mask_folder(path.name)]
    masks = find_masks([*inside, folder.with_name(f"{folder.name}_lung_masks")])
    patients = metadata["patientid"]
    return build_records(
        {
            "image_id": unique_ids(paths, folder),
            "path": [str(path) for path in paths],
            "label": [_label(finding) for finding in metadata["finding"].fillna("")],
            "group": ("patient-" + patients).where(patients.notna(), None).tolist(),
            "mask_path": [masks.get(path.stem) for path in paths],
        },
        own=metadata,
    )


def _read_metadata(folder: Path) -> pd.DataFrame:
    path = folder / "metadata.csv"
    if not path.is_file():
        raise InputError(
            f"COVID-19 chest X-ray: no metadata.csv in {folder}. Is this the folder of "
            "ieee8023/covid-chestxray-dataset, with metadata.csv and images/?"
        )
    metadata = read_csv(path, dict.fromkeys(_COLUMNS, "str"))
    absent = [name for name in _COLUMNS if name not in metadata]
    if absent:
        raise InputError(
            f"COVID-19 chest X-ray: {path} must have the columns {', '.join(_COLUMNS)}; "
            f"{', '.join(absent)} not found"
        )
    if "modality" in metadata:
        metadata = metadata[metadata["modality"] == "X-ray"]
    if metadata.empty:
        raise InputError(f"COVID-19 chest X-ray: {path} lists no row of modality X-ray")
    return metadata.reset_index(drop=True)


def _label(finding: str) -> str | None:
    words = finding.strip().lower()
    if words in _UNKNOWN:
        return None
    if "covid-19" in words:
        return "COVID-19"
    return "no finding" if words == "no finding" else "other finding"
