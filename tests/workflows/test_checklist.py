"""The checklist of a run that was trained here, before its evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bayescam.cli import main
from bayescam.report import ChecklistRow
from bayescam.types import InputError
from bayescam.workflows.checklist import checklist_folder, checklist_table, fill_checklist
from bayescam.workflows.claim import CLAIM_ITEMS
from bayescam.workflows.claim_facts import gather_facts
from bayescam.workflows.finished import load_analysis
from bayescam.workflows.training_record import describe_run

OF_THE_EVALUATION = {28, 29, 30, 32, 33, 37, 38, 39, 40}
OF_THE_AUTHORS = {2, 3, 4, 5, 6, 11, 13, 14, 15, 16, 17, 18, 21, 34, 41, 44}


@pytest.fixture
def folder(analysis_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(analysis_folder, tmp_path / "analysis")


def test_there_are_44_items_once_each_in_order() -> None:
    assert [item.number for item in CLAIM_ITEMS] == list(range(1, 45))
    assert len({item.topic for item in CLAIM_ITEMS}) == 44


def test_what_only_an_evaluation_knows_is_not_assessed_before_it(folder: Path) -> None:
    rows = fill_checklist(gather_facts(load_analysis(folder)))
    open_items = {row.number for row in rows if row.status == "not assessed"}
    assert open_items == OF_THE_EVALUATION | OF_THE_AUTHORS
    assert all((row.answer == "") == (row.status == "not assessed") for row in rows)
    assert all((row.source == "") == (row.answer == "") for row in rows)


def test_answers_are_the_values_of_the_run(folder: Path, run_folder: Path) -> None:
    said = {row.number: row.answer for row in fill_checklist(gather_facts(load_analysis(folder)))}
    manifest = json.loads((run_folder / "manifest.json").read_text())
    records = pd.read_parquet(run_folder / "records.parquet")
    history = pd.read_csv(run_folder / "history.csv")
    for name, number in manifest["versions"].items():
        if name != "python":
            assert f"{name} {number}" in said[23]
    for split, part in records.groupby("split"):
        assert f"{split} {len(part)} images of {len(part)} groups" in said[19]
        assert f"{split}: disc {sum(part['label'] == 'disc')}, plain" in said[36]
    assert "seed 5" in said[19]
    assert "no image has a group" in said[20]
    assert "32 x 32 pixels" in said[9]
    assert "no augmentation" in said[9]
    assert "narrow_vgg" in said[22]
    assert "head flipout; 3 classes: disc, plain, ring" in said[22]
    assert f"epochs run: head {len(history)}; seed 5" in said[25]
    assert "learning rate (Adam) 0.02" in said[25]
    assert "20 draws" in said[27]
    assert "gradcam" in said[31]
    model = load_analysis(folder).manifest["settings"]["model"]
    assert f"model fingerprint {model}" in said[42]


def test_groups_in_two_partitions_are_counted(run_folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    records = pd.read_parquet(run / "records.parquet")
    train, test = (records.index[records["split"] == name][0] for name in ("train", "test"))
    records.loc[[train, test], "group"] = "DOE^JOHN"
    records["sex"] = ["f", "Female", "?"] * (len(records) // 3)
    records["age"] = 50
    records.to_parquet(run / "records.parquet")
    described = describe_run(run)
    assert described["crossing_groups"] == 1
    assert described["without_group"] == len(records) - 2
    parts = described["partitions"].values()
    assert sum(part["sex"]["female"] for part in parts) == 2 * len(records) // 3
    assert all(part["age"]["median"] == 50 for part in parts)
    text = json.dumps(described)
    assert "DOE" not in text
    assert str(tmp_path) not in text
    assert described["settings"]["data"]["source"] == "folder"


def test_the_files_hold_no_path_no_id_and_nothing_active(folder: Path) -> None:
    """A hostile class name is text in the page and in the table."""
    hostile = '=cmd()"<script>alert(1)</script>\u202e' + "x" * 10_000
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["settings"]["class_names"] = [hostile, "plain", "ring"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    page = checklist_folder(folder, seed=3)
    text, table = page.read_text(), pd.read_csv(page.with_suffix(".csv"))
    assert list(table["number"]) == list(range(1, 45))
    assert "<script" not in text
    assert "\u202e" not in text + table.to_csv()
    assert "&lt;script&gt;" in text
    assert "x" * 100 not in text
    analysis = load_analysis(folder)
    assert not table.map(lambda cell: str(cell).startswith(("=", "+", "-", "@"))).any(axis=None)
    for secret in (*analysis.predictions["path"], *analysis.predictions["image_id"], str(folder)):
        assert secret not in text
        assert secret not in table.to_csv()
    assert "http" not in text.replace('http-equiv="', "")


def test_without_a_record_of_the_training_its_items_are_not_assessed(folder: Path) -> None:
    (folder / "training.json").unlink()
    rows = fill_checklist(gather_facts(load_analysis(folder)))
    status = {row.number: row.status for row in rows}
    assert {status[n] for n in (9, 19, 20, 24, 25, 26, 36)} == {"not assessed"}
    assert status[23] == "answered"


def test_a_foreign_record_or_seed_is_refused(folder: Path, capsys) -> None:
    training = json.loads((folder / "training.json").read_text())
    (folder / "training.json").write_text(json.dumps([training[0] | {"model": "0" * 16}]))
    with pytest.raises(InputError, match="is of other models than the analysis"):
        checklist_folder(folder)
    assert main(["checklist", str(folder), "--seed", "4"]) == 2
    assert "has seed 3; expected 4" in capsys.readouterr().err


def test_a_formula_in_a_cell_is_text() -> None:
    cells = checklist_table([ChecklistRow(1, "s", "t", "partly", " =1+1", "@x")])
    assert cells.loc[0, ["answer", "source"]].tolist() == ["' =1+1", "'@x"]
    with pytest.raises(InputError, match="`status` must be one of"):
        ChecklistRow(1, "s", "t", "yes", "", "")
