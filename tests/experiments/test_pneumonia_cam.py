"""The study end to end on phantoms, with a tiny network."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pneumonia_cam as study
import pytest
from scipy.special import softmax

import bayescam as bc
from bayescam.data import hash_files, write_phantoms


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    root = write_phantoms(tmp_path_factory.mktemp("chest"), kind="chest", num_images=90, seed=0)
    source = sorted((root / "test" / "NORMAL").iterdir())[0]
    shutil.copy(source, root / "train" / "NORMAL" / "NORMAL2-IM-9999-0001.jpeg")  # a leak
    return root


@pytest.fixture(scope="module")
def config(chest):
    return study.Config(
        data=str(chest),
        backbone="narrow_vgg",
        input_shape=(32, 32, 3),
        num_views=2,
        epochs=5,
        step_epochs=2,
        shown=1,
    )


def test_both_variants_side_by_side(config, tmp_path, capsys):
    table = study.main(config, tmp_path)
    assert "of the test images change their class" in capsys.readouterr().out
    history = {
        name: pd.read_csv(tmp_path / f"history, {name}.csv")
        for name in ("as published", "corrected")
    }
    rates = history["corrected"]["learning_rate"]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5])
    # The figure that the article reports is the best of its epochs on the test images.
    best = history["as published"]["test_accuracy"].max()
    assert table.loc["accuracy", "as published"].startswith(f"{best:.3f} [")
    records = bc.read_chest_xray(config.data, published_split=True)
    test = records[records["split"] == "test"]
    labels = (test["label"] == "PNEUMONIA").to_numpy(int)
    model = bc.load_model(tmp_path / "corrected.keras")
    logits = model.predict(bc.load_images(test["path"], (32, 32)).astype(np.float32), verbose=0)
    loss = -np.log(softmax(logits, axis=1)[np.arange(len(labels)), labels]).mean()
    assert table.loc["negative_log_likelihood", "corrected"].startswith(f"{loss:.3f} [")
    assert (tmp_path / "maps.png").stat().st_size > 10_000
    kept = (tmp_path / "features" / "all.npy").stat().st_mtime_ns
    assert study.main(config, tmp_path).equals(table)
    assert (tmp_path / "features" / "all.npy").stat().st_mtime_ns == kept


def test_nothing_of_the_test_images_is_in_the_corrected_training(config):
    records = bc.read_chest_xray(config.data, published_split=True)
    hashes = pd.Series(hash_files(records["path"].tolist()))
    published = study.variant_split("as published", records, seed=0)
    assert set(hashes[published == "train"]) & set(hashes[published == "test"])
    split = study.variant_split("corrected", records, seed=0)
    assert (split[published == "test"] == "test").all()
    for key in (hashes, records["group"]):
        homes = split.groupby(key).nunique()  # of each file and each patient
        assert homes.max() == 1
    left_out = split.isna()
    shared = hashes.isin(hashes[published == "test"]) | records["group"].isin(
        records["group"][published == "test"].dropna()
    )
    np.testing.assert_array_equal(left_out, shared & (published != "test"))


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
    seen = layer(study.without_normalization(images, Model())).numpy()
    np.testing.assert_allclose(seen, images / 255.0, atol=2e-5)


def test_another_configuration_is_refused(config, tmp_path):
    study.keep_config(config, tmp_path / "config.json")
    other = study.Config(data=config.data, epochs=7)
    with pytest.raises(bc.InputError, match="of another configuration; give another --out"):
        study.keep_config(other, tmp_path / "config.json")
