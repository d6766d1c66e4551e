from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest
import tf_keras

from bayescam.models import backbone_layers, build_classifier, load_weights
from bayescam.models.weights import _match_names
from bayescam.types import InputError

NAMES = ["a", "b"]


def build(name, **options):
    return build_classifier(name, class_names=NAMES, input_shape=(32, 32, 3), **options)


def weights_of(model):
    return {layer.name: layer.get_weights() for layer in backbone_layers(model) if layer.weights}


def write_keras_file(path, arrays, *, whole_model=False):
    """Writes `{layer: {weight: array}}` in the layout of Keras 1 and 2."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole_model else file
        root.attrs["layer_names"] = [name.encode() for name in arrays]
        for name, values in arrays.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [weight.encode() for weight in values]
            for weight, value in values.items():
                group.create_dataset(weight, data=value)


def test_an_official_file_fills_the_backbone_which_then_computes_as_keras_does(tmp_path):
    official = tf_keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    rng = np.random.default_rng(0)
    official.set_weights(
        [w + rng.uniform(0, 0.1, w.shape).astype("float32") for w in official.get_weights()]
    )
    official.save_weights(tmp_path / "notop.h5")
    model = build("MobileNet")
    head = model.get_layer("logits").get_weights()
    report = load_weights(model, tmp_path / "notop.h5")
    assert (report.missing, report.unused, report.mismatched) == ((), (), ())
    images = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    ready = tf_keras.applications.mobilenet.preprocess_input(images.copy())
    maps = tf_keras.Model(model.input, backbone_layers(model)[-1].output)
    np.testing.assert_allclose(maps(images), official(ready), rtol=1e-4, atol=1e-5)
    for before, after in zip(head, model.get_layer("logits").get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_build_classifier_reads_the_old_vgg16_layout_and_ignores_its_top(tmp_path, caplog):
    """The official VGG16 files come from Keras 1: weights are called `block1_conv1_W_1:0`."""
    rng = np.random.default_rng(0)
    plain = build("vgg16")
    arrays = {
        name: {
            f"{name}_W_1:0": rng.normal(size=kernel.shape).astype("float32"),
            f"{name}_b_1:0": rng.normal(size=bias.shape).astype("float32"),
        }
        for name, (kernel, bias) in weights_of(plain).items()
    }
    arrays = {"input_1": {}, **arrays, "block1_pool": {}, "fc1": {"fc1_W": np.zeros((2, 2))}}
    write_keras_file(tmp_path / "vgg16.h5", arrays, whole_model=True)
    with caplog.at_level(logging.INFO):
        model = build("vgg16", weights=tmp_path / "vgg16.h5")
    for name, values in weights_of(model).items():
        for mine, theirs in zip(values, arrays[name].values(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'vgg16.h5'}: layers not used: fc1"
    ]


def test_the_keras1_squeezenet_layout_is_read(tmp_path):
    """Kernels are called `uniformN`, whatever their layer, and biases `<layer>_b`."""
    rng = np.random.default_rng(0)
    plain = weights_of(build("squeezenet"))
    arrays = {
        name: {
            f"uniform{number}": rng.normal(size=kernel.shape).astype("float32"),
            f"{name}_b": rng.normal(size=bias.shape).astype("float32"),
        }
        for number, (name, (kernel, bias)) in enumerate(plain.items(), 1)
    }
    write_keras_file(tmp_path / "squeezenet.h5", arrays)
    model = build("squeezenet")
    report = load_weights(model, tmp_path / "squeezenet.h5")
    assert sorted(report.loaded) == sorted(arrays)
    for name, values in weights_of(model).items():
        for mine, theirs in zip(values, arrays[name].values(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_inception_layers_with_automatic_names_are_matched_in_order(tmp_path, inception):
    """The numbers in the official file (conv2d_1 ... conv2d_94) are not those of this session."""
    rng = np.random.default_rng(0)
    arrays, partner = {}, {}
    for kind in ("conv2d", "batch_normalization"):
        own = [name for name in weights_of(inception) if name.startswith(kind)]
        own.sort(key=lambda name: int(name.rpartition("_")[2]) if name != kind else 0)
        for number, name in enumerate(own, 7001):
            partner[name] = f"{kind}_{number}"
            weights = inception.get_layer(name).weights
            values = {w.name.split("/")[-1]: rng.uniform(0.1, 1, w.shape) for w in weights}
            arrays[partner[name]] = dict(reversed(values.items()))
    write_keras_file(tmp_path / "inception.h5", arrays)
    report = load_weights(inception, tmp_path / "inception.h5")
    assert len(report.loaded) == len(arrays) == 188
    assert (report.missing, report.unused, report.mismatched) == ((), (), ())
    for ours, theirs in partner.items():
        for weight in inception.get_layer(ours).weights:
            expected = arrays[theirs][weight.name.split("/")[-1]]
            np.testing.assert_allclose(weight, expected, rtol=1e-6)


def test_automatic_names_are_ordered_by_number_within_their_type():
    ours = ["conv2d_9", "conv2d_10", "batch_normalization", "mixed", "dense_3"]
    theirs = ["batch_normalization_94", "conv2d", "conv2d_1", "mixed", "other"]
    assert _match_names(ours, theirs) == {
        "conv2d_9": "conv2d",
        "conv2d_10": "conv2d_1",
        "batch_normalization": "batch_normalization_94",
        "mixed": "mixed",
    }


def test_layers_that_do_not_fit_are_named(tmp_path, caplog):
    model = build("narrow_vgg")
    kernel, bias = weights_of(model)["block1_conv1"]
    arrays = {
        "block1_conv1": {"kernel:0": kernel + 1, "bias:0": bias},
        "block1_conv2": {"kernel:0": np.zeros((3, 3, 1, 1)), "bias:0": np.zeros(1)},
        "block9_conv1": {"kernel:0": kernel},
    }
    write_keras_file(tmp_path / "part.h5", arrays)
    report = load_weights(model, tmp_path / "part.h5")
    assert report.loaded == ("block1_conv1",)
    assert report.mismatched == ("block1_conv2",)
    assert report.unused == ("block9_conv1",)
    assert report.missing[0] == "block2_conv1"
    assert len(report.missing) == 11
    messages = [record.getMessage() for record in caplog.records]
    assert "11 of 13 layers of narrow_vgg are not loaded (missing): block2_conv1" in messages[0]
    assert messages[1].endswith("(mismatched): block1_conv2")


def test_weights_are_put_by_name_where_the_file_has_them_in_another_order(tmp_path):
    model = build("narrow_vgg")
    kernel, bias = weights_of(model)["block1_conv1"]
    arrays = {"block1_conv1": {"x/bias:0": bias + 1, "x/kernel:0": kernel + 2}}
    write_keras_file(tmp_path / "swapped.h5", arrays)
    load_weights(model, tmp_path / "swapped.h5")
    np.testing.assert_array_equal(weights_of(model)["block1_conv1"][0], kernel + 2)
    np.testing.assert_array_equal(weights_of(model)["block1_conv1"][1], bias + 1)


def test_a_long_list_of_layers_is_cut_into_several_attributes(tmp_path):
    model = build("narrow_vgg")
    kernel, bias = weights_of(model)["block5_conv3"]
    write_keras_file(
        tmp_path / "cut.h5", {"block5_conv3": {"kernel:0": kernel + 1, "bias:0": bias}}
    )
    with h5py.File(tmp_path / "cut.h5", "a") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:0], names
    assert load_weights(model, tmp_path / "cut.h5").loaded == ("block5_conv3",)


def test_files_that_are_no_weights_are_refused(tmp_path):
    model = build("narrow_vgg")
    with pytest.raises(InputError, match="nowhere.h5: no such file"):
        load_weights(model, tmp_path / "nowhere.h5")
    (tmp_path / "text.h5").write_text("<html>404</html>")
    with pytest.raises(InputError, match="text.h5: cannot be read as an HDF5 file"):
        load_weights(model, tmp_path / "text.h5")
    h5py.File(tmp_path / "empty.h5", "w").close()
    with pytest.raises(InputError, match="empty.h5: has no list of layers"):
        load_weights(model, tmp_path / "empty.h5")
    with h5py.File(tmp_path / "holes.h5", "w") as file:
        file.attrs["layer_names"] = [b"block1_conv1"]
    with pytest.raises(InputError, match="holes.h5: cannot be read"):
        load_weights(model, tmp_path / "holes.h5")
    write_keras_file(tmp_path / "other.h5", {"stem": {"kernel:0": np.zeros((2, 2))}})
    with pytest.raises(InputError, match="none of its layers fits .*'block1_conv1'.* has stem"):
        load_weights(model, tmp_path / "other.h5")


def test_imagenet_weights_are_refused_where_keras_has_none():
    with pytest.raises(InputError, match="no weights for 'narrow_vgg'; give an HDF5 file"):
        build("narrow_vgg", weights="imagenet")


def test_imagenet_weights_without_a_network_give_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(InputError, match="could not be had .*weights=FILE"):
        build("vgg16", weights="imagenet")
