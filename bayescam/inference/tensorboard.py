"""The history of training as event files that TensorBoard shows, while it is still running."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import tensorflow as tf

__all__ = ["EpochReport", "TensorBoardLog"]

EpochReport = Callable[[Mapping[str, Any]], object]
"""Called with each row of the history once its epoch is done and safe on disk."""

_FORMAT = "brain.Event:2"


class TensorBoardLog:
    """Writes rows of the history into `folder/STAGE/events...`, one curve for each column.

    Each stage (head, fine-tune, member 1, ...) is a run of TensorBoard, so that their curves lie
    over each other; the step is the epoch. Values are rounded to float32, as TensorBoard has them.
    A training that carries on tells its earlier epochs again: what `folder` held is removed. It
    needs TensorFlow alone; `tensorboard --logdir FOLDER`, of the package of that name, shows it.

    Args:
        folder: Where to write; made with the first row.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with TensorBoardLog(Path(folder)) as log:
        ...         log({"stage": "head", "epoch": 1, "loss": 0.5, "validation_accuracy": 0.8})
        ...     [path.parent.name for path in Path(folder).rglob("*tfevents*")]
        ['head']
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, tf.io.TFRecordWriter] = {}
        shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for writer in self._writers.values():
            writer.close()

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Writes one row; it is on disk when this returns."""
        stage, epoch = str(row["stage"]), int(row["epoch"])
        values = [
            tf.compat.v1.Summary.Value(tag=name, simple_value=float(value))
            for name, value in row.items()
            if name not in ("stage", "epoch")
        ]
        summary = tf.compat.v1.Summary(value=values)
        if stage not in self._writers:
            self._writers[stage] = _open(self._folder / stage)
        _write(self._writers[stage], step=epoch, summary=summary)


def _open(folder: Path) -> tf.io.TFRecordWriter:
    """A new event file; its name tells no computer's."""
    folder.mkdir(parents=True)
    writer = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{time.time():.0f}.bayescam"))
    _write(writer, file_version=_FORMAT)
    return writer


def _write(writer: tf.io.TFRecordWriter, **content: Any) -> None:  # noqa: ANN401
    event = tf.compat.v1.Event(wall_time=time.time(), **content)
    writer.write(event.SerializeToString())
    writer.flush()
