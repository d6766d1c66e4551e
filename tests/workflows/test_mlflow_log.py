from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from bayescam.cli import main
from bayescam.types import InputError
from bayescam.workflows.folders import new_manifest, work_folder, write_json, write_table
from bayescam.workflows.mlflow_log import log_folder

pytest.importorskip("mlflow", reason="needs the extra mlflow")

HISTORY = pd.DataFrame(
    {
        "stage": ["head", "head", "fine-tune"],
        "epoch": [1, 2, 1],
        "loss": [1.5, 1.25, 0.75],
        "validation_accuracy": [0.5, 0.75, 0.875],
    }
)


@pytest.fixture
def client(tmp_path: Path, monkeypatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return MlflowClient(tracking_uri=(tmp_path / "store").as_uri())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder that is full of a patient's name."""
    settings = {
        "data": {"source": "folder:/clinic/DOE_JOHN", "augmentation": "none"},
        "model": {"backbone": "narrow_vgg", "weights": "/home/DOE_JOHN/squeezenet.h5"},
        "class_names": ["mel", "=cmd()<script>"],
    }
    manifest = new_manifest("run", seed=7, fingerprint="f" * 16, settings=settings)
    with work_folder(tmp_path / "skin run", manifest) as folder:
        write_table(folder / "history.csv", HISTORY)
        write_table(folder / "records.parquet", pd.DataFrame({"path": ["/clinic/DOE_JOHN/1.png"]}))
        skipped = {"path": ["/clinic/DOE_JOHN/2.png"], "reason": ["truncated"]}
        write_table(folder / "skipped.csv", pd.DataFrame(skipped))
        (folder / "model").mkdir()
        (folder / "model" / "model.keras").write_bytes(b"weights")
    return tmp_path / "skin run"


def test_a_run_is_read_back(run: Path, client, tmp_path: Path, capsys) -> None:
    uri = client.tracking_uri
    assert main(["log", str(run), "--mlflow", uri, "--experiment", "skin"]) == 0
    run_id = capsys.readouterr().out.split()[-1]
    logged = client.get_run(run_id)
    assert logged.info.experiment_id == client.get_experiment_by_name("skin").experiment_id
    assert (logged.info.status, logged.info.run_name) == ("FINISHED", "skin run")
    for column in ("loss", "validation_accuracy"):
        for stage in ("head", "fine-tune"):
            rows = HISTORY[HISTORY["stage"] == stage]
            curve = client.get_metric_history(run_id, f"{stage}/{column}")
            assert [(m.step, m.value) for m in curve] == list(
                rows[["epoch", column]].itertuples(index=False, name=None)
            )
    assert logged.data.metrics["num_skipped"] == 1
    parameters = logged.data.params
    assert parameters["seed"] == "7"
    assert parameters["data.source"] == "folder"
    assert parameters["model.weights"] == "squeezenet.h5"
    assert parameters["class_names"] == "mel, =cmd()<script>"
    assert parameters["version.bayescam"].startswith("0.")
    assert [file.path for file in client.list_artifacts(run_id)] == ["history.csv"]
    again = log_folder(run, uri, experiment="skin")
    assert again != run_id
    assert no_patient(tmp_path / "store")


def no_patient(store: Path) -> bool:
    files = [file for file in store.rglob("*") if file.is_file()]
    assert len(files) > 10
    return not any(b"DOE_JOHN" in bytes(file) + file.read_bytes() for file in files)


def test_an_analysis_is_logged_without_its_images(client, tmp_path: Path) -> None:
    folder = tmp_path / "analysis"
    manifest = new_manifest("analysis", seed=1, fingerprint="", settings={"layer": "fire9/concat"})
    with work_folder(folder, manifest) as part:
        for place in ("tables", "figures", "report"):
            (part / place).mkdir()
        for name in ("tables/images.csv", "predictions.parquet", "report/index.html"):
            (part / name).write_text("DOE_JOHN")
        (part / "tables" / "scores.csv").write_text("score,raw\naccuracy,0.5\n")
        (part / "figures" / "reliability.png").write_bytes(b"\x89PNG")
    run_id = log_folder(folder, client.tracking_uri)
    for place, names in (
        ("tables", ["tables/scores.csv"]),
        ("figures", ["figures/reliability.png"]),
    ):
        assert [file.path for file in client.list_artifacts(run_id, place)] == names
    assert [file.path for file in client.list_artifacts(run_id)] == ["figures", "tables"]
    assert client.get_run(run_id).data.params["layer"] == "fire9/concat"
    local = client.download_artifacts(run_id, "tables/scores.csv")
    assert Path(local).read_text() == "score,raw\naccuracy,0.5\n"
    assert no_patient(tmp_path / "store")


def test_bad_folders_and_stores_are_one_line(run: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(InputError, match="expected a bayescam analysis folder"):
        log_folder(tmp_path / "nothing", str(tmp_path / "store"))
    (tmp_path / "study").mkdir()
    write_json(tmp_path / "study" / "manifest.json", {"kind": "shortcut"})
    with pytest.raises(InputError, match="shortcut folder; expected run"):
        log_folder(tmp_path / "study", str(tmp_path / "store"))
    with pytest.raises(InputError, match="^MLflow at sqlmoon:x: "):
        log_folder(run, "sqlmoon:x")
    write_json(run / "evaluation.json", {"schema": 1})
    with pytest.raises(InputError, match="run bayescam evaluate again"):
        log_folder(run, str(tmp_path / "store"))
    (run / "evaluation.json").unlink()
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(InputError, match=r"pip install 'bayescam\[mlflow\]'"):
        log_folder(run, str(tmp_path / "store"))
