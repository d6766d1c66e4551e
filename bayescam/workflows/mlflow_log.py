"""`bayescam log`: parameters, metrics, tables and figures of a finished folder into MLflow.

Nothing of a single patient is sent: no records, predictions or other tables of one row per image,
no report (which shows images), no paths. Needs no TensorFlow.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from bayescam.types import InputError
from bayescam.workflows.folders import FolderKind, file_fingerprint, read_manifest
from bayescam.workflows.tables import EVALUATION_SCHEMA, evaluation_tables

__all__ = ["LoggedMetric", "folder_metrics", "folder_parameters", "log_folder"]

_KINDS: tuple[FolderKind, ...] = ("run", "analysis")
_ONE_ROW_PER_IMAGE = "images.csv"
_MOST_AT_ONCE = 1000  # metrics of one call of MLflow


class LoggedMetric(NamedTuple):
    """One value of a metric; `step` is the epoch, 0 where there is none."""

    name: str
    value: float
    step: int = 0


def log_folder(folder: str | os.PathLike[str], uri: str, *, experiment: str = "bayescam") -> str:
    """Log a finished run or analysis folder as one run of MLflow, and return its run id.

    Args:
        folder: of `bayescam train` or `bayescam analyze`; what `evaluate` has added is logged too.
        uri: of the tracking server, as `http://127.0.0.1:5000`, or a folder for files of MLflow.
        experiment: of MLflow; made where it does not exist.

    Returns:
        The id of MLflow's run. It is named as the folder is. Parameters are those of
        `folder_parameters`, metrics those of `folder_metrics`; `history.csv`, `tables/` without
        `images.csv`, and `figures/` are artifacts.

    Raises:
        InputError: it is no such folder, MLflow refuses, or is not installed.
    """
    path = Path(folder).expanduser()
    manifest = _read_any_manifest(path)
    parameters, metrics = folder_parameters(path, manifest), folder_metrics(path)
    client, entities, refusal = _open_client(uri)
    now = int(1000 * time.time())
    try:
        found = client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else client.create_experiment(experiment)
        run_id: str = client.create_run(number, run_name=path.resolve().name).info.run_id
        done = "FAILED"
        try:
            client.log_batch(
                run_id, params=[entities.Param(name, text) for name, text in parameters.items()]
            )
            for start in range(0, len(metrics), _MOST_AT_ONCE):
                some = metrics[start : start + _MOST_AT_ONCE]
                client.log_batch(
                    run_id, [entities.Metric(m.name, m.value, now, m.step) for m in some]
                )
            for file in _artifacts(path):
                place = file.parent.relative_to(path).as_posix()
                client.log_artifact(run_id, str(file), None if place == "." else place)
            done = "FINISHED"
        finally:
            client.set_terminated(run_id, done)
    except refusal as error:
        raise InputError(f"MLflow at {uri}: {' '.join(str(error).split())}") from error
    return run_id


def folder_parameters(folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return what decided the content of a folder, as text, without paths.

    Of a data set its kind stays, of a file its name. `model` is the fingerprint of the model file,
    the same for a run and for its analyses.
    """
    settings = dict(_flat(manifest["settings"]))
    if settings.get("data.source"):
        settings["data.source"] = str(settings["data.source"]).partition(":")[0]
    if settings.get("model.weights"):
        settings["model.weights"] = _file_name(str(settings["model.weights"]))
    model = folder / "model" / "model.keras"
    if model.exists():
        settings["model"] = file_fingerprint(model)
    versions = {f"version.{name}": number for name, number in manifest["versions"].items()}
    known = {key: manifest[key] for key in ("kind", "schema", "seed", "data_fingerprint")}
    return {
        _plain_name(name): ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in {**known, **settings, **versions}.items()
    }


def folder_metrics(folder: Path) -> list[LoggedMetric]:
    """Return the curves of training, `STAGE/COLUMN`, and the scores, `STATE/SCORE` with bounds."""
    metrics: list[LoggedMetric] = []
    if (folder / "history.csv").exists():
        history = pd.read_csv(folder / "history.csv")
        for stage, rows in history.groupby("stage", sort=False):
            for name in rows.columns.difference(["stage", "epoch"], sort=False):
                metrics += [
                    LoggedMetric(_plain_name(f"{stage}/{name}"), float(value), int(epoch))
                    for epoch, value in zip(rows["epoch"], rows[name], strict=True)
                ]
    if (folder / "evaluation.json").exists():
        metrics += _scores(folder / "evaluation.json")
    if (folder / "skipped.csv").exists():
        metrics.append(LoggedMetric("num_skipped", len(pd.read_csv(folder / "skipped.csv"))))
    return metrics


def _scores(path: Path) -> Iterator[LoggedMetric]:
    evaluation = json.loads(path.read_text())
    if evaluation.get("schema") != EVALUATION_SCHEMA:
        raise InputError(f"{path} is of another bayescam: run bayescam evaluate again")
    yield LoggedMetric("num_scored", evaluation["scored"]["num_images"])
    for score, row in evaluation_tables(evaluation)["scores"].iterrows():
        for column, value in row.items():
            state, _, bound = str(column).partition("_")
            name = f"{state}/{score}" + (f"_{bound}" if bound else "")
            if np.isfinite(value):
                yield LoggedMetric(_plain_name(name), float(value))


def _read_any_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run or of an analysis."""
    try:
        return read_manifest(folder, "analysis")
    except InputError as error:
        if "expected analysis" not in str(error):
            raise
    return read_manifest(folder, "run")


def _artifacts(folder: Path) -> list[Path]:
    """The files that say nothing of single images."""
    tables = [*folder.glob("tables/*.csv"), *folder.glob("tables/*.md")]
    figures = [file for kind in ("png", "svg", "pdf") for file in folder.glob(f"figures/*.{kind}")]
    found = [*folder.glob("history.csv"), *tables, *figures]
    return sorted(file for file in found if file.name != _ONE_ROW_PER_IMAGE)


def _open_client(uri: str) -> tuple[Any, Any, type[Exception]]:
    """MLflow's client, its entities and its exception; it reports to nobody else."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    if urlsplit(uri).scheme in ("", "file"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # refused by default since 3.7
    try:
        import mlflow.entities
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise InputError("this needs MLflow: pip install 'bayescam[mlflow]'") from error
    try:
        return MlflowClient(tracking_uri=uri), mlflow.entities, MlflowException
    except MlflowException as error:
        raise InputError(f"MLflow at {uri}: {' '.join(str(error).split())}") from error


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings with names joined by dots."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _file_name(path: str) -> str:
    return PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name


def _plain_name(name: str) -> str:
    """A name that every store of MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)
