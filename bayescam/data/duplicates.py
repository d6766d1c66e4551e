"""Files that hold the same picture: equal byte for byte, or nearly equal to the eye."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescam.data.loading import ImageLoader, SkippedImage
from bayescam.data.places import find_place
from bayescam.types import InputError

__all__ = ["NEAR_DUPLICATE_CORRELATION", "find_near_duplicates", "hash_files"]

# Kermany's X-rays: no pair of two patients above 0.91. HAM10000: below 0.94 pairs share no more
# than a dark ring round a small lesion; above, all but one pair are of one lesion.
NEAR_DUPLICATE_CORRELATION = 0.95
_THUMBNAIL = (32, 32)
_ROWS = 1024


def hash_files(
    paths: Sequence[str], *, progress: Callable[[int], None] | None = None
) -> list[str | None]:
    """Return the BLAKE2b digest of each file's bytes, `None` where it cannot be read.

    Args:
        paths: files.
        progress: called with the number of files done.
    """
    hashes: list[str | None] = []
    with ThreadPoolExecutor(4) as pool:
        for done, digest in enumerate(pool.map(_hash_file, paths), start=1):
            hashes.append(digest)
            if progress is not None:
                progress(done)
    return hashes


def find_near_duplicates(
    paths: Sequence[str],
    *,
    threshold: float = NEAR_DUPLICATE_CORRELATION,
    progress: Callable[[int], None] | None = None,
) -> tuple[pd.DataFrame, list[SkippedImage]]:
    """Return the pairs of images that look alike, and the images that cannot be decoded.

    Images are shrunk to grey thumbnails of 32 x 32; two are alike if their horizontal and
    vertical differences between neighbours correlate at least as `threshold`. Differences, as in
    the dHash, rather than values: brightness, contrast, colour cast and compression do not
    matter, nor does the resemblance which all centred lesions and all chests have. Mirrored,
    rotated or cropped copies are not found. All pairs are compared: 10,000 images take seconds
    after decoding, 100,000 take minutes.

    Args:
        paths: image files.
        threshold: least correlation, in (0, 1].
        progress: called with the number of images decoded.

    Returns:
        A table with columns `first`, `second` (indices, first < second) and `correlation`, and
        the list of skipped images.
    """
    indices, outlines, skipped = _read_outlines(paths, progress)
    pairs = [
        (indices[i], indices[j], value) for i, j, value in _correlated_pairs(outlines, threshold)
    ]
    table = pd.DataFrame(pairs, columns=["first", "second", "correlation"])
    return table.astype({"first": "int64", "second": "int64", "correlation": "float64"}), skipped


def _hash_file(path: str) -> str | None:
    """The digest of a file's bytes, and of the number of the frame where it holds several."""
    try:
        place = find_place(path)
        with place.file.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        return digest if place.frame is None else f"{digest}#{place.frame}"
    except (OSError, InputError):
        return None


def _read_outlines(
    paths: Sequence[str], progress: Callable[[int], None] | None
) -> tuple[NDArray[np.int64], NDArray[np.float32], list[SkippedImage]]:
    loader = ImageLoader(paths, _THUMBNAIL, batch_size=64)
    found, rows = [np.empty(0, np.int64)], [np.empty((0, 2 * 31 * 32), np.float32)]
    for indices, images in loader:
        found.append(indices)
        rows.append(_outlines(images))
        if progress is not None:
            progress(int(indices[-1]) + 1)
    return np.concatenate(found), np.concatenate(rows), loader.skipped


def _outlines(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unit vectors of neighbour differences, shape (B, 1984); a constant image gives zeros."""
    grey = images.mean(axis=3, dtype=np.float32)
    steps = [np.diff(grey, axis=axis).reshape(len(grey), -1) for axis in (1, 2)]
    vectors = np.concatenate(steps, axis=1)
    vectors -= vectors.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-3)


def _correlated_pairs(
    vectors: NDArray[np.float32], threshold: float
) -> Iterator[tuple[int, int, float]]:
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS] @ vectors[start:].T
        for i, j in np.argwhere(block >= threshold):
            if i < j:
                yield start + int(i), start + int(j), min(1.0, float(block[i, j]))
