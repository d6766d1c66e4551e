"""Features of the frozen part of a network, computed once per image and view, and kept.

A cache on disk is a plain `.npy` file that fills up block by block; a small JSON file beside it
says how far it is and what it belongs to: an interrupted run carries on, a stale cache is not used.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bayescam.types import Array, InputError

__all__ = ["FeatureCache", "TrainingImages", "cache_features", "weights_fingerprint"]

_MARK_SECONDS = 5.0
Batches = Callable[[int, Array], Iterator[tuple[Array, Array]]]
ProgressReport = Callable[[str, int, int, str], None]
"""Called as `report(stage, done, total, note)`."""


@dataclass(frozen=True)
class TrainingImages:
    """Images that can be read again, and their labels.

    Attributes:
        batches: `batches(view, indices)` yields (indices, images (B, H, W, 3) RGB 0..255) in order;
            view 0 is the image itself, every other view a fixed augmentation of it.
        labels: Integer classes (N,).
        fingerprint: Says what the images are: another data set or augmentation, another text.
    """

    batches: Batches
    labels: Array
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class FeatureCache:
    """Features (V, N, ...) of V views of N images, in memory or mapped from disk."""

    values: Array

    @property
    def num_views(self) -> int:
        """Number of views V."""
        return len(self.values)

    def rows(self, views: Array, indices: Array) -> Array:
        """Returns the features of the given views of the given images; float32, or uint8 pixels."""
        rows = self.values[views, indices]
        return rows if rows.dtype == np.uint8 else rows.astype(np.float32)


def cache_features(
    extract: Callable[[tf.Tensor], list[tf.Tensor]] | None,
    images: TrainingImages,
    *,
    shape: tuple[int, ...],
    num_views: int,
    path: Path | None = None,
    key: str = "",
    report: ProgressReport | None = None,
) -> FeatureCache:
    """Returns the features of all views of all images.

    Args:
        extract: The frozen part, images to a list of one tensor; None keeps the pixels themselves.
        images: What to run it on.
        shape: Shape of one image's features.
        num_views: Number of views V.
        path: A `.npy` file to keep them in; None keeps them in memory.
        key: What the features depend on, beside the images: a cache with another key is made anew.
        report: Told how far it is.

    Maps are kept in float16, pooled features in float32.

    Raises:
        InputError: If a map exceeds the range of float16, or the disk is too small.
    """
    dtype = np.uint8 if extract is None else np.float16 if len(shape) == 3 else np.float32
    size = (num_views, len(images), *shape)
    identity = {"key": key, "images": images.fingerprint, "shape": size, "dtype": dtype.__name__}
    values, done = _open(path, size, dtype, identity)
    marked = time.monotonic()
    for view in range(num_views):
        start = int(np.clip(done - view * len(images), 0, len(images)))
        batches = images.batches(view, np.arange(start, len(images)))
        for indices, batch in _read_ahead(batches):
            values[view, indices] = _extract(extract, batch, dtype)
            done = view * len(images) + int(indices[-1]) + 1
            if report is not None:
                report("features", done, num_views * len(images), "")
            if path is not None and time.monotonic() - marked > _MARK_SECONDS:
                _mark(path, values, identity, done)
                marked = time.monotonic()
    if path is not None:
        _mark(path, values, identity, num_views * len(images))
    return FeatureCache(values)


def weights_fingerprint(variables: list[tf.Variable]) -> str:
    """Returns a hash of the values of variables."""
    digest = hashlib.sha256()
    for variable in variables:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()[:16]


def _read_ahead(batches: Iterator[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
    """Prepares the next batch in a thread while the network works on this one."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _extract(extract: Any, batch: Array, dtype: type) -> Array:  # noqa: ANN401
    if extract is None:
        return np.clip(np.rint(batch), 0, 255).astype(dtype)
    features = extract(tf.cast(batch, tf.float32))[0].numpy()
    if dtype is np.float16 and np.abs(features).max(initial=0.0) > np.finfo(np.float16).max:
        raise InputError(
            "the maps below the fine-tuned layers exceed 65504, the range of the cache; "
            "fine-tune from another layer (`fine_tune_layers`)"
        )
    return features.astype(dtype)


def _open(
    path: Path | None, size: tuple[int, ...], dtype: type, identity: dict[str, Any]
) -> tuple[Array, int]:
    """Returns the array to fill and how many rows (view after view) it holds already."""
    if path is None:
        return np.empty(size, dtype), 0
    state = path.with_suffix(".json")
    if state.exists() and path.exists():
        known = json.loads(state.read_text())
        if known["identity"] == json.loads(json.dumps(identity)):
            return np.lib.format.open_memmap(path, mode="r+"), int(known["done"])
    path.parent.mkdir(parents=True, exist_ok=True)
    state.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    _check_space(path.parent, size, dtype)
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=size), 0


def _check_space(folder: Path, size: tuple[int, ...], dtype: type) -> None:
    needed, free = math.prod(size) * np.dtype(dtype).itemsize, shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"the features of {size[0]} views of {size[1]} images need {needed / 1e9:.1f} GB, but "
            f"{folder} has {free / 1e9:.1f} GB free; lower `num_views` or `fine_tune_layers`, or "
            "write elsewhere"
        )


def _mark(path: Path, values: Array, identity: dict[str, Any], done: int) -> None:
    if isinstance(values, np.memmap):
        values.flush()
    state = path.with_suffix(".json")
    partial = state.with_suffix(".tmp")
    partial.write_text(json.dumps({"identity": identity, "done": done}))
    os.replace(partial, state)
