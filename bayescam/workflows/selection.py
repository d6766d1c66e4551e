"""Which images to analyze, with the split that they had at training; no member may have seen them.

Images are recognised by `image_id`, label and group together, since numbers alone recur from one
data set to the next. In data that is new to a run (it lacks half of the run's images) they are
recognised by their file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd

from bayescam.data import check_records
from bayescam.data.records import group_names
from bayescam.types import InputError

__all__ = ["SplitChoice", "select_records"]

SplitChoice = Literal["train", "val", "test", "all"]
_USE = {"test": 0, "val": 1, "train": 2}


def select_records(
    records: pd.DataFrame, known: Mapping[str, pd.DataFrame], split: SplitChoice | None
) -> pd.DataFrame:
    """Return the rows to analyze, with the split that they had at training.

    In data that is new to all runs its own split, if any, is kept, and without `split` all of it is
    analyzed. Otherwise images that no run knows have no split, and only "all" includes them.

    Args:
        records: the data.
        known: the records of each run, by its name; several for an ensemble of their models.
        split: which images; by default val and test, or all of new data.

    Raises:
        InputError: nothing is left, or a member of an ensemble has trained on an image that is to
            be analyzed as another split.
    """
    check_records(records)
    at_training = {name: _splits_at_training(records, table) for name, table in known.items()}
    found = [splits for splits in at_training.values() if splits is not None]
    if found:
        weakest = pd.concat([splits.map(_USE) for splits in found], axis=1).min(axis=1)
        names = {use: name for name, use in _USE.items()}
        records = records.assign(split=weakest.map(names).astype("str"))
        wanted = {None: ["val", "test"], "all": None}.get(split, [str(split)])
    else:
        wanted = None if split in (None, "all") else [str(split)]
    chosen = records if wanted is None else records[records["split"].isin(wanted)]
    if chosen.empty:
        present = ", ".join(sorted(records["split"].dropna().unique())) or "none"
        raise InputError(
            f"no image is in split {' or '.join(wanted or [])}; the splits of this data are: "
            f"{present}. Give --split all for every image."
        )
    if len(known) > 1:
        for name, table in known.items():
            _refuse_leaks(chosen, at_training[name], table, name)
    return chosen.reset_index(drop=True)


def _splits_at_training(records: pd.DataFrame, known: pd.DataFrame) -> pd.Series | None:
    """The split of each image in a run, missing where it has none; `None` where all is new."""
    split_of = dict(zip(_identities(known), known["split"], strict=True))
    identities = _identities(records)
    if 2 * len(split_of.keys() & set(identities)) < len(split_of):
        return None
    return pd.Series(
        [split_of.get(identity) for identity in identities], index=records.index, dtype="str"
    )


def _refuse_leaks(
    chosen: pd.DataFrame, at_training: pd.Series | None, known: pd.DataFrame, name: str
) -> None:
    """Refuse images that a run has used more than their split says: val for test, train for both.

    An image that the run does not know counts as used like its group, where the data is known.
    """
    if at_training is None:
        used = chosen["path"].map(dict(zip(known["path"], known["split"], strict=True)))
    else:
        trained_groups = set(group_names(known)[known["split"] == "train"].dropna())
        used = at_training.loc[chosen.index]
        used = used.mask(used.isna() & group_names(chosen).isin(trained_groups), "train")
    leaks = used.map(_USE).fillna(0) > chosen["split"].map(_USE).fillna(0)
    if leaks.any():
        image, use = chosen[leaks].iloc[0], used[leaks].iloc[0]
        split = "unknown" if pd.isna(image["split"]) else image["split"]
        raise InputError(
            f"{int(leaks.sum())} of {len(chosen)} images would leak into the scores: "
            f"{image['image_id']!r}, for example, was in split {use} of {name}, and here its split "
            f"is {split}. Train all members on one split (bayescam train --split-seed), or give "
            "--data without the images that one of them has seen"
        )


def _identities(records: pd.DataFrame) -> list[tuple[str, ...]]:
    named = records.assign(group=group_names(records))
    columns = named[["image_id", "label", "group"]].astype("str").fillna("")
    return list(columns.itertuples(index=False, name=None))
