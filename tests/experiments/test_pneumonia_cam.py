"""The study end to end on phantoms, with a tiny network."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pneumonia_cam as study
import pneumonia_data
import pneumonia_maps
import pneumonia_network
import pytest
from kept_results import keep_config
from rich.console import Console
from scipy.special import softmax

import bayescam as bc
from bayescam.data import hash_files, write_phantoms


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    root = write_phantoms(tmp_path_factory.mktemp("chest"), kind="chest", num_images=60, seed=0)
    source = sorted((root / "test" / "NORMAL").iterdir())[0]
    shutil.copy(source, root / "train" / "NORMAL" / "NORMAL2-IM-9999-0001.jpeg")  # a leak
    return root


@pytest.fixture(scope="module")
def config(chest):
    return pneumonia_data.Config(
        data=str(chest),
        backbone="narrow_vgg",
        input_shape=(32, 32, 3),
        num_views=2,
        epochs=3,
        step_epochs=2,
        shown=1,
    )


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return study.main(config, out), out


@pytest.fixture(scope="module")
def records(config):
    return bc.read_chest_xray(config.data, published_split=True)


def probs_of(out, variant, images):
    model = bc.load_model(out / f"{variant}.keras")
    return softmax(model.predict_on_batch(images.astype(np.float32)), axis=1)


def test_the_table_is_of_the_saved_models(finished, records):
    table, out = finished
    test = records[records["split"] == "test"]
    labels = (test["label"] == "PNEUMONIA").to_numpy(int)
    images = bc.load_images(test["path"], (32, 32))
    probs = probs_of(out, "corrected", images)
    loss = -np.log(probs[np.arange(len(labels)), labels]).mean()
    assert table.loc["negative_log_likelihood", "corrected"].startswith(f"{loss:.3f} [")
    right = (probs.argmax(axis=1) == labels).mean()
    for name in ("accuracy", "accuracy of the images as shown"):
        assert table.loc[name, "corrected"].startswith(f"{right:.3f} [")
    assert table.loc["class changes as they are shown", "corrected"].startswith("0.000")
    # As published, a network trained on normalised images is shown others: narrow_vgg takes
    # values in [-1, 1], and images / 255 are what it makes of brighter ones.
    bright = probs_of(out, "as published", (images / 255.0 + 1.0) * 127.5).argmax(axis=1)
    changed = (bright != probs_of(out, "as published", images).argmax(axis=1)).mean()
    cell = table.loc["class changes as they are shown", "as published"]
    assert cell.startswith(f"{changed:.3f}")
    cell = table.loc["accuracy of the images as shown", "as published"]
    assert cell.startswith(f"{(bright == labels).mean():.3f}")
    assert table.loc["sensitivity_PNEUMONIA", "Kermany et al. 2018"] == "0.932"
    assert (out / "maps.png").stat().st_size > 10_000


def test_the_epoch_is_chosen_on_test_as_published_and_on_validation_corrected(finished):
    table, out = finished
    published, corrected = (
        pd.read_csv(out / f"history, {name}.csv") for name in ("as published", "corrected")
    )
    np.testing.assert_allclose(corrected["learning_rate"], [1e-3, 1e-3, 1e-4])
    assert {"val_loss", "val_accuracy", "train_loss"} < set(corrected)
    # The figure that the article reports is the best of its epochs on the test images.
    best = published["test_accuracy"].max()
    assert table.loc["accuracy", "as published"].startswith(f"{best:.3f} [")


def test_features_are_made_once(finished, config, records):
    _, out = finished
    kept = (out / "features" / "all.npy").stat().st_mtime_ns
    pneumonia_network.image_features(
        config, ("NORMAL", "PNEUMONIA"), records, out, Console(quiet=True)
    )
    assert (out / "features" / "all.npy").stat().st_mtime_ns == kept
    keep_config(config, out / "config.json")
    other = pneumonia_data.Config(data=config.data, epochs=7)
    with pytest.raises(bc.InputError, match="of another configuration; give another --out"):
        study.main(other, out)


def test_nothing_of_the_test_images_is_in_the_corrected_training(records, finished):
    hashes = pd.Series(hash_files(records["path"].tolist()))
    found = pneumonia_data.shared_with_test(records)
    published = pneumonia_data.variant_split("as published", records, found, seed=0)
    assert set(hashes[published == "train"]) & set(hashes[published == "test"])
    split = pneumonia_data.variant_split("corrected", records, found, seed=0)
    assert (split[published == "test"] == "test").all()
    for key in (hashes, records["group"]):
        homes = split.groupby(key).nunique()  # of each file and each patient
        assert homes.max() == 1
    shared = hashes.isin(hashes[published == "test"]) | records["group"].isin(
        records["group"][published == "test"].dropna()
    )
    np.testing.assert_array_equal(split.isna(), shared & (published != "test"))
    table, _ = finished
    row = table.loc["training images whose file or patient is in test"]
    assert int(row["as published"]) == (shared & (published == "train")).sum() > 0
    assert row["corrected"] == "0"
    assert int(table.loc["validation images", "corrected"]) == (split == "val").sum()


@pytest.mark.parametrize("backbone", ["squeezenet", "narrow_vgg", "resnet152"])
def test_unnormalised_images_reach_the_network_as_they_are(backbone):
    from bayescam.models.backbones import find_backbone
    from bayescam.models.layers import PixelNormalization

    found = find_backbone(backbone)
    layer = PixelNormalization(found.matrix, found.offset, name="pixel_normalization")

    class Model:
        def get_layer(self, name):
            return {"pixel_normalization": layer}[name]

    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype(np.uint8)
    seen = layer(pneumonia_maps.without_normalization(images, Model())).numpy()
    np.testing.assert_allclose(seen, images / 255.0, atol=2e-5)
