"""Backbones by name: `tf_keras.applications`, SqueezeNet and a narrow VGG, built into a graph."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import tf_keras

from bayescam.models.graph import flatten_model
from bayescam.models.layers import PixelNormalization
from bayescam.types import Array, InputError

__all__ = ["Backbone", "backbone_layers", "backbone_names", "find_backbone"]

_OURS = ("narrow_vgg", "squeezenet")


@dataclass(frozen=True)
class Backbone:
    """A feature extractor.

    Attributes:
        name: Its name, lower case.
        build: From images (N, H, W, 3), already normalised, and their shape, to features
            (N, h, w, C), as symbolic Keras tensors. Weights are random.
        matrix: (3, 3), see `PixelNormalization`.
        offset: (3,).
    """

    name: str
    build: Callable[[Any, tuple[int, int, int]], Any]
    matrix: Array
    offset: Array


def backbone_names() -> tuple[str, ...]:
    """Returns the names that `build_classifier` knows, sorted."""
    return tuple(sorted([*_OURS, *_applications()]))


def find_backbone(name: str) -> Backbone:
    """Returns the backbone called `name` (upper and lower case are the same).

    Raises:
        InputError: If there is none; the line names the closest ones.
    """
    key = str(name).lower()
    if key == "squeezenet":
        return Backbone(key, _squeezenet, np.eye(3)[::-1], -_BGR_MEAN)
    if key == "narrow_vgg":
        return Backbone(key, _narrow_vgg, np.eye(3) / 127.5, -np.ones(3))
    constructor = application(key)
    if constructor is None:
        raise InputError(_unknown_backbone(name))
    matrix, offset = probe_preprocessing(import_module(constructor.__module__).preprocess_input)

    def build(images: Any, input_shape: tuple[int, int, int]) -> Any:  # noqa: ANN401
        return constructor(
            include_top=False, weights=None, input_tensor=images, input_shape=input_shape
        ).output

    return Backbone(key, build, matrix, offset)


def application(name: str) -> Callable[..., tf_keras.Model] | None:
    """Returns the constructor in `tf_keras.applications` called `name`, in whatever case."""
    return _applications().get(name.lower())


def probe_preprocessing(preprocess: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Returns `(matrix, offset)` of an affine `preprocess_input` of a Keras application."""
    offset = np.asarray(preprocess(np.zeros((1, 1, 1, 3)))).ravel()
    columns = [np.asarray(preprocess(255.0 * row.reshape(1, 1, 1, 3))).ravel() for row in np.eye(3)]
    matrix = (np.stack(columns, axis=1) - offset[:, None]) / 255.0
    return matrix.round(12), offset


def backbone_layers(model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """Returns the layers of the feature extractor of a classifier, in order of execution.

    They lie between the input (and its normalisation) and the pooling or flattening that ends the
    maps, so `backbone_layers(model)[-6:]` of VGG16 is `block4_conv3` to `block5_pool`.

    Raises:
        InputError: If the model has no layer that turns maps (N, h, w, C) into features (N, F).
    """
    graph = flatten_model(model)
    rank = {key: len(shape) for key, shape in graph.shapes.items()}
    ends = [
        step
        for step in graph.steps
        if rank[step.outputs[0]] == 2 and any(rank[key] == 4 for key in step.inputs)
    ]
    if not ends:
        raise InputError(
            f"`model` {model.name!r} has no pooling or flattening that turns maps into features"
        )
    steps = graph.between(graph.input, ends[-1].inputs[0])
    layers = {id(step.layer): step.layer for step in steps}
    return [layer for layer in layers.values() if not isinstance(layer, PixelNormalization)]


def seed_weights(layers: list[tf_keras.layers.Layer], seed: int) -> None:
    """Draws the random initial kernels of `layers` again, from `seed`; zeros and ones stay."""
    generator = np.random.default_rng(seed)
    for layer in layers:
        for kind in ("kernel", "depthwise", "pointwise"):
            initializer: Any = getattr(layer, f"{kind}_initializer", None)
            weight = getattr(layer, "kernel" if kind == "kernel" else f"{kind}_kernel", None)
            if hasattr(initializer, "seed") and weight is not None:
                config = {**initializer.get_config(), "seed": int(generator.integers(2**31))}
                weight.assign(type(initializer).from_config(config)(weight.shape))


def _applications() -> dict[str, Callable[..., tf_keras.Model]]:
    found = vars(tf_keras.applications)
    return {name.lower(): found[name] for name in found if name[0].isupper()}


def _unknown_backbone(name: object) -> str:
    known = backbone_names()
    close = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"`backbone` must be one of {', '.join(known)}; got {name!r}.{hint}"


_BGR_MEAN = np.array([103.939, 116.779, 123.68])


def _squeezenet(images: Any, input_shape: tuple[int, int, int]) -> Any:  # noqa: ANN401
    """SqueezeNet v1.1 without its top (Iandola et al. 2016), layers named as in its weights."""
    del input_shape
    x = tf_keras.layers.Conv2D(64, 3, strides=2, padding="valid", name="conv1")(images)
    x = tf_keras.layers.Activation("relu", name="relu_conv1")(x)
    x = tf_keras.layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    widths = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
    for number, squeeze in widths.items():
        x = _fire(x, f"fire{number}", squeeze)
        if number in (3, 5):
            x = tf_keras.layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)
    return x


def _fire(x: Any, name: str, squeeze: int) -> Any:  # noqa: ANN401
    x = _relu_conv(x, name, "squeeze1x1", squeeze, 1)
    left = _relu_conv(x, name, "expand1x1", 4 * squeeze, 1)
    right = _relu_conv(x, name, "expand3x3", 4 * squeeze, 3)
    return tf_keras.layers.Concatenate(name=f"{name}/concat")([left, right])


def _relu_conv(x: Any, name: str, part: str, filters: int, size: int) -> Any:  # noqa: ANN401
    x = tf_keras.layers.Conv2D(filters, size, padding="same", name=f"{name}/{part}")(x)
    return tf_keras.layers.Activation("relu", name=f"{name}/relu_{part}")(x)


def _narrow_vgg(images: Any, input_shape: tuple[int, int, int]) -> Any:  # noqa: ANN401
    """VGG16's blocks and names at an eighth of its width, for work on two cores."""
    del input_shape
    x = images
    for block, (repeats, width) in enumerate([(2, 8), (2, 16), (3, 32), (3, 64), (3, 64)], start=1):
        for conv in range(1, repeats + 1):
            x = tf_keras.layers.Conv2D(
                width,
                3,
                padding="same",
                activation="relu",
                kernel_initializer=tf_keras.initializers.HeNormal(),
                name=f"block{block}_conv{conv}",
            )(x)
        x = tf_keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return x
