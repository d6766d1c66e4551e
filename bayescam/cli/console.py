"""What commands say on the terminal, and TensorFlow kept quiet there."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["complain", "load_tensorflow", "print_table", "show_warning", "tell_skipped"]


def load_tensorflow() -> None:
    """Import TensorFlow without its start-up lines, which no setting silences."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        importlib.import_module("tensorflow")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def print_table(table: pd.DataFrame) -> None:
    """Print a table as text."""
    from bayescam.report import to_text

    typer.echo(to_text(table))


def tell_skipped(folder: Path) -> None:
    """Say how many images could not be decoded, if any."""
    lines = (folder.expanduser() / "skipped.csv").read_text().splitlines()[1:]
    if lines:
        typer.echo(f"{len(lines)} images could not be decoded: {folder / 'skipped.csv'} says why")


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as a note, in place of `warnings.showwarning`."""
    if not issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning):
        complain(f"note: {message}")


def complain(line: str) -> None:
    """Print one line on standard error."""
    typer.echo(f"bayescam: {' '.join(line.split())}", err=True)
