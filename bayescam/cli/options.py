"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bayescam.cli.completion import complete_data

__all__ = [
    "TARGET_HELP",
    "Data",
    "Head",
    "KeepIdentifiers",
    "Method",
    "NumSamples",
    "Out",
    "Seed",
    "TargetLayer",
]

Data = Annotated[
    str,
    typer.Option(
        metavar="KIND:PATH",
        autocompletion=complete_data,
        help="Data set: ham10000, chest_xray, covid, folder, table, chexpert, mura or dicom, and "
        "where.",
    ),
]
KeepIdentifiers = Annotated[
    bool,
    typer.Option(
        "--keep-identifiers",
        help="Leave patients' ids and the paths of DICOM images readable in what is written; by "
        "default hashes and sealed paths stand for them.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Key of all random numbers.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder to make; never overwritten.")]
Head = Annotated[
    Literal[
        "flipout",
        "reparameterization",
        "local_reparameterization",
        "dropout",
        "ensemble",
        "laplace",
        "dense",
    ],
    typer.Option(help="Kind of head."),
]
NumSamples = Annotated[int, typer.Option(min=1, help="Posterior draws.")]
TargetLayer = Annotated[
    str | None,
    typer.Option(
        "--target-layer",
        "--layer",
        metavar="NAME",
        help="Layer whose maps are weighted.  [default: the last maps]",
    ),
]
Method = Annotated[
    Literal[
        "gradcam",
        "cam",
        "hirescam",
        "layercam",
        "xgradcam",
        "gradcam++",
        "guided_gradcam_tutorial",
        "eigencam",
        "scorecam",
        "smoothgrad",
        "integrated_gradients",
    ],
    typer.Option(
        help="How maps are made. The last three need many passes for each image, and the last two "
        "explain pixels, of no layer."
    ),
]
TARGET_HELP = (
    'What maps explain: a class, a contrast of two like "mel - nv", "probability(mel)", '
    '"log_odds(mel)", predictive_entropy or mutual_information; can be repeated.'
)
