from __future__ import annotations

import numpy as np
import pytest
import tensorflow_probability as tfp
import tf_keras

from bayescam.inference.split import split_network
from bayescam.models import FlipoutDense, SampledDropout, adapt_model, build_classifier
from bayescam.types import InputError
from tests.networks import NAMES, SHAPE, narrow


@pytest.mark.parametrize(
    ("backbone", "layer", "shape"),
    [
        ("vgg16", "block5_conv3", (2, 2)),
        ("squeezenet", "fire9/concat", (1, 1)),
        ("narrow_vgg", "block5_conv3", (2, 2)),
        ("mobilenetv2", "out_relu", (1, 1)),
    ],
)
def test_default_target_is_the_last_maps_before_the_pooling(backbone, layer, shape):
    split = split_network(build_classifier(backbone, class_names=NAMES, input_shape=SHAPE))
    assert split.graph.name_of(split.target) == layer
    assert tuple(split.graph.shapes[split.target][1:3]) == shape
    assert [step.layer.name for step in split.stochastic] == ["logits"]


@pytest.mark.parametrize(
    ("backbone", "size", "layer"),
    [("resnet50", 32, "conv5_block3_out"), ("inceptionv3", 75, "mixed10")],
)
def test_default_target_of_networks_with_branches(backbone, size, layer):
    model = build_classifier(backbone, class_names=NAMES, input_shape=(size, size, 3))
    split = split_network(model)
    assert split.graph.name_of(split.target) == layer


def test_suffix_begins_at_the_pooled_features():
    split = split_network(narrow(hidden_units=(4,), pooling="flatten"))
    assert split.graph.name_of(split.features) == "flatten"
    assert [step.layer.name for step in split.suffix] == [
        "standardization",
        "hidden_1",
        "logits",
        "class_logits",
    ]
    assert not split.is_affine
    assert split_network(narrow()).is_affine


def test_a_random_layer_before_the_pooling_moves_the_split():
    inputs = tf_keras.Input(SHAPE)
    x = tf_keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = SampledDropout(0.5)(x)
    x = tf_keras.layers.Conv2D(4, 3)(x)
    x = tf_keras.layers.GlobalAveragePooling2D()(x)
    split = split_network(tf_keras.Model(inputs, tf_keras.layers.Dense(2)(x)))
    assert split.graph.name_of(split.features) == "conv"
    assert split.graph.name_of(split.target) == "conv"


def test_layers_that_cannot_be_drawn_are_refused():
    model = tf_keras.Sequential(
        [
            tf_keras.Input(SHAPE),
            tfp.layers.Convolution2DFlipout(2, 3, name="random_conv"),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(2),
        ]
    )
    with pytest.raises(InputError, match="'random_conv' is a Conv2DFlipout"):
        split_network(model)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no layer 'nowhere'; its last layers with maps are .*block5_pool"),
        ("logits", "must make maps"),
    ],
)
def test_a_wrong_target_layer_is_named(name, message):
    with pytest.raises(InputError, match=message):
        split_network(narrow()).target_key(name)


def test_a_head_without_maps_right_before_it_asks_for_a_layer():
    inputs = tf_keras.Input(SHAPE)
    maps = tf_keras.layers.Conv2D(4, 3, name="conv")(inputs)
    pools = (tf_keras.layers.GlobalAveragePooling2D, tf_keras.layers.GlobalMaxPooling2D)
    pooled = tf_keras.layers.Concatenate(name="both")([pool()(maps) for pool in pools])
    split = split_network(tf_keras.Model(inputs, tf_keras.layers.Dense(2)(pooled)))
    with pytest.raises(InputError, match="found layer 'both'.*name a `target_layer`"):
        split.target_key(None)
    assert split.graph.name_of(split.target_key("conv")) == "conv"


def test_a_model_adapted_from_dropout_is_split_there():
    user = tf_keras.Sequential(
        [
            tf_keras.Input(SHAPE),
            tf_keras.layers.Conv2D(4, 3, activation="relu"),
            tf_keras.layers.GlobalAveragePooling2D(name="pool"),
            tf_keras.layers.Dropout(0.5),
            tf_keras.layers.Dense(3, activation="softmax"),
        ]
    )
    split = split_network(adapt_model(user, NAMES, sample_dropout=True))
    assert len(split.stochastic) == 1
    assert split.graph.name_of(split.features) == "pool"


def test_the_split_leaves_the_model_as_it_was():
    model = narrow()
    before = [weight.numpy() for weight in model.weights]
    split_network(model)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert all(layer.trainable for layer in model.layers)


def test_a_variational_layer_called_twice_is_refused():
    start = tf_keras.Input((8,))
    twice = FlipoutDense(8, name="twice")
    model = tf_keras.Model(start, twice(twice(start)))
    with pytest.raises(InputError, match="'twice' is called 2 times"):
        split_network(model)
