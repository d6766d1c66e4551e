"""`analysis.zarr`: arrays of a size fixed at the start, written region by region.

The image axis is an integer index into `records.parquet`. A batch begins at a multiple of the
batch size and is one chunk, so workers that take different batches never write the same file.
`analysed` is set after the values of an image are on disk: what it says can be trusted after a
kill. Zarr format 2, which xarray opens without a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from bayescam.explain import MapStatistics, summarize_maps
from bayescam.types import Array, CamDraws

__all__ = ["AnalysisStore", "MapsKind", "StoreLayout"]

MapsKind = Literal["draws", "summary"]
_MAP = ("image", "target", "row", "column")
_DRAWS_PER_CHUNK = 100


@dataclass(frozen=True)
class StoreLayout:
    """Sizes of an analysis.

    Attributes:
        sizes: length of `draw, image, class, target, row, column, feature`.
        maps: whether the maps of all draws are kept, or their summary.
        batch_size: images in one chunk.
    """

    sizes: Mapping[str, int]
    maps: MapsKind
    batch_size: int

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Axes of each array of float32."""
        summary = tuple(f"cam_{name}" for name in MapStatistics._fields)
        maps = ("cam",) if self.maps == "draws" else summary
        return {
            "logits": ("draw", "image", "class"),
            **{name: ("draw", *_MAP) if name == "cam" else _MAP for name in maps},
            "features": ("image", "feature"),
        }

    @property
    def num_bytes(self) -> int:
        """Size of the arrays on disk, which are not compressed."""
        return 4 * sum(prod(self.sizes[axis] for axis in dims) for dims in self.dims.values())

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of one array."""
        return tuple(self.sizes[axis] for axis in self.dims[name])

    def chunks(self, name: str) -> tuple[int, ...]:
        """Return the shape of the files of one array: one batch, at most 100 draws."""
        limits = {"image": self.batch_size, "draw": _DRAWS_PER_CHUNK}
        return tuple(
            max(1, min(self.sizes[axis], limits.get(axis, self.sizes[axis])))
            for axis in self.dims[name]
        )


class AnalysisStore:
    """The arrays of one analysis on disk, opened for writing."""

    def __init__(self, path: Path, layout: StoreLayout) -> None:
        """Open what `create` made."""
        self.path = path
        self.layout = layout
        self._group = zarr.open_group(path, mode="r+", zarr_format=2)

    @classmethod
    def create(
        cls,
        path: Path,
        layout: StoreLayout,
        *,
        class_names: Sequence[str],
        target_names: Sequence[str],
        attributes: Mapping[str, Any],
        members: Sequence[str] | None = None,
    ) -> AnalysisStore:
        """Make the arrays, empty (NaN), and the names of the axes.

        The draws of an ensemble have a coordinate `member`: the model that each is of.
        """
        if members is not None:
            attributes = {**attributes, "coordinates": "member"}
        group = zarr.create_group(path, zarr_format=2, overwrite=True, attributes=dict(attributes))
        for name, dims in layout.dims.items():
            _new_array(group, name, dims, layout.shape(name), layout.chunks(name), "f4", np.nan)
        count = layout.sizes["image"]
        _new_array(
            group, "analysed", ("image",), (count,), (min(count, layout.batch_size),), "bool", None
        )[:] = False
        for name, axis, values in (
            ("image", "image", np.arange(count)),
            ("class", "class", np.array(class_names, dtype=np.str_)),
            ("target", "target", np.array(target_names, dtype=np.str_)),
            *([] if members is None else [("member", "draw", np.array(members, dtype=np.str_))]),
        ):
            _new_array(group, name, (axis,), values.shape, values.shape, values.dtype, None)[:] = (
                values
            )
        zarr.consolidate_metadata(path, zarr_format=2)
        return cls(path, layout)

    @property
    def analysed(self) -> NDArray[np.bool_]:
        """Which images are done, shape (N,)."""
        return np.asarray(self._array("analysed")[:], dtype=bool)

    def write(self, indices: NDArray[np.int64], values: CamDraws) -> None:
        """Write the draws of some images of one batch, then mark them as analysed."""
        maps: dict[str, Array] = {"cam": values.cams}
        if self.layout.maps == "summary":
            summary = summarize_maps(values.cams)
            maps = {f"cam_{name}": part for name, part in summary._asdict().items()}
        arrays = {"logits": values.logits, **maps, "features": values.features}
        for name, dims in self.layout.dims.items():
            self._write_region(name, dims.index("image"), indices, arrays[name])
        self._write_region("analysed", 0, indices, np.ones(len(indices), dtype=bool))

    def logits(self, indices: NDArray[np.int64]) -> Array:
        """Return the logits (S, n, K) of these images."""
        return np.asarray(self._array("logits").oindex[:, indices, :])

    def _array(self, name: str) -> zarr.Array:
        array = self._group[name]
        assert isinstance(array, zarr.Array)
        return array

    def _write_region(
        self, name: str, axis: int, indices: NDArray[np.int64], values: Array
    ) -> None:
        array = self._array(name)
        first, last = int(indices[0]), int(indices[-1])
        before = (slice(None),) * axis
        if last - first + 1 == len(indices):
            array[(*before, slice(first, last + 1))] = values
        else:
            after = (slice(None),) * (array.ndim - axis - 1)
            array.oindex[(*before, indices, *after)] = values


def _new_array(
    group: zarr.Group,
    name: str,
    dims: Sequence[str],
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: Any,  # noqa: ANN401
    fill_value: float | None,
) -> zarr.Array:
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=fill_value,
        compressors=None,
        attributes={"_ARRAY_DIMENSIONS": list(dims)},
    )
