"""What guarantees ask of the images: one image per lesion, and no lesion on both sides of a split.

Conformal sets and referral rules hold for images that could be listed in any order. Photographs of
one lesion resemble each other, so one of them stands for the lesion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayescam.types import InputError, canonical_names
from bayescam.uncertainty.validation import check_groups

__all__ = ["keyed_uniform", "one_per_group", "refuse_repeated_groups", "refuse_shared_groups"]

Names = Sequence[object] | ArrayLike


def one_per_group(groups: Names, *, seed: int = 0, keys: Names | None = None) -> NDArray[np.int64]:
    """Positions (G,) of one image chosen at random from each of G groups, in ascending order.

    Args:
        groups: (N,), the group (lesion, patient) of each image.
        seed: of the choice.
        keys: (N,), names of the images; the choice then depends on the names alone, not on the
            order of the rows. The row number where omitted.

    Raises:
        InputError: no images, a missing name, or as many keys as images it is not.

    Example:
        >>> one_per_group(["a", "b", "a"]).size
        2
    """
    codes = check_groups(groups, len(np.asarray(groups, dtype=object)))
    if len(codes) == 0:
        raise InputError("`groups` has no images.")
    draws = keyed_uniform(len(codes), seed=seed, purpose="group", keys=keys)
    order = np.lexsort((draws, codes))
    first = np.append(True, np.diff(codes[order]) > 0)
    return np.sort(order[first]).astype(np.int64)


def refuse_repeated_groups(groups: Names, num_images: int) -> frozenset[str]:
    """The names of the groups, after making sure that each has one image.

    Raises:
        InputError: wrong length, a missing name, or a group with several images.
    """
    codes = check_groups(groups, num_images)
    names = _as_strings(groups)
    count = np.bincount(codes)
    if (count > 1).any():
        name = names[codes.tolist().index(int(count.argmax()))]
        raise InputError(
            f"`groups` must hold one image a group; {name!r} has {count.max()}. Choose them with "
            "`one_per_group`."
        )
    return frozenset(names)


def refuse_shared_groups(
    fitted: Iterable[object], groups: Names, *, what: str = "validation"
) -> None:
    """Make sure that no group of the test images was used for fitting.

    Args:
        fitted: names of the groups that were used for fitting.
        groups: names of the groups of the test images.
        what: what the fitted images are called in the message.

    Raises:
        InputError: a shared group, or a missing name.
    """
    check_groups(groups, len(np.asarray(groups, dtype=object)))
    shared = sorted(set(canonical_names(fitted)).intersection(_as_strings(groups)))
    if shared:
        raise InputError(
            f"`groups` of the test images must not occur among the {what} images; shared: "
            f"{len(shared)}, first {shared[0]!r}."
        )


def keyed_uniform(
    num_images: int, *, seed: int, purpose: str, keys: Names | None = None
) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), each a hash (BLAKE2b) of seed, purpose and the image's key alone.

    So the number of an image depends neither on its row nor on the batch it comes in, and what is
    drawn for one purpose is independent of what is drawn for another.

    Args:
        num_images: N.
        seed: any integer.
        purpose: keeps apart the numbers of different uses.
        keys: (N,), names of the images; 0..N-1 where omitted. Equal keys get equal numbers.

    Returns:
        (N,), multiples of 2^-53.
    """
    names: Iterable[object] = range(num_images)
    if keys is not None:
        names = _as_strings(keys)
        if len(names) != num_images:
            raise InputError(f"`keys` must be {num_images} names, one an image; got {len(names)}.")
    stem = blake2b(f"{seed}|{purpose}|".encode(), digest_size=8)
    words = [_hash(stem, name) for name in names]
    bits = np.array(words, dtype=np.uint64) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def _hash(stem: blake2b, name: object) -> int:
    state = stem.copy()
    state.update(str(name).encode())
    return int.from_bytes(state.digest(), "little")


def _as_strings(names: Names) -> list[str]:
    return canonical_names(np.asarray(names, dtype=object).ravel())
