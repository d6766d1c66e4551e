"""A group is one name in every type, in every check of a records table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayescam.data import audit_records, split_records
from bayescam.data.records import group_keys, group_names

NAMES = {
    "whole": [7, 7, 8, 8],
    "text": ["7", "7", "8", "8"],
    "floats": [7.0, 7.0, 8.0, 8.0],
    "text of floats": ["7.0", "7.0", "8.0", "8.0"],
    "numpy": [np.int32(7), np.float32(7), np.int64(8), np.float64(8)],
    "mixed": [7, "7.0", 8.0, "8"],
}


def records(groups: list[object], split: list[str | None] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(len(groups))],
            "path": [f"/nowhere/{k}.png" for k in range(len(groups))],
            "label": "nv",
            "group": groups,
            "split": split or [None] * len(groups),
            "mask_path": None,
        }
    )


@pytest.mark.parametrize("groups", NAMES.values(), ids=NAMES.keys())
def test_names_are_alike_in_every_type(groups: list[object]) -> None:
    assert group_names(records(groups)).tolist() == ["7", "7", "8", "8"]
    assert group_keys(records(groups)).tolist() == ["group 7"] * 2 + ["group 8"] * 2


@pytest.mark.parametrize("groups", NAMES.values(), ids=NAMES.keys())
def test_a_leak_is_found_in_every_type(groups: list[object]) -> None:
    audit = audit_records(records(groups, ["train", "test", "val", "val"]), near_duplicates=False)
    assert audit.num_groups == 2
    assert audit.crossing_groups["group"].tolist() == ["7"]


def test_an_image_without_group_stands_alone() -> None:
    keys = group_keys(records([7, None, np.nan, "7.0"]))
    assert keys.tolist() == ["group 7", "image i1", "image i2", "group 7"]
    assert group_names(records([None, None])).isna().all()


def test_groups_of_mixed_types_are_split_whole() -> None:
    table = records([name for k in range(20) for name in (k, str(k), float(k), f"{k}.0")])
    table["split"] = table["split"].astype("str")
    cut = split_records(table, fractions={"train": 0.5, "test": 0.5}, seed=0)
    assert (cut.groupby(group_names(cut))["split"].nunique() == 1).all()
    assert set(cut["split"]) == {"train", "test"}
