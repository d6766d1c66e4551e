"""Backbone weights from HDF5 files in the layouts of Keras, matched by layer name and shape."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import h5py
import numpy as np
import tf_keras

from bayescam.models.backbones import application, backbone_layers
from bayescam.types import Array, InputError

__all__ = ["WeightsReport", "load_weights"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsReport:
    """What a weights file gave to a backbone, by layer name.

    Attributes:
        loaded: Layers of the model that took their weights from the file.
        missing: Layers of the model that the file does not have.
        unused: Layers of the file that the model does not have, such as its classifier.
        mismatched: Layers of both whose shapes differ.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    mismatched: tuple[str, ...]


def load_weights(model: tf_keras.Model, path: str | PathLike[str]) -> WeightsReport:
    """Loads the backbone of `model` from a file and returns which layers fitted.

    Reads the official `*_notop.h5` and full files of `tf_keras.applications`, files saved by Keras
    1 and 2 (`save_weights`, whole models), and the SqueezeNet file of keras-squeezenet. Layers with
    automatic names (`conv2d_94`), whose numbers depend on the session that saved them, are matched
    by their order among layers of that type. Only arrays are read; nothing is executed.

    Args:
        model: A classifier; its head is left alone.
        path: The HDF5 file, or `"imagenet"` to have Keras download its own.

    Raises:
        InputError: If there is no such file, it is not such a file, or no layer of it fits.
    """
    layers = [layer for layer in backbone_layers(model) if layer.weights]
    if path == "imagenet":
        return _load_imagenet(model, layers)
    report = _assign(layers, _read_arrays(Path(path).expanduser()))
    if not report.loaded:
        raise InputError(
            f"{path}: none of its layers fits the backbone {model.name!r}, which begins with "
            f"{layers[0].name!r}; the file has {', '.join(report.unused[:3])}. Are these the "
            "weights of another network?"
        )
    for problem in ("missing", "mismatched"):
        if names := getattr(report, problem):
            _log.warning(
                "%s: %d of %d layers of %s are not loaded (%s): %s",
                *(path, len(names), len(layers), model.name, problem, ", ".join(names)),
            )
    if report.unused:
        _log.info("%s: layers not used: %s", path, ", ".join(report.unused))
    return report


def _assign(
    layers: Sequence[tf_keras.layers.Layer], arrays: Mapping[str, Mapping[str, Array]]
) -> WeightsReport:
    source = _match_names([layer.name for layer in layers], list(arrays))
    loaded: list[str] = []
    mismatched: list[str] = []
    for layer in layers:
        if layer.name in source:
            values = _in_order(layer, arrays[source[layer.name]])
            fits = [value.shape for value in values] == [tuple(w.shape) for w in layer.weights]
            (loaded if fits else mismatched).append(layer.name)
            if fits:
                layer.set_weights(values)
    used = {source[name] for name in (*loaded, *mismatched)}
    return WeightsReport(
        tuple(loaded),
        tuple(layer.name for layer in layers if layer.name not in source),
        tuple(name for name in arrays if name not in used),
        tuple(mismatched),
    )


def _match_names(ours: Sequence[str], theirs: Sequence[str]) -> dict[str, str]:
    """Returns the name in the file for each of our names that has one."""
    pairs: dict[str, str] = {}
    for kind in {_automatic_kind(name) for name in ours} - {None}:
        numbered = [
            sorted((name for name in names if _automatic_kind(name) == kind), key=_number)
            for names in (ours, theirs)
        ]
        pairs.update(zip(*numbered, strict=False))
    pairs.update({name: name for name in set(ours) & set(theirs) if not _automatic_kind(name)})
    return pairs


def _automatic_kind(name: str) -> str | None:
    found = re.fullmatch(
        r"((?:separable_|depthwise_)?conv2d|batch_normalization|dense|normalization)(_\d+)?", name
    )
    return found and found[1]


def _number(name: str) -> int:
    return int(re.search(r"(?:_(\d+))?$", name)[1] or 0)  # type: ignore[index]


def _in_order(layer: tf_keras.layers.Layer, values: Mapping[str, Array]) -> list[Array]:
    """Returns the arrays in the order of the layer's weights: by name, else as in the file."""
    ends = {re.split(r"[/:]", name.removesuffix(":0"))[-1]: name for name in values}
    wanted = [re.split(r"[/:]", weight.name.removesuffix(":0"))[-1] for weight in layer.weights]
    names = [ends[end] for end in wanted] if set(wanted) == set(ends) else list(values)
    return [values[name] for name in names]


def _read_arrays(path: Path) -> dict[str, dict[str, Array]]:
    """Returns the arrays of a Keras HDF5 file: layer name -> weight name -> array, in order."""
    if not path.is_file():
        raise InputError(
            f'{path}: no such file; `weights` must be an HDF5 file (.h5), "imagenet" or None'
        )
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if not _strings(root, "layer_names"):
                raise InputError(
                    f"{path}: has no list of layers (attribute 'layer_names'); `weights` must be "
                    "a file by Keras 1 or 2, such as *_weights_tf_dim_ordering_tf_kernels_notop.h5"
                )
            layers = {
                name: dict(_layer_arrays(root[name])) for name in _strings(root, "layer_names")
            }
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: cannot be read as an HDF5 file of weights: {error}") from error
    return {name: arrays for name, arrays in layers.items() if arrays}


def _layer_arrays(group: h5py.Group) -> Iterator[tuple[str, Array]]:
    for name in _strings(group, "weight_names"):
        yield name, np.asarray(group[name])


def _strings(group: h5py.Group, key: str) -> list[str]:
    """Returns a list kept in an attribute; Keras cuts a long one into `key0`, `key1`, ..."""
    keys = [key] if key in group.attrs else []
    while f"{key}{len(keys)}" in group.attrs:
        keys.append(f"{key}{len(keys)}")
    found = [item for part in keys for item in group.attrs[part]]
    return [item.decode() if isinstance(item, bytes) else str(item) for item in found]


def _load_imagenet(model: tf_keras.Model, layers: Sequence[tf_keras.layers.Layer]) -> WeightsReport:
    """Has Keras download its weights of the application that the model is named after."""
    constructor = application(model.name)
    if constructor is None:
        raise InputError(
            f'`weights="imagenet"`: Keras offers no weights for {model.name!r}; give an HDF5 file'
        )
    try:
        source = constructor(
            include_top=False, weights="imagenet", input_shape=model.input_shape[1:]
        )
    except Exception as error:  # Keras raises a plain Exception when a download fails
        raise InputError(
            f'`weights="imagenet"`: the weights of {model.name!r} could not be had '
            f"({str(error).splitlines()[0]}); without a network, give the HDF5 file that was "
            "downloaded elsewhere: weights=FILE"
        ) from error
    arrays = {
        layer.name: {weight.name: weight.numpy() for weight in layer.weights}
        for layer in source.layers
    }
    return _assign(layers, {name: values for name, values in arrays.items() if values})
