"""The study end to end on phantoms, with a tiny network, and its parts in closed form."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import covid_article
import covid_data
import covid_pooling
import covid_tables
import covid_units
import covid_xray as study
import numpy as np
import pandas as pd
import pytest
import tf_keras
from covid_data import OTHER, VARIANTS, Config, Images, cut_folds, parts_of_fold
from covid_pooling import Pooled, Sampled
from covid_units import LOCAL_SCORES, MAPS
from PIL import Image
from rich.console import Console
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

import bayescam as bc
from bayescam.data import write_phantoms
from bayescam.explain import energy_in_masks

FINDINGS = {"virus": "COVID-19", "bacteria": "Streptococcus", "normal": "No Finding"}


pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Two sets of phantoms; those of the collection have a white bar above the lungs."""
    root = tmp_path_factory.mktemp("covid")
    write_phantoms(root / "kermany", kind="chest", num_images=20, seed=0)
    drawn = write_phantoms(root / "drawn", kind="chest", num_images=30, seed=1)
    records = bc.read_chest_xray(drawn, published_split=True)
    collection = root / "collection"
    (collection / "images").mkdir(parents=True)
    (drawn / "lung_masks").rename(collection / "lung_masks")
    for path, name in zip(records["path"], records["image_id"], strict=True):
        pixels = np.array(Image.open(path))
        pixels[:24] = 255
        Image.fromarray(pixels).save(collection / "images" / f"{name}.png")
    pd.DataFrame(
        {
            "patientid": records["group"],
            "finding": records["subtype"].fillna("normal").map(FINDINGS),
            "modality": "X-ray",
            "folder": "images",
            "filename": records["image_id"] + ".png",
        }
    ).to_csv(collection / "metadata.csv", index=False)
    return Config(
        data=str(collection),
        kermany=str(root / "kermany"),
        backbone="narrow_vgg",
        input_shape=(32, 32, 3),
        head_epochs=1,
        num_views=1,
        num_samples=4,
        folds=2,
        shown=1,
        seeds=(0,),
    )


@pytest.fixture(scope="module")
def images(config):
    return covid_data.read_images(config)


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return study.main(config, out), out


def first(cell: str) -> float:
    return float(cell.split()[0])


def units_of(out, variant):
    return [dict(np.load(path)) for path in sorted((out / "units").glob(f"{variant}, *.npz"))]


def test_both_variants_are_scored_on_the_folds_that_did_not_train_them(finished, images):
    table, out = finished
    for variant, names in VARIANTS.items():
        units, column = units_of(out, variant), table[variant]
        rows = np.concatenate([unit["test"] for unit in units])
        np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(images.labels(variant) >= 0))
        probs = np.concatenate([unit["probs"] for unit in units], axis=1)
        truth = images.records[variant].iloc[rows].map(names.index).to_numpy()
        right = (probs[0].argmax(axis=1) == truth).mean()
        assert first(column["accuracy"]) == pytest.approx(right, abs=6e-4)
        for place, prefix in (
            (0, ""),
            (1, "lung field blacked out: "),
            (2, "only the lung field: "),
        ):
            auc = roc_auc_score(truth == 0, probs[place, :, 0])
            assert first(column[f"{prefix}AUC of COVID-19"]) == pytest.approx(auc, abs=6e-4)
        change = (probs[3] - probs[0])[np.arange(len(rows)), truth][images.has_mask[rows]]
        cell = column["own lungs blacked out: change of p(true class)"]
        assert first(cell) == pytest.approx(change.mean(), abs=6e-4)
        energy = np.concatenate([unit["maps/energy"] for unit in units])
        cell = column["energy in the lungs: maps"]
        assert first(cell) == pytest.approx(np.nanmean(energy), abs=6e-4)


def test_the_source_is_told_without_the_lungs(finished):
    """Each collection has a mark of its own above the lungs, so nothing else is needed."""
    table, _ = finished
    cell = table.loc["lung field blacked out: linear probe, AUC", "as published"]
    assert first(cell) > 0.85
    inside = table.loc["only the lung field: linear probe, AUC", "as published"]
    assert first(inside) < 0.7


def test_other_findings_of_the_source_go_through_the_published_model(finished, images):
    table, out = finished
    units = units_of(out, "as published")
    foreign = np.concatenate([unit["foreign"] for unit in units])
    np.testing.assert_array_equal(
        np.sort(foreign), np.flatnonzero(images.records["corrected"] == OTHER)
    )
    called = np.concatenate([unit["foreign_probs"] for unit in units]).argmax(axis=1) == 0
    cell = table.loc["other findings of its own source called COVID-19", "as published"]
    assert first(cell) == pytest.approx(called.mean(), abs=6e-4)


def test_maps_of_the_article_stand_beside_correct_ones_of_the_kept_network(finished, images):
    _, out = finished
    slips = pd.read_csv(out / "maps.csv", index_col="score")
    (unit, _) = units_of(out, "corrected")
    rows = unit["masked"]
    masks = list(images.masks[rows])
    pixels = bc.load_images(images.records["path"].iloc[rows], (32, 32))
    model = bc.load_model(out / "corrected, seed 0.keras")
    draws = bc.analyze(model, pixels, num_samples=1)
    predicted = draws["logits"].to_numpy()[0].argmax(axis=1)
    cams = draws["cam"].to_numpy()[0, np.arange(len(rows)), predicted]
    energy = np.nanmean(energy_in_masks(cams, masks))
    cell = slips.loc["Grad-CAM: energy in the lungs", "corrected"]
    assert first(cell) == pytest.approx(energy, abs=6e-4)
    name = "guided Grad-CAM of the tutorials: "
    frozen = bc.draw_posterior(model, 1).as_model(0)
    published = covid_article.article_maps(frozen, pixels, "guided_gradcam_tutorial")
    cell = slips.loc[f"{name}energy in the lungs", "as published"]
    assert first(cell) == pytest.approx(energy_in_masks(published, masks).mean(), abs=6e-4)
    alone = slips.loc[f"{name}rank correlation with the map of the image alone"]
    assert first(alone["as published"]) < first(alone["corrected"]) == 1


def article_network():
    """A small network with a softmax, of three classes."""
    tf_keras.utils.set_random_seed(1)
    return tf_keras.Sequential(
        [
            tf_keras.Input((12, 12, 3)),
            tf_keras.layers.Conv2D(5, 3, activation="relu", name="maps"),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(3, activation="softmax", name="classes"),
        ]
    )


@pytest.mark.parametrize("method", covid_article.METHODS)
def test_the_articles_maps_are_of_the_softmax_and_of_the_whole_batch(method):
    """Against the chain rule by hand: pooled maps, one layer, `dp_c/dz_k = p_c (1[c=k] - p_k)`."""
    network = article_network()
    model = bc.adapt_model(network, ["a", "b", "c"], rescale=1 / 255)
    images = np.random.default_rng(0).uniform(0, 255, (4, 12, 12, 3)).astype(np.float32)
    maps = network.get_layer("maps")(images / 255).numpy()
    kernel = network.get_layer("classes").kernel.numpy()
    probs = network(images / 255).numpy()
    gradients = np.zeros(maps.shape)
    for n, p in enumerate(probs):
        c = p.argmax()
        slopes = [p[c] * ((k == c) - p[k]) for k in range(3)]
        gradients[n] = kernel @ slopes / (10 * 10)
    if method == "guided_gradcam_tutorial":
        gradients = np.maximum(gradients, 0) * (maps > 0)
    cams = (maps * gradients.mean(axis=(0, 1, 2))).sum(axis=-1)
    floor = 0 if method == "gradcam" else cams.min(axis=(1, 2), keepdims=True)
    expected = np.maximum(cams - floor, 0)
    found = covid_article.article_maps(model, images, method)
    assert expected.max() > 0
    np.testing.assert_allclose(found / expected.max(), expected / expected.max(), atol=1e-5)
    alone = covid_article.article_maps(model, images, method, batch_size=1)
    assert np.abs(alone - found).max() > 1e-3 * expected.max()
    correct = covid_article.correct_maps(model, images, method)
    for n, p in enumerate(probs):
        gradient = np.broadcast_to(kernel[:, p.argmax()] / (10 * 10), (10, 10, 5))
        if method == "guided_gradcam_tutorial":
            gradient = np.maximum(gradient, 0) * (maps[n] > 0)
        cam = np.maximum((maps[n] * gradient.mean(axis=(0, 1))).sum(axis=-1), 0)
        np.testing.assert_allclose(correct[n], cam, atol=1e-5 * np.abs(cams).max() + 1e-6)


def test_finished_folds_are_kept_and_another_configuration_is_refused(finished, config):
    _, out = finished
    for name in ("verdict.png", "maps.png", "table.csv", "corrected, seed 0.keras"):
        assert (out / name).stat().st_size > 1000
    assert (out / "verdict.txt").read_text().count("the model") == 2
    assert len(list((out / "maps").glob("*, gradcam.png"))) == 2
    path = out / "units" / "corrected, seed 0, fold 1.npz"
    again = covid_units.run_unit(SimpleNamespace(folder=out), "corrected", 0, 1)  # nothing to do
    for name, values in np.load(path).items():
        np.testing.assert_array_equal(again[name], values)
    with pytest.raises(bc.InputError, match="of another configuration; give another --out"):
        study.main(dataclasses.replace(config, num_views=2), out)


def test_a_fine_tuned_network_is_judged_as_it_is_kept(config, images, tmp_path):
    tuned = dataclasses.replace(config, head_epochs=1, fine_tune_layers=3, epochs=1)
    nothing = np.empty(0)
    opened = covid_units.Study(tuned, images, {}, None, nothing, tmp_path, Console(quiet=True))
    unit = covid_units.run_unit(opened, "corrected", 0, 0)
    model = bc.load_model(tmp_path / "corrected, seed 0.keras")
    start = covid_units.build(tuned, VARIANTS["corrected"])
    changed = [
        layer.name
        for layer in model.layers
        if any(
            not np.array_equal(new, old)
            for new, old in zip(
                layer.get_weights(), start.get_layer(layer.name).get_weights(), strict=True
            )
        )
    ]
    assert any("conv" in name for name in changed)
    pixels = bc.load_images(images.records["path"].iloc[unit["test"]], (32, 32))
    for place in (0, 1, 2):
        seen = images.view(place, unit["test"], pixels)
        logits = bc.draw_posterior(model, 4, seed=0).logits(seen)
        probs = softmax(logits.astype(np.float64), axis=-1).mean(axis=0)
        np.testing.assert_allclose(unit["probs"][place], probs, atol=1e-4)


def test_no_patient_is_trained_on_and_tested(images, config):
    folds, groups = cut_folds(config, images, seed=3), images.groups()
    for variant in VARIANTS:
        tested = []
        for fold in range(config.folds):
            parts = parts_of_fold(images, variant, folds, fold)
            patients = {name: set(groups[rows]) for name, rows in parts.items()}
            assert not patients["train"] & patients["val"]
            for name in ("test", "foreign"):
                assert not patients[name] & (patients["train"] | patients["val"])
            tested.append(parts["test"])
        known = np.flatnonzero(images.labels(variant) >= 0)
        np.testing.assert_array_equal(np.sort(np.concatenate(tested)), known)


def test_views_black_out_the_lungs_or_all_else():
    masks = np.zeros((2, 4, 4), bool)
    masks[1, 1:3, 1:3] = True
    field = np.zeros((4, 4), bool)
    field[0] = True
    shown = Images(pd.DataFrame(), masks, field)
    pixels = np.full((1, 4, 4, 3), 7, np.uint8)
    seen = [shown.view(place, np.array([1]), pixels)[0, :, :, 0] for place in range(5)]
    np.testing.assert_array_equal(seen[0], 7)
    np.testing.assert_array_equal(seen[1], 7 * ~field)
    np.testing.assert_array_equal(seen[2], 7 * field)
    np.testing.assert_array_equal(seen[3], 7 * ~masks[1])
    np.testing.assert_array_equal(seen[4], 7 * masks[1])


def test_scores_of_seeds_are_averaged_resample_by_resample():
    """Two seeds with opposite errors: each varies, their mean does not."""
    resamples = np.random.default_rng(0).normal(0.7, 0.1, 500)
    seeds = [Sampled(0.7, resamples), Sampled(0.7, 1.4 - resamples)]
    mean = covid_pooling.mean_over_seeds([0, 1], lambda seed: seeds[seed])
    np.testing.assert_allclose(mean.interval(), 0.7)
    assert seeds[0].interval()[1] < 0.55
    np.testing.assert_allclose((seeds[0] - seeds[0]).interval(), 0.0)


def test_folds_come_back_in_the_order_of_the_records():
    def unit(test, masked):
        scores = {f"{m}/{s}": np.array(masked) * 2.0 for m in MAPS for s in LOCAL_SCORES}
        return scores | {
            "test": np.array(test),
            "probs": np.tile(np.array(test, float)[:, None], (5, 1, 2)),
            "foreign": np.array(test) + 100,
            "foreign_probs": np.array(test, float)[:, None] * [1, 3],
            "masked": np.array(masked),
            "draw_energy": np.array(masked) + np.zeros((3, 1)),
        }

    pooled: Pooled = covid_pooling.pool([unit([4, 1], [4]), unit([0, 3], [3, 0])])
    np.testing.assert_array_equal(pooled.rows, [0, 1, 3, 4])
    np.testing.assert_array_equal(pooled.probs[2, :, 1], [0, 1, 3, 4])
    np.testing.assert_array_equal(pooled.foreign_probs[:, 1], [0, 3, 9, 12])
    np.testing.assert_array_equal(pooled.masked, [0, 3, 4])
    np.testing.assert_array_equal(pooled.scores["draw_energy"][1], [0, 3, 4])
    np.testing.assert_array_equal(pooled.scores["maps/energy"], [0, 6, 8])


@pytest.mark.parametrize(
    ("gain", "need", "words"),
    [
        (0.1, 0.1, "the model looks at the lungs"),
        (-0.1, 0.0, "the model does not look at the lungs"),
        (0.1, 0.0, "points at the lungs but does not need them"),
        (0.0, 0.1, "needs the lungs but does not point at them"),
    ],
)
def test_the_verdict_follows_the_intervals(gain, need, words):
    def around(value):
        return Sampled(value, value + np.linspace(-0.05, 0.05, 101))

    found = {
        "energy in the lungs: maps - centred Gaussian": around(gain),
        "only the lung field - lung field blacked out: AUC of COVID-19": around(need),
        "energy in the lungs: maps": around(0.42),
        "energy in the lungs: centred Gaussian": around(0.32),
        "AUC of COVID-19": around(0.9),
        "lung field blacked out: AUC of COVID-19": around(0.6),
        "only the lung field: AUC of COVID-19": around(0.7),
    }
    sentence = covid_tables.verdict("corrected", found, (0.4, 0.38, 0.44))
    assert words in sentence
    assert "42.0%" in sentence
    assert "0.600 without the lungs" in sentence


def test_a_saved_model_of_another_maker(tmp_path, config, capsys):
    """Printed in the article's way; figures at the size of each X-ray, by both variants."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            tf_keras.Input((32, 32, 3)),
            tf_keras.layers.Conv2D(4, 3, activation="relu"),
            tf_keras.layers.AveragePooling2D(),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(8, activation="relu"),
            tf_keras.layers.Dropout(0.5),
            tf_keras.layers.Dense(3, activation="softmax"),
        ]
    )
    bc.save_model(model, tmp_path / "saved.h5")
    paths = bc.read_covid_chestxray(config.data)["path"].tolist()[:1]
    names = ["COVID-19", "pneumonia", "normal"]
    arguments = ["--model", str(tmp_path / "saved.h5"), "--images", *paths]
    study.run([*arguments, "--class-names", *names, "--out", str(tmp_path / "maps")])
    said = capsys.readouterr().out.splitlines()
    expected = model.predict_on_batch(bc.load_images(paths, (32, 32)) / 255.0)
    assert [line.split(":")[0] for line in said[2:]] == [
        f"{title} as the article has it, of the softmax and with the gradients of all 1 images "
        "averaged"
        for title in ("Grad-CAM", "guided Grad-CAM of the tutorials")
    ]
    for line, path, probs in zip(said[1:2], paths, expected, strict=True):
        shown = np.array2string(probs[np.newaxis], precision=3, suppress_small=True)
        assert line == f"{probs.argmax()} {shown} {path.rpartition('/')[2]}"
    model.save(tmp_path / "folder")
    folder = ["--model", str(tmp_path / "folder"), *arguments[2:], "--out", str(tmp_path / "maps")]
    with pytest.raises(bc.InputError, match="SavedModel folder"):
        study.run(folder)
    study.run([*folder, "--trust"])
    assert capsys.readouterr().out.splitlines()[1:] == said[1:]
    figures = sorted((tmp_path / "maps").iterdir())
    assert len(figures) == 2
    for figure in figures:
        with Image.open(figure) as picture:
            assert picture.width > 3 * 224
            assert picture.height > 3 * 224


def test_what_the_command_line_refuses(tmp_path):
    with pytest.raises(bc.InputError, match="name them with --images"):
        study.run(["--model", "m.h5", "--out", str(tmp_path)])
    with pytest.raises(bc.InputError, match="give --model and --images, or --data and --kermany"):
        study.run(["--data", "x", "--out", str(tmp_path)])
    given = study.parser().parse_args(
        ["--data", "c", "--kermany", "k", "--out", "o", "--seeds", "4", "--input-shape", "64", "96"]
    )
    assert study.config_of(given) == Config(
        data="c", kermany="k", seeds=(4,), input_shape=(64, 96, 3)
    )
