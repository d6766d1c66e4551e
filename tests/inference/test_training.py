from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from bayescam.inference.draws import run_suffix
from bayescam.inference.features import FeatureCache, TrainingImages, cache_features
from bayescam.inference.head_training import fit_head
from bayescam.inference.posterior import draw_posterior
from bayescam.inference.split import split_network
from bayescam.inference.stages import plan_stages
from bayescam.inference.training import TrainingSettings, fit_classifier
from bayescam.models import adapt_model, build_classifier
from bayescam.types import InputError
from tests.networks import NAMES, SHAPE

FAST = TrainingSettings(num_views=2, head_epochs=4, fine_tune_epochs=2, cache="memory")


def coloured(num: int, seed: int, reads: list[int] | None = None) -> TrainingImages:
    """Images whose colour says the class, not quite surely; view 1 is the mirror image."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, num)
    pixels = rng.uniform(0, 160, (num, *SHAPE))
    pixels[np.arange(num), :, :, labels] += rng.uniform(0, 60, num)[:, None, None]
    pixels = pixels.astype(np.uint8)

    def batches(view, indices):
        for start in range(0, len(indices), 16):
            chosen = indices[start : start + 16]
            if reads is not None:
                reads.extend(chosen.tolist())
            yield chosen, pixels[chosen][:, :, ::-1] if view else pixels[chosen]

    return TrainingImages(batches, labels, f"coloured {num} {seed}")


def new_model(head: str = "flipout", seed: int = 1) -> tf_keras.Model:
    return build_classifier(
        "narrow_vgg", class_names=NAMES, input_shape=SHAPE, head=head, seed=seed
    )


@pytest.mark.parametrize("head", ["flipout", "dense"])
def test_the_head_learns_and_the_best_epoch_is_kept(head):
    model = new_model(head)
    frozen = model.get_layer("block5_conv3").get_weights()[0]
    settings = TrainingSettings(
        num_views=1, head_epochs=25, head_learning_rate=0.01, cache="memory"
    )
    train, val = coloured(150, 1), coloured(90, 2)
    result = fit_classifier(model, train, val, settings=settings)
    likelihoods = [row["validation_log_likelihood"] for row in result.history]
    assert max(likelihoods) > likelihoods[0]
    assert max(likelihoods) > np.log(1 / 3) + 0.1
    np.testing.assert_array_equal(model.get_layer("block5_conv3").get_weights()[0], frozen)
    if head == "dense":
        logits = model.predict(next(val.batches(0, np.arange(90)))[1], verbose=0)
        rows = np.concatenate(
            [logits]
            + [
                model.predict(images, verbose=0)
                for _, images in list(val.batches(0, np.arange(90)))[1:]
            ]
        )
        chosen = tf.nn.log_softmax(rows).numpy()[np.arange(90), val.labels]
        assert chosen.mean() == pytest.approx(max(likelihoods), abs=1e-4)


def test_no_epoch_with_a_partial_kl_divergence_is_kept():
    """With 8 images the KL divergence soon outweighs them: the early epochs score best."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 8)
    values = (np.eye(64)[labels] * 40 + rng.normal(size=(8, 64))).astype(np.float32)
    cache = FeatureCache(values[None])
    settings = TrainingSettings(
        head_epochs=8, batch_size=1, head_learning_rate=0.02, kl_warmup_epochs=9, average_decay=0.0
    )
    model = new_model()
    history = fit_head(model, (cache, cache), (labels, labels), settings=settings)
    likelihoods = [row["validation_log_likelihood"] for row in history]
    assert max(likelihoods[:4]) > max(likelihoods[4:])
    kept = run_suffix(
        split_network(model), values, draw_posterior(model, 20, seed=settings.seed).weights()
    )
    probs = tf.reduce_mean(tf.nn.softmax(kept), axis=0).numpy()
    likelihood = np.log(probs[np.arange(8), labels]).mean()
    assert likelihood == pytest.approx(max(likelihoods[4:]), abs=1e-5)


def test_features_are_standardised_by_the_training_views():
    model, train = new_model(), coloured(40, 1)
    result = fit_classifier(model, train, coloured(20, 2), settings=FAST)
    (cache, _) = result.head_features()
    assert cache.values.shape == (2, 40, 64)
    flat = cache.values.reshape(-1, 64).astype(np.float64)
    layer = model.get_layer("standardization")
    live = flat.std(axis=0) > 1e-4
    np.testing.assert_allclose(layer.mean.numpy(), flat.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.sd.numpy()[live], flat.std(axis=0)[live], rtol=1e-3)
    np.testing.assert_allclose(
        result.training_features(), cache.values[0].reshape(40, 64), rtol=1e-4, atol=1e-6
    )


def test_the_backbone_runs_once_per_image_and_view():
    reads: list[int] = []
    fit_classifier(new_model(), coloured(40, 1, reads), coloured(20, 2), settings=FAST)
    assert sorted(reads) == sorted([*range(40)] * 2)


def test_only_the_last_layers_are_fine_tuned():
    model = new_model()
    before = {layer.name: layer.get_weights() for layer in model.layers}
    settings = TrainingSettings(**{**vars(FAST), "fine_tune_layers": 6})
    result = fit_classifier(model, coloured(40, 1), coloured(20, 2), settings=settings)
    assert [row["stage"] for row in result.history] == ["head"] * 4 + ["fine-tune"] * 2
    moved = {
        layer.name
        for layer in model.layers
        if any(
            not np.array_equal(a, b)
            for a, b in zip(before[layer.name], layer.get_weights(), strict=True)
        )
    }
    convolutions = {"block4_conv3", "block5_conv1", "block5_conv2", "block5_conv3"}
    assert moved == {*convolutions, "standardization", "logits"}


def test_the_articles_last_six_layers_of_vgg16():
    split = split_network(build_classifier("vgg16", class_names=NAMES, input_shape=SHAPE))
    _, stage = plan_stages(split, 6)
    assert split.graph.name_of(stage.source) == "block4_conv2"
    names = [layer.name for layer in stage.layers]
    assert names[:6] == [
        "block4_conv3",
        "block4_pool",
        "block5_conv1",
        "block5_conv2",
        "block5_conv3",
        "block5_pool",
    ]
    with pytest.raises(InputError, match="`fine_tune_layers` must be 0 to 19, .* got 20"):
        plan_stages(split, 20)


def test_inside_a_branch_the_cut_moves_below_it_and_trains_no_more_than_asked():
    split = split_network(
        build_classifier("squeezenet", class_names=NAMES, input_shape=(64, 64, 3))
    )
    _, stage = plan_stages(split, 3)
    assert split.graph.name_of(stage.source) == "fire9/relu_squeeze1x1"
    assert not {"fire9/expand1x1", "fire9/expand3x3"} & {layer.name for layer in stage.layers}


def test_batch_statistics_do_not_move():
    model = build_classifier("mobilenetv2", class_names=NAMES, input_shape=SHAPE)
    norm = model.get_layer("Conv_1_bn")
    before = [weight.numpy() for weight in norm.non_trainable_weights]
    settings = TrainingSettings(**{**vars(FAST), "fine_tune_layers": 4, "head_epochs": 1})
    fit_classifier(model, coloured(16, 1), coloured(16, 2), settings=settings)
    for weight, value in zip(norm.non_trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    assert norm.trainable


def test_a_head_on_given_features_is_the_head_of_the_whole_training():
    train, val = coloured(40, 1), coloured(20, 2)
    whole = new_model()
    result = fit_classifier(whole, train, val, settings=FAST)
    alone = new_model()
    history = fit_head(alone, result.head_features(), (train.labels, val.labels), settings=FAST)
    for a, b in zip(whole.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert [row["loss"] for row in history] == pytest.approx(
        [row["loss"] for row in result.history], rel=1e-4
    )


def test_a_disk_cache_carries_on_and_a_stale_one_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("bayescam.inference.features._MARK_SECONDS", 0.0)
    path, reads = tmp_path / "features" / "train.npy", []
    images = coloured(601, 3, reads)

    def extract(batch):
        if len(reads) > 901 and not extract.resumed:
            raise KeyboardInterrupt
        return [tf.reduce_mean(batch, axis=(1, 2))]

    extract.resumed = False
    options = {"shape": (3,), "num_views": 2, "path": path}
    with pytest.raises(KeyboardInterrupt):
        cache_features(extract, images, key="a", **options)
    first = len(reads)
    extract.resumed = True
    cache = cache_features(extract, images, key="a", **options)
    assert len(reads) - first < 2 * 601 - 800
    expected = [
        np.concatenate([b.mean(axis=(1, 2)) for _, b in images.batches(view, np.arange(601))])
        for view in (0, 1)
    ]
    np.testing.assert_allclose(cache.values, expected, rtol=1e-5)
    reads.clear()
    cache_features(extract, images, key="a", **options)
    assert reads == []
    cache_features(extract, images, key="b", **options)
    assert len(reads) == 1202


def test_networks_with_the_same_frozen_part_share_its_cache(tmp_path):
    """The second training reads no image; its result is that of a cache of its own."""
    reads: list[int] = []
    train, val = coloured(24, 1, reads), coloured(12, 2, reads)
    settings = TrainingSettings(**{**vars(FAST), "cache": "disk", "fine_tune_layers": 6})
    first, second, alone = (new_model("dense") for _ in range(3))
    for model in (second, alone):
        model.get_layer("logits").bias.assign([0.1, 0.2, 0.3])  # another head on the same backbone
    fit = {"settings": settings, "features_dir": tmp_path / "shared"}
    fit_classifier(first, train, val, work_dir=tmp_path / "first", **fit)
    assert len(reads) == 2 * 24 + 12
    result = fit_classifier(second, train, val, work_dir=tmp_path / "second", **fit)
    assert len(reads) == 2 * 24 + 12
    fit_classifier(alone, train, val, settings=settings, work_dir=tmp_path / "alone")
    for a, b in zip(second.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    other = result.frozen.cache(coloured(5, 4), 2)
    images = coloured(5, 4).batches(1, np.arange(5))
    split = split_network(second)
    expected = split.prefix(split.features)(next(images)[1].astype(np.float32))[0].numpy()
    seen = result.frozen.to_features(other).values[1]
    np.testing.assert_allclose(seen, expected, rtol=5e-3, atol=5e-3)  # maps are kept in float16
    third = new_model("dense", seed=2)
    fit_classifier(third, train, val, work_dir=tmp_path / "third", **fit)
    assert len(reads) == 3 * (2 * 24 + 12)  # another backbone: filled anew


def test_pixels_themselves_are_cached_where_nothing_is_frozen():
    images = coloured(5, 1)
    cache = cache_features(None, images, shape=SHAPE, num_views=1)
    assert cache.values.dtype == np.uint8
    np.testing.assert_array_equal(cache.values[0], next(images.batches(0, np.arange(5)))[1])


def test_maps_beyond_the_range_of_the_cache_are_refused():
    with pytest.raises(InputError, match="exceed 65504"):
        cache_features(lambda batch: [batch * 1000], coloured(3, 1), shape=SHAPE, num_views=1)


def test_rows_pick_view_and_image():
    values = np.arange(2 * 3 * 4, dtype=np.float16).reshape(2, 3, 4)
    rows = FeatureCache(values).rows(np.array([1, 0]), np.array([2, 1]))
    np.testing.assert_array_equal(rows, [values[1, 2], values[0, 1]])
    assert rows.dtype == np.float32


KILLED = """
import sys
from pathlib import Path
from tests.inference.test_training import FAST, TrainingSettings, coloured, new_model
from bayescam.inference.split import split_network
from bayescam.inference.training import fit_classifier
settings = TrainingSettings(**{**vars(FAST), "cache": "disk", "fine_tune_layers": 6})
def report(stage, done, total, note):
    print(stage, note, flush=True)
model = new_model()
result = fit_classifier(model, coloured(40, 1), coloured(20, 2), settings=settings,
                        work_dir=Path(sys.argv[1]), report=report)
model.save_weights(sys.argv[2])
"""


def test_a_killed_training_carries_on_to_the_same_weights(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "work"), str(tmp_path / "killed.h5")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    for line in process.stdout:
        if line.startswith("fine-tune epoch 1"):
            break
    deadline = time.monotonic() + 60
    while not (tmp_path / "work" / "fine-tune.npz").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "features" not in again.stdout
    assert "head epoch" not in again.stdout
    settings = TrainingSettings(**{**vars(FAST), "fine_tune_layers": 6})
    whole, resumed = new_model(), new_model()
    fit_classifier(whole, coloured(40, 1), coloured(20, 2), settings=settings)
    resumed.load_weights(tmp_path / "killed.h5")
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([], "`train` has no images"), ([0, 3], "`train` labels must be classes 0 to 2; got 0 to 3")],
)
def test_bad_labels_are_named(labels, message):
    bad = TrainingImages(coloured(2, 1).batches, np.array(labels, dtype=int))
    with pytest.raises(InputError, match=message):
        fit_classifier(new_model(), bad, coloured(2, 2), settings=FAST)


def test_a_cache_on_disk_needs_a_folder():
    with pytest.raises(InputError, match='`cache` "disk" needs a work folder'):
        fit_classifier(new_model(), coloured(4, 1), coloured(4, 2))


def test_another_preprocessing_is_not_served_from_the_cache(tmp_path):
    user = tf_keras.Sequential(
        [
            tf_keras.Input(SHAPE),
            tf_keras.layers.Conv2D(4, 3, activation="relu"),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(3),
        ]
    )
    settings = TrainingSettings(num_views=1, head_epochs=1)
    found = []
    for rescale in (1 / 255, 1.0):
        model = adapt_model(user, NAMES, rescale=rescale)
        result = fit_classifier(
            model, coloured(20, 1), coloured(10, 2), settings=settings, work_dir=tmp_path
        )
        found.append(result.head_features()[0].values.copy())
    assert np.abs(found[1]).max() > 50 * np.abs(found[0]).max()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("head_learning_rate", float("nan")),
        ("fine_tune_learning_rate", -1.0),
        ("head_epochs", 0),
        ("batch_size", 0),
        ("seed", -1),
        ("average_decay", 1.0),
        ("cache", "ram"),
    ],
)
def test_settings_that_cannot_be_are_named(setting, value):
    with pytest.raises(InputError, match=f"`{setting}` must be .*; got"):
        TrainingSettings(**{setting: value})


def test_training_that_diverges_says_so():
    model = new_model("dense")
    layer = model.get_layer("logits")
    layer.set_weights([weight * np.nan for weight in layer.get_weights()])
    with pytest.raises(InputError, match="training diverged in epoch 1 of the head stage"):
        fit_classifier(model, coloured(40, 1), coloured(20, 2), settings=FAST)


def test_an_interrupted_call_leaves_the_model_and_carries_on(tmp_path):
    """In one process, as in a notebook: the second call finds what the first one had done."""
    settings = TrainingSettings(num_views=1, head_epochs=4)
    model, images = new_model(), (coloured(40, 1), coloured(20, 2))
    before = model.get_weights()

    def stop(stage, done, total, note):
        if stage == "head" and done >= total // 2 + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_classifier(model, *images, settings=settings, work_dir=tmp_path, report=stop)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    epochs = []
    fit_classifier(
        model,
        *images,
        settings=settings,
        work_dir=tmp_path,
        report=lambda stage, done, total, note: epochs.append(note) if stage == "head" else None,
    )
    assert epochs[0] == "epoch 3/4"
    whole = new_model()
    fit_classifier(whole, *images, settings=settings, work_dir=tmp_path / "whole")
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_a_cache_that_does_not_fit_the_disk_is_refused_before_any_work(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    reads = []
    with pytest.raises(InputError, match=r"2 views of 40 images need 0.0 GB.*lower `num_views`"):
        cache_features(
            lambda batch: [batch],
            coloured(40, 1, reads),
            shape=SHAPE,
            num_views=2,
            path=tmp_path / "train.npy",
        )
    assert reads == []
    assert list(tmp_path.iterdir()) == []
