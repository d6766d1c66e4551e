"""The planted shortcut on phantoms, with a tiny network, and its numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bayescam.types import InputError
from bayescam.workflows.shortcut import ShortcutConfig, run_shortcut
from bayescam.workflows.shortcut_scores import (
    compare_models,
    decision_scores,
    is_found,
    map_scores,
)

CONFIG = ShortcutConfig(
    artefact="colour_patch",
    planted_class="nv",
    input_shape=(48, 64, 3),
    num_samples=20,
    num_images=160,
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
def test_every_interval_must_be_above_zero(bound) -> None:
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
    one = table.index[(table["model"] == "difference")][-1]
    table.loc[one, bound] = 0.0
    assert not is_found(table)


def test_a_map_without_evidence_is_left_out_and_counted() -> None:
    energy = np.array([[0.5, np.nan], [0.7, np.nan]])
    table = compare_models(map_scores(energy), map_scores(energy), ["a", "b"])
    rows = table[table["model"] == "planted"].set_index("score")["estimate"]
    assert rows["map energy on the artefact"] == pytest.approx(0.6)
    assert rows["maps with positive evidence"] == 0.5


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    root = tmp_path_factory.mktemp("shortcut")
    return root, run_shortcut(root, CONFIG, progress=False)


def test_a_planted_shortcut_is_found_and_the_control_is_clean(outcome) -> None:
    _, found = outcome
    assert found.found, found.table.to_string()
    rows = found.table.set_index(["score", "model"])["estimate"]
    accuracy = ("accuracy, artefact as in training", "accuracy, no artefact")
    drop = [rows[name, "planted"] for name in accuracy]
    assert drop[0] - drop[1] > 0.2
    steady = [rows[name, "control"] for name in accuracy]
    assert abs(steady[0] - steady[1]) < 0.15


def test_the_folder_says_what_was_done(outcome) -> None:
    _, found = outcome
    records = pd.read_parquet(found.folder / "records.parquet")
    share = records.groupby(["split", records["label"] == "nv"])["planted"].mean()
    assert (share[:, False] == 0).all()
    np.testing.assert_allclose(share[:, True], 0.9, atol=0.05)
    with np.load(found.folder / "scores.npz") as scores:
        energy = scores["planted/map energy on the artefact"]
    assert energy.shape == (20, (records["split"] == "test").sum())
    row = found.table.set_index(["score", "model"]).loc["map energy on the artefact", "planted"]
    assert np.nanmean(energy) == pytest.approx(row["estimate"], rel=1e-3)
    assert (found.folder / "shortcut.png").stat().st_size > 20_000
    assert {path.name for path in found.folder.glob("*.keras")} == {
        "planted.keras",
        "control.keras",
    }


def test_a_second_call_reads_what_is_there_and_another_study_is_refused(outcome) -> None:
    root, found = outcome
    lines: list[str] = []
    again = run_shortcut(root, CONFIG, progress=False, announce=lines.append)
    assert lines == []
    pd.testing.assert_frame_equal(again.table, found.table)
    with pytest.raises(InputError, match="holds a study with share 0.9, not 0.5: give another"):
        run_shortcut(root, replace(CONFIG, share=0.5), progress=False)
