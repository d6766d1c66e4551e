"""Analyses of the models of several runs: splits, leaks, folders, the command line."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayescam.cli import main
from bayescam.data import load_images, split_records
from bayescam.types import InputError
from bayescam.workflows.evaluate import evaluate_folder
from bayescam.workflows.runs import load_runs
from bayescam.workflows.selection import select_records
from bayescam.workflows.store import AnalysisStore
from bayescam.workflows.streaming import AnalysisOptions, analyze_records
from bayescam.workflows.train import load_run, train_run

OPTIONS = AnalysisOptions(num_samples=2, batch_size=5)


@pytest.fixture(scope="module")
def runs(run_config, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seeds of a plain model on one split."""
    root = tmp_path_factory.mktemp("members")
    for seed in (1, 2):
        config = run_config.model_copy(
            update={
                "seed": seed,
                "data": run_config.data.model_copy(update={"split_seed": 7}),
                "model": run_config.model.model_copy(update={"head": "dense"}),
                "training": replace(run_config.training, head_epochs=2),
            }
        )
        train_run(config, root / f"run{seed}", progress=False)
    return [root / "run1", root / "run2"]


@pytest.fixture(scope="module")
def analysis(runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analyses") / "analysis"
    analyze_records(runs, out=folder, options=OPTIONS, progress=False)
    return folder


def test_the_split_seed_is_its_own(runs) -> None:
    first, second = (load_run(run).records for run in runs)
    pd.testing.assert_frame_equal(first, second)
    expected = split_records(first.assign(split=None).astype({"split": "str"}), seed=7)
    assert list(first["split"]) == list(expected["split"])
    weights = [load_run(run).model.get_weights() for run in runs]
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(*weights, strict=True))


def test_the_folder_holds_every_member_in_turn(runs, analysis: Path) -> None:
    table = pd.read_parquet(analysis / "predictions.parquet")
    assert set(table["split"]) == {"val", "test"}
    pixels = load_images(table["path"], (32, 32)).astype(np.float32)
    with xr.open_zarr(analysis / "analysis.zarr", chunks=None) as stored:
        assert list(stored.coords["member"].values) == [str(run) for run in runs]
        for m, run in enumerate(runs):
            expected = load_run(run).model.predict(pixels, verbose=0)
            np.testing.assert_allclose(stored["logits"][m], expected, rtol=1e-4, atol=1e-5)
        assert stored["features"].shape == (len(table), 2 * 64)
    manifest = json.loads((analysis / "manifest.json").read_text())
    assert manifest["settings"]["model"] == "+".join(load_run(run).fingerprint for run in runs)


@pytest.mark.filterwarnings("ignore::UserWarning")  # notes of small evaluations
def test_evaluate_takes_it_and_knows_the_members(runs, analysis: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(analysis, tmp_path / "copy")
    evaluation = evaluate_folder(copy)
    assert evaluation["num_samples"] == 2
    assert evaluation["scored"]["split"] == "test"
    again = evaluate_folder(copy, calibration=analysis)
    assert again["calibration"] == evaluation["calibration"]
    options = replace(OPTIONS, split="val", num_samples=1)
    analyze_records(runs[:1], out=tmp_path / "one", options=options, progress=False)
    with pytest.raises(InputError, match="analyses of different models"):
        evaluate_folder(copy, calibration=tmp_path / "one")


def test_an_interrupted_analysis_carries_on(
    runs, analysis: Path, tmp_path: Path, monkeypatch
) -> None:
    out, partial = tmp_path / "stopped", tmp_path / "stopped.partial"
    written, write = [], AnalysisStore.write

    def interrupt_at_the_second(self, *arguments):
        if written:
            raise KeyboardInterrupt
        written.append(write(self, *arguments))

    monkeypatch.setattr(AnalysisStore, "write", interrupt_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        analyze_records(runs, out=out, options=OPTIONS, progress=False)
    monkeypatch.undo()
    with xr.open_zarr(partial / "analysis.zarr", chunks=None) as stored:
        assert stored["analysed"].values.sum() == 5
    with pytest.raises(InputError, match=r"was begun with model '\w+\+\w+', now it is '\w+\+\w+'"):
        analyze_records(runs[::-1], out=out, options=OPTIONS, progress=False)
    analyze_records(runs, out=out, options=OPTIONS, progress=False)
    with (
        xr.open_zarr(out / "analysis.zarr", chunks=None) as stored,
        xr.open_zarr(analysis / "analysis.zarr", chunks=None) as whole,
    ):
        np.testing.assert_array_equal(stored["logits"], whole["logits"])
        np.testing.assert_array_equal(stored["cam"], whole["cam"])


def test_the_command_line_analyzes_and_explains_an_ensemble(
    runs, analysis: Path, tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "analysis"
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["analyze", *map(str, runs), "--out", str(folder), "--batch-size", "5"]) == 0
        assert "there are 2 draws, not 100" in capsys.readouterr().err
        with (
            xr.open_zarr(folder / "analysis.zarr", chunks=None) as stored,
            xr.open_zarr(analysis / "analysis.zarr", chunks=None) as expected,
        ):
            np.testing.assert_array_equal(stored["cam"], expected["cam"])
        assert main(["evaluate", str(folder)]) == 0
        picture = pd.read_parquet(folder / "predictions.parquet")["path"].iloc[0]
        options = ["--member", str(runs[1]), "--num-samples", "2", "--out", str(tmp_path / "x")]
        assert main(["explain", str(runs[0]), picture, *options]) == 0
    explained = pd.read_csv(tmp_path / "x" / "explanations.csv")
    table = pd.read_parquet(folder / "predictions.parquet")
    np.testing.assert_allclose(explained["confidence"], table["confidence"][:1], rtol=1e-4)
    other = ["--split", "val", "--num-samples", "2", "--out", str(tmp_path / "y")]
    capsys.readouterr()
    assert main(["analyze", str(runs[0]), str(runs[0]), *other]) == 2
    assert "holds the same model as" in capsys.readouterr().err


def test_a_run_of_another_split_is_refused(runs, run_folder: Path, tmp_path: Path) -> None:
    for order in ([runs[0], run_folder], [run_folder, runs[0]]):
        with pytest.raises(InputError, match="images would leak into the scores.*--split-seed"):
            analyze_records(order, out=tmp_path / "x", options=OPTIONS, progress=False)
    assert not list(tmp_path.iterdir())


def table(splits: dict[str, str | None], group: str | None = None) -> pd.DataFrame:
    rows = [
        {
            "image_id": name,
            "path": f"/data/{name}.png",
            "label": "nv",
            "group": f"{group}{name[0]}" if group else None,
            "split": split,
            "mask_path": None,
        }
        for name, split in splits.items()
    ]
    return pd.DataFrame(rows).astype("str")


A = {"a1": "train", "b1": "val", "c1": "test", "d1": "test"}


def test_one_split_is_taken_as_it_is() -> None:
    chosen = select_records(table(A), {"A": table(A), "B": table(A)}, None)
    assert dict(zip(chosen["image_id"], chosen["split"], strict=True)) == {
        "b1": "val",
        "c1": "test",
        "d1": "test",
    }


def test_a_group_that_trained_leaks_whatever_the_type_of_its_name() -> None:
    """An image that the runs do not know, of a group whose other image one has trained on."""
    known = table(A).assign(group=["1", "2", "3", "4"])
    new = table({**A, "z": "test"}).assign(group=[1.0, 2.0, 3.0, 4.0, 1.0])
    with pytest.raises(InputError, match="1 of 5 images would leak .*'z', .* in split train of A"):
        select_records(new, {"A": known, "B": known}, "all")


@pytest.mark.parametrize("order", [("A", "B"), ("B", "A")])
@pytest.mark.parametrize(
    ("image", "use", "message"),
    [
        ("c1", "train", "1 of 3 images would .*'c1', .* in split train of B, .* is test"),
        ("c1", "val", "1 of 3 images would .*'c1', .* in split val of B, .* is test"),
        ("b1", "train", "1 of 3 images would .*'b1', .* in split train of B, .* is val"),
        ("a1", "test", "1 of 4 images would .*'a1', .* in split train of A, .* is test"),
    ],
)
def test_an_image_that_a_member_has_used_more_is_refused(order, image, use, message) -> None:
    known = {"A": table(A), "B": table({**A, image: use})}
    with pytest.raises(InputError, match=message):
        select_records(table(A), {name: known[name] for name in order}, None)


def test_images_that_one_member_does_not_know_are_welcome() -> None:
    fewer = table({name: split for name, split in A.items() if name != "c1"})
    for known in ({"A": table(A), "B": fewer}, {"B": fewer, "A": table(A)}):
        assert list(select_records(table(A), known, "test")["image_id"]) == ["c1", "d1"]


def test_a_group_that_a_member_has_trained_on_is_refused() -> None:
    """B does not know image c1, but has trained on c2 of the same lesion."""
    data = table(A, group="lesion ")
    other = table({"a1": "train", "b1": "val", "d1": "test", "c2": "train"}, group="lesion ")
    with pytest.raises(InputError, match="'c1', for example, was in split train of B"):
        select_records(data, {"A": data, "B": other}, None)


def test_new_data_is_recognised_by_its_files() -> None:
    """Another data set may use the same numbers; the same file is the same image."""
    other = {f"x{n}": "train" for n in range(9)}
    known = {"A": table(other), "B": table({**other, "c1": "train"})}
    elsewhere = table(A).assign(path="/elsewhere/" + table(A)["image_id"])
    assert len(select_records(elsewhere, known, None)) == 4
    with pytest.raises(InputError, match="'c1', for example, was in split train of B"):
        select_records(table(A), known, None)
    unsplit = table(A).assign(split=None).astype({"split": "str"})
    with pytest.raises(InputError, match="in split train of B, and here its split is unknown"):
        select_records(unsplit, known, None)


def test_no_run_is_refused() -> None:
    with pytest.raises(InputError, match="at least one run folder"):
        load_runs([])
