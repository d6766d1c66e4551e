"""Model files: written whole or not at all, read without executing anything that is in them."""

from __future__ import annotations

import json
import os
import uuid
import warnings
import zipfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import tf_keras

from bayescam.models.devices import prepare_gpus
from bayescam.models.mean_field import MeanFieldDense
from bayescam.models.variational import variational_layers
from bayescam.types import InputError

__all__ = ["check_saveable", "load_model", "save_model"]

_FORMATS = (".keras", ".h5")
_MEMBERS = {"config.json", "metadata.json", "model.weights.h5", "assets/"}

# What a configuration may name. Keras would import any module that a file asks for, so these lists
# say what is allowed instead of what is not.
_FAMILIES = (
    tf_keras.layers,
    tf_keras.initializers,
    tf_keras.regularizers,
    tf_keras.constraints,
    tf_keras.losses,
    tf_keras.metrics,
    tf_keras.optimizers,
    tf_keras.optimizers.legacy,
    tf_keras.optimizers.schedules,
)
_ALSO = {"Functional", "Model", "Sequential", "Policy", "LayerScale", "StochasticDepth"}
_NEVER = {"Lambda", "StringLookup", "TextVectorization", "IntegerLookup", "TFSMLayer"}
_PLAIN = {"__tensor__", "__numpy__", "__bytes__"}
_OPERATIONS = {"TFOpLambda", "SlicingOpLambda"}
_PURE = ("__operators__.", "image.", "linalg.", "math.", "nn.")
_PURE_NAMES = {
    *("cast", "clip_by_value", "concat", "expand_dims", "identity", "pad", "repeat", "reshape"),
    *("reverse", "shape", "split", "squeeze", "stack", "stop_gradient", "tile", "transpose"),
    *("unstack", "where", "compat.v1.shape", "compat.v1.transpose"),
}


def save_model(model: tf_keras.Model, path: str | PathLike[str]) -> None:
    """Writes `model` to a `.keras` or `.h5` file that `load_model` restores exactly.

    The file appears complete or not at all: it is written under another name beside `path` first.

    Raises:
        InputError: If the suffix or folder is wrong, or a layer could not be loaded again.
        TypeError: If `model` is not a `tf_keras.Model`.
    """
    path = Path(path).expanduser()
    if not isinstance(model, tf_keras.Model):
        raise TypeError(f"`model` must be a tf_keras.Model; got {type(model).__name__}")
    if path.suffix not in _FORMATS:
        raise InputError(f"{path}: `path` must end in .keras or .h5")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist")
    check_saveable(model)
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.partial{path.suffix}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You are saving your model as an HDF5")
            model.save(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_saveable(model: tf_keras.Model) -> None:
    """Refuses a model that `load_model` could not restore.

    Raises:
        InputError: If it holds a stock variational layer of TFP.
    """
    for layer in variational_layers(model):
        if not isinstance(layer, MeanFieldDense):
            raise InputError(
                f"layer {layer.name!r} is a stock {type(layer).__name__} of TFP, which cannot be "
                "loaded from .keras and .h5 files; build it with bayescam.models.FlipoutDense, or "
                "call model.save(FOLDER) for a SavedModel"
            )


def load_model(path: str | PathLike[str], *, trust: bool = False) -> tf_keras.Model:
    """Returns the `tf_keras` model in a file or folder, not compiled.

    A `.keras` or `.h5` file is inspected before anything is built from it: layers that carry code
    (`Lambda`, pickled functions of stock TFP layers) and references to anything but layers of
    Keras, pure TensorFlow operations and classes registered in this process are refused.

    Args:
        path: A `.keras` or `.h5` file, or a SavedModel folder.
        trust: Whether to execute code that the file carries. SavedModel folders need it.

    Raises:
        InputError: If there is nothing, it is no such model, is of Keras 3, or needs `trust`.

    Example:
        >>> import tempfile
        >>> from bayescam.models import build_head
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(build_head(4, class_names=["nv", "mel"]), f"{folder}/head.keras")
        ...     load_model(f"{folder}/head.keras").output_shape
        (None, 2)
    """
    prepare_gpus()
    path = Path(path).expanduser()
    if path.is_dir():
        return _load_folder(path, trust)
    if not path.is_file():
        raise InputError(f"{path}: no such model file")
    if zipfile.is_zipfile(path):
        config = _read_archive(path, trust)
    elif h5py.is_hdf5(path):
        config = _read_hdf5(path)
    else:
        raise InputError(f"{path}: is neither a .keras nor an .h5 model file")
    if not trust:
        _check_config(path, config)
    return _load_file(path, trust)


def _load_folder(path: Path, trust: bool) -> tf_keras.Model:
    if not (path / "saved_model.pb").is_file():
        raise InputError(f"{path}: is a folder without saved_model.pb; give the model file in it")
    if not trust:
        raise InputError(
            f"{path}: is a SavedModel folder, which can hold any code; load it with trust=True if "
            "you know who made it"
        )
    return _load_file(path, trust)


def _load_file(path: Path, trust: bool) -> tf_keras.Model:
    """Has Keras read what has been inspected; its many kinds of errors become one line."""
    try:
        model = tf_keras.models.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else "no reason"
        raise InputError(f"{path}: cannot be loaded by tf_keras: {reason}") from error
    if not isinstance(model, tf_keras.Model):
        raise InputError(f"{path}: holds a {type(model).__name__} and not a tf_keras model")
    return model


def _read_archive(path: Path, trust: bool) -> dict[str, Any]:
    """Returns the configuration of a `.keras` file after a look at its other members."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            if not {"config.json", "model.weights.h5"} <= members:
                raise InputError(f"{path}: is a zip archive but not a .keras model")
            if not trust and members - _MEMBERS:
                extra = sorted(members - _MEMBERS)[0]
                raise InputError(f"{path}: has a member {extra!r} that no image classifier needs")
            config = json.loads(archive.read("config.json"))
            metadata = (
                json.loads(archive.read("metadata.json")) if "metadata.json" in members else {}
            )
            _check_version(path, str(metadata.get("keras_version", "2")))
            with archive.open("model.weights.h5") as stream, h5py.File(stream, "r") as weights:
                _check_links(path, weights)
    except (zipfile.BadZipFile, OSError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path}: is damaged: {error}") from error
    if path.suffix != ".keras":
        raise InputError(f"{path}: is a .keras model; rename it to end in .keras")
    # Keras drops this part with compile=False.
    return {key: value for key, value in config.items() if key != "compile_config"}


def _read_hdf5(path: Path) -> dict[str, Any]:
    """Returns the configuration of an `.h5` file after a look at its links."""
    try:
        with h5py.File(path, "r") as file:
            _check_links(path, file)
            if "model_config" not in file.attrs:
                raise InputError(
                    f"{path}: holds weights without a model; give it to "
                    "bayescam.build_classifier(..., weights=FILE)"
                )
            _check_version(path, str(file.attrs.get("keras_version", "2")))
            return json.loads(file.attrs["model_config"])
    except (OSError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path}: is damaged: {error}") from error


def _check_version(path: Path, version: str) -> None:
    if version.strip("b'").split(".")[0] not in ("1", "2"):
        raise InputError(
            f"{path}: was saved by Keras {version}; bayescam reads models of tf_keras (Keras 2). "
            "Build the model with tf_keras and load its weights there"
        )


def _check_links(path: Path, group: h5py.Group) -> None:
    """Refuses arrays that are kept in another file, which HDF5 would open on reading."""

    def is_link(name: str, link: object) -> str | None:
        return None if isinstance(link, h5py.HardLink) else name

    def is_elsewhere(name: str, item: object) -> str | None:
        outside = isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)
        return name if outside else None

    found = group.visititems_links(is_link) or group.visititems(is_elsewhere)
    if found:
        raise InputError(f"{path}: {found!r} in it is kept elsewhere, which no model file needs")


def _check_config(path: Path, config: Any) -> None:  # noqa: ANN401 - any JSON
    for entry in _entries(config):
        if not _is_allowed(entry):
            raise InputError(
                f"{path}: names {_label(entry)}, which may run code from the file or is not known "
                "here; register the class before loading, or load with trust=True if you know who "
                "made the file"
            )


def _entries(config: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    """Yields every part of a configuration that stands for an object."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting.extend(part.values())
            if "class_name" in part:
                yield part
        elif isinstance(part, list):
            waiting.extend(part)


def _is_allowed(entry: dict[str, Any]) -> bool:
    """Says whether Keras resolves an entry to something of these lists or of this process."""
    name, module, config = entry["class_name"], entry.get("module"), entry.get("config")
    if not isinstance(name, str) or name in _NEVER:
        return False
    if name == "function":
        families = (tf_keras.activations, *_FAMILIES)
        return _is_registered(config, config) or _is_public(config, families)
    if _is_registered(entry.get("registered_name") or name, name):
        return True
    if module is not None and str(module).split(".")[0] not in ("keras", "tf_keras"):
        return False
    if name in _OPERATIONS:
        symbol = str((config or {}).get("function"))
        return symbol.startswith(_PURE) or symbol in _PURE_NAMES
    return name in _PLAIN | _ALSO or _is_public(name, _FAMILIES)


def _is_registered(known: Any, name: Any) -> bool:  # noqa: ANN401
    """Says whether `known` is registered here, and for the class or function called `name`."""
    found = tf_keras.saving.get_registered_object(known) if isinstance(known, str) else None
    return found is not None and name in (known, found.__name__)


def _is_public(name: Any, modules: tuple[Any, ...]) -> bool:  # noqa: ANN401
    if not isinstance(name, str) or name.startswith("_"):
        return False
    return any(callable(vars(module).get(name)) for module in modules)


def _label(entry: dict[str, Any]) -> str:
    config, name = entry.get("config"), entry["class_name"]
    if isinstance(config, dict) and str(name) in _OPERATIONS:
        return f"the operation {config.get('function')!r}"
    if name == "function":
        return f"the function {config!r}"
    layer = f" (layer {config['name']!r})" if isinstance(config, dict) and "name" in config else ""
    return f"{name!r}{layer}"
