"""The state of one training stage on disk: written whole after every epoch, or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bayescam.types import Array

__all__ = ["Checkpoint"]


class Checkpoint:
    """State of a stage in `folder/NAME.npz`; does nothing without a folder.

    Args:
        folder: Where to keep it.
        name: Name of the stage.
        identity: What the stage depends on; a file with another identity is not used.
    """

    def __init__(self, folder: Path | None, name: str, identity: str) -> None:
        self.path = None if folder is None else folder / f"{name}.npz"
        self.identity = identity

    def write(
        self,
        state: dict[str, list[tf.Variable]],
        history: list[dict[str, Any]],
        best: list[Array],
    ) -> None:
        """Writes the variables, the history so far and the best weights so far."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{part}/{i}": variable.numpy()
            for part, variables in state.items()
            for i, variable in enumerate(variables)
        }
        arrays |= {f"best/{i}": value for i, value in enumerate(best)}
        text = json.dumps({"identity": self.identity, "history": history})
        partial = self.path.with_suffix(".tmp")
        with partial.open("wb") as file:
            np.savez(file, text=np.frombuffer(text.encode(), np.uint8), **arrays)
        os.replace(partial, self.path)

    def restore(
        self, state: dict[str, list[tf.Variable]]
    ) -> tuple[list[dict[str, Any]], list[Array]]:
        """Sets the variables to what was written; returns the history and the best weights.

        Without a file, or with that of another run, it changes nothing and returns empty lists.
        """
        if self.path is None or not self.path.exists():
            return [], []
        with np.load(self.path, allow_pickle=False) as arrays:
            text = json.loads(arrays["text"].tobytes())
            if text["identity"] != self.identity:
                return [], []
            for part, variables in state.items():
                for i, variable in enumerate(variables):
                    variable.assign(arrays[f"{part}/{i}"])
            best = [arrays[f"best/{i}"] for i in range(len(state["variables"]))]
        return text["history"], best
