from __future__ import annotations

import json
import sys
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bayescam.models import (
    FlipoutDense,
    adapt_model,
    build_classifier,
    class_names,
    load_model,
    posterior_mean,
    save_model,
    variational_layers,
)
from bayescam.types import InputError

layers = tf_keras.layers
NAMES = ["nv", "mel", "ü"]


@pytest.fixture(scope="module")
def model():
    built = build_classifier(
        "narrow_vgg",
        class_names=NAMES,
        input_shape=(32, 32, 3),
        hidden_units=(4,),
        prior_sd=0.3,
        num_train=77,
        seed=3,
    )
    rng = np.random.default_rng(0)
    built.get_layer("standardization").set_statistics(rng.normal(size=64), rng.uniform(1, 2, 64))
    return built


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


@pytest.fixture
def tiny():
    return tf_keras.Sequential([tf_keras.Input((2,)), layers.Dense(2, name="d")])


def edit_config(path, change):
    """Rewrites the configuration inside a model file, as an attacker would."""
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["model_config"] = json.dumps(change(json.loads(file.attrs["model_config"])))
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = json.dumps(change(json.loads(members["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def edit_dense(change):
    """Returns an edit of the configuration of the one dense layer of `tiny`."""

    def edit(config):
        (dense,) = (x for x in config["config"]["layers"] if x["class_name"] == "Dense")
        change(dense)
        return config

    return edit


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_gives_back_the_same_model(model, images, tmp_path, suffix):
    save_model(model, tmp_path / f"model{suffix}")
    loaded = load_model(tmp_path / f"model{suffix}")
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    configs = [[layer.get_config() for layer in m.layers] for m in (model, loaded)]
    assert json.dumps(configs[0]) == json.dumps(configs[1])
    assert class_names(loaded) == tuple(NAMES)
    with posterior_mean(model), posterior_mean(loaded):
        np.testing.assert_array_equal(loaded(images), model(images))
    assert not np.array_equal(loaded(images), loaded(images))  # it samples again
    kl = [float(layer.kl_divergence()) for layer in variational_layers(model)]
    assert [float(layer.kl_divergence()) for layer in variational_layers(loaded)] == kl
    assert [path.name for path in tmp_path.iterdir()] == [f"model{suffix}"]


def test_a_squeezenet_with_slashes_in_its_names_comes_back(tmp_path):
    options = {"class_names": NAMES, "input_shape": (32, 32, 3)}
    model = build_classifier("squeezenet", **options)
    for suffix in (".keras", ".h5"):
        save_model(model, tmp_path / f"model{suffix}")
        for old, new in zip(
            model.weights, load_model(tmp_path / f"model{suffix}").weights, strict=True
        ):
            np.testing.assert_array_equal(old, new)


def test_an_adapted_model_with_operations_and_dropout_comes_back(tmp_path):
    start = tf_keras.Input((12, 12, 3))
    x = layers.Conv2D(3, 3, kernel_regularizer="l2")((start * 2.0)[:, 1:])
    x = layers.Dropout(0.5)(tf.reduce_mean(tf.nn.relu(x), [1, 2]))
    user_model = tf_keras.Model(start, layers.Dense(3, activation="softmax")(x))
    model = adapt_model(user_model, NAMES, sample_dropout=True)
    images = np.random.default_rng(0).uniform(0, 255, (3, 12, 12, 3)).astype("float32")
    for suffix in (".keras", ".h5"):
        save_model(model, tmp_path / f"model{suffix}")
        loaded = load_model(tmp_path / f"model{suffix}")
        np.testing.assert_array_equal(loaded(images), model(images))


def test_a_compiled_model_loads_uncompiled_whatever_its_loss(tiny, tmp_path):
    tiny.compile("adam", loss=lambda labels, logits: tf.reduce_sum(logits))
    tiny.fit(np.ones((2, 2)), np.ones((2, 2)), verbose=0)
    tiny.compile("adam", loss="mse")
    save_model(tiny, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.optimizer is None
    np.testing.assert_array_equal(loaded.get_weights()[0], tiny.get_weights()[0])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_in_a_file_does_not_run_without_trust(tmp_path, suffix):
    marker, path = tmp_path / "marker", tmp_path / f"hostile{suffix}"
    start = tf_keras.Input((2,))
    code = layers.Lambda(lambda x, p=str(marker): (open(p, "w").close(), x)[1], name="code")  # noqa: SIM115
    model = tf_keras.Model(start, code(start))
    save_model(model, path)
    marker.unlink()
    with pytest.raises(InputError, match=r"names 'Lambda' \(layer 'code'\).*trust=True"):
        load_model(path)
    assert not marker.exists()
    load_model(path, trust=True)
    assert marker.exists()  # the attack is real


def test_a_module_named_in_a_file_is_not_imported(tiny, tmp_path, monkeypatch):
    marker, path = tmp_path / "marker", tmp_path / "hostile.keras"
    (tmp_path / "evil_module.py").write_text(f"open({str(marker)!r}, 'w').close()\nGift = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    save_model(tiny, path)
    gift = {"module": "evil_module", "class_name": "Gift", "registered_name": None}
    edit_config(path, lambda config: {**config, **gift})
    with pytest.raises(InputError, match="names 'Gift'"):
        load_model(path)
    assert not marker.exists()
    with pytest.raises(InputError, match="cannot be loaded by tf_keras"):
        load_model(path, trust=True)
    assert marker.exists()  # the attack is real
    del sys.modules["evil_module"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {
                "class_name": "TFOpLambda",
                "module": "keras",
                "config": {"function": "io.write_file"},
            },
            "the operation 'io.write_file'",
        ),
        (
            {
                "class_name": "TFOpLambda",
                "registered_name": "bayescam>ClassLogits",
                "config": {"function": "io.write_file"},
            },
            "the operation",
        ),
        ({"class_name": "Lambda", "registered_name": "bayescam>ClassLogits"}, "'Lambda'"),
        ({"class_name": "__lambda__", "config": {"value": "x"}}, "'__lambda__'"),
        ({"class_name": "function", "module": "os", "config": "system"}, "the function 'system'"),
        ({"class_name": "function", "module": "builtins", "config": "exec"}, "the function 'exec'"),
        ({"class_name": "get_file", "module": "keras.utils", "config": {}}, "'get_file'"),
        ({"class_name": "DenseFlipout", "config": {}}, "'DenseFlipout'"),
        ({"class_name": "Dense", "module": "os", "config": {}}, "'Dense'"),
        ({"class_name": "__loader__", "module": "keras.layers", "config": {}}, "'__loader__'"),
        ({"class_name": ["Dense"], "config": {}}, r"\['Dense'\]"),
    ],
)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_whatever_is_not_known_is_refused(tiny, tmp_path, suffix, change, named):
    path = tmp_path / f"hostile{suffix}"
    save_model(tiny, path)
    edit_config(path, edit_dense(lambda dense: dense["config"].update(activation=change)))
    with pytest.raises(InputError, match=f"names {named}"):
        load_model(path)


def test_a_class_of_this_process_is_known_when_registered(tmp_path):
    class Twice(layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    save_model(tf_keras.Sequential([tf_keras.Input((2,)), Twice()]), tmp_path / "m.keras")
    with pytest.raises(InputError, match="names 'Twice'.*register the class"):
        load_model(tmp_path / "m.keras")
    registered = tf_keras.utils.register_keras_serializable("test_saving")(Twice)
    save_model(tf_keras.Sequential([tf_keras.Input((2,)), registered()]), tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(np.ones((1, 2))), [[2.0, 2.0]])


def test_arrays_outside_the_file_are_refused(tiny, tmp_path):
    path = tmp_path / "m.h5"
    save_model(tiny, path)
    with h5py.File(path, "a") as file:
        del file["model_weights/d/d/kernel:0"]
        file["model_weights/d/d/kernel:0"] = h5py.ExternalLink("secret.h5", "/x")
    with pytest.raises(InputError, match="kernel:0' in it is kept elsewhere"):
        load_model(path)
    with h5py.File(path, "a") as file:
        del file["model_weights/d/d/kernel:0"]
        (tmp_path / "raw").write_bytes(b"12345678" * 2)
        external = [(str(tmp_path / "raw"), 0, 16)]
        file["model_weights/d/d"].create_dataset("kernel:0", (2, 2), "f4", external=external)
    with pytest.raises(InputError, match="kernel:0' in it is kept elsewhere"):
        load_model(path)


def test_unexpected_members_of_an_archive_are_refused(tiny, tmp_path):
    path = tmp_path / "m.keras"
    save_model(tiny, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../escape.txt", "x")
    with pytest.raises(InputError, match="has a member '../escape.txt'"):
        load_model(path)


def test_keras_3_files_are_refused_in_one_line(tiny, tmp_path):
    save_model(tiny, tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["metadata.json"] = b'{"keras_version": "3.12.0", "date_saved": "today"}'
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    save_model(tiny, tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file.attrs["keras_version"] = "3.12.0"
    for name in ("m.keras", "m.h5"):
        with pytest.raises(InputError, match=r"^\S*m\.\w+: was saved by Keras 3.12.0; [^\n]*$"):
            load_model(tmp_path / name, trust=True)


def test_saved_model_folders_need_trust(tmp_path):
    layer = FlipoutDense(2, num_train=5, seed=1, name="logits")
    tiny = tf_keras.Sequential([tf_keras.Input((2,)), layer])
    tiny.save(tmp_path / "folder")
    with pytest.raises(InputError, match="SavedModel folder.*trust=True"):
        load_model(tmp_path / "folder")
    loaded = load_model(tmp_path / "folder", trust=True)
    assert loaded.get_layer("logits").get_config() == layer.get_config()
    with posterior_mean(tiny), posterior_mean(loaded):
        np.testing.assert_array_equal(loaded(np.ones((1, 2))), tiny(np.ones((1, 2))))
    with pytest.raises(InputError, match="folder without saved_model.pb"):
        load_model(tmp_path)


def test_files_that_are_no_models_are_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="nowhere.keras: no such model file"):
        load_model(tmp_path / "nowhere.keras")
    (tmp_path / "text.keras").write_text("not a model")
    with pytest.raises(InputError, match="text.keras: is neither a .keras nor an .h5"):
        load_model(tmp_path / "text.keras")
    with zipfile.ZipFile(tmp_path / "zip.keras", "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(InputError, match="zip.keras: is a zip archive but not"):
        load_model(tmp_path / "zip.keras")
    tiny.save_weights(tmp_path / "weights.h5")
    with pytest.raises(InputError, match="weights.h5: holds weights without a model"):
        load_model(tmp_path / "weights.h5")
    save_model(tiny, tmp_path / "m.keras")
    (tmp_path / "m.keras").rename(tmp_path / "m.h5")
    with pytest.raises(InputError, match="rename it to end in .keras"):
        load_model(tmp_path / "m.h5")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_damaged_files_give_one_line(tiny, tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    save_model(tiny, whole)
    content = whole.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        path = tmp_path / f"part{suffix}"
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError, match=r"^[^\n]*part\.\w+: [^\n]*$"):
            load_model(path)
    nested: object = {}
    for _ in range(500):
        nested = [nested]
    edit_config(whole, lambda config: {**config, "config": {"layers": nested}})
    with pytest.raises(InputError, match="cannot be loaded by tf_keras"):
        load_model(whole)


def test_saving_refuses_what_could_not_be_loaded(tiny, tmp_path):
    with pytest.raises(InputError, match="must end in .keras or .h5"):
        save_model(tiny, tmp_path / "model.pt")
    with pytest.raises(InputError, match="the folder .* does not exist"):
        save_model(tiny, tmp_path / "nowhere" / "model.keras")
    with pytest.raises(TypeError, match="must be a tf_keras.Model; got dict"):
        save_model({}, tmp_path / "model.keras")


@pytest.mark.filterwarnings("ignore:.*unseeded", "ignore:.*add_variable")
def test_saving_refuses_stock_tfp_layers(tmp_path):
    stock = tfp.layers.DenseFlipout(2, name="stock")
    model = tf_keras.Sequential([tf_keras.Input((2,)), stock])
    with pytest.raises(InputError, match="'stock' is a stock DenseFlipout"):
        save_model(model, tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file_and_no_other(tiny, tmp_path):
    class Unsaveable(layers.Layer):
        def get_config(self):
            raise RuntimeError("no configuration")

    path = tmp_path / "model.keras"
    save_model(tiny, path)
    before = path.read_bytes()
    broken = tf_keras.Sequential([tf_keras.Input((2,)), Unsaveable()])
    with pytest.raises(RuntimeError, match="no configuration"):
        save_model(broken, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
