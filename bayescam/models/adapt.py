"""A user's own `tf_keras` classifier as one of ours: RGB 0..255 in, logits with class names out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bayescam.models.devices import prepare_gpus
from bayescam.models.graph import LayerGraph, Step, flatten_model, run_steps
from bayescam.models.layers import (
    BinaryLogits,
    ClassLogits,
    PixelNormalization,
    SampledDropout,
    check_class_names,
)
from bayescam.models.mean_field import MeanFieldDense
from bayescam.models.variational import variational_layers
from bayescam.types import Array, InputError

__all__ = ["adapt_model"]

_LINEAR, _SOFTMAX, _SIGMOID = "linear", "softmax", "sigmoid"
_STRIPPED = {
    "linear": _LINEAR,
    "softmax": _SOFTMAX,
    "softmax_v2": _SOFTMAX,
    "log_softmax": _SOFTMAX,
    "log_softmax_v2": _SOFTMAX,
    "sigmoid": _SIGMOID,
}
_LUMA = np.array([[0.299, 0.587, 0.114]])


def adapt_model(
    user_model: tf_keras.Model,
    class_names: Sequence[str],
    *,
    rescale: float = 1 / 255,
    sample_dropout: bool = False,
) -> tf_keras.Model:
    """Returns a flat model from RGB images in 0..255 to logits (N, K), predicting as `user_model`.

    `softmax(adapt_model(model, names)(images)) == model(rescale * images)`. A final softmax or log
    softmax is taken off; one sigmoid unit becomes two classes, of which it speaks for the second; a
    final linear layer is taken to give logits. `user_model` is not changed. The new model shares
    its layers, so training one trains the other, except that the last layer is a copy without
    its activation.

    Args:
        user_model: Functional or `Sequential`, with its backbone nested or not. A model of one grey
            channel is given the luma of the RGB image.
        class_names: The K classes, in the order of the outputs.
        rescale: What the model's own input pipeline multiplied pixels in 0..255 by; 1 when the
            preprocessing is inside the model.
        sample_dropout: Whether its `Dropout` layers become part of posterior draws (MC dropout).

    Raises:
        InputError: If the model does not end in class probabilities or logits, or has another
            number of classes; the line says what it ends in.

    Example:
        >>> mine = tf_keras.Sequential([
        ...     tf_keras.Input((8, 8, 3)),
        ...     tf_keras.layers.GlobalAveragePooling2D(),
        ...     tf_keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> model = adapt_model(mine, ["nv", "mel"])
        >>> images = np.full((1, 8, 8, 3), 51.0)
        >>> probs = np.exp(model(images)) / np.exp(model(images)).sum()
        >>> bool(np.allclose(probs, mine(images / 255), atol=1e-6))
        True
    """
    prepare_gpus()
    _check_model(user_model, rescale)
    names, graph = check_class_names(class_names), flatten_model(user_model)
    logits, kind, final = _find_logits(graph)
    _check_outputs(graph, logits, kind, names)
    _check_scaled_once(graph, rescale)
    linear = None if final is None else _without_activation(final, graph)
    dropouts = _sampled_dropouts(graph) if sample_dropout else {}
    matrix = rescale * (np.eye(3) if graph.shapes[graph.input][-1] == 3 else _LUMA)
    images = tf_keras.Input((*graph.shapes[graph.input][1:3], 3), name="images", dtype="float32")
    pixels = PixelNormalization(matrix, np.zeros(len(matrix)), name="pixel_normalization")(images)
    values = {graph.input: pixels}

    def substitute(step: Step) -> tf_keras.layers.Layer:
        return linear if step is final else dropouts.get(id(step.layer), step.layer)

    run_steps(graph.between(graph.input, logits), values, substitute=substitute)
    x = values[logits]
    if graph.shapes[logits][-1] == 1:
        x = BinaryLogits(name="binary_logits")(x)
    return _assemble(images, ClassLogits(names, name="class_logits")(x), user_model.name)


def _find_logits(graph: LayerGraph) -> tuple[int, str, Step | None]:
    """Returns the value of the logits, the function after them, and the step that applies it.

    The step is None when that function is a layer of its own, which is left out.
    """
    key = graph.output
    while (step := graph.step_of(key)) is not None:
        function, separate = _activation_of(step)
        if function == _LINEAR and separate:
            key = step.inputs[0]
            continue
        if function in (_SOFTMAX, _SIGMOID) and separate:
            return step.inputs[0], function, None
        if function is not None:
            return key, function, step
        break
    layer = "its input" if step is None else f"{type(step.layer).__name__} {step.layer.name!r}"
    what = getattr(getattr(step and step.layer, "activation", None), "__name__", "")
    raise InputError(
        f"`user_model` must end in softmax, log softmax, one sigmoid unit or a linear Dense layer; "
        f"it ends in {layer}{f' with activation {what!r}' if what else ''}, whose values are "
        "neither class probabilities nor logits"
    )


def _activation_of(step: Step) -> tuple[str | None, bool]:
    """Returns the function that a step ends in, if we know it, and whether it does nothing else."""
    layer = step.layer
    if isinstance(layer, ClassLogits):
        return _LINEAR, True
    if isinstance(layer, tf_keras.layers.Softmax):
        return (_SOFTMAX if layer.axis in (-1, 1) else None), True
    if isinstance(layer, tf_keras.layers.Activation):
        return _STRIPPED.get(_name_of(layer.activation)), True
    if type(layer).__name__ == "TFOpLambda":
        function = _STRIPPED.get(str(layer.symbol).rpartition(".")[2])
        return (None if function == _LINEAR else function), True
    if isinstance(layer, tf_keras.layers.Dense) or variational_layers(layer):
        return _STRIPPED.get(_name_of(layer.activation)), False
    return None, False


def _name_of(activation: Any) -> str:  # noqa: ANN401
    return _LINEAR if activation is None else getattr(activation, "__name__", str(activation))


def _without_activation(step: Step, graph: LayerGraph) -> tf_keras.layers.Layer:
    """Returns a copy of a dense layer, its weights included, with a linear activation."""
    layer = step.layer
    if _name_of(layer.activation) == _LINEAR:
        return layer
    if isinstance(layer, (MeanFieldDense, tf_keras.layers.Dense)):
        copy = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    else:
        copy = _stock_copy(layer)
    copy.build(tf.TensorShape(graph.shapes[step.inputs[0]]))
    copy.set_weights(layer.get_weights())
    return copy


def _stock_copy(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """Returns a linear TFP layer with the functions of `layer`, which its config cannot restore."""
    functions = {
        f"{part}_{role}_fn": getattr(layer, f"{part}_{role}_fn")
        for part in ("kernel", "bias")
        for role in ("posterior", "posterior_tensor", "prior", "divergence")
    }
    return type(layer)(layer.units, name=layer.name, trainable=layer.trainable, **functions)


def _sampled_dropouts(graph: LayerGraph) -> dict[int, SampledDropout]:
    found = {
        id(step.layer): SampledDropout.from_config(step.layer.get_config())
        for step in graph.steps
        if type(step.layer) is tf_keras.layers.Dropout
    }
    if not found:
        raise InputError("`sample_dropout` needs Dropout layers; `user_model` has none")
    return found


def _check_model(user_model: object, rescale: float) -> None:
    if not isinstance(user_model, tf_keras.Model):
        raise TypeError(
            f"`user_model` must be a tf_keras.Model; got {type(user_model).__module__}."
            f"{type(user_model).__name__}. Models of Keras 3 cannot be used: build it with tf_keras"
        )
    if isinstance(rescale, bool) or not (np.isfinite(rescale) and rescale > 0):
        raise InputError(f"`rescale` must be a positive number such as 1/255; got {rescale!r}")
    if any(isinstance(layer, PixelNormalization) for layer in getattr(user_model, "layers", [])):
        raise InputError(f"`user_model` {user_model.name!r} is already a classifier of bayescam")


def _check_scaled_once(graph: LayerGraph, rescale: float) -> None:
    for step in graph.steps:
        scales = np.asarray(getattr(step.layer, "scale", 1.0))
        if isinstance(step.layer, tf_keras.layers.Rescaling) and rescale * scales.max() < 1e-3:
            raise InputError(
                f"`user_model` scales pixels itself, by {scales.max():.4g} in layer "
                f"{step.layer.name!r}, and `rescale` by {rescale:.4g} again; give rescale=1.0"
            )


def _check_outputs(graph: LayerGraph, logits: int, kind: str, names: tuple[str, ...]) -> None:
    shape, image = graph.shapes[logits], graph.shapes[graph.input]
    if len(image) != 4 or image[-1] not in (1, 3):
        raise InputError(
            f"`user_model` must take images (N, H, W, 3) or (N, H, W, 1); its input is {image}"
        )
    if len(shape) != 2:
        raise InputError(f"`user_model` must give one row per image, (N, K); its output is {shape}")
    units = shape[-1]
    if kind == _SIGMOID and units != 1:
        raise InputError(
            f"`user_model` ends in {units} sigmoid units, which are {units} separate yes-or-no "
            "answers and not one choice of a class; end it in a softmax"
        )
    if kind == _SOFTMAX and units == 1:
        raise InputError("`user_model` ends in a softmax of one unit, which is always 1")
    classes = 2 if units == 1 else units
    if classes != len(names):
        raise InputError(
            f"`class_names` must name the {classes} classes of `user_model`; got {len(names)}: "
            f"{', '.join(names)}"
        )


def _assemble(images: Array, logits: Array, name: str) -> tf_keras.Model:
    try:
        return tf_keras.Model(images, logits, name=name)
    except ValueError as error:
        raise InputError(
            f"`user_model` {name!r} cannot be laid flat, since two of its layers have one name "
            f"({error}); give the layers of nested models different names"
        ) from error
