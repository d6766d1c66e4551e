from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayescam.models import (
    BinaryLogits,
    ClassLogits,
    PixelNormalization,
    SampledDropout,
    Standardization,
)
from bayescam.types import InputError


def test_pixel_normalization_is_an_affine_map_of_channels():
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 4, 5, 3)).astype("float32")
    scaled_swap = np.array([[0, 0, 2.0], [0, 0.5, 0], [3.0, 0, 0]])
    rotation = np.array([[0, 1.0, 0], [0, 0, 1.0], [1.0, 0, 0]])
    for matrix in (np.eye(3), scaled_swap, rotation, rng.normal(size=(3, 3)), np.ones((1, 3)) / 3):
        offset = rng.normal(size=len(matrix))
        expected = np.einsum("ij,nhwj->nhwi", matrix, images) + offset
        layer = PixelNormalization(matrix, offset)
        np.testing.assert_allclose(layer(images), expected, rtol=1e-5, atol=1e-3)
        again = PixelNormalization.from_config(layer.get_config())
        np.testing.assert_array_equal(again(images), layer(images))


def test_pixel_normalization_refuses_wrong_shapes():
    with pytest.raises(InputError, match=r"`matrix` must have shape \(C, 3\)"):
        PixelNormalization(np.eye(4), np.zeros(4))


def test_standardization_starts_as_identity_then_centres_and_scales():
    features = np.random.default_rng(0).normal(3, 2, (50, 4)).astype("float32")
    layer = Standardization()
    np.testing.assert_array_equal(layer(features), features)
    layer.set_statistics(features.mean(0), features.std(0))
    scaled = layer(features).numpy()
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-5)
    assert layer.trainable_weights == []


def test_standardization_only_centres_features_that_never_vary():
    layer = Standardization()
    layer.build(tf.TensorShape((None, 3)))
    layer.set_statistics([5.0, 1000.0, 1.0], [0.0, 1e-5, 0.3])
    np.testing.assert_allclose(layer.sd, [1.0, 1.0, 0.3], rtol=1e-6)
    np.testing.assert_allclose(layer(np.float32([[6.0, 1002.0, 1.0]])), [[1.0, 2.0, 0.0]])


@pytest.mark.parametrize(
    ("mean", "sd", "message"),
    [
        ([0.0], [1.0], r"shape \(2,\); got \(1,\)"),
        ([0.0, np.nan], [1.0, 1.0], "finite"),
        ([0.0, 0.0], [1.0, -1.0], "negative"),
    ],
)
def test_standardization_refuses_bad_statistics(mean, sd, message):
    layer = Standardization()
    layer.build(tf.TensorShape((None, 2)))
    with pytest.raises(InputError, match=message):
        layer.set_statistics(mean, sd)


def test_binary_logits_turn_a_sigmoid_into_a_softmax():
    logit = np.float32([[-30.0], [0.0], [2.5]])
    probs = tf.nn.softmax(BinaryLogits()(logit)).numpy()
    np.testing.assert_allclose(probs[:, 1:], tf.sigmoid(logit), rtol=1e-6)


def test_class_logits_keep_values_names_and_float32():
    layer = ClassLogits(["nv", "mel"])
    logits = tf.constant([[1.5, -2.0]], tf.bfloat16)
    assert layer(logits).dtype == tf.float32
    np.testing.assert_array_equal(layer(logits), [[1.5, -2.0]])
    assert ClassLogits.from_config(layer.get_config()).class_names == ("nv", "mel")


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["a"], InputError, "at least two"),
        (["a", "b", "a"], InputError, "'a' more than once"),
        (["a", " "], InputError, "not empty"),
        ("ab", TypeError, "sequence of strings"),
        ([0, 1], TypeError, "sequence of strings"),
    ],
)
def test_class_names_are_checked(names, error, message):
    with pytest.raises(error, match=message):
        ClassLogits(names)


def test_class_logits_refuse_another_number_of_outputs():
    with pytest.raises(InputError, match="3 names .* for outputs of shape"):
        ClassLogits(["a", "b", "c"])(np.zeros((1, 2), "float32"))


def test_sampled_dropout_is_a_plain_dropout_in_keras():
    layer, ones = SampledDropout(0.25, seed=1), np.ones((1, 20000), "float32")
    np.testing.assert_array_equal(layer(ones), ones)
    dropped = layer(ones, training=True).numpy()
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / 0.75], rtol=1e-6)
    assert abs((dropped == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 20000)
