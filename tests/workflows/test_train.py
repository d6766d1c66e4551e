from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from sklearn.covariance import ledoit_wolf

from bayescam.cli import training as command_line
from bayescam.data import load_image, read_image_folder, resize_image, split_records
from bayescam.inference import split_network
from bayescam.inference.training import TrainingSettings
from bayescam.models import adapt_model, build_classifier
from bayescam.models.heads import add_head
from bayescam.types import InputError
from bayescam.workflows.config import DataConfig, ModelConfig, TrainConfig
from bayescam.workflows.train import fit, load_run, train_run


def test_a_run_folder_holds_the_contract(run_folder: Path, run_config: TrainConfig) -> None:
    assert {path.name for path in run_folder.iterdir()} == {
        "audit.json",
        "config.yaml",
        "manifest.json",
        "records.parquet",
        "skipped.csv",
        "feature_statistics.npz",
        "model",
        "history.csv",
    }
    assert TrainConfig.parse((run_folder / "config.yaml").read_text()) == run_config
    history = pd.read_csv(run_folder / "history.csv")
    assert len(history) == 4
    assert history["validation_log_likelihood"].max() > -np.log(3)


def test_feature_statistics_are_those_of_the_training_images(run_folder: Path) -> None:
    run = load_run(run_folder)
    train = run.records[run.records["split"] == "train"]
    images = np.stack([resize_image(load_image(path), (32, 32)) for path in train["path"]])
    network = split_network(run.model)
    (features,) = network.prefix(network.features)(images.astype(np.float32))
    with np.load(run_folder / "feature_statistics.npz") as stored:
        np.testing.assert_allclose(stored["mean"], np.mean(features, axis=0), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(stored["sd"], np.std(features, axis=0), rtol=1e-2, atol=1e-3)
        np.testing.assert_array_equal(stored["classes"], [0, 1, 2])
        labels = train["label"].to_numpy()
        means = np.stack([np.mean(features[labels == name], axis=0) for name in np.unique(labels)])
        np.testing.assert_allclose(stored["class_means"], means, rtol=1e-3, atol=1e-4)
        residuals = features - means[np.unique(labels, return_inverse=True)[1]]
        covariance, shrinkage = ledoit_wolf(residuals, assume_centered=True)
        assert stored["shrinkage"] == pytest.approx(shrinkage, rel=1e-2)
        np.testing.assert_allclose(
            stored["covariance"], covariance, rtol=1e-2, atol=1e-3 * covariance.max()
        )


def test_the_same_seed_gives_the_same_model(
    run_folder: Path, run_config: TrainConfig, tmp_path: Path
) -> None:
    train_run(run_config, tmp_path / "again", progress=False)
    first, second = (
        load_run(path).model.get_weights() for path in (run_folder, tmp_path / "again")
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


_KILLED = """
import os, sys
from pathlib import Path
from bayescam.inference.checkpoint import Checkpoint
from bayescam.workflows.config import TrainConfig
from bayescam.workflows.train import train_run
write = Checkpoint.write
def die_after_the_second(self, state, history, best):
    write(self, state, history, best)
    if len(history) == 2:
        os.kill(os.getpid(), 9)
Checkpoint.write = die_after_the_second
config = TrainConfig.parse(Path(sys.argv[1]).read_text())
train_run(config, sys.argv[2], tensorboard=True, progress=False)
"""


def logged_epochs(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Step and values of each event with a summary, read back by TensorFlow."""
    (file,) = folder.glob("*tfevents*")
    events = list(tf.compat.v1.train.summary_iterator(str(file)))
    assert events[0].file_version == "brain.Event:2"
    return [
        (event.step, {value.tag: value.simple_value for value in event.summary.value})
        for event in events[1:]
    ]


def test_a_killed_training_carries_on_to_the_same_model(
    run_folder: Path, run_config: TrainConfig, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-c", _KILLED, run_folder / "config.yaml", out]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert not out.exists()
    log = out.with_name("run.partial") / "tensorboard"
    assert [epoch for epoch, _ in logged_epochs(log / "head")] == [1]  # killed before it was told
    history = train_run(run_config, out, tensorboard=True, progress=False)
    told = dict(logged_epochs(out / "tensorboard" / "head"))
    stored = pd.read_csv(out / "history.csv").drop(columns="stage").set_index("epoch")
    pd.testing.assert_frame_equal(
        pd.DataFrame.from_dict(told, orient="index"), stored, rtol=1e-6, check_names=False
    )
    whole = pd.read_csv(run_folder / "history.csv")
    columns = [name for name in whole if name != "seconds"]
    pd.testing.assert_frame_equal(history[columns], whole[columns], rtol=1e-3, atol=1e-4)
    for one, other in zip(
        load_run(out).model.get_weights(), load_run(run_folder).model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_broken_images_do_not_stop_training(image_folder: Path, tmp_path: Path) -> None:
    records = split_records(read_image_folder(image_folder), seed=1)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG nothing")
    train = records[records["split"] == "train"].reset_index(drop=True)
    train.loc[3, "path"] = str(broken)
    val = records[records["split"] == "val"]
    model = build_classifier(
        "narrow_vgg", class_names=["disc", "plain", "ring"], input_shape=(32, 32, 3)
    )
    settings = TrainingSettings(num_views=2, head_epochs=1, seed=4)
    history = fit(
        model,
        train,
        val,
        out=tmp_path / "run",
        settings=settings,
        augmentation="skin",
        progress=False,
    )
    assert history["stage"].tolist() == ["head"]
    skipped = pd.read_csv(tmp_path / "run" / "skipped.csv")
    assert skipped["path"].tolist() == [str(broken)]
    kept = load_run(tmp_path / "run").records
    assert str(broken) not in set(kept["path"])
    assert len(kept) == len(train) + len(val) - 1
    layer = model.get_layer("logits")
    assert layer.num_train == len(train) - 1
    with pytest.raises(InputError, match="`tensorboard` needs `out`"):
        fit(model, train, val, settings=settings, tensorboard=True, progress=False)
    in_memory = fit(model, train, val, settings=settings, progress=False)
    assert len(in_memory) == 1


def test_no_group_may_be_in_both_parts(image_folder: Path) -> None:
    records = read_image_folder(image_folder).iloc[:20].reset_index(drop=True)
    records["group"] = [f"patient {i % 7}" for i in range(20)]
    model = build_classifier("narrow_vgg", class_names=["disc", "ring"], input_shape=(32, 32, 3))
    with pytest.raises(InputError, match="must share no group; 7 are in both"):
        fit(model, records.iloc[:10], records.iloc[10:], progress=False)


def test_labels_must_be_classes(image_folder: Path) -> None:
    records = split_records(read_image_folder(image_folder), seed=1)
    model = build_classifier("narrow_vgg", class_names=["disc", "ring"], input_shape=(32, 32, 3))
    train, val = (records[records["split"] == name] for name in ("train", "val"))
    with pytest.raises(InputError, match="'plain' .* is no class of the model: disc, ring"):
        fit(model, train, val, progress=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {head: boosted}", r"model\.head: .*'dense'"),
        ("training: {epochs: 3}", r"training\.epochs"),
        ("sead: 3", "sead"),
        ("seed: [", "is not YAML"),
    ],
)
def test_bad_configurations_are_named(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainConfig.parse(text)


def test_a_configuration_round_trips() -> None:
    config = TrainConfig(
        seed=7,
        data=DataConfig(source="ham10000:x", augmentation="skin"),
        model=ModelConfig(hidden_units=(64, 32), weights="w.h5", input_shape=(150, 200, 3)),
        training=TrainingSettings(num_views=2, fine_tune_layers=6),
    )
    assert TrainConfig.parse(config.to_yaml()) == config
    assert config.settings == TrainingSettings(num_views=2, fine_tune_layers=6, seed=7)


def test_defaults_are_said_once() -> None:
    command = inspect.signature(command_line.train).parameters
    training = TrainingSettings()
    for name, value in vars(training).items():
        if name in command:
            assert command[name].default == value, name
    model = ModelConfig()
    makers = [inspect.signature(make).parameters for make in (add_head, build_classifier)]
    builder = {**makers[0], **makers[1]}
    for name in ("head", "weights", "input_shape", "pooling", "hidden_units", "prior_sd"):
        assert builder[name].default == getattr(model, name), name
    for name in ("backbone", "head", "weights", "pooling", "prior_sd"):
        assert command[name].default == getattr(model, name), name
    assert (*command["input_size"].default, 3) == model.input_shape
    assert command_line._sizes(command["hidden_units"].default) == model.hidden_units
    assert command["augmentation"].default == DataConfig().augmentation


def test_a_model_that_cannot_be_saved_is_refused_before_training(
    image_folder: Path, tmp_path: Path
) -> None:
    records = split_records(read_image_folder(image_folder), seed=1)
    start = tf_keras.Input((32, 32, 3))
    pooled = tf_keras.layers.GlobalAveragePooling2D()(start)
    model = adapt_model(
        tf_keras.Model(start, tfp.layers.DenseFlipout(3, name="stock")(pooled)),
        ["disc", "plain", "ring"],
    )
    parts = (records[records["split"] == name] for name in ("train", "val"))
    with pytest.raises(InputError, match="'stock' is a stock DenseFlipout"):
        fit(model, *parts, out=tmp_path / "run", progress=False)
    assert list(tmp_path.glob("run*")) == []
