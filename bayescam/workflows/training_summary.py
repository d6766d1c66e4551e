"""What a run says of the data it was trained on, without naming an image or a patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bayescam.data import audit_records
from bayescam.workflows.folders import read_manifest, write_json

__all__ = ["copy_summaries", "read_summaries", "write_summary"]

_FILE, _COPIED = "data_summary.json", "training.json"


def write_summary(records: pd.DataFrame, folder: Path) -> None:
    """Audit the records of a run and write counts by split and class, and what leaks.

    Files are hashed, not compared by sight: `bayescam audit` looks for near-duplicates too.
    """
    audit = audit_records(records, near_duplicates=False)
    write_json(
        folder / _FILE,
        {
            "num_images": audit.num_images,
            "num_groups": audit.num_groups,
            "counts": json.loads(audit.counts.to_json(orient="index")),
            "groups": records.groupby("split")["group"].nunique().to_dict(),
            "leaks": {
                str(row.split): {"leaked": int(row.leaked), "num_images": int(row.num_images)}
                for row in audit.leaks[audit.leaks["label"] == "all"].itertuples()
            },
            "crossing_groups": len(audit.crossing_groups),
            "identical_files": len(audit.identical_files),
            "label_conflicts": len(audit.label_conflicts),
            "unreadable": len(audit.unreadable),
        },
    )


def copy_summaries(runs: list[Path], folder: Path) -> None:
    """Write `training.json` into an analysis folder: settings and data of each run, no paths."""
    found = []
    for run in runs:
        manifest = read_manifest(run, "run")
        settings = manifest["settings"]
        model = settings["model"] and {**settings["model"], "weights": _stem(settings["model"])}
        source = settings["data"]["source"]
        data = {**settings["data"], "source": source and source.partition(":")[0]}
        summary = run / _FILE
        found.append(
            {
                "seed": manifest["seed"],
                "data_fingerprint": manifest["data_fingerprint"],
                "versions": manifest["versions"],
                "settings": {**settings, "model": model, "data": data},
                "data": json.loads(summary.read_text()) if summary.exists() else None,
            }
        )
    write_json(folder / _COPIED, found)


def read_summaries(folder: Path) -> list[dict[str, Any]]:
    """Return what `copy_summaries` wrote; nothing for an analysis of an older bayescam."""
    path = folder / _COPIED
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return found


def _stem(model: dict[str, Any]) -> str | None:
    weights = model.get("weights")
    return None if weights is None else Path(str(weights)).name
