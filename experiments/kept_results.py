"""The results that a study keeps in its folder, so that a run that was stopped carries on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import bayescam as bc


def keep_config(config: Any, path: Path, *, without: Collection[str] = ()) -> None:  # noqa: ANN401
    """Writes a configuration, or refuses one that differs from that of the results there.

    Args:
        config: A data class.
        path: Of the `.json` file.
        without: Fields that may differ between runs, such as the seeds that are asked for.
    """
    text = json.dumps({k: v for k, v in asdict(config).items() if k not in without}, indent=1)
    if path.exists() and path.read_text() != text:
        raise bc.InputError(f"{path} is of another configuration; give another --out")
    path.write_text(text)


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an `.npz` file and the folders above it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(partial, path)


def make_or_load(
    seeds: Iterable[int], output_dir: Path, make: Callable[[int, Path], None]
) -> list[dict[str, Any]]:
    """The arrays in `seed_K.npz` of each seed; `make(seed, path)` writes those that are missing."""
    kept = []
    for seed in seeds:
        path = output_dir / f"seed_{seed}.npz"
        if not path.exists():
            make(seed, path)
        with np.load(path, allow_pickle=False) as arrays:
            kept.append(dict(arrays))
    return kept
