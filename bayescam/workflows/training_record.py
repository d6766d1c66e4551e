"""What an analysis remembers of the training of its models: `training.json`, without paths or ids.

A list with one entry for each run: `model` (fingerprint), `seed`, `data_fingerprint`, `versions`,
`settings` (those of its manifest; of paths only the kind of data and the name of the weights),
`partitions` (of each split: images, groups, classes, and age and sex where the records have them),
`crossing_groups` (groups with images in several splits), `without_group` (images), `unused`
(images in no split), `skipped` (not decodable), `audit` (see `training_audit`) and `epochs` (of
each stage of training).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from bayescam.data.records import SPLITS, group_names
from bayescam.types import InputError
from bayescam.workflows.folders import file_fingerprint, read_manifest, write_json
from bayescam.workflows.scores import plain
from bayescam.workflows.training_audit import read_audit

__all__ = ["describe_run", "read_training_record", "write_training_record"]

_SCHEMA = 1


def write_training_record(folder: Path, run_folders: Sequence[str | os.PathLike[str]]) -> None:
    """Write `training.json` into an analysis folder."""
    write_json(folder / "training.json", [describe_run(run) for run in run_folders])


def read_training_record(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of `training.json`; none where it is not there.

    Raises:
        InputError: it is of another version.
    """
    path = folder / "training.json"
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    if any(entry.get("schema") != _SCHEMA for entry in found):
        raise InputError(f"{path} is of another bayescam: run bayescam analyze again")
    return found


def describe_run(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What a finished run folder says of its training, as plain values for JSON.

    Raises:
        InputError: not a finished run folder.
    """
    path = Path(folder).expanduser()
    manifest = read_manifest(path, "run")
    records = pd.read_parquet(path / "records.parquet")
    groups = group_names(records)
    splits_of_group = records["split"].groupby(groups).nunique()
    history = pd.read_csv(path / "history.csv")
    described: dict[str, Any] = plain(
        {
            "schema": _SCHEMA,
            "model": file_fingerprint(path / "model" / "model.keras"),
            "seed": manifest["seed"],
            "data_fingerprint": manifest["data_fingerprint"],
            "versions": manifest["versions"],
            "settings": _without_paths(manifest["settings"]),
            "partitions": {
                split: _partition(records[records["split"] == split])
                for split in SPLITS
                if (records["split"] == split).any()
            },
            "crossing_groups": int((splits_of_group > 1).sum()),
            "without_group": int(groups.isna().sum()),
            "unused": int(records["split"].isna().sum()),
            "skipped": len(pd.read_csv(path / "skipped.csv")),
            "audit": read_audit(path),
            "epochs": history.groupby("stage", sort=False).size().to_dict(),
        }
    )
    return described


def _partition(rows: pd.DataFrame) -> dict[str, Any]:
    """Numbers of one split; an image without a group stands alone."""
    groups = group_names(rows)
    return {
        "num_images": len(rows),
        "num_groups": int(groups.nunique() + groups.isna().sum()),
        "classes": rows["label"].value_counts().sort_index().to_dict(),
        "age": _age(rows),
        "sex": _sex(rows),
    }


def _age(rows: pd.DataFrame) -> dict[str, float] | None:
    """Quartiles of the images' ages in years, and how many are known."""
    if "age" not in rows:
        return None
    ages = pd.to_numeric(rows["age"], errors="coerce").dropna()
    if ages.empty:
        return None
    low, middle, high = ages.quantile([0.25, 0.5, 0.75])
    return {"known": len(ages), "q25": low, "median": middle, "q75": high}


def _sex(rows: pd.DataFrame) -> dict[str, int] | None:
    """Images of each sex; what is neither known spelling is counted together."""
    if "sex" not in rows:
        return None
    spelled = {"f": "female", "female": "female", "m": "male", "male": "male"}
    known = rows["sex"].astype("str").str.strip().str.lower().map(spelled)
    counts = known.fillna("other or unknown").value_counts().sort_index()
    return {str(name): int(number) for name, number in counts.items()}


def _without_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the kind of the data for its place, and weights by their file's name."""
    kept = {name: dict(part) if isinstance(part, dict) else part for name, part in settings.items()}
    data, model = kept.get("data"), kept.get("model")
    if isinstance(data, dict) and data.get("source"):
        data["source"] = str(data["source"]).partition(":")[0]
    if isinstance(model, dict) and model.get("weights"):
        model["weights"] = PurePath(str(model["weights"]).replace("\\", "/")).name
    return kept
