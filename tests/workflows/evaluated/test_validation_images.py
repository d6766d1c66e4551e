"""How validation images are divided, and what is not promised without them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayescam.uncertainty import fit_calibration
from bayescam.workflows.evaluate import evaluate_folder
from bayescam.workflows.finished import load_analysis
from bayescam.workflows.parts import choose_parts

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes of small evaluations


def test_halves_share_no_group_and_one_image_stands_for_each(
    folders: dict[str, Path], halves: dict[str, np.ndarray], evaluation: dict
) -> None:
    groups = load_analysis(folders["val"]).predictions["group"]
    first, second = (groups.iloc[halves[name]] for name in ("first_half", "guaranteeing"))
    assert not set(first) & set(second)
    assert second.is_unique
    assert len(second) == groups.nunique() // 2
    assert set(first) | set(second) == set(groups)
    np.testing.assert_array_equal(halves["calibrating"], np.arange(len(groups)))
    assert evaluation["parts"]["first_half"]["num_images"] == len(first)
    assert evaluation["parts"]["guaranteeing"]["num_groups"] == len(second)
    assert evaluation["calibration"]["num_images"] == len(groups)
    val, rows = load_analysis(folders["val"]), halves["first_half"]
    found, fit = (
        evaluation["threshold_calibration"],
        fit_calibration(val.logits[:, rows], val.labels[rows]),
    )
    assert found["num_images"] == len(first)
    assert found["temperature"] == pytest.approx(fit.temperature)
    assert list(found["class_bias"].values()) == pytest.approx(fit.class_bias.tolist())


def test_validation_groups_that_are_scored_are_counted_and_fit_nothing(
    folders: dict[str, Path], tmp_path: Path, evaluation: dict
) -> None:
    folder = shutil.copytree(folders["val"], tmp_path / "val")
    table = pd.read_parquet(folder / "predictions.parquet")
    groups = load_analysis(folders["test"]).predictions["group"]
    table.loc[:2, "group"] = groups.iloc[0]
    table.to_parquet(folder / "predictions.parquet")
    scored = shutil.copytree(folders["test"], tmp_path / "test")
    with pytest.warns(UserWarning, match="1 groups .* scored ones too. Their 3 val"):
        found = evaluate_folder(scored, calibration=folder, seed=5)
    numbers = found["parts"]
    parts = choose_parts(load_analysis(folders["test"]), folder, seed=5)
    assert not set(parts.calibrating) & {0, 1, 2}
    assert not set(parts.guaranteeing) & {0, 1, 2}
    assert numbers["calibrating"]["num_images"] == len(parts.calibrating)
    assert found["notes"][0].startswith("1 groups (lesions or patients)")


def test_without_validation_images_nothing_is_promised(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    found = evaluate_folder(folder)
    assert (found["best"], found["conformal"], found["referral_rule"]) == ("raw", None, None)
    assert found["acting"] is None
    assert "referred" not in pd.read_csv(folder / "tables" / "images.csv")
    assert not (folder / "tables" / "conformal.csv").exists()
    assert not (folder / "figures" / "conformal.png").exists()
