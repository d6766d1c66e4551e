"""Folders whose draws are known, and what `bayescam evaluate` writes there."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.special import softmax

from bayescam.uncertainty import Calibration, fit_calibration
from bayescam.workflows.evaluate import evaluate_folder
from bayescam.workflows.finished import Analysis, load_analysis
from bayescam.workflows.parts import choose_parts

SCRIPT = Path(__file__).parents[3] / "experiments" / "benchmarks" / "evaluate_time.py"


@pytest.fixture(scope="session")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluate_time", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def folders(writer: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("known")
    options = {"num_draws": 12, "num_features": 8}
    return {
        "test": writer.write_analysis(root / "test", 400, seed=1, **options),
        "val": writer.write_analysis(root / "val", 500, split="val", seed=2, **options),
        "ood": writer.write_analysis(root / "ood", 90, split=None, seed=3, shift=1.0, **options),
    }


@pytest.fixture(scope="session")
def evaluation(folders: dict[str, Path]) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluate_folder(
            folders["test"],
            calibration=folders["val"],
            ood=folders["ood"],
            strata="localization",
            class_of_concern="mel",
            target_risk=0.15,
            seed=5,
        )


@pytest.fixture(scope="session")
def halves(folders: dict[str, Path]) -> dict[str, np.ndarray]:
    parts = choose_parts(load_analysis(folders["test"]), folders["val"], seed=5)
    names = ("calibrating", "first_half", "guaranteeing")
    return {name: getattr(parts, name) for name in names}


def fitted(folders: dict[str, Path], rows: np.ndarray) -> Calibration:
    val = load_analysis(folders["val"])
    return fit_calibration(val.logits[:, rows], val.labels[rows])


def probs_of(analysis: Analysis, calibration: Calibration) -> np.ndarray:
    return softmax(calibration.apply(analysis.logits.astype(float)), axis=-1)


@pytest.fixture(scope="session")
def probs(folders: dict[str, Path], halves: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    fit = fitted(folders, halves["calibrating"])
    return {name: probs_of(load_analysis(folder), fit) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def half_probs(folders: dict[str, Path], halves: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    fit = fitted(folders, halves["first_half"])
    return {name: probs_of(load_analysis(folder), fit) for name, folder in folders.items()}
