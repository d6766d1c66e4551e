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

from bayescam.types import Array
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


def load_analysis(folder: str | os.PathLike[str]) -> Analysis:
    """Return the predictions and logits of a finished analysis folder.

    Raises:
        InputError: not a finished analysis folder.
    """
    path = Path(folder).expanduser()
    manifest = read_manifest(path, "analysis")
    predictions = pd.read_parquet(path / "predictions.parquet")
    logits = zarr.open_array(path / "analysis.zarr" / "logits", mode="r", zarr_format=2)
    rows = predictions["image"].to_numpy()
    return Analysis(
        path,
        manifest,
        predictions,
        np.asarray(logits[:])[:, rows],
        tuple(manifest["settings"]["class_names"]),
    )
