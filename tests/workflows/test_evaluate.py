from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from PIL import Image
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from bayescam.types import InputError
from bayescam.uncertainty import fit_mahalanobis, predictive_entropy
from bayescam.workflows.evaluate import evaluate_folder, scores_table
from bayescam.workflows.explain import explain_images
from bayescam.workflows.finished import load_analysis

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes of small evaluations

NAMES = ("disc", "plain", "ring")


@pytest.fixture
def folder(analysis_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(analysis_folder, tmp_path / "analysis")


@pytest.fixture
def known(folder: Path) -> tuple[Path, np.ndarray]:
    """The same folder with logits of which the truth is known: miscalibrated by 3 and a bias."""
    table = pd.read_parquet(folder / "predictions.parquet")
    rng = np.random.default_rng(0)
    store = zarr.open_array(folder / "analysis.zarr" / "logits", mode="r+", zarr_format=2)
    honest = rng.normal(0, 1.5, store.shape[1:]) + rng.normal(0, 0.3, store.shape)
    store[:] = 3 * (honest - [1.0, 0.0, -1.0])
    mean = softmax(honest, axis=-1).mean(axis=0)
    table["label"] = [NAMES[rng.choice(3, p=p)] for p in mean]
    table.to_parquet(folder / "predictions.parquet")
    return folder, mean


def test_scores_are_those_of_scikit_learn(folder: Path) -> None:
    evaluation = evaluate_folder(folder)
    analysis = load_analysis(folder)
    rows = (analysis.predictions["split"] == "test").to_numpy()
    mean = softmax(analysis.logits[:, rows].astype(float), axis=-1).mean(axis=0)
    truth = analysis.labels[rows]
    raw = evaluation["scores"]["raw"]
    assert evaluation["scored"]["split"] == "test"
    assert evaluation["scored"]["num_images"] == rows.sum() == len(truth)
    assert raw["accuracy"]["estimate"] == pytest.approx(accuracy_score(truth, mean.argmax(1)))
    assert raw["negative_log_likelihood"]["estimate"] == pytest.approx(
        log_loss(truth, mean, labels=range(3))
    )
    assert raw["macro_auc"]["estimate"] == pytest.approx(
        roc_auc_score(truth, mean, multi_class="ovr", labels=range(3))
    )
    assert np.sum(evaluation["confusion"]) == rows.sum()
    stored = json.loads((folder / "evaluation.json").read_text())
    assert stored == json.loads(json.dumps(evaluation))
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {
        "reliability",
        "risk_coverage",
        "entropy",
        "confusion",
        "densities",
        "conformal",
    }
    assert "raw" in scores_table(stored)


def test_calibration_is_fitted_on_validation_images_only(known: tuple[Path, np.ndarray]) -> None:
    folder, _ = known
    table = pd.read_parquet(folder / "predictions.parquet")
    table["split"] = np.where(np.arange(len(table)) % 3 > 0, "val", "test")
    table.to_parquet(folder / "predictions.parquet")
    first = evaluate_folder(folder)
    assert first["calibration"]["num_images"] == 40
    assert first["calibration"]["temperature"] > 1.5
    bias = first["calibration"]["class_bias"]
    assert bias["disc"] > bias["plain"] > bias["ring"]
    scores = first["scores"]
    for name in ("negative_log_likelihood", "expected_calibration_error"):
        assert scores["calibrated"][name]["estimate"] < scores["raw"][name]["estimate"]
    # Labels of test images change the scores and nothing else.
    is_test = table["split"] == "test"
    table.loc[is_test, "label"] = "disc"
    table.to_parquet(folder / "predictions.parquet")
    second = evaluate_folder(folder)
    assert second["calibration"] == first["calibration"]
    assert second["scores"] != first["scores"]
    # A class that no validation image shows is named, and keeps the bias 0.
    table["label"] = table["label"].where(table["label"] != "ring", "plain")
    table.to_parquet(folder / "predictions.parquet")
    third = evaluate_folder(folder)
    assert third["calibration"]["class_bias"]["ring"] == 0.0
    said = [note for note in third["notes"] if "no validation image is of ring" in note]
    assert [note.partition(":")[0] for note in said] == [
        "Calibration",
        "Half of the validation groups",
    ]


def test_another_folder_can_calibrate(known: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    folder, _ = known
    table = pd.read_parquet(folder / "predictions.parquet").assign(split="test")
    table.to_parquet(folder / "predictions.parquet")
    alone = evaluate_folder(folder)
    assert (alone["calibration"], list(alone["scores"])) == (None, ["raw"])
    other = shutil.copytree(folder, tmp_path / "other")
    elsewhere = table.assign(split=None, path="elsewhere/" + table["path"])
    elsewhere.astype({"split": "str"}).to_parquet(other / "predictions.parquet")
    with_it = evaluate_folder(folder, calibration=other)
    assert with_it["calibration"]["num_images"] == 60
    assert with_it["scores"]["raw"] == alone["scores"]["raw"]
    # An image that calibrated is never scored.
    table.assign(split="val").to_parquet(other / "predictions.parquet")
    assert evaluate_folder(folder, calibration=other)["scored"]["split"] == "val"


def test_out_of_domain_images_are_told_apart(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    store = zarr.open_array(other / "analysis.zarr" / "logits", mode="r+", zarr_format=2)
    store[:] = np.asarray(store[:]) / 100
    features = zarr.open_array(other / "analysis.zarr" / "features", mode="r+", zarr_format=2)
    features[:] = np.asarray(features[:]) + 1  # other images, whose names recur
    foreign = load_analysis(other)
    found = evaluate_folder(folder, ood=other)["ood"]
    analysis = load_analysis(folder)
    inside = analysis.logits[:, (analysis.predictions["split"] == "test").to_numpy()]
    truth = np.repeat([0, 1], [inside.shape[1], foreign.logits.shape[1]])
    draws = np.concatenate([inside, foreign.logits], axis=1).astype(float)
    entropy = predictive_entropy(softmax(draws, axis=-1))
    auroc = found["detection"]["raw"]["predictive_entropy"]["auroc"]["estimate"]
    assert auroc == pytest.approx(roc_auc_score(truth, entropy))
    assert found["num_images"] == 60
    alone = pd.read_parquet(other / "predictions.parquet").assign(group="one")
    alone.to_parquet(other / "predictions.parquet")
    of_one = evaluate_folder(folder, ood=other)["ood"]["detection"]["raw"]["predictive_entropy"]
    assert of_one["auroc"] == {"estimate": auroc, "lower": None, "upper": None}
    manifest = (other / "manifest.json").read_text()
    model = load_analysis(folder).manifest["settings"]["model"]
    (other / "manifest.json").write_text(manifest.replace(model, "0" * 16))
    with pytest.raises(InputError, match="different models"):
        evaluate_folder(folder, ood=other)


def test_images_of_the_analysis_are_not_from_elsewhere(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    table = pd.read_parquet(other / "predictions.parquet")
    moved = table.assign(path="elsewhere/" + table["path"], label=None, split=None, group=None)
    moved.iloc[5:].to_parquet(other / "predictions.parquet")
    for twin in (folder, other):
        count = len(load_analysis(twin).predictions)
        line = f"from elsewhere; of the {count} images of {twin}, {count} are in {folder} too"
        with pytest.raises(InputError, match=line):
            evaluate_folder(folder, ood=twin)


def test_the_feature_distance_is_that_from_the_training_images(
    folder: Path, tmp_path: Path
) -> None:
    """Kept at training, it needs no training image in the analysis; else a note says what it is."""
    other = shutil.copytree(folder, tmp_path / "other")
    features = zarr.open_array(other / "analysis.zarr" / "features", mode="r+", zarr_format=2)
    features[:] = np.asarray(features[:]) + 1
    analysis = load_analysis(folder)
    train, test = (analysis.part((split,)) for split in ("train", "test"))
    direct = fit_mahalanobis(analysis.features(train), analysis.labels[train])
    near = direct.distance(analysis.features(test))
    far = direct.distance(load_analysis(other).features(np.arange(60)))
    expected = roc_auc_score(np.repeat([0, 1], [len(near), len(far)]), np.append(near, far))

    def found() -> dict:
        evaluation = evaluate_folder(folder, ood=other)
        said = [note for note in evaluation["notes"] if note.startswith("feature_distance")]
        return evaluation["ood"] | {"said": said}

    stored = found()
    assert stored["feature_distance"] == {
        "kind": "mahalanobis",
        "fitted_on": "train",
        "num_images": None,
    }
    assert stored["said"] == []
    auroc = stored["detection"]["raw"]["feature_distance"]["auroc"]["estimate"]
    assert auroc == pytest.approx(expected, abs=0.01)
    (folder / "feature_statistics.npz").unlink()
    held = found()
    assert held["feature_distance"]["num_images"] == len(train)
    assert held["said"] == []
    auroc = held["detection"]["raw"]["feature_distance"]["auroc"]["estimate"]
    assert auroc == pytest.approx(expected, abs=1e-12)
    table = analysis.predictions
    table[table["split"] != "train"].to_parquet(folder / "predictions.parquet")
    fallen_back = found()
    assert fallen_back["feature_distance"]["fitted_on"] == "val"
    assert "distance from the validation images" in fallen_back["said"][0]
    np.savez(folder / "feature_statistics.npz", mean=np.zeros(64), sd=np.ones(64))
    diagonal = found()
    assert diagonal["feature_distance"]["kind"] == "diagonal"
    assert "uncorrelated" in diagonal["said"][0]
    assert len(diagonal["said"]) == 1


def test_training_images_are_never_scored(folder: Path) -> None:
    table = pd.read_parquet(folder / "predictions.parquet").assign(split="train")
    table.loc[:9, "split"] = "val"
    table.to_parquet(folder / "predictions.parquet")
    evaluation = evaluate_folder(folder)
    assert evaluation["scored"]["num_images"] == 10


def test_without_labels_nothing_is_scored(folder: Path) -> None:
    table = pd.read_parquet(folder / "predictions.parquet").assign(label="cat")
    table.to_parquet(folder / "predictions.parquet")
    with pytest.raises(
        InputError, match=r"no image outside training whose label .*disc, plain, ring"
    ):
        evaluate_folder(folder)


def test_predictions_hold_what_the_logits_say(folder: Path) -> None:
    analysis = load_analysis(folder)
    logs = log_softmax(analysis.logits.astype(float), axis=-1)
    expected = -(np.exp(logs) * logs).sum(-1).mean(0)
    np.testing.assert_allclose(analysis.predictions["expected_entropy"], expected, rtol=1e-5)


def test_explained_images_have_a_figure_and_a_row(
    run_folder: Path, analysis_folder: Path, tmp_path: Path
) -> None:
    table = pd.read_parquet(analysis_folder / "predictions.parquet")
    paths = table["path"].iloc[[5, 30]].tolist()
    (tmp_path / "broken.png").write_bytes(b"")
    found = explain_images(
        run_folder,
        [paths[0], tmp_path / "broken.png", paths[1], paths[0]],
        out=tmp_path / "out",
        num_samples=20,
        seed=3,
        progress=False,
    )
    stem = Path(paths[0]).stem
    assert found["figure"].tolist() == [
        f"1-{stem}.png",
        f"3-{Path(paths[1]).stem}.png",
        f"4-{stem}.png",
    ]
    for column in ("p_ring_mean", "p_ring_upper", "mutual_information"):
        expected = table[column].iloc[[5, 30, 5]].to_numpy()
        np.testing.assert_allclose(found[column], expected, rtol=1e-3, atol=1e-6)
    for name in found["figure"]:
        with Image.open(tmp_path / "out" / name) as figure:
            assert figure.size[0] > 1000
    assert len(pd.read_csv(tmp_path / "out" / "skipped.csv")) == 1
    with pytest.raises(InputError, match=r"no image could be decoded; .*broken.png"):
        explain_images(run_folder, [tmp_path / "broken.png"], out=tmp_path / "x", progress=False)
    assert not list(tmp_path.glob("x*"))
