from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayescam.data import ImageLoader, load_image, resize_image
from bayescam.types import InputError
from bayescam.workflows.analysis import analyze, summarize
from bayescam.workflows.selection import select_records
from bayescam.workflows.streaming import AnalysisOptions, analyze_records
from bayescam.workflows.train import load_run


def test_stream_equals_analysis_in_memory(run_folder: Path, analysis_folder: Path) -> None:
    run = load_run(run_folder)
    _, images = next(iter(ImageLoader(run.records["path"].tolist(), (32, 32), batch_size=60)))
    expected = analyze(run.model, images, num_samples=20, seed=3)
    with xr.open_zarr(analysis_folder / "analysis.zarr", chunks=None) as stored:
        assert stored["logits"].dims == ("draw", "image", "class")
        assert stored["cam"].dims == ("draw", "image", "target", "row", "column")
        assert stored["analysed"].values.all()
        assert list(stored["class"].values) == ["disc", "plain", "ring"]
        assert stored.attrs["layer"] == expected.attrs["layer"] == "block5_conv3"
        np.testing.assert_allclose(stored["logits"], expected["logits"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(stored["cam"], expected["cam"], rtol=1e-4, atol=1e-5)
    table = pd.read_parquet(analysis_folder / "predictions.parquet")
    with pytest.warns(UserWarning, match="S = 20 draws are too few for "):
        summary = summarize(expected)
    pd.testing.assert_frame_equal(table[list(summary)], summary, rtol=1e-4, atol=1e-6)
    assert list(table["image_id"]) == list(run.records["image_id"])


def test_summary_maps_are_the_statistics_of_the_draws(
    run_folder: Path, analysis_folder: Path, tmp_path: Path
) -> None:
    options = AnalysisOptions(split="all", num_samples=20, batch_size=7, seed=3, maps="summary")
    analyze_records(run_folder, out=tmp_path / "a", options=options, progress=False)
    with (
        xr.open_zarr(tmp_path / "a" / "analysis.zarr", chunks=None) as summary,
        xr.open_zarr(analysis_folder / "analysis.zarr", chunks=None) as draws,
    ):
        cam = draws["cam"].values
        np.testing.assert_allclose(summary["cam_mean"], cam.mean(0), atol=1e-6)
        np.testing.assert_allclose(summary["cam_sd"], cam.std(0), atol=1e-6)
        one = cam[:, 4, 1]
        share = (one > one.mean(0).clip(min=0).max() / 2).mean(0)
        np.testing.assert_allclose(summary["cam_p_relevant"][4, 1], share, atol=1e-6)
        np.testing.assert_allclose(summary["cam_p_positive"], (cam > 0).mean(0), atol=1e-6)
        assert "cam" not in summary


def test_undecodable_images_are_skipped_with_the_reason(run_folder: Path, tmp_path: Path) -> None:
    good = load_run(run_folder).records.iloc[:12]
    bad = []
    for number in range(4):
        path = tmp_path / f"bad{number}.png"
        path.write_bytes(b"not an image" * number)
        bad.append(good.iloc[0].to_dict() | {"image_id": f"bad{number}", "path": str(path)})
    rows = good.to_dict("records")
    rows[2:2], rows[9:9] = bad[:3], bad[3:]
    mixed = pd.DataFrame(rows).astype(good.dtypes)
    options = AnalysisOptions(split="all", num_samples=5, batch_size=4)
    outcome = analyze_records(
        run_folder, mixed, out=tmp_path / "mixed", options=options, progress=False
    )
    plain = analyze_records(
        run_folder, good, out=tmp_path / "good", options=options, progress=False
    )
    skipped = pd.read_csv(tmp_path / "mixed" / "skipped.csv")
    assert list(skipped["path"]) == [row["path"] for row in bad]
    assert skipped["reason"].str.len().min() > 5
    assert (outcome.num_analysed, plain.num_analysed, len(outcome.skipped)) == (12, 12, 4)
    assert (tmp_path / "good" / "skipped.csv").read_text() == "path,reason\n"
    found, expected = (
        pd.read_parquet(tmp_path / name / "predictions.parquet") for name in ("mixed", "good")
    )
    assert list(found["image"]) == [0, 1, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15]
    columns = [name for name in expected if name != "image"]
    pd.testing.assert_frame_equal(found[columns], expected[columns], rtol=1e-4, atol=1e-6)


_KILLED = """
import os, sys
from bayescam.workflows import streaming
from bayescam.workflows.store import AnalysisStore
writes = []
write = AnalysisStore.write
def die_at_the_third(self, *arguments):
    if len(writes) == 2:
        os.kill(os.getpid(), 9)
    writes.append(write(self, *arguments))
AnalysisStore.write = die_at_the_third
options = streaming.AnalysisOptions(split="all", num_samples=20, batch_size=7, seed=3)
streaming.analyze_records(sys.argv[1], out=sys.argv[2], options=options, progress=False)
"""


def test_a_killed_analysis_carries_on(
    run_folder: Path, analysis_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, run_folder, out], capture_output=True, check=False
    )
    assert killed.returncode == -9, killed.stderr
    assert not out.exists()
    partial = tmp_path / "killed.partial"
    with xr.open_zarr(partial / "analysis.zarr", chunks=None) as stored:
        assert stored["analysed"].values.tolist() == [True] * 14 + [False] * 46
        before = stored["logits"].values[:, :14].copy()
    with pytest.raises(InputError, match="num_samples 20, now it is 21"):
        analyze_records(
            run_folder,
            out=out,
            options=AnalysisOptions(split="all", num_samples=21, batch_size=7, seed=3),
        )
    # What the flags say is believed: a sentinel in a finished image stays.
    options = AnalysisOptions(split="all", num_samples=20, batch_size=7, seed=3)
    analyze_records(run_folder, out=out, options=options, progress=False)
    assert not partial.exists()
    with (
        xr.open_zarr(out / "analysis.zarr", chunks=None) as stored,
        xr.open_zarr(analysis_folder / "analysis.zarr", chunks=None) as whole,
    ):
        np.testing.assert_array_equal(stored["logits"].values[:, :14], before)
        np.testing.assert_array_equal(stored["logits"], whole["logits"])
        np.testing.assert_array_equal(stored["cam"], whole["cam"])


def test_an_existing_folder_is_not_overwritten(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="never overwritten"):
        analyze_records(run_folder, out=tmp_path / "kept", progress=False)
    assert (tmp_path / "kept" / "mine.txt").read_text() == "mine"


def test_split_is_that_of_training(run_folder: Path) -> None:
    table = load_run(run_folder).records
    known = {"run": table}
    data = table.assign(split=None).astype({"split": "str"})
    chosen = select_records(data, known, None)
    assert set(chosen["image_id"]) == set(table["image_id"][table["split"].isin(["val", "test"])])
    stranger = data.iloc[:1].assign(image_id="stranger")
    mixed = pd.concat([data, stranger], ignore_index=True)
    assert "stranger" not in set(select_records(mixed, known, None)["image_id"])
    assert "stranger" in set(select_records(mixed, known, "all")["image_id"])
    new = data.assign(image_id="new" + data["image_id"])
    assert len(select_records(new, known, None)) == len(new)
    with pytest.raises(InputError, match="no image is in split train"):
        select_records(new, known, "train")
    relabelled = data.assign(group="other" + data["group"].fillna(""))
    assert len(select_records(relabelled, known, None)) == len(data)
    few = data.iloc[: len(data) // 3]
    assert len(select_records(few, known, None)) == len(few)


def test_bad_options_are_refused(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`maps` must be"):
        AnalysisOptions(maps="all")
    with pytest.raises(InputError, match="no manifest.json; expected a bayescam run"):
        analyze_records(tmp_path, out=tmp_path / "x")
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text.replace('"schema": 1', '"schema": 99'))
    with pytest.raises(InputError, match="schema 99"):
        analyze_records(copy, out=tmp_path / "x")


def test_images_are_read_as_in_training(image_folder: Path) -> None:
    path = sorted(image_folder.rglob("*.png"))[0]
    _, images = next(iter(ImageLoader([path], (32, 32))))
    np.testing.assert_array_equal(images[0], resize_image(load_image(path), (32, 32)))
