"""Folders on disk: work in `DIR.partial`, rename when complete, never overwrite, carry on.

Every folder that bayescam makes holds a `manifest.json`: what kind it is, the schema number, the
seed, the versions, the fingerprint of its data, and the settings that decide its content.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bayescam import __version__
from bayescam.data.places import file_size
from bayescam.types import InputError
from bayescam.workflows.spreadsheet import inert_table

__all__ = [
    "SCHEMA",
    "FolderKind",
    "data_fingerprint",
    "file_fingerprint",
    "new_manifest",
    "package_versions",
    "partial_folder",
    "read_manifest",
    "work_folder",
    "write_atomically",
    "write_json",
    "write_skipped",
    "write_table",
    "write_text",
]

SCHEMA = 1
FolderKind = Literal["run", "analysis", "explanation", "shortcut"]
_DECISIVE = ("kind", "schema", "seed", "data_fingerprint", "settings")
_PACKAGES = (
    "tensorflow",
    "tf_keras",
    "tensorflow-probability",
    "numpy",
    "pandas",
    "xarray",
    "zarr",
)


@contextmanager
def work_folder(out: str | os.PathLike[str], manifest: Mapping[str, Any]) -> Iterator[Path]:
    """Yield `out.partial`, new or as a killed command left it; rename it to `out` at the end.

    Args:
        out: the folder to make; must not exist, or be empty.
        manifest: of `new_manifest`; a partial folder is continued only if it was begun with the
            same kind, schema, seed, data and settings.

    Raises:
        InputError: `out` exists, or its partial folder holds other work.
    """
    target = Path(out).expanduser()
    refuse_existing(target)
    partial = partial_folder(target)
    _begin(partial, manifest)
    try:
        yield partial
    except InputError:
        _remove_if_nothing_done(partial)
        raise
    partial.replace(target)


def partial_folder(out: str | os.PathLike[str]) -> Path:
    """Return where the work towards `out` is done: the same name with `.partial` added."""
    target = Path(out).expanduser()
    return target.with_name(f"{target.name}.partial")


def refuse_existing(target: Path) -> None:
    """Raise `InputError` if there is something at `target` (an empty folder is nothing)."""
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise InputError(
            f"{target} exists and is never overwritten: choose another --out, or remove it first."
        )


def _begin(partial: Path, manifest: Mapping[str, Any]) -> None:
    found = partial / "manifest.json"
    if found.exists():
        _check_same_work(json.loads(found.read_text()), manifest, partial)
        return
    if partial.exists() and any(partial.iterdir()):
        raise InputError(
            f"{partial} is in the way: it holds files but no manifest.json; remove it."
        )
    partial.mkdir(parents=True, exist_ok=True)
    write_json(found, manifest)


def _remove_if_nothing_done(partial: Path) -> None:
    if [file.name for file in partial.iterdir()] == ["manifest.json"]:
        (partial / "manifest.json").unlink()
        partial.rmdir()


def _check_same_work(old: Mapping[str, Any], new: Mapping[str, Any], partial: Path) -> None:
    new = json.loads(json.dumps(new))
    for key in _DECISIVE:
        if old.get(key) == new[key]:
            continue
        before, now = old.get(key), new[key]
        if isinstance(before, dict) and isinstance(now, dict):
            key = next(k for k in [*now, *before] if before.get(k) != now.get(k))
            before, now = before.get(key), now.get(key)
        raise InputError(
            f"{partial} was begun with {key} {before!r}, now it is {now!r}: "
            "give the earlier value to carry on, or remove that folder to begin anew."
        )


def new_manifest(
    kind: FolderKind, *, seed: int, fingerprint: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the manifest of a new folder; `settings` must be plain JSON values."""
    return {
        "kind": kind,
        "schema": SCHEMA,
        "seed": seed,
        "data_fingerprint": fingerprint,
        "settings": dict(settings),
        "versions": package_versions(),
    }


def read_manifest(folder: str | os.PathLike[str], kind: FolderKind) -> dict[str, Any]:
    """Return the manifest of a finished folder of this kind.

    Raises:
        InputError: not a folder, not finished, of another kind or of another schema.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        begun = partial_folder(path)
        hint = f" {begun} was not finished: run its command again." if begun.is_dir() else ""
        raise InputError(f"{path} is not a folder; expected a bayescam {kind} folder.{hint}")
    if not (path / "manifest.json").is_file():
        raise InputError(f"{path} has no manifest.json; expected a bayescam {kind} folder.")
    manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text())
    if manifest.get("kind") != kind:
        raise InputError(f"{path} is a bayescam {manifest.get('kind')} folder; expected {kind}.")
    if manifest.get("schema") != SCHEMA:
        raise InputError(
            f"{path} has schema {manifest.get('schema')}; this bayescam reads schema {SCHEMA}."
        )
    return manifest


def package_versions() -> dict[str, str]:
    """Return the versions of Python, bayescam and what decides its numbers, without imports."""
    versions = {"python": ".".join(map(str, sys.version_info[:3])), "bayescam": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def data_fingerprint(records: pd.DataFrame) -> str:
    """Return a short hash of the images' identities, labels, splits and file sizes, in order."""
    digest = hashlib.sha256()
    splits = records["split"] if "split" in records else [None] * len(records)
    for image_id, path, label, split in zip(
        records["image_id"], records["path"], records["label"], splits, strict=True
    ):
        digest.update(repr((str(image_id), str(label), str(split), file_size(path))).encode())
    return digest.hexdigest()[:16]


def file_fingerprint(path: Path) -> str:
    """Return a short hash of the bytes of a file, or of every file below a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.name.encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()[:16]


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it there in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, values: object) -> None:
    """Write `values`, in which no number is NaN or infinite, as indented JSON, atomically."""
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text, atomically."""
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


def write_table(path: Path, table: pd.DataFrame, *, float_format: str | None = None) -> None:
    """Write a table as `.parquet` or `.csv`, by the suffix of `path`, atomically, without index.

    No cell of a `.csv` is a formula; see `spreadsheet`. `float_format` is of its numbers.
    """
    if path.suffix == ".parquet":
        write_atomically(path, lambda file: table.to_parquet(file, index=False))
    else:
        cells = inert_table(table)
        write_atomically(
            path, lambda file: cells.to_csv(file, index=False, float_format=float_format)
        )


def write_skipped(folder: Path, skipped: Sequence[tuple[int, str, str]]) -> None:
    """Write `skipped.csv` (path, reason), with its heading even when nothing was skipped."""
    rows = [(path, reason) for _, path, reason in skipped]
    write_table(folder / "skipped.csv", pd.DataFrame(rows, columns=["path", "reason"]))
