"""The planted shortcut on phantoms, with a tiny network, and its numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import shortcut as study

from bayescam.data import (
    load_images,
    load_mask,
    planted_batches,
    read_chest_xray,
    split_records,
    write_phantoms,
)
from bayescam.explain import CamExplainer
from bayescam.inference import draw_posterior
from bayescam.inference.training import TrainingSettings
from bayescam.models import load_model
from bayescam.report import upsample_map
from bayescam.types import InputError
from bayescam.workflows.shortcut import ShortcutConfig, run_shortcut
from bayescam.workflows.shortcut_records import read_planted
from bayescam.workflows.shortcut_scores import (
    compare_models,
    decision_scores,
    is_found,
    map_scores,
)

pytestmark = pytest.mark.usefixtures("eager")

TRAINING = TrainingSettings(
    head_epochs=25, head_learning_rate=2e-2, average_decay=0.9, patience=20, kl_warmup_epochs=0
)


def test_decisions_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    plain, planted = rng.normal(size=(2, 5, 8, 3))
    labels, chosen = rng.integers(0, 3, 8), rng.integers(0, 2, 8).astype(bool)
    scores = decision_scores(plain, planted, labels, chosen, planted_class=1)
    for s in range(5):
        for n in range(8):
            before, after = plain[s, n].argmax(), planted[s, n].argmax()
            at_training = after if chosen[n] else before
            added, removed = (np.nan, before != after)[:: 1 if labels[n] == 1 else -1]
            expected = {
                "accuracy, artefact as in training": at_training == labels[n],
                "accuracy, no artefact": before == labels[n],
                "accuracy, artefact in all images": after == labels[n],
                "decision changes when it is added": added,
                "decision changes when it is removed": removed,
            }
            for name, value in expected.items():
                np.testing.assert_equal(scores[name][s, n], float(value))


def test_means_and_intervals_of_a_difference() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random((2, 40, 30))
    first[:, :5] = np.nan  # images it does not concern
    second[:, :5] = np.nan
    table = compare_models({"x": first}, {"x": second}, [str(i // 2) for i in range(30)])
    row = table.set_index("model").loc["difference"]
    differences = (first - second)[:, 5:]
    assert row["estimate"] == pytest.approx(differences.mean())
    ends = np.quantile(differences.mean(axis=1), [0.025, 0.975])
    np.testing.assert_allclose(row[["draws_lower", "draws_upper"]].to_numpy(float), ends)
    assert row["groups_lower"] < row["estimate"] < row["groups_upper"]


@pytest.mark.parametrize("bound", ["draws_lower", "groups_lower"])
def test_energy_and_one_decision_change_must_be_above_zero(bound) -> None:
    ones, zeros = np.ones((4, 6)), np.zeros((4, 6))
    of_class = np.arange(6) < 3

    def scores(level):
        decisions = {
            "decision changes when it is added": np.where(of_class, np.nan, level),
            "decision changes when it is removed": np.where(of_class, level, np.nan),
        }
        return map_scores(level) | decisions

    table = compare_models(scores(ones), scores(zeros), list("abcdef"))
    assert is_found(table)
    assert not is_found(compare_models(scores(ones), scores(ones), list("abcdef")))

    def without(*scores):
        changed = table.copy()
        rows = (changed["model"] == "difference") & changed["score"].isin(scores)
        assert rows.sum() == len(scores)
        changed.loc[rows, bound] = 0.0
        return changed

    added, removed = (f"decision changes when it is {what}" for what in ("added", "removed"))
    assert is_found(without(added))
    assert is_found(without(removed))
    assert not is_found(without(added, removed))
    assert not is_found(without("map energy on the artefact"))


def test_an_interval_over_one_draw_has_no_width() -> None:
    """A head without a posterior has one draw; `credible_interval` would warn of it."""
    table = compare_models({"x": [[0.2, 0.4]]}, {"x": [[0.1, 0.1]]}, ["a", "b"])
    row = table.set_index("model").loc["difference"]
    assert row[["estimate", "draws_lower", "draws_upper"]].tolist() == pytest.approx([0.2] * 3)
    nothing = [[np.nan, np.nan]]
    table = compare_models({"x": nothing}, {"x": nothing}, ["a", "b"])
    assert table["draws_lower"].isna().all()


def test_a_map_without_evidence_is_left_out_and_counted() -> None:
    energy = np.array([[0.5, np.nan], [0.7, np.nan]])
    table = compare_models(map_scores(energy), map_scores(energy), ["a", "b"])
    rows = table[table["model"] == "planted"].set_index("score")["estimate"]
    assert rows["map energy on the artefact"] == pytest.approx(0.6)
    assert rows["maps with positive evidence"] == 0.5


def test_data_without_test_images_are_cut_anew_by_patient(tmp_path) -> None:
    """As CheXpert and MURA are published: train and val only."""
    table = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(60)],
            "label": [("a", "b", "b")[i % 3] for i in range(60)],
            "group": [f"patient{i // 4}" for i in range(60)],
            "split": ["train"] * 48 + ["val"] * 12,
        }
    )
    table.to_csv(tmp_path / "images.csv", index=False)
    config = ShortcutConfig(data=f"table:{tmp_path / 'images.csv'}", planted_class="a", share=0.5)
    records, planted_class = read_planted(tmp_path, config, 0, lambda *_: None, print)
    assert planted_class == "a"
    assert set(records["split"]) == {"train", "val", "test"}
    assert records.groupby("group")["split"].nunique().max() == 1
    for _, part in records.groupby("split"):
        of_class = part["label"] == "a"
        assert part["planted"].sum() == round(0.5 * of_class.sum())
        assert not part["planted"][~of_class].any()


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A third of the images are test images, so that intervals over few of them are narrow."""
    root = write_phantoms(tmp_path_factory.mktemp("chest"), kind="chest", num_images=160, seed=0)
    records = split_records(
        read_chest_xray(root), fractions={"train": 0.5, "val": 0.15, "test": 0.35}
    )
    records.to_csv(root / "images.csv", index=False)
    return ShortcutConfig(
        data=f"table:{root / 'images.csv'}",
        artefact="laterality_mark",
        head="dense",
        input_shape=(64, 64, 3),
        training=TRAINING,
    )


@pytest.fixture(scope="module")
def outcome(config, tmp_path_factory):
    root = tmp_path_factory.mktemp("shortcut")
    return root, run_shortcut(root, config, progress=False)


def test_a_planted_shortcut_is_found(outcome) -> None:
    _, found = outcome
    assert found.planted_class == "NORMAL"  # 30 % of the phantoms
    assert found.found, found.table.to_string()
    rows = found.table.set_index(["score", "model"])
    named, none = "accuracy, artefact as in training", "accuracy, no artefact"
    difference = rows.loc[(named, "planted"), "groups_lower"]
    assert difference > rows.loc[(none, "planted"), "estimate"] + 0.2


def test_the_folder_says_what_was_done(outcome) -> None:
    _, found = outcome
    records = pd.read_parquet(found.folder / "records.parquet")
    of_class = records["label"] == "NORMAL"
    assert not records["planted"][~of_class].any()
    for _, part in records[of_class].groupby("split"):
        assert part["planted"].sum() == round(0.9 * len(part))
    with np.load(found.folder / "scores.npz") as scores:
        energy = scores["planted/map energy on the artefact"]
    assert energy.shape == (1, (records["split"] == "test").sum())  # no draws of a dense head
    row = found.table.set_index(["score", "model"]).loc["map energy on the artefact", "planted"]
    assert np.nanmean(energy) == pytest.approx(row["estimate"], rel=1e-3)
    assert (found.folder / "shortcut.png").stat().st_size > 20_000
    assert not list(found.folder.glob("work*"))


def test_energy_and_decisions_are_those_of_the_saved_model(outcome) -> None:
    _, found = outcome
    records = pd.read_parquet(found.folder / "records.parquet")
    test = records[records["split"] == "test"].reset_index(drop=True)
    model = load_model(found.folder / "planted.keras")
    (batch,) = planted_batches(test, "laterality_mark", (64, 64, 3), batch_size=len(test))
    explained = CamExplainer(draw_posterior(model, 1), targets=[0])(batch.planted)
    maps = np.maximum(explained.cams[0, :, 0], 0)
    energy = []
    for cam, mask in zip(maps, batch.masks, strict=True):
        enlarged = upsample_map(cam, (64, 64))
        energy.append(enlarged[mask].sum() / enlarged.sum())
    before = model(batch.plain.astype(np.float32)).numpy().argmax(axis=1)
    after = explained.logits[0].argmax(axis=1)
    labels = (test["label"] == "PNEUMONIA").to_numpy(int)
    with np.load(found.folder / "scores.npz") as scores:
        np.testing.assert_allclose(
            scores["planted/map energy on the artefact"][0], energy, rtol=1e-3, atol=1e-5
        )
        changed = scores["planted/decision changes when it is added"][0]
        seen = np.where(test["planted"], after, before) == labels
        np.testing.assert_array_equal(scores["planted/accuracy, artefact as in training"][0], seen)
    np.testing.assert_array_equal(changed[labels == 1], (before != after)[labels == 1])
    assert np.isnan(changed[labels == 0]).all()


def test_a_second_call_reads_what_is_there_and_another_study_is_refused(outcome, config) -> None:
    root, found = outcome
    lines: list[str] = []
    again = run_shortcut(root, config, progress=False, announce=lines.append)
    assert lines == []
    pd.testing.assert_frame_equal(again.table, found.table)
    with pytest.raises(InputError, match="holds a study with share 0.9, not 0.5: give another"):
        run_shortcut(root, replace(config, share=0.5), progress=False)


def test_the_study_reads_the_seeds_and_blacks_out_the_lungs(outcome, config, capsys) -> None:
    root, found = outcome
    table = study.main(config, root, [0], lungs=True)
    shown = capsys.readouterr().out
    assert "the shortcut is found in 1 of 1 seeds" in shown
    assert "accuracy, lungs blacked out" in shown
    assert table.drop(columns="seed").equals(found.table)
    records = pd.read_parquet(found.folder / "records.parquet")
    test = records[records["split"] == "test"]
    images = load_images(test["path"], (64, 64))
    lungs = np.stack([load_mask(path, (64, 64)) for path in test["mask_path"]])
    model = load_model(found.folder / "control.keras")
    labels = (test["label"] == "PNEUMONIA").to_numpy(int)
    images[lungs] = 0
    right = model(images.astype(np.float32)).numpy().argmax(axis=1) == labels
    cells = pd.read_csv(root / "lungs.csv", index_col="score")["control"]
    judged = {score: float(cell.split()[0]) for score, cell in cells.items()}
    assert judged["accuracy, lungs blacked out"] == pytest.approx(right.mean(), abs=6e-4)
    assert judged["area outside the lungs"] == pytest.approx(1 - lungs.mean(), abs=6e-4)
    assert 0 < judged["map energy outside the lungs"] < 1
