"""Splits that never cut a lesion or a patient in two, with class proportions kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayescam.data.records import SPLITS, check_records, group_keys
from bayescam.types import InputError

__all__ = ["complete_split", "recut_validation", "split_records"]

DEFAULT_FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}


def split_records(
    records: pd.DataFrame,
    *,
    fractions: Mapping[str, float] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return `records` with a new `split` column: grouped by `group`, stratified by `label`.

    An urn scheme. Each class has whole numbers of images due to each split. Groups, in random
    order but large ones first, are drawn into a split with probability proportional to the
    images of their classes that the split still lacks. So the one-image groups, which come last,
    fill every split up to its due number, and among them the cut is uniformly random. A class
    with at least as many images as splits has one due in every split, however small the
    fraction. Images without label count as a class of their own. No split stays empty: with very
    few groups, the smallest group of the split with most groups moves.

    Args:
        records: the records table.
        fractions: share of the images per split, summing to 1; the default is
            70 % train, 15 % val, 15 % test.
        seed: of the random order.

    Returns:
        A copy; equal input and seed give an equal split.

    Raises:
        InputError: if a split is unknown, a fraction is not positive, the sum is not 1, or there
            are fewer groups than splits.

    References:
        Sechidis et al. 2011, "On the stratification of multi-label data", section 3, for the idea
        of drawing by what is still lacking; the urn, in place of its greedy maximum, is ours.

    Example:
        >>> from bayescam.data.records import build_records
        >>> records = build_records({
        ...     "image_id": [f"image{i}" for i in range(100)],
        ...     "path": [f"image{i}.png" for i in range(100)],
        ...     "label": ["nv", "nv", "nv", "mel"] * 25,
        ...     "group": [f"lesion{i // 2}" for i in range(100)],
        ... })
        >>> records = split_records(records, seed=0)
        >>> int(records.groupby("group")["split"].nunique().max())  # no lesion is in two splits
        1
    """
    check_records(records)
    shares = _check_fractions(DEFAULT_FRACTIONS if fractions is None else fractions)
    keys, groups = pd.factorize(group_keys(records), sort=True)
    if len(groups) < len(shares):
        raise InputError(
            f"`records` must have at least as many groups as splits; got {len(groups)} groups "
            f"for {len(shares)} splits"
        )
    counts = _group_class_counts(keys, records["label"])
    due = np.stack([_whole_shares(int(total), shares) for total in counts.sum(axis=0)], axis=1)
    chosen = _draw_from_urns(counts, due, np.random.default_rng(seed))
    _fill_empty_splits(chosen, counts.sum(axis=1), len(shares))
    names = np.array(list(shares))[chosen[keys]]
    return records.assign(split=pd.Series(names, index=records.index, dtype="str"))


def recut_validation(
    records: pd.DataFrame, *, fraction: float = 0.15, seed: int = 0
) -> pd.DataFrame:
    """Return `records` with train and val pooled and cut again by group; all else as it was.

    Args:
        records: the records table with a split.
        fraction: share of the pooled images that becomes val.
        seed: of the cut.

    Returns:
        A copy.

    Raises:
        InputError: if no image is in train or val, or `fraction` is not between 0 and 1.
    """
    check_records(records)
    if not 0 < fraction < 1:
        raise InputError(f"`fraction` must be between 0 and 1; got {fraction}")
    pool = records["split"].isin(["train", "val"])
    if not pool.any():
        raise InputError("`records` has no image in train or val to cut again")
    cut = split_records(
        records[pool], fractions={"train": 1 - fraction, "val": fraction}, seed=seed
    )
    result = records.copy()
    result.loc[pool, "split"] = cut["split"]
    return result


def complete_split(records: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return `records` with a split that can be trained on, keeping what the data set has.

    Without any split all images are cut 70 / 15 / 15 %; with train but no val, 15 % of train
    becomes val; otherwise the split stays. Rows without split beside rows with one stay unused.

    Raises:
        InputError: if there is a split, but nothing in train.
    """
    check_records(records)
    present = set(records["split"].dropna())
    if not present:
        return split_records(records, seed=seed)
    if "train" not in present:
        raise InputError(f"`records` has no image in train; its splits are {sorted(present)}")
    return records if "val" in present else recut_validation(records, seed=seed)


def _check_fractions(fractions: Mapping[str, float]) -> dict[str, float]:
    strange = [name for name in fractions if name not in SPLITS]
    if strange or not fractions:
        raise InputError(f"`fractions` must name train, val or test; got {list(fractions)}")
    if min(fractions.values()) <= 0:
        raise InputError(f"`fractions` must be positive; got {dict(fractions)}")
    total = sum(fractions.values())
    if abs(total - 1) > 1e-6:
        slip = " Were they given in per cent?" if total > 2 else ""
        raise InputError(f"`fractions` must sum to 1; got {dict(fractions)}, sum {total:g}.{slip}")
    return {name: fractions[name] for name in SPLITS if name in fractions}


def _group_class_counts(keys: NDArray[np.intp], labels: pd.Series) -> NDArray[np.int64]:
    """Images of each group and class, shape (groups, K); images without label are the last."""
    codes, classes = pd.factorize(labels, sort=True)
    counts = np.zeros((keys.max() + 1, len(classes) + 1), dtype=np.int64)
    np.add.at(counts, (keys, codes), 1)  # a missing label has code -1
    return counts


def _whole_shares(total: int, shares: Mapping[str, float]) -> NDArray[np.int64]:
    """Cut `total` images by largest remainder, one at least for each split where they suffice."""
    exact = total * np.array(list(shares.values()))
    whole = np.floor(exact).astype(np.int64)
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: total - whole.sum()]] += 1
    while total >= len(whole) and whole.min() == 0:
        whole[whole.argmax()] -= 1
        whole[whole.argmin()] += 1
    return whole


def _draw_from_urns(
    counts: NDArray[np.int64], due: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw a split for each group.

    Args:
        counts: images of each group and class, shape (groups, K).
        due: images due to each split and class, shape (splits, K).
        rng: source of the order and of the draws.

    Returns:
        Index of the split of each group.
    """
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    uniform = rng.random(len(counts))
    lacking = due.astype(float)
    share = due.sum(axis=1) / due.sum()
    chosen = np.empty(len(counts), dtype=np.int64)
    for group in order:
        weights = np.maximum(lacking, 0) @ counts[group]
        if weights.sum() <= 0:
            weights = share
        split = int(np.searchsorted(np.cumsum(weights), uniform[group] * weights.sum(), "right"))
        chosen[group] = split = min(split, len(due) - 1)
        lacking[split] -= counts[group]
    return chosen


def _fill_empty_splits(
    chosen: NDArray[np.int64], sizes: NDArray[np.int64], num_splits: int
) -> None:
    """Give each split without a group the smallest group of the split with most groups."""
    for split in range(num_splits):
        if not (chosen == split).any():
            members = np.flatnonzero(chosen == np.bincount(chosen).argmax())
            chosen[members[sizes[members].argmin()]] = split
