"""The X-rays of `covid_xray.py`: two collections in one table, folds by patient, blacked-out views.

The COVID-19 collection is one source (adults, many hospitals, figures of articles), Kermany's
X-rays another (children of one hospital). "as published" mixes them: COVID-19 of the one, pneumonia
and normal of the other. "corrected" stays within the first: COVID-19 against everything else there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

import bayescam as bc
from bayescam.data import ImageLoader, hash_files, load_mask
from bayescam.inference.features import TrainingImages
from bayescam.types import Array

COVID, OTHER = "COVID-19", "other finding"
VARIANTS = {"as published": (COVID, "PNEUMONIA", "NORMAL"), "corrected": (COVID, OTHER)}
VIEWS = (
    "whole image",
    "lung field blacked out",
    "only the lung field",
    "own lungs blacked out",
    "only the own lungs",
)
FIELD_SHARE = 0.25  # the lung field: pixels that are lung in at least so many of the masks


@dataclass(frozen=True)
class Config:
    """One study; everything that decides its numbers."""

    data: str
    kermany: str
    weights: str | None = None
    backbone: str = "inceptionv3"
    input_shape: tuple[int, int, int] = (256, 256, 3)
    head_epochs: int = 40
    fine_tune_layers: int = 0
    epochs: int = 12
    num_views: int = 4
    num_samples: int = 100
    folds: int = 5
    shown: int = 2
    seeds: tuple[int, ...] = (0, 1, 2)


@dataclass(frozen=True, eq=False)
class Images:
    """All images of the study.

    Attributes:
        records: (N) rows, with `source` ("collection" or "Kermany") and for each variant a column
            of that name: the class of the image there, missing where it takes no part.
        masks: (N, H, W), both lungs, at the input size; all false where there is no mask.
        field: (H, W), the lung field.
    """

    records: pd.DataFrame
    masks: Array
    field: Array

    @property
    def has_mask(self) -> Array:
        """Whether an image has a lung mask, (N,)."""
        return self.masks.any(axis=(1, 2))

    def labels(self, variant: str) -> Array:
        """Class numbers (N,) of a variant, -1 where an image takes no part in it."""
        return pd.Index(VARIANTS[variant]).get_indexer(pd.Index(self.records[variant]))

    def groups(self) -> Array:
        """Patients (N,)."""
        return self.records["group"].to_numpy(str)

    def view(self, place: int, indices: Array, pixels: Array) -> Array:
        """The view `VIEWS[place]` of images (n, H, W, 3) with these row numbers."""
        if place == 0:
            return pixels
        field = np.broadcast_to(self.field, (len(indices), *self.field.shape))
        lungs = field if place <= 2 else self.masks[indices]
        kept = lungs if place in (2, 4) else ~lungs
        return pixels * kept[..., np.newaxis]

    def seen(self, rows: Array) -> TrainingImages:
        """Some of the images, in all views of `VIEWS`."""
        paths, size = self.records["path"].iloc[rows].tolist(), self.field.shape

        def batches(place: int, indices: Array) -> Iterator[tuple[Array, Array]]:
            loader = ImageLoader(paths, size, indices=indices)
            for numbers, pixels in loader:
                yield numbers, self.view(place, rows[numbers], pixels)
            if loader.skipped:
                raise bc.InputError(f"{loader.skipped[0].path}: {loader.skipped[0].reason}")

        mark = f"{self.field.sum()} {self.masks.sum()} {len(rows)}"
        return TrainingImages(batches, np.zeros(len(rows), np.int64), mark)


def read_images(config: Config) -> Images:
    """The two collections in one table.

    Of Kermany's X-rays those with a lung mask are taken, so that every image of the mix can be
    blacked out; if there are none, all. Identical files are taken once.
    """
    covid = bc.read_covid_chestxray(config.data)
    covid = covid[covid["label"].notna()]
    kermany = bc.read_chest_xray(config.kermany, published_split=True)
    if kermany["mask_path"].notna().any():
        kermany = kermany[kermany["mask_path"].notna()]
    tables = {"collection": covid, "Kermany": kermany}
    columns = ["image_id", "path", "label", "group", "mask_path"]
    records = pd.concat([part[columns].assign(source=name) for name, part in tables.items()])
    records["group"] = records["source"] + " " + records["group"].fillna(records["image_id"])
    records["image_id"] = records["source"] + " " + records["image_id"]
    records = records[~pd.Series(hash_files(records["path"].tolist())).duplicated().to_numpy()]
    inside = records["source"] == "collection"
    is_covid = records["label"] == COVID
    records["as published"] = records["label"].where(is_covid | ~inside)
    records["corrected"] = records["label"].where(is_covid, OTHER).where(inside)
    records = records.assign(split=None).reset_index(drop=True)
    masks = np.stack([mask_of(path, config.input_shape[:2]) for path in records["mask_path"]])
    known = masks.any(axis=(1, 2))
    if not known[inside.to_numpy()].any():
        raise bc.InputError(f"{config.data}: no lung masks of its images were found")
    return Images(records, masks, masks[known].mean(axis=0) >= FIELD_SHARE)


def mask_of(path: str | float, size: tuple[int, int]) -> Array:
    """The lungs (H, W) at the input size; nothing where there is no mask."""
    return load_mask(path, size) if isinstance(path, str) else np.zeros(size, bool)


def cut_folds(config: Config, images: Images, seed: int) -> Array:
    """The fold (N,) of each image: patients are kept together, classes are spread."""
    classes = images.records["as published"].fillna(OTHER)
    cutter = StratifiedGroupKFold(config.folds, shuffle=True, random_state=seed)
    folds = np.empty(len(classes), np.int64)
    for fold, (_, test) in enumerate(cutter.split(classes, classes, images.groups())):
        folds[test] = fold
    return folds


def parts_of_fold(images: Images, variant: str, folds: Array, fold: int) -> dict[str, Array]:
    """Row numbers of "train", "val" and "test" of a variant, and of the "foreign" images.

    Foreign are those of the COVID-19 collection in the same fold that the variant knows no class
    for: other findings, as published.
    """
    known = images.labels(variant) >= 0
    inside = (images.records["source"] == "collection").to_numpy()
    fitted = images.records[known & (folds != fold)]
    fitted = fitted.assign(label=fitted[variant])
    cut = bc.split_records(fitted, fractions={"train": 0.85, "val": 0.15}, seed=fold)["split"]
    return {
        "train": cut.index[cut == "train"].to_numpy(),
        "val": cut.index[cut == "val"].to_numpy(),
        "test": np.flatnonzero(known & (folds == fold)),
        "foreign": np.flatnonzero(~known & inside & (folds == fold)),
    }
