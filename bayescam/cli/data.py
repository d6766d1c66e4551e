"""`bayescam phantoms` and `bayescam audit`: data sets, made and looked through."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bayescam.cli.completion import complete_data
from bayescam.cli.options import KeepIdentifiers, Seed

__all__ = ["audit", "phantoms"]


def phantoms(
    kind: Annotated[Literal["skin", "chest"], typer.Argument(help="Which kind of images.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")],
    num_images: Annotated[int, typer.Option(min=20, help="How many.")] = 600,
    seed: Seed = 0,
) -> None:
    """Write a synthetic data set with masks, in the layout of HAM10000 or Kermany's X-rays."""
    from bayescam.data import write_phantoms
    from bayescam.workflows.progress import progress_bars

    with progress_bars() as report:
        root = write_phantoms(
            folder,
            kind=kind,
            num_images=num_images,
            seed=seed,
            progress=lambda done, total: report("phantoms", done, total, ""),
        )
    name = {"skin": "ham10000", "chest": "chest_xray"}[kind]
    typer.echo(f"{num_images} images, to be used as --data {name}:{root}")


def audit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="KIND:PATH", help="Data set to audit.", autocompletion=complete_data
        ),
    ],
    cut: Annotated[
        Literal["found", "grouped", "random"],
        typer.Option(
            help="Split to audit: the one found in the data (or grouped, where there is none), "
            "a new grouped one, or one of random images."
        ),
    ] = "found",
    seed: Seed = 0,
    near_duplicates: Annotated[bool, typer.Option(help="Compare all images by look.")] = True,
    keep_identifiers: KeepIdentifiers = False,
) -> None:
    """Look for leaks between splits, missing or broken files and unknown labels."""
    from bayescam.data import audit_records, complete_split, read_records, split_records
    from bayescam.workflows.progress import progress_bars

    records = read_records(data, published_split=True, keep_identifiers=keep_identifiers)
    if cut == "found":
        records = complete_split(records, seed=seed) if records["split"].isna().all() else records
    else:
        alone = records.assign(group=records["image_id"])
        cut_records = split_records(records if cut == "grouped" else alone, seed=seed)
        records = records.assign(split=cut_records["split"])
    with progress_bars() as report:
        found = audit_records(
            records,
            near_duplicates=near_duplicates,
            progress=lambda done, total: report("audit", done, total, ""),
        )
    typer.echo(found.to_text())
