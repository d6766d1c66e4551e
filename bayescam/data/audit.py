"""What is wrong with a records table before anyone trains on it: leaks, labels, files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescam.data.audit_text import audit_text
from bayescam.data.duplicates import find_near_duplicates, hash_files
from bayescam.data.records import SPLITS, check_records, group_names

__all__ = ["RecordsAudit", "audit_records"]


@dataclass(frozen=True)
class RecordsAudit:
    """Findings of an audit, as tables; `to_text` makes a page of them.

    Attributes:
        num_images: rows of the records.
        num_groups: known lesions or patients; 0 when none is known.
        counts: images, split (rows) by label (columns).
        leaks: one row per split val or test and label (`all` first): `num_images`, and how many of
            them have in *train* a sibling of the same group (`by_group`), an identical file
            (`by_file`), a near-duplicate (`by_near_duplicate`), or any of these (`leaked`, and
            `share` = leaked / num_images).
        crossing_groups: groups with images in several splits: `group, splits, num_images`.
        crossing_persons: the same for the `personN` tokens of Kermany's file names.
        identical_files: one row per set of equal files: `image_ids, labels, groups, splits,
            num_images, crosses`.
        near_duplicates: pairs that look alike but are not identical: `first, second` (image ids),
            `correlation, same_group, labels, splits, crosses`.
        label_conflicts: groups whose images have different labels: `group, labels, num_images`.
        unreadable: images missing on disk or not decodable: `image_id, path, reason`.
        unknown_labels: images without label: `image_id, path`.
    """

    num_images: int
    num_groups: int
    counts: pd.DataFrame
    leaks: pd.DataFrame
    crossing_groups: pd.DataFrame
    crossing_persons: pd.DataFrame
    identical_files: pd.DataFrame
    near_duplicates: pd.DataFrame
    label_conflicts: pd.DataFrame
    unreadable: pd.DataFrame
    unknown_labels: pd.DataFrame

    @property
    def has_leaks(self) -> bool:
        """Whether a group, a file or a near-duplicate crosses splits."""
        return bool(
            len(self.crossing_groups)
            or self.identical_files["crosses"].any()
            or self.near_duplicates["crosses"].any()
        )

    def to_text(self) -> str:
        """Return the report as plain text, findings first, at most five examples of each."""
        return audit_text(self)

    def __str__(self) -> str:
        """Return the report."""
        return self.to_text()


def audit_records(
    records: pd.DataFrame,
    *,
    near_duplicates: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> RecordsAudit:
    """Return what is wrong with `records`: leaks between splits, labels, unreadable files.

    Args:
        records: the records table.
        near_duplicates: also decode every image and compare all pairs. Without, files are still
            hashed, and only missing files are found to be unreadable.
        progress: called with (steps done, steps in all) for a progress bar.

    Returns:
        The findings.

    Raises:
        InputError: if `records` is not a records table.
    """
    check_records(records)
    records = records.reset_index(drop=True).assign(group=group_names(records).to_numpy())
    paths = records["path"].fillna("").tolist()
    steps = len(paths) * (2 if near_duplicates else 1)

    def tell(offset: int) -> Callable[[int], None] | None:
        return None if progress is None else lambda done: progress(offset + done, steps)

    hashes = pd.Series(hash_files(paths, progress=tell(0)), index=records.index, dtype="str")
    if near_duplicates:
        pairs, skipped = find_near_duplicates(paths, progress=tell(len(paths)))
        reasons = {item.index: item.reason for item in skipped}
    else:
        pairs = pd.DataFrame({"first": [], "second": [], "correlation": []}, dtype="int64")
        reasons = dict.fromkeys(np.flatnonzero(hashes.isna()).tolist(), "missing or unreadable")
    if progress is not None:
        progress(steps, steps)
    pairs = pairs[hashes[pairs["first"]].to_numpy() != hashes[pairs["second"]].to_numpy()]
    unreadable = records.loc[sorted(reasons), ["image_id", "path"]].assign(
        reason=[reasons[index] for index in sorted(reasons)]
    )
    persons = records.get("person", pd.Series(np.nan, index=records.index, dtype="str"))
    return RecordsAudit(
        num_images=len(records),
        num_groups=records["group"].nunique(),
        counts=pd.crosstab(
            records["split"].fillna("no split"), records["label"].fillna("no label")
        ),
        leaks=_count_leaks(records, hashes, pairs),
        crossing_groups=_crossing(records, records["group"], "group"),
        crossing_persons=_crossing(records, persons, "person"),
        identical_files=_identical_files(records, hashes),
        near_duplicates=_describe_pairs(records, pairs),
        label_conflicts=_label_conflicts(records),
        unreadable=unreadable.reset_index(drop=True),
        unknown_labels=records.loc[records["label"].isna(), ["image_id", "path"]].reset_index(
            drop=True
        ),
    )


def _join(values: Iterable[str | float]) -> str:
    """The distinct known values, in order, as one string; splits in their natural order."""
    known = {str(value) for value in values if not pd.isna(value)}
    order = {name: place for place, name in enumerate(SPLITS)}
    return ", ".join(sorted(known, key=lambda value: (order.get(value, -1), value)))


def _crossing(records: pd.DataFrame, key: pd.Series, name: str) -> pd.DataFrame:
    """Values of `key` that occur in more than one split."""
    table = records.assign(**{name: key})
    grouped = table[table["split"].notna() & key.notna()].groupby(name)["split"]
    crossing = grouped.nunique().loc[lambda splits: splits > 1].index
    rows = [
        (value, _join(grouped.get_group(value)), len(grouped.get_group(value)))
        for value in crossing
    ]
    return pd.DataFrame(rows, columns=[name, "splits", "num_images"])


def _shares_with_train(records: pd.DataFrame, key: pd.Series) -> NDArray[np.bool_]:
    """Whether a row's known key occurs in train."""
    in_train = set(key[records["split"] == "train"].dropna())
    return key.isin(in_train).to_numpy()


def _count_leaks(records: pd.DataFrame, hashes: pd.Series, pairs: pd.DataFrame) -> pd.DataFrame:
    in_train = (records["split"] == "train").to_numpy()
    near = np.zeros(len(records), dtype=bool)
    for one, other in (("first", "second"), ("second", "first")):
        near[pairs.loc[in_train[pairs[other]], one]] = True
    flags = pd.DataFrame(
        {
            "split": records["split"],
            "label": records["label"],
            "by_group": _shares_with_train(records, records["group"]),
            "by_file": _shares_with_train(records, hashes),
            "by_near_duplicate": near,
        }
    )
    causes = ["by_group", "by_file", "by_near_duplicate"]
    flags["leaked"] = flags[causes].any(axis=1)
    rows = []
    for split in ("val", "test"):
        held_out = flags[flags["split"] == split]
        parts = [("all", held_out), *held_out.groupby("label")] if len(held_out) else []
        for label, part in parts:
            totals = part[[*causes, "leaked"]].sum()
            rows.append((split, label, len(part), *totals, totals["leaked"] / len(part)))
    return pd.DataFrame(rows, columns=["split", "label", "num_images", *causes, "leaked", "share"])


def _identical_files(records: pd.DataFrame, hashes: pd.Series) -> pd.DataFrame:
    copies = records[hashes.duplicated(keep=False) & hashes.notna()]
    rows = [
        (
            ", ".join(same["image_id"]),
            _join(same["label"]),
            _join(same["group"]),
            _join(same["split"]),
            len(same),
            same["split"].nunique() > 1,
        )
        for _, same in copies.groupby(hashes[copies.index], sort=False)
    ]
    columns = ["image_ids", "labels", "groups", "splits", "num_images", "crosses"]
    return pd.DataFrame(rows, columns=columns).astype({"crosses": bool})


def _describe_pairs(records: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    first, second = (
        records.loc[pairs[name]].reset_index(drop=True) for name in ("first", "second")
    )
    both_split = first["split"].notna() & second["split"].notna()
    table = pd.DataFrame(
        {
            "first": first["image_id"],
            "second": second["image_id"],
            "correlation": pairs["correlation"].to_numpy(dtype=float),
            "same_group": (first["group"] == second["group"]).astype(bool),
            "labels": [_join(two) for two in zip(first["label"], second["label"], strict=True)],
            "splits": [_join(two) for two in zip(first["split"], second["split"], strict=True)],
            "crosses": (both_split & (first["split"] != second["split"])).astype(bool),
        }
    )
    return table.sort_values("correlation", ascending=False, ignore_index=True)


def _label_conflicts(records: pd.DataFrame) -> pd.DataFrame:
    grouped = records[records["group"].notna()].groupby("group")["label"]
    rows = [
        (group, _join(grouped.get_group(group)), len(grouped.get_group(group)))
        for group in grouped.nunique().loc[lambda labels: labels > 1].index
    ]
    return pd.DataFrame(rows, columns=["group", "labels", "num_images"])
