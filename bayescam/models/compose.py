"""A classifier from a backbone and a head: one flat `tf_keras` graph, RGB pixels in, logits out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, Literal, Unpack

import numpy as np
import tf_keras

from bayescam.models.backbones import backbone_layers, find_backbone, seed_weights
from bayescam.models.devices import prepare_gpus
from bayescam.models.heads import (
    HeadKind,
    HeadOptions,
    add_head,
    check_choice,
    check_head_options,
)
from bayescam.models.layers import (
    ClassLogits,
    PixelNormalization,
    Standardization,
    check_class_names,
)
from bayescam.models.weights import load_weights
from bayescam.types import InputError, check_whole_number

__all__ = ["HeadKind", "Pooling", "attach_head", "build_classifier", "build_head"]

Pooling = Literal["avg", "flatten"]


def build_classifier(
    backbone: str,
    *,
    class_names: Sequence[str],
    head: HeadKind = "flipout",
    weights: str | PathLike[str] | None = None,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    pooling: Pooling = "avg",
    hidden_units: Sequence[int] = (),
    seed: int = 0,
    **options: Unpack[HeadOptions],
) -> tf_keras.Model:
    """Returns an ordinary `tf_keras.Model` from RGB images in 0..255 to logits (N, K).

    The graph is flat: normalisation, backbone, pooling, standardisation, head, so any layer can be
    had by name, for example `model.get_layer("block5_conv3")`.

    Args:
        backbone: `"vgg16"`, `"resnet152"`, `"inceptionv3"`, `"squeezenet"`, `"narrow_vgg"`, or any
            other name in `tf_keras.applications`.
        class_names: The K classes, in the order of the labels.
        head: `"flipout"`, `"reparameterization"` or `"local_reparameterization"` for a Gaussian
            posterior over the head's weights, which are three ways to train one and the same
            posterior; `"dropout"` for point weights with a random mask before each of its layers,
            part of the posterior draws (MC dropout); `"ensemble"` for several heads, each from
            another start and bootstrap; `"laplace"` for a Gaussian around the trained weights of
            the last layer; `"dense"` for points.
        weights: An HDF5 file of backbone weights, `"imagenet"` to have Keras download them, or
            None for random ones.
        input_shape: Height, width and 3.
        pooling: `"avg"` averages each map, `"flatten"` keeps all cells.
        hidden_units: Sizes of hidden layers (ReLU) of the head, none by default.
        seed: Fixes all random initial weights and the perturbations of flipout training.
        **options: Those of the head; one that its kind does not have is refused.

            - `prior_sd`: Standard deviation of the Gaussian prior of each weight. None is 0.15 for
              a Gaussian head and no prior for the others, whose weights are points; with a prior
              they are trained to the maximum of the posterior. A Laplace head's covariance has the
              same prior; without one, that of the largest marginal likelihood. Biases have none.
            - `dropout_rate`: Share of features that a mask of a dropout head sets to zero, 0.5.
            - `num_members`: How many heads an ensemble has, 5.
            - `covariance`: What a Laplace head keeps of the covariance of its weights:
              `"kronecker"` by default, `"full"` (at most 6000 weights) or `"diagonal"`.
            - `num_train`: Number of training images, by which the KL divergence is divided.
              `bayescam.fit` sets it; plain `compile` and `fit` need it here.

    Raises:
        InputError: If an argument does not fit; the line says which and why.

    Example:
        >>> model = build_classifier(
        ...     "narrow_vgg", class_names=["benign", "malignant"], input_shape=(64, 64, 3)
        ... )
        >>> model.output_shape
        (None, 2)
    """
    prepare_gpus()
    check_choice("pooling", pooling, Pooling)
    arguments = ("weights", "input_shape", "pooling", "hidden_units", "seed")
    given = _check_head(head, seed, options, arguments)
    found, shape = find_backbone(backbone), _check_input_shape(input_shape)
    images = tf_keras.Input(shape, name="images", dtype="float32")
    x = PixelNormalization(found.matrix, found.offset, name="pixel_normalization")(images)
    try:
        x = found.build(x, shape)
    except ValueError as error:
        raise InputError(
            f"`input_shape` {shape} does not suit {found.name}: {str(error).split('; ')[0]}"
        ) from error
    logits = _logits(_features(x, pooling), class_names, head, hidden_units, seed, given)
    model = tf_keras.Model(images, logits, name=found.name)
    seed_weights(backbone_layers(model), _seeds(seed, 1)[0])
    if weights is not None:
        load_weights(model, weights)
    return model


def build_head(
    num_features: int,
    *,
    class_names: Sequence[str],
    head: HeadKind = "flipout",
    hidden_units: Sequence[int] = (),
    seed: int = 0,
    **options: Unpack[HeadOptions],
) -> tf_keras.Model:
    """Returns a classifier of cached features (N, F): a head as in `build_classifier`, alone.

    With one set of features many heads are compared in the time that one backbone would take.

    Args:
        num_features: F.
        class_names: The K classes, in the order of the labels.
        head: As in `build_classifier`.
        hidden_units: As in `build_classifier`.
        seed: Of the head's initial weights; the same as in a classifier of this seed.
        **options: Those of the head, as in `build_classifier`.

    Raises:
        InputError: If an argument does not fit.

    Example:
        >>> build_head(512, class_names=["benign", "malignant"], head="laplace").output_shape
        (None, 2)
    """
    check_whole_number("num_features", num_features, least=1)
    given = _check_head(head, seed, options, ("hidden_units", "seed"))
    features = tf_keras.Input((num_features,), name="features", dtype="float32")
    x = Standardization(name="standardization")(features)
    logits = _logits(x, class_names, head, hidden_units, seed, given)
    return tf_keras.Model(features, logits, name="head")


def attach_head(model: tf_keras.Model, head: tf_keras.Model) -> tf_keras.Model:
    """Returns a classifier of images: the backbone of one, and a head that was trained alone.

    The new model is as `build_classifier` makes it: it shares the layers of the backbone, and has
    copies of those of the head.

    Args:
        model: A classifier of `build_classifier`, whose own head is left out.
        head: Of `build_head`, for as many features.

    Raises:
        InputError: If the model has no features before a head, or not as many as the head takes.

    Example:
        >>> names = ["benign", "malignant"]
        >>> model = build_classifier("narrow_vgg", class_names=names, input_shape=(64, 64, 3))
        >>> attach_head(model, build_head(64, class_names=names, head="dense")).output_shape
        (None, 2)
    """
    entrance = [layer for layer in model.layers if isinstance(layer, Standardization)]
    if not entrance:
        raise InputError(
            "`model` must be a classifier of build_classifier, whose features are standardised; "
            f"{model.name!r} has no such layer"
        )
    features = entrance[0].input
    if features.shape[1:] != head.input_shape[1:]:
        raise InputError(
            f"`head` must take the {features.shape[1]} features of {model.name!r}; it takes "
            f"{head.input_shape[1]}"
        )
    x = features
    for layer in head.layers[1:]:
        copied = type(layer).from_config(layer.get_config())
        x = copied(x)
        copied.set_weights(layer.get_weights())
    return tf_keras.Model(model.input, x, name=model.name)


def _logits(
    x: Any,  # noqa: ANN401
    class_names: Sequence[str],
    head: HeadKind,
    hidden_units: Sequence[int],
    seed: int,
    options: dict[str, Any],
) -> Any:  # noqa: ANN401
    """The head on standardised features, with the class names."""
    names = check_class_names(class_names)
    hidden = _check_hidden_units(hidden_units)
    _, last, *before = _seeds(seed, len(hidden) + 2)
    x = add_head(x, head, (*hidden, len(names)), [*before, last], **options)
    return ClassLogits(names, name="class_logits")(x)


def _check_head(
    head: HeadKind, seed: int, options: HeadOptions, arguments: Sequence[str]
) -> dict[str, Any]:
    check_choice("head", head, HeadKind)
    check_whole_number("seed", seed)
    return check_head_options(head, options, arguments)


def _seeds(seed: int, number: int) -> list[int]:
    """Seeds of the backbone, the last layer, and the hidden layers."""
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(number) >> 1]


def _features(x: Any, pooling: Pooling) -> Any:  # noqa: ANN401
    if pooling == "avg":
        x = tf_keras.layers.GlobalAveragePooling2D(name="global_pool", dtype="float32")(x)
    else:
        x = tf_keras.layers.Flatten(name="flatten", dtype="float32")(x)
    return Standardization(name="standardization")(x)


def _check_input_shape(input_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    shape = tuple(input_shape)
    if len(shape) != 3 or shape[2] != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise InputError(f"`input_shape` must be (height, width, 3); got {shape}")
    return shape


def _check_hidden_units(hidden_units: Sequence[int]) -> tuple[int, ...]:
    units = tuple(hidden_units) if isinstance(hidden_units, Iterable) else (None,)
    if not all(isinstance(n, (int, np.integer)) and n > 0 for n in units):
        raise InputError(
            f"`hidden_units` must be a sequence of positive whole numbers; got {hidden_units!r}"
        )
    return tuple(int(n) for n in units if n is not None)
