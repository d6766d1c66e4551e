from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from bayescam.models import PixelNormalization, adapt_model, backbone_layers, backbone_names
from bayescam.models.backbones import find_backbone
from bayescam.models.compose import build_classifier
from bayescam.types import InputError

layers, applications = tf_keras.layers, tf_keras.applications


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("vgg16", applications.vgg16),
        ("resnet50", applications.resnet50),
        ("resnet152", applications.resnet),
        ("ResNet50V2", applications.resnet_v2),
        ("InceptionV3", applications.inception_v3),
        ("densenet121", applications.densenet),
        ("mobilenetv2", applications.mobilenet_v2),
        ("efficientnetb0", applications.efficientnet),
        ("convnexttiny", applications.convnext),
    ],
)
def test_normalization_is_that_of_keras(name, module):
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 4, 3)).astype("float32")
    found = find_backbone(name)
    ours = PixelNormalization(found.matrix, found.offset)(images)
    np.testing.assert_allclose(ours, module.preprocess_input(images.copy()), rtol=1e-5, atol=2e-5)


def test_squeezenet_takes_bgr_minus_the_mean_of_imagenet():
    found = find_backbone("squeezenet")
    caffe = find_backbone("vgg16")
    np.testing.assert_array_equal(found.matrix, caffe.matrix)
    np.testing.assert_allclose(found.offset, caffe.offset, rtol=1e-7)


def test_narrow_vgg_maps_pixels_to_minus_one_to_one():
    found = find_backbone("narrow_vgg")
    ends = PixelNormalization(found.matrix, found.offset)(np.float32([[[[0] * 3, [255] * 3]]]))
    np.testing.assert_allclose(ends, [[[[-1] * 3, [1] * 3]]], atol=1e-6)


def test_narrow_vgg_has_the_blocks_and_names_of_vgg16():
    narrow = build_classifier("narrow_vgg", class_names=["a", "b"], input_shape=(64, 64, 3))
    vgg = applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    ours = {layer.name: layer.output_shape for layer in backbone_layers(narrow)}
    theirs = {layer.name: layer.output_shape for layer in vgg.layers[1:]}
    assert list(ours) == list(theirs)
    assert [shape[1:3] for shape in ours.values()] == [shape[1:3] for shape in theirs.values()]
    assert [narrow.get_layer(f"block{n}_conv1").filters for n in range(1, 6)] == [8, 16, 32, 64, 64]


def test_squeezenet_has_the_size_and_modules_of_the_published_file():
    model = build_classifier("squeezenet", class_names=["a", "b"], input_shape=(64, 64, 3))
    backbone = backbone_layers(model)
    assert sum(layer.count_params() for layer in backbone) == 722_496
    assert backbone[-1].name == "fire9/concat"
    assert backbone[-1].output_shape == (None, 3, 3, 512)


def test_the_last_six_layers_of_vgg16_are_those_of_the_article():
    model = build_classifier("vgg16", class_names=["a", "b"], input_shape=(32, 32, 3))
    names = [layer.name for layer in backbone_layers(model)]
    block5 = [f"block5_conv{number}" for number in (1, 2, 3)]
    assert names[-6:] == ["block4_conv3", "block4_pool", *block5, "block5_pool"]
    assert names[0] == "block1_conv1"


def test_the_backbone_of_an_adapted_nested_model_is_found():
    nested = tf_keras.Sequential(
        [
            tf_keras.Input((16, 16, 3)),
            layers.Conv2D(2, 3, name="c1"),
            layers.Conv2D(2, 3, name="c2"),
        ]
    )
    head = [layers.Flatten(), layers.Dense(3, activation="softmax")]
    user_model = tf_keras.Sequential([tf_keras.Input((16, 16, 3)), nested, *head])
    model = adapt_model(user_model, ["a", "b", "c"])
    assert [layer.name for layer in backbone_layers(model)] == ["c1", "c2"]


def test_a_model_without_maps_has_no_backbone():
    model = tf_keras.Sequential([tf_keras.Input((4,)), layers.Dense(2)])
    with pytest.raises(InputError, match="no pooling or flattening"):
        backbone_layers(model)


@pytest.mark.parametrize(
    ("name", "closest"),
    [("vgg_16", "vgg16"), ("resnet-152", "resnet152"), ("inception_v3", "inceptionv3")],
)
def test_an_unknown_backbone_names_the_closest(name, closest):
    with pytest.raises(InputError, match=f"got '{name}'. Did you mean '{closest}'"):
        find_backbone(name)


def test_names_are_those_of_keras_and_ours():
    names = backbone_names()
    assert {"vgg16", "resnet152", "inceptionv3", "squeezenet", "narrow_vgg"} <= set(names)
    assert len(names) > 40
    assert list(names) == sorted(names)


def test_narrow_vgg_can_be_trained_from_scratch():
    """Signals and gradients keep their size through 13 layers with He's initial weights."""
    model = build_classifier("narrow_vgg", class_names=["a", "b"], input_shape=(64, 64, 3))
    images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    first, last = model.get_layer("block1_conv1"), model.get_layer("block5_conv3")
    both = tf_keras.Model(model.input, [first.output, last.output])
    with tf.GradientTape() as tape:
        early, late = both(images)
        loss = tf.reduce_sum(late**2)
    assert 0.1 < np.std(late) / np.std(early) < 10
    gradients = tape.gradient(loss, [first.kernel, last.kernel])
    assert 0.01 < np.linalg.norm(gradients[0]) / np.linalg.norm(gradients[1]) < 100
