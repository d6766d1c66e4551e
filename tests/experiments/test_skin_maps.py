"""The localisation study on phantoms, after a run of `skin_lesions.py` with a network untrained."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import posterior_data
import pytest
import skin_checks as checks
import skin_config
import skin_maps as study
from kept_results import keep_config, save_arrays
from PIL import Image
from rich.console import Console
from scipy.special import softmax
from scipy.stats import spearmanr

import bayescam as bc
from bayescam.data import write_phantoms
from bayescam.report import format_number

pytestmark = pytest.mark.filterwarnings(  # a hundred phantoms leave rare classes out
    "ignore:.*(no validation image is of|temperature ended on its bound|a class without images)"
)
NAMES = skin_config.CLASS_NAMES


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The configuration, the records by part, the kept scores and the table."""
    root = tmp_path_factory.mktemp("maps")
    skin = write_phantoms(root / "skin", kind="skin", num_images=110, seed=0)
    shares = {"train": 0.5, "val": 0.2, "test": 0.3}
    run = skin_config.Config(
        data=str(skin), fractions=tuple(shares.values()), networks=1, prior_sds=(0.15,)
    )
    records = bc.split_records(bc.read_ham10000(skin), fractions=shares, seed=0)
    parts = {name: part.reset_index(drop=True) for name, part in records.groupby("split")}
    home = root / "run" / "seed_0" / "network_0"
    home.mkdir(parents=True)
    model = bc.build_classifier(
        "narrow_vgg", class_names=NAMES, head="dense", input_shape=(48, 64, 3), seed=1
    )
    bc.save_model(model, home / "model.keras")
    views = posterior_data.view_features(
        model, parts, lambda images: [images], root / "views", Console(quiet=True)
    )
    save_arrays(home / "features.npz", {name: views[name] for name in ("train", "val")})
    keep_config(run, root / "run" / "config.json", without={"seeds"})
    val = {
        "labels/val": skin_config.label_codes(parts["val"]),
        "groups/val": parts["val"]["group"],
    }
    logits = np.random.default_rng(0).normal(size=(5, len(parts["val"]), 7))
    arrays = {**val, "groups/val": val["groups/val"].to_numpy(str)}
    save_arrays(root / "run" / "seed_0.npz", arrays | {"flipout, prior sd 0.15/val": logits})
    config = study.Config(str(skin), str(root / "run"), num_samples=6, splits=(0,), batch_size=16)
    table = study.main(config, root / "out")
    with np.load(root / "out" / "seed_0.npz") as kept:
        return config, parts, dict(kept), table, root / "out"


def test_scores_are_those_of_maps_resized_to_the_mask(judged):
    """The maps of `analyze`, whose batches differ, resized by Pillow."""
    config, parts, kept, _, _ = judged
    model, _ = study.network_with_draws(
        config, bc.read_ham10000(config.data), 0, Console(quiet=True)
    )
    rows = parts["test"].iloc[:9]
    draws = bc.analyze(model, bc.load_images(rows["path"], (48, 64)), num_samples=6, seed=0)
    probs = softmax(np.float64(draws["logits"].to_numpy()), axis=-1).mean(axis=0)
    np.testing.assert_array_equal(kept["predicted"][:9], probs.argmax(axis=1))
    masks = study.load_masks(rows, model)
    for i, mask in enumerate(masks):
        cams = draws["cam"].to_numpy()[:, i, probs[i].argmax()]
        for cam, found in (
            (cams.mean(axis=0), kept["maps/energy"][i]),
            (cams[2], kept["draw_energy"][2, i]),
        ):
            positive = Image.fromarray(np.maximum(cam, 0).astype(np.float32))
            large = np.asarray(positive.resize((64, 48), Image.Resampling.BILINEAR))
            if large.sum() == 0:
                assert np.isnan(found)
            else:
                assert found == pytest.approx(large[mask].sum() / large.sum(), rel=1e-4)
        area = mask.mean()
        assert kept["maps/enrichment"][i] == pytest.approx(
            kept["maps/energy"][i] / area, nan_ok=True
        )


def test_the_table_has_means_by_class(judged):
    _, parts, kept, table, folder = judged
    assert list(table.index) == [*NAMES, "all"]
    labels = kept["labels"]
    np.testing.assert_array_equal(labels, parts["test"]["label"].map(NAMES.index))
    for name in ("nv", "mel"):
        rows = labels == NAMES.index(name)
        for column, key in {
            "enrichment": "maps/enrichment",
            "enrichment, random weights": "random weights/enrichment",
            "hit rate": "maps/hit_rate",
        }.items():
            values = kept[key][rows]
            assert table.loc[name, column].startswith(f"{format_number(np.nanmean(values))} [")
        assert int(table.loc[name, "images"]) == rows.sum()
    stored = pd.read_csv(folder / "localization.csv", index_col="class")
    assert stored.loc["nv", "enrichment"] == table.loc["nv", "enrichment"]
    assert (folder / "draws_0.png").stat().st_size > 10_000


def test_what_is_done_is_kept_and_a_difference_is_paired(judged, capsys):
    config, _, kept, table, folder = judged
    written = (folder / "seed_0.npz").stat().st_mtime_ns
    assert study.main(config, folder).equals(table)
    assert (folder / "seed_0.npz").stat().st_mtime_ns == written
    with pytest.raises(bc.InputError, match="is of another configuration; give another --out"):
        study.main(dataclasses.replace(config, num_samples=7), folder)
    said = capsys.readouterr().out
    assert "enrichment above centred Gaussian: " in said
    rows = [np.ones(len(kept["labels"]), bool)]
    gap = study.interval([kept], rows, "maps/energy", "random weights/energy")
    assert gap[0] == pytest.approx(np.nanmean(kept["maps/energy"] - kept["random weights/energy"]))
    assert study.interval([kept], rows, "maps/energy", "maps/energy") == (0.0, 0.0, 0.0)


def test_background_to_lesion_is_of_maps_scaled_one_by_one():
    ratios, groups = np.array([0.2, 3.0, np.inf, 0.0, np.nan, 0.5]), np.array(list("aabbcc"))
    scaled = [(0.2 / 1.2, 1 / 1.2), (0.75, 0.25), (1.0, 0.0), (0.0, 1.0)]
    outside, inside = np.mean(scaled, axis=0)
    part = {"maps/background_ratio": ratios, "groups": groups}
    rows = np.array([True] * 5 + [False])
    found, lower, upper = study.background_to_lesion([part], [rows])
    assert found == pytest.approx(outside / inside)
    assert lower <= found <= upper


def test_a_run_that_is_not_there_is_named(tmp_path):
    skin = write_phantoms(tmp_path / "skin", kind="skin", num_images=20, seed=0)
    config = study.Config(str(skin), str(tmp_path / "no"), splits=(0,))
    with pytest.raises(bc.InputError, match="no has no config.json; run skin_lesions.py there"):
        study.main(config, tmp_path / "out")


def test_checks_are_rank_correlations_of_the_maps(judged, tmp_path):
    config = checks.Config(
        judged[0].data,
        judged[0].run,
        num_images=6,
        num_samples=5,
        num_repeats=1,
        cascade=("block5_conv3",),
        draws_judged=2,
    )
    sanity, faithful = checks.main(config, tmp_path)
    model, parts = study.network_with_draws(
        judged[0], bc.read_ham10000(config.data), 0, Console(quiet=True)
    )
    images = bc.load_images(parts["test"].sample(6, random_state=0)["path"], (48, 64))
    made = [bc.analyze(model, images, num_samples=5, seed=seed) for seed in (0, 1)]
    probs = softmax(np.float64(made[0]["logits"].to_numpy()), axis=-1).mean(axis=0)
    rows = np.arange(6), probs.argmax(axis=1)
    first, second = (one["cam"].to_numpy()[:, *rows].astype(np.float64) for one in made)
    for kind, spread in (("mean map", np.mean), ("sd map", np.std)):
        pairs = zip(spread(first, axis=0), spread(second, axis=0), strict=True)
        alike = [spearmanr(a, b, axis=None).statistic for a, b in pairs]
        row = sanity[sanity["map"] == kind].loc["other draws"]
        assert row["rank correlation"] == pytest.approx(np.nanmean(alike), abs=1e-6)
    assert set(sanity.index) == {
        "random head",
        "random from the output to block5_conv3",
        "permuted labels",
        "noise of sd 5",
        "other draws",
    }
    assert list(faithful.index) == ["insertion", "deletion", "ROAD", "ROAD, single draws"]
    gap = [float(cell.split()[0]) for cell in faithful.loc["insertion"]]
    assert gap[2] == pytest.approx(gap[0] - gap[1], abs=2e-3)
    assert pd.read_csv(tmp_path / "sanity.csv")["passed"].isin(["yes", "no"]).all()
