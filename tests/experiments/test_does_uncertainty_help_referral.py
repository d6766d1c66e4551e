"""The study on analysis folders whose answer is known."""

from __future__ import annotations

import dataclasses
from itertools import permutations
from pathlib import Path

import does_uncertainty_help_referral as study
import numpy as np
import pandas as pd
import pytest
import zarr
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from bayescam.types import CamDraws
from bayescam.workflows.folders import SCHEMA, write_json
from bayescam.workflows.store import AnalysisStore, StoreLayout

pytestmark = pytest.mark.filterwarnings(  # of a few images
    "ignore:.*a class without images:UserWarning", "ignore:.*ended on its bound:UserWarning"
)

NUM_DRAWS, NUM_IMAGES, NAMES = 20, 600, ("no", "yes")


def write_analysis(folder: Path, yes, spread, wrong, map_sd, *, maps: str = "draws") -> Path:
    """An analysis folder of two classes, three images a patient, one third for validation.

    Args:
        folder: to write.
        yes: (N,), mean probability of "yes".
        spread: (N,), sd of that probability over the draws.
        wrong: (N,), whether the more probable class is not the label.
        map_sd: (N,), of every pixel of the maps over the draws; their mean is 1.
        maps: "draws" or "summary".
    """
    rng, size = np.random.default_rng(5), len(yes)
    steps = np.where(np.arange(NUM_DRAWS) % 2, 1.0, -1.0)[:, None]  # of mean 0 and sd 1
    draws = logit(np.clip(yes + spread * steps, 0.01, 0.99))
    cams = 1 + map_sd[:, None, None, None] * rng.permuted(
        np.broadcast_to(steps[:, :, None, None, None], (NUM_DRAWS, size, 2, 3, 4)), axis=0
    )
    lengths = (NUM_DRAWS, size, 2, 2, 3, 4, 1)
    names = ("draw", "image", "class", "target", "row", "column", "feature")
    layout = StoreLayout(dict(zip(names, lengths, strict=True)), maps, batch_size=70)
    folder.mkdir()
    store = AnalysisStore.create(
        folder / "analysis.zarr", layout, class_names=NAMES, target_names=NAMES, attributes={}
    )
    logits = np.stack([np.zeros_like(draws), draws], axis=-1)
    for part in np.split(np.arange(size), np.arange(70, size, 70)):
        batch = CamDraws(logits[:, part], {"maps": cams[:, part]}, np.zeros((len(part), 1)))
        store.write(part, batch)
    patient = np.arange(size) // 3
    table = pd.DataFrame(
        {
            "image": np.arange(size),
            "image_id": [f"image {i}" for i in range(size)],
            "label": np.array(NAMES)[((yes > 0.5) ^ wrong).astype(int)],
            "group": [f"patient {i}" for i in patient],
            "split": np.where(patient % 3 == 0, "val", "test"),
        }
    )
    table.to_parquet(folder / "predictions.parquet")
    settings = {"class_names": list(NAMES)}
    write_json(
        folder / "manifest.json", {"kind": "analysis", "schema": SCHEMA, "settings": settings}
    )
    return folder


def images(seed: int):
    """Probabilities on either side of one half, and sds that say nothing of them."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.7, 0.8, NUM_IMAGES)
    yes = np.where(rng.random(NUM_IMAGES) < 0.5, confidence, 1 - confidence)
    unsure = rng.random(NUM_IMAGES) < 0.25
    spread = np.where(unsure, 0.15, 0.02) * rng.uniform(0.9, 1.1, NUM_IMAGES)
    return rng, yes, spread, unsure


def run(folder: Path) -> pd.DataFrame:
    return study.main(study.Config((str(folder),), num_resamples=200))


def test_errors_that_the_draws_know_of_are_a_gain(tmp_path, capsys):
    rng, yes, spread, unsure = images(0)
    wrong = rng.random(NUM_IMAGES) < np.where(unsure, 0.9, 0.03)
    noise = rng.uniform(0.1, 0.5, NUM_IMAGES)
    folder = write_analysis(tmp_path / "known", yes, spread, wrong, noise)
    table = run(folder)
    assert table.loc["mutual information", "verdict"] == "gain"
    assert table.loc["mutual information", "AUROC"] > 0.85
    assert table.loc["1 - max probability, mutual information", "verdict"] == "gain"
    for name in ("map spread", "map disagreement", "1 - max probability, map spread"):
        assert table.loc[name, "verdict"] == "no gain"
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("known: gain: ")
    assert "mutual information" in last


def test_errors_that_only_the_maps_know_of_are_a_gain_of_the_maps(tmp_path):
    rng, yes, spread, unsure = images(1)
    wrong = rng.random(NUM_IMAGES) < np.where(unsure, 0.9, 0.03)
    map_sd = np.where(unsure, 0.5, 0.1) * rng.uniform(0.9, 1.1, NUM_IMAGES)
    no_news = rng.permutation(spread)
    tables = {
        maps: run(write_analysis(tmp_path / maps, yes, no_news, wrong, map_sd, maps=maps))
        for maps in ("draws", "summary")
    }
    for table in tables.values():
        assert table.loc["map spread", "verdict"] == "gain"
        assert table.loc["mutual information", "verdict"] != "gain"
    assert tables["draws"].loc["map disagreement", "verdict"] == "gain"
    assert "map disagreement" not in tables["summary"].index
    kept = {"draws": ["map spread", "AUROC"], "summary": ["map spread", "AUROC"]}
    first, second = (tables[maps].loc[cell[0], cell[1]] for maps, cell in kept.items())
    assert first == pytest.approx(second, abs=1e-3)  # single precision may part ties


def test_noise_is_no_gain(tmp_path, capsys):
    rng = np.random.default_rng(2)
    confidence = rng.uniform(0.5, 1.0, NUM_IMAGES)
    yes = np.where(rng.random(NUM_IMAGES) < 0.5, confidence, 1 - confidence)
    wrong = rng.random(NUM_IMAGES) > confidence  # calibrated: nothing else is to be known
    spread = rng.uniform(0.01, 0.03, NUM_IMAGES)
    folder = write_analysis(
        tmp_path / "noise", yes, spread, wrong, rng.uniform(0.1, 0.5, NUM_IMAGES)
    )
    table = run(folder)
    assert not (table["verdict"] == "gain").any()
    assert table.loc["map spread", "verdict"] == "worse"
    assert table.loc["1 - max probability, map spread", "verdict"] == "no gain"
    assert table.loc["predictive entropy", "difference"] == "0.000 [0.000, 0.000]"  # two classes
    assert capsys.readouterr().out.splitlines()[-1] == "noise: no gain"


def test_areas_are_those_of_scikit_learn_and_of_a_slow_loop():
    rng = np.random.default_rng(0)
    values = {
        name: rng.integers(6, size=7).astype(float) for name in (study.BASELINE, "one", "two")
    }
    wrong = rng.random(7) < 0.4
    table = study.compare(values, wrong, np.arange(7), study.Config((), num_resamples=20))
    for name, score in values.items():
        assert table.loc[name, "AUROC"] == pytest.approx(roc_auc_score(wrong, score))
        orders = [list(o) for o in permutations(range(7)) if (np.diff(score[list(o)]) >= 0).all()]
        slow = np.mean([np.cumsum(wrong[o]) / np.arange(1, 8) for o in orders])
        assert float(table.loc[name, "AURC"]) == pytest.approx(slow, abs=5.1e-5)


def test_the_bootstrap_takes_whole_groups_and_the_same_ones_for_both_scores():
    """Groups of ten copies: intervals are those of the groups, and of equal scores nothing."""
    rng = np.random.default_rng(3)
    score, wrong = rng.random(40), rng.random(40) < 0.5
    values = {study.BASELINE: score, "same": 3 * score, "other": rng.random(40)}
    config = study.Config((), num_resamples=100)
    alone = study.compare(values, wrong, np.arange(40), config)
    copies = {name: np.repeat(part, 10) for name, part in values.items()}
    copied = study.compare(copies, np.repeat(wrong, 10), np.repeat(np.arange(40), 10), config)
    assert alone["difference"].tolist() == copied["difference"].tolist()
    assert alone.loc["same", "difference"] == "0.000 [0.000, 0.000]"
    assert alone.loc["same", "verdict"] == "no gain"


def test_map_scores_by_hand():
    rng = np.random.default_rng(4)
    cams = rng.normal(size=(6, 3, 4))
    flat = cams.reshape(6, 12)
    variance = np.square(flat - flat.mean(axis=0)).mean(axis=0).sum()
    slow_spread = np.sqrt(variance / np.square(flat.mean(axis=0)).sum())
    cosines = [
        a @ b / np.sqrt((a @ a) * (b @ b))
        for i, a in enumerate(flat)
        for j, b in enumerate(flat)
        if i != j
    ]
    both = np.stack([cams, 7.0 * cams], axis=1)  # neither score has a unit
    spread = study.map_spread(both.mean(axis=0), both.std(axis=0))
    np.testing.assert_allclose(spread, slow_spread)
    np.testing.assert_allclose(study.map_disagreement(both), 1 - np.mean(cosines))
    brighter = np.arange(1, 7)[:, None, None] * cams[:1]  # one map, brighter in every draw
    assert study.map_disagreement(brighter) == pytest.approx(0.0, abs=1e-12)
    empty = np.zeros((6, 3, 4))
    assert study.map_spread(empty[0], empty[0]) == 0.0
    assert study.map_disagreement(empty) == 1.0


def test_maps_follow_the_image_and_the_class(tmp_path):
    """Predictions in another order than the store, classes in another order than the targets."""
    _, yes, spread, _ = images(6)
    map_sd = np.linspace(0.1, 0.5, NUM_IMAGES)
    folder = write_analysis(tmp_path / "a", yes, spread, yes > 2, map_sd)
    analysis = study.load_analysis(folder)
    scores = study.read_map_scores(analysis)["map spread"]
    np.testing.assert_allclose(scores, np.repeat(map_sd[:, None], 2, axis=1), rtol=0.02)
    cams = zarr.open_array(folder / "analysis.zarr" / "cam", mode="r", zarr_format=2)[:]
    slow = [cams[:, 7, k].std(axis=0) for k in range(2)]
    order = np.random.default_rng(0).permutation(NUM_IMAGES)
    shuffled = dataclasses.replace(
        analysis,
        predictions=analysis.predictions.iloc[order],
        class_names=analysis.class_names[::-1],
    )
    again = study.read_map_scores(shuffled)["map spread"]
    np.testing.assert_array_equal(again, scores[order][:, ::-1])
    means = [np.linalg.norm(cams[:, 7, k].mean(axis=0)) for k in range(2)]
    np.testing.assert_allclose(
        scores[7],
        [np.linalg.norm(sd) / mean for sd, mean in zip(slow, means, strict=True)],
        rtol=1e-4,
    )


def test_a_verdict_needs_both_areas():
    low, high = np.array([0.1, -0.2]), np.array([0.2, -0.1])
    assert study.verdict(low, high) == "gain"
    assert study.verdict(low[::-1], high[::-1]) == "worse"
    assert study.verdict(low, np.array([0.2, 0.1])) == "no gain"


@pytest.mark.filterwarnings("ignore:.*temperature ended on its bound")  # no image is wrong
def test_bad_folders_are_refused_in_one_line(tmp_path):
    rng, yes, spread, _ = images(3)
    right = np.zeros(NUM_IMAGES, bool)
    folder = write_analysis(tmp_path / "right", yes, spread, right, np.ones(NUM_IMAGES))
    with pytest.raises(study.InputError, match="validation images must hold right and wrong"):
        run(folder)
    table = pd.read_parquet(folder / "predictions.parquet")
    table.assign(group="one").to_parquet(folder / "predictions.parquet")
    with pytest.raises(study.InputError, match="must not occur among the validation images"):
        run(folder)
    table.assign(split="test").to_parquet(folder / "predictions.parquet")
    with pytest.raises(study.InputError, match="must hold labelled val images"):
        run(folder)


def test_the_command_line_sets_the_configuration():
    config = study.parse(["a", "b", "--num-resamples", "9", "--seed", "3"])
    assert config == study.Config(("a", "b"), 9, 3)
