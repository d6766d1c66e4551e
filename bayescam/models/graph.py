"""A `tf_keras` model as a flat list of layer calls, nested models opened.

Everything that takes a network apart (the prefix/suffix split, maps at a named layer, stripping a
softmax, a draw as a model of its own) replays a part of this list, so it works on any functional or
`Sequential` model and leaves no fingerprint on it: layers are shared, none is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras

from bayescam.types import InputError

__all__ = ["LayerGraph", "Step", "Value", "flatten_model"]


@dataclass(frozen=True)
class Value:
    """A place holder for one tensor of the graph, by number."""

    key: int


@dataclass(frozen=True, eq=False)
class Step:
    """One call of one layer: its arguments with `Value`s for tensors, and the keys it makes."""

    layer: tf_keras.layers.Layer
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def call(self, values: Mapping[int, Any], layer: tf_keras.layers.Layer | None = None) -> list:
        """Calls the layer, or another in its place, on the values; returns the flat outputs."""
        args, kwargs = tf.nest.map_structure(
            lambda leaf: values[leaf.key] if isinstance(leaf, Value) else leaf,
            (self.args, self.kwargs),
        )
        return tf.nest.flatten((layer or self.layer)(*args, **kwargs))


@dataclass(frozen=True, eq=False)
class LayerGraph:
    """Layer calls in order of execution; `shapes` holds the shape of each value, batch first."""

    steps: tuple[Step, ...]
    input: int
    output: int
    shapes: Mapping[int, tuple[int | None, ...]]

    def step_of(self, key: int) -> Step | None:
        """Returns the step that makes value `key`; None for the input."""
        return next((step for step in self.steps if key in step.outputs), None)

    def between(self, sources: int | Iterable[int], target: int) -> tuple[Step, ...]:
        """Returns the steps that compute `target` from one or several values, in order.

        Raises:
            InputError: If `target` also depends on the input by a way around the sources.
        """
        given = _keys(sources)
        needed, chosen = {target}.difference(given), []
        for step in reversed(self.steps):
            if needed.intersection(step.outputs):
                chosen.append(step)
                needed.update(set(step.inputs).difference(given))
                needed.difference_update(step.outputs)
        if needed:
            names = " and ".join(repr(self.name_of(key)) for key in given)
            raise InputError(
                f"{names} does not separate the network: {self.name_of(target)!r} is also reached "
                "around it. Name a layer before the branches part or after they join."
            )
        return tuple(reversed(chosen))

    def beside(self, source: int, target: int) -> tuple[int, ...] | None:
        """Returns the values that, with `source`, decide `target` and do not depend on `source`.

        There are none where everything passes through `source`; None means that nothing does.
        """
        changed, found = {source}, {}
        for step in self.between(self.input, target):
            if changed.intersection(step.inputs):
                changed.update(step.outputs)
                found.update(dict.fromkeys(step.inputs))
        if target not in changed:
            return None
        return tuple(key for key in found if key not in changed)

    def name_of(self, key: int) -> str:
        """Returns the name of the layer that makes value `key`."""
        step = self.step_of(key)
        return "input" if step is None else step.layer.name

    def item_shape(self, key: int) -> tuple[int, ...]:
        """Returns the shape of value `key` for one image, without the batch axis.

        Raises:
            InputError: If it is not fixed.
        """
        sizes = self.shapes[key][1:]
        if None in sizes:
            raise InputError(
                f"layer {self.name_of(key)!r} must have a fixed size; its shape is "
                f"{self.shapes[key]}. Give the model a fixed input shape"
            )
        return tuple(int(size) for size in sizes if size is not None)

    def key_of(self, layer_name: str) -> int:
        """Returns the value that the layer called `layer_name` makes (its last call).

        Raises:
            InputError: If no layer of the graph has that name.
        """
        for step in reversed(self.steps):
            if step.layer.name == layer_name:
                return step.outputs[0]
        names = [step.layer.name for step in self.steps if len(self.shapes[step.outputs[0]]) == 4]
        raise InputError(
            f"the model has no layer {layer_name!r}; its last layers with maps are "
            f"{', '.join(names[-8:]) or 'none'}"
        )

    def bottlenecks(self) -> tuple[int, ...]:
        """Returns the values through which every way from input to output passes, in order."""
        steps = self.between(self.input, self.output)
        last_use = {self.output: len(steps)}
        for position, step in enumerate(steps):
            for key in step.inputs:
                last_use[key] = max(last_use.get(key, -1), position)
        live, found = {self.input}, [self.input]
        for position, step in enumerate(steps):
            live.update(key for key in step.outputs if key in last_use)
            live = {key for key in live if last_use[key] > position}
            if len(live) == 1 and step.outputs[0] in live:
                found.append(step.outputs[0])
        return tuple(found)

    def submodel(
        self,
        sources: int | Iterable[int],
        targets: int | Iterable[int],
        *,
        substitute: Callable[[Step], tf_keras.layers.Layer] | None = None,
    ) -> tf_keras.Model:
        """Returns a model from `sources` to `targets` that shares the layers of this one.

        Args:
            sources: The value that becomes the model's input, or several.
            targets: One value, or several for a model with several outputs.
            substitute: Gives the layer to call at a step; the step's own by default.
        """
        starts = {
            key: tf_keras.Input(shape=self.shapes[key][1:], dtype=_dtype_of(self, key))
            for key in _keys(sources)
        }
        values, wanted = dict(starts), _keys(targets)
        steps = {step: None for target in wanted for step in self.between(starts, target)}
        run_steps([step for step in self.steps if step in steps], values, substitute=substitute)
        inputs, outputs = list(starts.values()), [values[target] for target in wanted]
        return tf_keras.Model(
            inputs[0] if isinstance(sources, int) else inputs,
            outputs[0] if isinstance(targets, int) else outputs,
        )


def flatten_model(model: tf_keras.Model) -> LayerGraph:
    """Returns the layer calls of a functional or `Sequential` model, nested models opened.

    Raises:
        InputError: If the model is subclassed, not built, or has several inputs or outputs.
    """
    _check_graph_network(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            f"`model` must have one input and one output; {model.name!r} has "
            f"{len(model.inputs)} and {len(model.outputs)}"
        )
    steps: list[Step] = []
    shapes = {0: tuple(model.inputs[0].shape)}
    (output,) = _trace(model, (0,), steps, shapes)
    return LayerGraph(tuple(steps), 0, output, shapes)


def run_steps(
    steps: Iterable[Step],
    values: dict[int, Any],
    *,
    substitute: Callable[[Step], tf_keras.layers.Layer] | None = None,
) -> None:
    """Calls the layers in order and adds what they make to `values`."""
    for step in steps:
        made = step.call(values, None if substitute is None else substitute(step))
        values.update(zip(step.outputs, made, strict=True))


def _trace(
    model: tf_keras.Model,
    inputs: tuple[int, ...],
    steps: list[Step],
    shapes: dict[int, tuple[int | None, ...]],
) -> tuple[int, ...]:
    """Appends the calls of one model whose inputs are the values `inputs`; returns its outputs."""
    known = {id(tensor): key for tensor, key in zip(model.inputs, inputs, strict=True)}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                _trace_node(node, known, steps, shapes)
    return tuple(known[id(tensor)] for tensor in model.outputs)


def _trace_node(
    node: Any,  # noqa: ANN401 - a private class of tf_keras
    known: dict[int, int],
    steps: list[Step],
    shapes: dict[int, tuple[int | None, ...]],
) -> None:
    tensors = [leaf for leaf in tf.nest.flatten(node.outputs)]
    inputs = tuple(known[id(tensor)] for tensor in node.keras_inputs)
    if isinstance(node.layer, tf_keras.Model):
        _check_graph_network(node.layer)
        outputs = _trace(node.layer, inputs, steps, shapes)
    else:
        args, kwargs = tf.nest.map_structure(
            lambda leaf: Value(known[id(leaf)]) if id(leaf) in known else leaf,
            (tuple(node.call_args), dict(node.call_kwargs)),
        )
        outputs = tuple(range(len(shapes), len(shapes) + len(tensors)))
        shapes.update(
            (key, tuple(tensor.shape)) for key, tensor in zip(outputs, tensors, strict=True)
        )
        steps.append(Step(node.layer, args, kwargs, inputs, outputs))
    known.update((id(tensor), key) for tensor, key in zip(tensors, outputs, strict=True))


def _check_graph_network(model: tf_keras.Model) -> None:
    if not getattr(model, "_is_graph_network", False):
        raise InputError(
            f"`model` must be a functional or built Sequential tf_keras model; {model.name!r} is a "
            f"{type(model).__name__} whose layers cannot be listed. Give a Sequential an Input, or "
            "rebuild a subclassed model with the functional API."
        )


def _keys(values: int | Iterable[int]) -> tuple[int, ...]:
    return (values,) if isinstance(values, int) else tuple(values)


def _dtype_of(graph: LayerGraph, key: int) -> str:
    step = graph.step_of(key)
    return "float32" if step is None else step.layer.compute_dtype
