"""Test images that the figure of a planted shortcut shows: chosen by chance, kept in the folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from bayescam.data import Artefact, planted_batches
from bayescam.report import ShortcutExamples
from bayescam.workflows.folders import write_atomically
from bayescam.workflows.shortcut_models import ShownImages

__all__ = ["example_rows", "load_examples", "make_examples", "save_examples"]

_OF_OTHERS, _OF_CLASS = 2, 1
_PARTS = ("maps", "probs")


def example_rows(test: pd.DataFrame, planted_class: str, seed: int) -> NDArray[np.int64]:
    """Return rows of the test records, taken at random: of other classes, and one of the class."""
    rng = np.random.default_rng(seed)
    inside = (test["label"] == planted_class).to_numpy()
    pools = ((np.flatnonzero(~inside), _OF_OTHERS), (np.flatnonzero(inside), _OF_CLASS))
    return np.concatenate([rng.permutation(pool)[:number] for pool, number in pools])


def make_examples(
    shown: Mapping[str, ShownImages],
    test: pd.DataFrame,
    rows: NDArray[np.int64],
    artefact: Artefact,
    input_shape: tuple[int, ...],
    class_index: int,
) -> ShortcutExamples:
    """Return these rows of the test records with what the models make of them."""
    batches = planted_batches(test, artefact, input_shape, indices=rows)
    (batch,) = list(batches)
    return ShortcutExamples(
        batch.planted,
        batch.masks,
        test["label"].to_numpy(str)[rows],
        {name: seen.mean_maps[rows] for name, seen in shown.items()},
        {
            name: np.stack(
                [
                    softmax(logits[:, rows], axis=-1)[..., class_index].mean(axis=0)
                    for logits in (seen.plain, seen.planted)
                ]
            )
            for name, seen in shown.items()
        },
    )


def save_examples(path: Path, examples: ShortcutExamples) -> None:
    """Write examples as `.npz`, atomically."""
    arrays: dict[str, Any] = {
        "images": examples.images,
        "masks": examples.masks,
        "labels": np.asarray(examples.labels, dtype=str),
    }
    for part in _PARTS:
        arrays |= {f"{part}/{name}": value for name, value in getattr(examples, part).items()}

    def write(file: Path) -> None:
        with file.open("wb") as stream:
            np.savez_compressed(stream, **arrays)

    write_atomically(path, write)


def load_examples(path: Path) -> ShortcutExamples:
    """Return examples that `save_examples` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        found = dict(arrays)
    maps, probs = (
        {name.split("/")[1]: value for name, value in found.items() if name.startswith(f"{part}/")}
        for part in _PARTS
    )
    return ShortcutExamples(found["images"], found["masks"], found["labels"], maps, probs)
