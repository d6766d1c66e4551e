"""Run folders read back for use: one model, or the models of several runs as one ensemble."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import tf_keras

from bayescam.models import ModelEnsemble
from bayescam.types import InputError
from bayescam.workflows.train import load_run

__all__ = ["LoadedRuns", "RunFolders", "load_runs"]

RunFolders = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One run folder, or those of the members of an ensemble."""


class LoadedRuns(NamedTuple):
    """What one or several finished run folders hold.

    Attributes:
        model: the model, or the ensemble of all.
        known: the records of each run, with their split, by the folder as it was given.
        fingerprint: of the model file, or of all joined by "+", in order.
    """

    model: tf_keras.Model | ModelEnsemble
    known: Mapping[str, pd.DataFrame]
    fingerprint: str

    @property
    def records(self) -> pd.DataFrame:
        """The records of the first run."""
        return next(iter(self.known.values()))


def load_runs(folders: RunFolders) -> LoadedRuns:
    """Return the model of a run folder, or the ensemble of the models of several.

    Raises:
        InputError: a folder is no finished run, two hold the same model, or the models do not fit
            together.
    """
    paths = [folders] if isinstance(folders, (str, os.PathLike)) else list(folders)
    if not paths:
        raise InputError("`run_folders` must name at least one run folder; got none")
    names = [str(path) for path in paths]
    runs = [load_run(path) for path in paths]
    prints = [run.fingerprint for run in runs]
    for place, fingerprint in enumerate(prints):
        if prints.index(fingerprint) < place:
            raise InputError(
                f"{names[place]} holds the same model as {names[prints.index(fingerprint)]}: an "
                "ensemble has different members. Was a folder given twice?"
            )
    models = tuple(run.model for run in runs)
    return LoadedRuns(
        models[0] if len(models) == 1 else ModelEnsemble(models, tuple(names)),
        {name: run.records for name, run in zip(names, runs, strict=True)},
        "+".join(prints),
    )
