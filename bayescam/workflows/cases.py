"""From what is stored of images to what `bayescam.report` shows: maps, pictures, names."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass, replace
from math import ceil, sqrt
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from PIL import Image

from bayescam.data import load_image, resize_image
from bayescam.explain import (
    MapStatistics,
    positive_evidence,
    rank_agreement,
    relevance_threshold,
    summarize_maps,
)
from bayescam.explain.resizing import resize_maps
from bayescam.report import MapContrast, MapSummary
from bayescam.types import Array

__all__ = [
    "LINEAR_METHODS",
    "ImageMaps",
    "StoredMaps",
    "data_uri",
    "encode_jpeg",
    "load_picture",
    "map_summary",
    "shown_id",
]

_LONGEST_SIDE = 640
_BYTES_OF_DRAWS = 60_000
_LEAST_CELLS = 196
_OF_ALL_DRAWS = ("predictive_entropy", "mutual_information")
LINEAR_METHODS = frozenset({"gradcam", "cam", "hirescam", "xgradcam"})


@dataclass(frozen=True, eq=False)
class ImageMaps:
    """The maps of one image.

    Attributes:
        targets: T names.
        statistics: over the draws, (1, T, h, w) each.
        cams: (S, T, h, w), or None where single draws were not kept.
        num_samples: S.
        is_linear: whether the map of a difference of scores is the difference of their maps.
    """

    targets: tuple[str, ...]
    statistics: MapStatistics
    cams: Array | None
    num_samples: int
    is_linear: bool

    def summary(self, target: str) -> MapSummary:
        """The map of a target, and those of its draws, coarser if they are too many for a page.

        Below 196 cells a map says little: then only as many draws are kept as there is room for.
        """
        t = self.targets.index(target)
        found = replace(
            map_summary(self.statistics, target, 0, t, num_samples=self.num_samples),
            is_of_all_draws=target in _OF_ALL_DRAWS,
        )
        if self.cams is None:
            return found
        height, width = self.cams.shape[-2:]
        cells = max(_LEAST_CELLS, _BYTES_OF_DRAWS // len(self.cams))
        shrink = max(1, ceil(sqrt(height * width / cells)))
        draws = self.cams[: max(1, _BYTES_OF_DRAWS // min(cells, height * width)), t]
        if shrink > 1:
            draws = resize_maps(draws, (max(1, height // shrink), max(1, width // shrink)))
        return replace(found, draws=draws)

    def has_evidence(self, target: str) -> bool:
        """Whether the mean map of a target is positive anywhere beyond chance."""
        t = self.targets.index(target)
        mean, sd = self.statistics.mean[0, t], self.statistics.sd[0, t]
        return bool(positive_evidence(mean, sd, self.num_samples))

    def contrast(self, first: str, second: str) -> MapContrast | None:
        """Mean map of a class minus that of another; None where it takes a pass of its own."""
        if not self.is_linear or not {first, second} <= set(self.targets):
            return None
        one, other = (self.statistics.mean[0, self.targets.index(t)] for t in (first, second))
        return MapContrast(f"{first} - {second}", one - other)

    def agreement(self, target: str) -> float | None:
        """`rank_agreement` of the draws; None where it is not known."""
        if self.cams is None or len(self.cams) < 2:
            return None
        maps = self.cams[:, self.targets.index(target)]
        found = float(rank_agreement(maps[:, None, None])[0, 0])
        return None if np.isnan(found) else found


class StoredMaps:
    """The maps in `analysis.zarr`, whatever kind it keeps, a batch of images at a time."""

    def __init__(self, path: Path) -> None:
        """Open the store for reading."""
        self._group = zarr.open_group(path, mode="r", zarr_format=2)
        self.targets = tuple(str(name) for name in np.asarray(self._array("target")[:]))
        self.has_draws = "cam" in self._group
        maps = self._array("cam" if self.has_draws else "cam_mean")
        self.batch_size = int(maps.chunks[1 if self.has_draws else 0])
        self._num_samples = int(self._array("logits").shape[0])
        self._is_linear = str(self._group.attrs.get("method")) in LINEAR_METHODS

    def read(self, batch: int) -> dict[str, Array]:
        """The arrays of maps of one batch, a chunk on disk; the first image has index 0."""
        images = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        if self.has_draws:
            return {"cam": np.asarray(self._array("cam")[:, images])}
        names = (f"cam_{name}" for name in MapStatistics._fields)
        return {name: np.asarray(self._array(name)[images]) for name in names}

    def of_image(self, arrays: dict[str, Array], place: int) -> ImageMaps:
        """The maps of one image of a batch."""
        cams = arrays["cam"][:, place] if self.has_draws else None
        statistics = (
            MapStatistics(*(part[place][None] for part in arrays.values()))
            if cams is None
            else summarize_maps(cams[:, None])
        )
        return ImageMaps(self.targets, statistics, cams, self._num_samples, self._is_linear)

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
    height, width = (max(1, round(side / shrink)) for side in image.shape[:2])
    return resize_image(image, (height, width))


def encode_jpeg(picture: NDArray[np.uint8], *, longest: int | None = None) -> bytes:
    """The bytes of a picture (H, W, 3) as JPEG without metadata, at most `longest` pixels wide."""
    image, packed = Image.fromarray(picture), io.BytesIO()
    if longest is not None:
        image.thumbnail((longest, longest), reducing_gap=2.0)
    image.save(packed, "JPEG", quality=85)
    return packed.getvalue()


def data_uri(image: bytes) -> str:
    """The address that is the image itself."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


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
