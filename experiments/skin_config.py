"""The skin lesion studies: classes, configuration, splits, heads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import bayescam as bc
from bayescam.inference.training import TrainingSettings

CLASS_NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
TUNED_HEAD, ENSEMBLE = "dense, fine-tuned", "networks together"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Config:
    """One study; everything that decides its numbers."""

    data: str
    weights: str | None = None
    backbone: str = "squeezenet"
    input_shape: tuple[int, int, int] = (225, 300, 3)
    fine_tune_layers: int = 43
    epochs: int = 6
    learning_rate: float = 3e-4
    num_views: int = 6
    head_views: int = 4
    prior_sds: tuple[float, ...] = (0.02, 0.05, 0.15)
    num_samples: int = 100
    fractions: tuple[float, float, float] = (0.60, 0.15, 0.25)
    networks: int = 1
    seeds: tuple[int, ...] = (0, 1, 2)
    splits: tuple[str, ...] = ("val", "test")

    def tuning(self, seed: int) -> TrainingSettings:
        """Settings of the fine-tuning, without class weights."""
        return TrainingSettings(
            seed=seed,
            num_views=self.num_views,
            class_weight_power=0.0,
            fine_tune_layers=self.fine_tune_layers,
            fine_tune_epochs=self.epochs,
            fine_tune_learning_rate=self.learning_rate,
        )


@dataclass(frozen=True)
class Split:
    """One lesion-disjoint split: its seed, its records by part, and the folder of its networks."""

    seed: int
    parts: dict[str, pd.DataFrame]
    folder: Path


def split_of(config: Config, records: pd.DataFrame, seed: int, folder: Path) -> Split:
    """The records cut by lesion, as the configuration and the seed say."""
    shares = dict(zip(("train", "val", "test"), config.fractions, strict=True))
    cut = bc.split_records(records, fractions=shares, seed=seed)
    parts = {name: part.reset_index(drop=True) for name, part in cut.groupby("split")}
    return Split(seed, parts, folder)


def heads(config: Config) -> dict[str, dict[str, Any]]:
    """The heads that are trained on the tuned features."""
    flipout = {
        f"flipout, prior sd {sd}": {"head": "flipout", "prior_sd": sd} for sd in config.prior_sds
    }
    return {"dense": {"head": "dense"}, **flipout}


def label_codes(records: pd.DataFrame) -> NDArray[np.int64]:
    """Class numbers (N,)."""
    return np.array([CLASS_NAMES.index(label) for label in records["label"]])
