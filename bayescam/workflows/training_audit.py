"""What an audit found in the data of a run, in numbers that name no image and no patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bayescam.data import audit_records
from bayescam.workflows.folders import write_json

__all__ = ["read_audit", "write_audit"]

_FILE = "audit.json"


def write_audit(records: pd.DataFrame, folder: Path) -> None:
    """Audit the records of a run and write `audit.json`.

    Files are hashed, not compared by sight: `bayescam audit` looks for near-duplicates too.
    """
    found = audit_records(records, near_duplicates=False)
    whole = found.leaks[found.leaks["label"] == "all"].set_index("split")
    write_json(
        folder / _FILE,
        {
            "leaks": json.loads(whole[["leaked", "num_images"]].to_json(orient="index")),
            "identical_files": len(found.identical_files),
            "label_conflicts": len(found.label_conflicts),
            "unreadable": len(found.unreadable),
        },
    )


def read_audit(folder: Path) -> dict[str, Any] | None:
    """Return what `write_audit` wrote; None for a run of an older bayescam."""
    path = folder / _FILE
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found
