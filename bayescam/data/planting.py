"""Which images of a data set have an artefact, and both versions of them in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescam.data.artefacts import Artefact, plant_artefact
from bayescam.data.loading import ImageLoader
from bayescam.data.records import check_records
from bayescam.types import InputError

__all__ = ["PlantedBatch", "choose_planted", "planted_batches"]


class PlantedBatch(NamedTuple):
    """Images without and with the artefact.

    Attributes:
        indices: Rows of the records, (B,).
        plain: uint8 RGB (B, H, W, 3).
        planted: Likewise.
        masks: Of the artefacts, (B, H, W).
    """

    indices: NDArray[np.int64]
    plain: NDArray[np.uint8]
    planted: NDArray[np.uint8]
    masks: NDArray[np.bool_]


def choose_planted(
    records: pd.DataFrame,
    planted_class: str,
    *,
    share: float = 0.9,
    other_share: float = 0.0,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Returns which images have the artefact, (N,): the same share of each split, to one image.

    Args:
        records: the records table with a split and labels.
        planted_class: the class that the artefact gives away.
        share: of its images.
        other_share: of the images of all other classes.
        seed: of the choice.

    Raises:
        InputError: if the class does not occur in every split, or a share is none.
    """
    check_records(records)
    for name, value in (("share", share), ("other_share", other_share)):
        if not 0.0 <= value <= 1.0:
            raise InputError(f"`{name}` must be between 0 and 1; got {value}")
    inside = records["label"] == planted_class
    for split, found in inside.groupby(records["split"]):
        if not 0 < found.sum() < len(found):
            raise InputError(
                f"`planted_class` must be one of several classes in every split; {split} has "
                f"{int(found.sum())} images of {planted_class!r} among {len(found)}"
            )
    order = pd.Series(np.random.default_rng(seed).permutation(len(records)), records.index)
    strata = order.groupby([records["split"], inside])
    wanted = np.where(inside, share, other_share) * strata.transform("size")
    return (strata.rank() <= wanted.round()).to_numpy()


def planted_batches(
    records: pd.DataFrame,
    artefact: Artefact,
    input_shape: tuple[int, ...],
    *,
    indices: NDArray[np.int64] | None = None,
    batch_size: int = 32,
) -> Iterator[PlantedBatch]:
    """Yields images in order, with and without the artefact.

    Raises:
        InputError: after the last batch, if an image could not be decoded.
    """
    loader = ImageLoader(
        records["path"].tolist(), input_shape, batch_size=batch_size, indices=indices
    )
    names = records["image_id"].to_numpy()
    for rows, images in loader:
        pairs = zip(images, names[rows], strict=True)
        made = [plant_artefact(image, artefact, key=name) for image, name in pairs]
        yield PlantedBatch(
            rows,
            images,
            np.stack([planted.image for planted in made]),
            np.stack([planted.mask for planted in made]),
        )
    if loader.skipped:
        first = loader.skipped[0]
        raise InputError(
            f"{len(loader.skipped)} images cannot be decoded, the first of them {first.path} "
            f"({first.reason}); bayescam audit lists them: take them out"
        )
