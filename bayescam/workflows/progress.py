"""How far a long piece of work is, as bars on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["ProgressReport", "progress_bars"]

ProgressReport = Callable[[str, int, int, str], None]
"""Called as `report(stage, done, total, note)`."""


@contextmanager
def progress_bars(*, shown: bool = True) -> Iterator[ProgressReport]:
    """Yield a function that shows one bar per stage; it does nothing unless `shown`."""
    if not shown:
        yield lambda stage, done, total, note: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        tasks = {}

        def report(stage: str, done: int, total: int, note: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, note=note)
            progress.update(tasks[stage], completed=done, total=total, note=note)

        yield report
