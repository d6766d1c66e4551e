"""Batches of decoded images, in order, read ahead by threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescam.data.images import ImageError, load_image, resize_image
from bayescam.types import InputError

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["ImageLoader", "SkippedImage", "image_dataset"]

_Decoded = NDArray[np.uint8] | ImageError


class SkippedImage(NamedTuple):
    """An image that could not be decoded: its index among the paths, the path, and why."""

    index: int  # type: ignore[assignment]  # a tuple has a method of this name
    path: str
    reason: str


class ImageLoader:
    """Iterates over `(indices, images)`: int64 (B,) and uint8 RGB (B, H, W, 3), in order.

    Files are decoded by threads, at most two batches ahead, so memory is bounded. An image that
    cannot be decoded never stops the run: it is left out, its place in the batch is taken by the
    next, and it is listed in `skipped`. All batches but the last are full. Each iteration starts
    afresh, and clears `skipped`.

    Example:
        >>> loader = ImageLoader(["missing.png"], (224, 224, 3))
        >>> list(loader), loader.skipped
        ([], [SkippedImage(index=0, path='missing.png', reason='no such file')])
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        input_shape: Sequence[int],
        *,
        batch_size: int = 32,
        num_workers: int | None = None,
        indices: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        """Remember what to read; nothing is opened yet.

        Args:
            paths: image files.
            input_shape: (H, W) or (H, W, 3) of the batches; images are resized to it without
                regard to their aspect.
            batch_size: images per batch.
            num_workers: decoding threads; by default one per processor, at most 8.
            indices: which of `paths`, in which order; all by default.

        Raises:
            InputError: if a number is not positive or an index is out of range.
        """
        shape = tuple(input_shape)
        if len(shape) not in (2, 3) or min(shape) < 1 or shape[2:] not in ((), (3,)):
            raise InputError(f"`input_shape` must be (H, W, 3); got {shape}")
        if batch_size < 1:
            raise InputError(f"`batch_size` must be at least 1; got {batch_size}")
        self.paths = [str(path) for path in paths]
        self.size = (int(input_shape[0]), int(input_shape[1]))
        self.batch_size = batch_size
        self.num_workers = num_workers or min(8, os.cpu_count() or 1)
        self.indices = np.arange(len(self.paths)) if indices is None else np.asarray(indices)
        self.skipped: list[SkippedImage] = []
        if len(self.indices) and not (
            self.indices.min() >= 0 and self.indices.max() < len(self.paths)
        ):
            raise InputError(f"`indices` must be in 0..{len(self.paths) - 1}")

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Decode and yield batch by batch."""
        self.skipped = []
        indices: list[int] = []
        images: list[NDArray[np.uint8]] = []
        for index, decoded in self._decode_in_order():
            if isinstance(decoded, ImageError):
                self.skipped.append(SkippedImage(index, self.paths[index], decoded.reason))
                continue
            indices.append(index)
            images.append(decoded)
            if len(images) == self.batch_size:
                yield np.array(indices, dtype=np.int64), np.stack(images)
                indices, images = [], []
        if images:
            yield np.array(indices, dtype=np.int64), np.stack(images)

    def _decode_in_order(self) -> Iterator[tuple[int, _Decoded]]:
        ahead = 2 * self.batch_size + self.num_workers
        waiting: deque[tuple[int, Future[_Decoded]]] = deque()
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="decode")
        try:
            for index in self.indices.tolist():
                waiting.append((index, pool.submit(_decode, self.paths[index], self.size)))
                if len(waiting) >= ahead:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def image_dataset(
    records: pd.DataFrame,
    *,
    class_names: Sequence[str],
    input_shape: Sequence[int],
    batch_size: int = 32,
    shuffle_seed: int | None = None,
) -> tf.data.Dataset:
    """Return a `tf.data.Dataset` of (float32 images 0..255, int32 labels) for plain Keras use.

    Args:
        records: the records table; every row needs a label.
        class_names: label `class_names[k]` becomes the integer k.
        input_shape: (H, W, 3).
        batch_size: images per batch; the last one may be smaller. Images that cannot be decoded
            are left out.
        shuffle_seed: order of the images, a new one in every epoch; in the order of the table
            when `None`.

    Raises:
        InputError: if a label is missing or not among `class_names`.
    """
    import tensorflow as tf

    codes = pd.Index(class_names).get_indexer(pd.Index(records["label"]))
    if (codes < 0).any():
        row = records.iloc[int((codes < 0).argmax())]
        raise InputError(
            f"`records`: label {row['label']!r} of image {row['image_id']!r} is not among "
            f"`class_names` {list(class_names)}"
        )
    labels = codes.astype(np.int32)
    epochs = iter(range(2**31))

    def batches() -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
        order = np.arange(len(labels))
        if shuffle_seed is not None:
            order = np.random.default_rng([shuffle_seed, next(epochs)]).permutation(order)
        loader = ImageLoader(
            records["path"].tolist(), input_shape, batch_size=batch_size, indices=order
        )
        for indices, images in loader:
            yield images.astype(np.float32), labels[indices]

    height, width = input_shape[:2]
    signature = (
        tf.TensorSpec((None, height, width, 3), tf.float32),
        tf.TensorSpec((None,), tf.int32),
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(1)


def _decode(path: str, size: tuple[int, int]) -> _Decoded:
    try:
        return resize_image(load_image(path), size)
    except ImageError as error:
        return error
