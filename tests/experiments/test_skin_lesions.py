"""The study end to end on phantoms, with a tiny network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skin_lesions as study
import skin_table
from kept_results import save_arrays

from bayescam.data import write_phantoms

pytestmark = pytest.mark.filterwarnings(  # of a few images
    "ignore:.*a class without images:UserWarning",
    "ignore:.*ended on its bound:UserWarning",
    "ignore:.*no validation image is of:UserWarning",
)


def records_of(config, path):
    """The test images of a split."""
    records = study.bc.read_ham10000(config.data)
    shares = dict(zip(("train", "val", "test"), config.fractions, strict=True))
    split = study.bc.split_records(records, fractions=shares, seed=int(path.stem[-1]))
    return split[split["split"] == "test"]


def logits_of(home, records):
    """Logits (N, K) of a network, the mean over the evaluated views of the images."""
    model = study.bc.load_model(home / "model.keras")
    views = study.evaluated_views(study.bc.load_images(records["path"], (32, 32)))
    return np.mean([model.predict(np.asarray(view), verbose=0) for view in views], axis=0)


def another_split(run):
    """What a second split might leave: every test image is called by the next class's name."""
    heads = [name for name in run if name.endswith("/test") and run[name].ndim == 3]
    return run | {name: np.roll(run[name], 1, axis=-1) for name in heads}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The configuration of two splits, one of them trained, the folder and the table."""
    home = tmp_path_factory.mktemp("lesions")
    root = write_phantoms(home / "skin", kind="skin", num_images=140, seed=0)
    config = study.Config(
        data=str(root),
        backbone="narrow_vgg",
        input_shape=(32, 32, 3),
        fine_tune_layers=4,
        epochs=1,
        num_views=2,
        prior_sds=(0.15,),
        num_samples=5,
        fractions=(0.5, 0.25, 0.25),
        networks=2,
        seeds=(0,),
    )
    out = home / "out"
    study.main(config, out)
    with np.load(out / "seed_0.npz") as run:
        save_arrays(out / "seed_1.npz", another_split(dict(run)))
    config = dataclasses.replace(config, seeds=(0, 1))
    return config, out, study.main(config, out)


def test_logits_are_those_of_the_saved_networks(done):
    config, out, _ = done
    with np.load(out / "seed_0.npz") as run:
        assert not {*run["groups/val"]} & {*run["groups/test"]}
        assert run["flipout, prior sd 0.15/test"].shape[0] == 5
        first, second = run["networks together/test"]
        np.testing.assert_array_equal(first, run["dense, fine-tuned/test"][0])
    records = records_of(config, out / "seed_0.npz")
    np.testing.assert_allclose(second, logits_of(out / "seed_0" / "network_1", records), atol=0.02)


def test_the_table_is_the_mean_of_the_splits(done):
    _, out, table = done
    accuracies = []
    for path in sorted(out.glob("seed_*.npz")):
        with np.load(path) as run:
            predicted = skin_table.mean_probs(run["dense/test"]).argmax(axis=1)
            accuracies.append((predicted == run["labels/test"]).mean())
    assert accuracies[0] != accuracies[1]
    assert table.loc["dense", "accuracy"].startswith(f"{np.mean(accuracies):.3f} [")
    assert "flipout - dense, both calibrated" in table.index
    for cell in table["expected_calibration_error"]:
        estimate, lower, upper = (float(part.strip("[],")) for part in cell.split())
        assert lower <= estimate <= upper
    errors = table["expected_calibration_error"].iloc[:-1]
    assert not errors.str.contains("[-", regex=False).any()


def test_what_is_done_is_kept_and_heads_are_trained_again_alone(done, capsys):
    config, out, table = done
    path, features = out / "seed_0.npz", out / "seed_0" / "network_0" / "features.npz"
    tuned = features.stat().st_mtime_ns
    with np.load(path) as run:
        before = dict(run)
    path.unlink()
    assert study.main(config, out).equals(table)
    with np.load(path) as run:
        for name, values in before.items():
            np.testing.assert_array_equal(run[name], values)
    assert features.stat().st_mtime_ns == tuned
    assert not (out / "seed_0" / "features").exists()
    assert "| flipout, calibrated " in capsys.readouterr().out
    written = path.stat().st_mtime_ns
    with pytest.raises(study.bc.InputError, match="is of another configuration"):
        study.main(dataclasses.replace(config, epochs=2), out)
    assert path.stat().st_mtime_ns == written


def test_views_are_averaged_within_a_draw():
    model = study.bc.build_classifier(
        "narrow_vgg", class_names=study.CLASS_NAMES, input_shape=(32, 32, 3), seed=1
    )
    features = np.random.default_rng(0).normal(size=(4, 3, 64)).astype(np.float32)
    config = study.Config(data="", num_samples=2)
    logits = study.head_logits(model, {"val": features}, config, 7)["val"]
    draws = study.bc.draw_posterior(model, 2, seed=7)
    kernel, bias = draws.weights()[0]
    for s in range(2):
        expected = features.mean(axis=0) @ kernel[s].numpy() + bias[s].numpy()
        np.testing.assert_allclose(logits[s], expected, rtol=1e-4, atol=1e-5)


def test_evaluated_views_are_mirror_images_of_the_whole_and_of_the_enlarged_middle():
    """On a ramp, enlarging divides the distance from the middle by the zoom."""
    height, width = 50, 100  # 0.84 of both are whole numbers of pixels
    y, x = np.mgrid[:height, :width]
    image = np.stack([2 * y, x, x + y], axis=-1).astype(np.uint8)
    views = [np.asarray(view)[0] for view in study.evaluated_views(image[None])]
    middle = np.array([2 * y.mean(), x.mean(), x.mean() + y.mean()])
    enlarged = middle + 0.84 * (image - middle)
    inner = (slice(2, -2), slice(2, -2))  # an edge has no neighbour beyond it
    expected = [image, image[::-1, ::-1], enlarged[:, ::-1], enlarged[::-1]]
    for view, picture in zip(views, expected, strict=True):
        np.testing.assert_allclose(view[inner], picture[inner], atol=1e-3)


def test_the_penalty_is_the_most_accurate_that_keeps_the_balanced_accuracy(monkeypatch):
    scores = {1.0: (0.9, 0.5), 3.0: (0.8, 0.63), 10.0: (0.82, 0.62), 30.0: (0.7, 0.8)}
    monkeypatch.setattr(skin_table, "BIAS_PENALTIES", tuple(scores))
    monkeypatch.setattr(skin_table, "cross_fitted", lambda run, head, bias_penalty: bias_penalty)

    def score(penalty, labels, names):
        accuracy, balanced = scores[penalty]
        return SimpleNamespace(accuracy=accuracy, balanced_accuracy=balanced)

    monkeypatch.setattr(skin_table, "score_predictions", score)
    assert skin_table.choose_penalty({"labels/val": None}, "dense") == 10.0
    scores.update({3.0: (0.8, 0.51), 10.0: (0.8, 0.52), 30.0: (0.7, 0.53)})
    assert skin_table.choose_penalty({"labels/val": None}, "dense") == 30.0


def test_the_average_of_two_heads_has_the_mean_logits():
    """Also where each standardises the features in its own way."""
    rng = np.random.default_rng(0)
    features = rng.normal(3.0, 2.0, size=(5, 64)).astype(np.float32)
    network = study.bc.build_classifier(
        "narrow_vgg",
        class_names=study.CLASS_NAMES,
        head="dense",
        input_shape=(32, 32, 3),
        seed=1,
    )
    second = study.bc.build_head(64, class_names=study.CLASS_NAMES, head="dense", seed=2)
    for model in (network, second):
        scale = rng.uniform(0.5, 2.0, 64)
        model.get_layer("standardization").set_statistics(rng.normal(size=64), scale)
    config, seen = study.Config(data=""), {"test": features[np.newaxis]}
    first, other = (
        study.head_logits(model, seen, config, 0)["test"] for model in (network, second)
    )
    study.average_heads(network, second)
    mean = study.head_logits(network, seen, config, 0)["test"]
    np.testing.assert_allclose(mean, 0.5 * (first + other), rtol=1e-4, atol=1e-5)
    assert np.abs(first - other).max() > 0.5


def test_the_command_line_sets_the_configuration():
    config, out = study.parse(
        ["--data", "d", "--out", "o", "--backbone", "vgg16", "--input-shape", "224", "224"]
        + ["--fine-tune-layers", "6", "--seeds", "3", "4"]
    )
    assert (config.backbone, config.input_shape, config.fine_tune_layers) == (
        "vgg16",
        (224, 224, 3),
        6,
    )
    assert config.seeds == (3, 4)
    assert out == Path("o")
