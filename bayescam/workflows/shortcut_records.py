"""The images of a planted shortcut: labels, split, and which of them have the artefact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bayescam.data import choose_planted, complete_split, read_records, write_phantoms
from bayescam.workflows.progress import ProgressReport
from bayescam.workflows.shortcut_config import ShortcutConfig

__all__ = ["read_planted"]


def read_planted(
    root: Path,
    config: ShortcutConfig,
    seed: int,
    report: ProgressReport,
    tell: Callable[[str], object],
) -> tuple[pd.DataFrame, str]:
    """Return the labelled records with a split and a column `planted`, and the planted class.

    Where there are no data, phantoms are written first. Data without test images, as CheXpert and
    MURA are published, are cut anew by patient.

    Args:
        root: folder of the study; phantoms go to `root/data`.
        config: what is planted where.
        seed: of the split and of the choice of images.
        report: told how far the phantoms are.
        tell: told that they are made.

    Raises:
        InputError: the data do not fit the configuration.
    """
    source = config.data or _phantoms(root / "data", config.num_images, report, tell)
    records = read_records(source, seed=seed)
    records = records[records["label"].notna()].reset_index(drop=True)
    if "test" not in set(records["split"]):
        records = records.assign(split=None)
    records = complete_split(records, seed=seed)
    planted_class = config.planted_class or _second_class(records)
    chosen = choose_planted(
        records, planted_class, share=config.share, other_share=config.other_share, seed=seed
    )
    return records.assign(planted=chosen), planted_class


def _phantoms(
    folder: Path, num_images: int, report: ProgressReport, tell: Callable[[str], object]
) -> str:
    """The source of synthetic skin lesions, written if they are not there yet."""
    if not folder.exists():
        tell(f"{num_images} synthetic skin lesions in {folder}")
        write_phantoms(
            folder,
            num_images=num_images,
            progress=lambda done, total: report("phantoms", done, total, ""),
        )
    return f"ham10000:{folder}"


def _second_class(records: pd.DataFrame) -> str:
    """The second most frequent class; the first by name where several are as frequent."""
    counts = (
        records["label"].value_counts().sort_index().sort_values(kind="stable", ascending=False)
    )
    return str(counts.index[min(1, len(counts) - 1)])
