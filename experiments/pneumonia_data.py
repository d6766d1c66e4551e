"""The X-rays of `pneumonia_cam.py`: its configuration, and the split of each variant."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bayescam.data import hash_files, recut_validation

VARIANTS = ("as published", "corrected")


@dataclass(frozen=True)
class Config:
    """One study; everything that decides its numbers."""

    data: str
    weights: str | None = None
    backbone: str = "resnet152"
    input_shape: tuple[int, int, int] = (224, 224, 3)
    num_views: int = 4
    epochs: int = 10
    step_epochs: int = 4
    step_factor: float = 0.1
    learning_rate: float = 1e-3
    batch_size: int = 32
    shown: int = 3
    seed: int = 0


def variant_split(variant: str, records: pd.DataFrame, shared: pd.Series, seed: int) -> pd.Series:
    """The split of a variant: train, val, test, or missing for images that are left out."""
    if variant == "as published":
        return records["split"]
    split = recut_validation(records, fraction=0.15, seed=seed)["split"]
    return split.mask(shared & (records["split"] != "test"))


def shared_with_test(records: pd.DataFrame) -> pd.Series:
    """Whether the file or the patient of an image occurs among the published test images."""
    test = records["split"] == "test"
    hashes = pd.Series(hash_files(records["path"].tolist()), index=records.index)
    shared = pd.Series(False, index=records.index)
    for key in (records["group"], hashes):
        shared |= key.notna() & key.isin(key[test])
    return shared


def split_sizes(split: pd.Series, shared: pd.Series) -> dict[str, int]:
    """How many images each part has, and how many of the training images are in test too."""
    parts = {"train": "training", "val": "validation", "test": "test"}
    sizes = {f"{words} images": int((split == name).sum()) for name, words in parts.items()}
    leaked = int((shared & (split == "train")).sum())
    return sizes | {"training images whose file or patient is in test": leaked}
