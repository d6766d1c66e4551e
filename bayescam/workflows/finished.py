"""A finished analysis folder, read back without TensorFlow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from bayescam.types import Array, DrawUnit
from bayescam.workflows.folders import read_manifest

__all__ = ["Analysis", "load_analysis"]


@dataclass(frozen=True, eq=False)
class Analysis:
    """What evaluation needs of an analysis folder.

    Attributes:
        folder: where it is.
        manifest: its manifest.
        predictions: one row per analysed image.
        logits: draws of these images, (S, n, K).
        class_names: K names.
    """

    folder: Path
    manifest: dict[str, Any]
    predictions: pd.DataFrame
    logits: Array
    class_names: tuple[str, ...]

    @property
    def draws_are(self) -> DrawUnit:
        """What messages call a draw."""
        unit: DrawUnit = self.manifest["settings"].get("draws_are", "draws")
        return unit

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class index of each image, -1 where the label is missing or no class of the model."""
        index = pd.Index(self.class_names)
        return index.get_indexer(pd.Index(self.predictions["label"])).astype(np.int64)

    def part(self, splits: tuple[str, ...] | None) -> NDArray[np.int64]:
        """Return the rows with a known label, of these splits or of all."""
        rows = self.labels >= 0
        if splits is not None:
            rows &= self.predictions["split"].isin(splits).to_numpy()
        return np.flatnonzero(rows)

    @property
    def num_features(self) -> int:
        """How many numbers the backbone hands to the head."""
        return int(_open_array(self.folder, "features").shape[1])

    def features(self, rows: NDArray[np.int64]) -> Array:
        """Return what the backbone hands to the head, of these rows, (n, F)."""
        images = self.predictions["image"].to_numpy()[rows]
        return np.asarray(_open_array(self.folder, "features").oindex[images])


def load_analysis(folder: str | os.PathLike[str]) -> Analysis:
    """Return the predictions and logits of a finished analysis folder.

    Raises:
        InputError: not a finished analysis folder.
    """
    path = Path(folder).expanduser()
    manifest = read_manifest(path, "analysis")
    predictions = pd.read_parquet(path / "predictions.parquet")
    logits = np.asarray(_open_array(path, "logits")[:])
    rows = predictions["image"].to_numpy()
    if not np.array_equal(rows, np.arange(logits.shape[1])):
        logits = logits[:, rows]
    return Analysis(path, manifest, predictions, logits, tuple(manifest["settings"]["class_names"]))


def _open_array(folder: Path, name: str) -> zarr.Array:
    return zarr.open_array(folder / "analysis.zarr" / name, mode="r", zarr_format=2)
