"""From what is stored of one image to what `bayescam.report` shows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from bayescam.data import load_image, resize_image
from bayescam.explain import (
    MapStatistics,
    positive_evidence,
    relevance_threshold,
    summarize_maps,
)
from bayescam.report import MapSummary
from bayescam.types import Array

__all__ = ["StoredMaps", "load_picture", "map_summary", "shown_id"]

_LONGEST_SIDE = 640


class StoredMaps:
    """Map statistics of single images in `analysis.zarr`, whatever kind of maps it keeps."""

    def __init__(self, path: Path) -> None:
        """Open the store for reading."""
        self._group = zarr.open_group(path, mode="r", zarr_format=2)
        self.targets = [str(name) for name in np.asarray(self._array("target")[:])]

    def summary(self, image: int, target: str) -> MapSummary | None:
        """Return the map of a target of one image, or `None` where that target has no maps."""
        if target not in self.targets:
            return None
        t = self.targets.index(target)
        if "cam" in self._group:
            statistics = summarize_maps(np.asarray(self._array("cam")[:, image, t])[:, None, None])
        else:
            parts = (
                np.asarray(self._array(f"cam_{name}")[image, t])[None, None]
                for name in MapStatistics._fields
            )
            statistics = MapStatistics(*parts)
        num_samples = self._array("logits").shape[0]
        return map_summary(statistics, target, 0, 0, num_samples=num_samples)

    def _array(self, name: str) -> zarr.Array:
        array = self._group[name]
        assert isinstance(array, zarr.Array)
        return array


def map_summary(
    statistics: MapStatistics, target: str, image: int, index: int, *, num_samples: int
) -> MapSummary:
    """Return what is shown of one map of S draws; `index` is the place of the target."""
    mean, sd, relevant, _ = (part[image, index] for part in statistics)
    return MapSummary(
        target,
        mean,
        sd,
        relevant,
        float(relevance_threshold(mean)),
        has_evidence=bool(positive_evidence(mean, sd, num_samples)),
    )


def load_picture(path: str | Path) -> NDArray[np.uint8]:
    """Return an image for the eye, no side above 640 pixels, its aspect kept.

    Raises:
        ImageError: if it cannot be decoded.
    """
    image: Array = load_image(path)
    shrink = max(image.shape[:2]) / _LONGEST_SIDE
    if shrink <= 1:
        return image
    height, width = (round(side / shrink) for side in image.shape[:2])
    return resize_image(image, (height, width))


def shown_id(image_id: str) -> str:
    """Return what the page shows of an image's id.

    Where file names recur, the id is a path, and folders are often named after patients: then it is
    the file's name and a hash of the path.

    Example:
        >>> shown_id("ISIC_0024306")
        'ISIC_0024306'
        >>> shown_id("mel/DOE_JOHN/img1")
        'img1-aa6eeccc'
    """
    if "/" not in image_id:
        return image_id
    return f"{image_id.rsplit('/', 1)[-1]}-{hashlib.sha256(image_id.encode()).hexdigest()[:8]}"
