"""`bayescam analyze`, `evaluate`, `report`, `checklist`, `explain`: what a model sees."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bayescam.cli.completion import complete_class, complete_data
from bayescam.cli.console import load_tensorflow, tell_skipped
from bayescam.cli.options import (
    TARGET_HELP,
    KeepIdentifiers,
    Method,
    NumSamples,
    Out,
    Seed,
    TargetLayer,
)

__all__ = ["analyze", "checklist", "evaluate", "explain", "report"]


def analyze(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Folder of bayescam train; several are analyzed as one ensemble."
        ),
    ],
    out: Out,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="KIND:PATH",
            help="Data set.  [default: that of the training]",
            autocompletion=complete_data,
        ),
    ] = None,
    split: Annotated[
        Literal["train", "val", "test", "all"] | None,
        typer.Option(help="Which images, as split at training.  [default: val and test]"),
    ] = None,
    maps: Annotated[
        Literal["draws", "summary"],
        typer.Option(help="Keep the maps of all draws, or mean, sd, P(relevant) and P(positive)."),
    ] = "draws",
    num_samples: NumSamples = 100,
    method: Method = "gradcam",
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET",
            help=f"{TARGET_HELP}  [default: every class]",
            autocompletion=complete_class,
        ),
    ] = None,
    target_layer: TargetLayer = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 32,
    keep_identifiers: KeepIdentifiers = False,
    seed: Seed = 0,
) -> None:
    """Write class probabilities and maps of posterior draws, for any number of images.

    Of an ensemble of runs, each gives its share of the draws: models without a posterior one each.
    """
    load_tensorflow()
    from bayescam.data import read_records
    from bayescam.workflows.streaming import AnalysisOptions, analyze_records

    outcome = analyze_records(
        runs,
        None
        if data is None
        else read_records(data, published_split=True, keep_identifiers=keep_identifiers),
        out=out,
        options=AnalysisOptions(
            split=split,
            maps=maps,
            num_samples=num_samples,
            seed=seed,
            targets=target or "all",
            method=method,
            target_layer=target_layer,
            batch_size=batch_size,
        ),
        announce=typer.echo,
    )
    tell_skipped(out)
    typer.echo(f"{outcome.num_analysed} images analyzed: {outcome.folder}")


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of bayescam analyze.")],
    calibration: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Analysis to calibrate with instead.")
    ] = None,
    ood: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of bayescam analyze, by the same model, of images from elsewhere that "
            "the scores shall tell apart, like --ood analyses/chest.  [default: none]",
        ),
    ] = None,
    strata: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of the records to split scores by, like sex."),
    ] = None,
    concern: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS",
            help="Class whose silent misses are counted, like mel.",
            autocompletion=complete_class,
        ),
    ] = None,
    coverage: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of conformal sets that shall hold the right class, between 0 and 1, like "
            "--coverage 0.95 for 95 %.",
        ),
    ] = 0.9,
    target_risk: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of wrong ones among the images kept that the referral rule shall not "
            "exceed, between 0 and 1, like --target-risk 0.05 for 5 %.",
        ),
    ] = 0.1,
    seed: Seed = 0,
) -> None:
    """Calibrate on validation images, score test images, and say what to do with them."""
    from bayescam.workflows.evaluate import evaluate_folder
    from bayescam.workflows.summary import describe_evaluation

    evaluation = evaluate_folder(
        folder,
        calibration=calibration,
        ood=ood,
        strata=strata,
        class_of_concern=concern,
        coverage=coverage,
        target_risk=target_risk,
        seed=seed,
    )
    typer.echo(describe_evaluation(evaluation))
    typer.echo(f"written: evaluation.json, tables and figures in {folder}")


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of bayescam analyze.")],
    num_cases: Annotated[int, typer.Option(min=1, help="How many images to show.")] = 2000,
    single_file: Annotated[
        bool, typer.Option(help="Also report.html, one file with the cases of the front page.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Refuse unless the analysis has this seed.")
    ] = None,
) -> None:
    """Write pages that open from disk: scores, the cases that matter, every case by itself."""
    from bayescam.workflows.report import report_folder

    page = report_folder(folder, num_cases=num_cases, in_one_file=single_file, seed=seed)
    typer.echo(f"report: {page}")


def checklist(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of bayescam analyze.")],
    seed: Annotated[
        int | None, typer.Option(help="Refuse unless the analysis has this seed.")
    ] = None,
) -> None:
    """Fill in CLAIM 2024 with what the run knows, as a page and as CSV."""
    from bayescam.workflows.checklist import checklist_folder

    page = checklist_folder(folder, seed=seed)
    typer.echo(f"checklist: {page} and {page.with_suffix('.csv').name}")


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of bayescam train.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Image files; a frame is FILE.dcm#3.")
    ],
    out: Out,
    member: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="One more run of an ensemble with RUN; can be repeated."),
    ] = None,
    num_samples: NumSamples = 100,
    method: Method = "gradcam",
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET",
            help=f"{TARGET_HELP}  [default: the predicted class]",
            autocompletion=complete_class,
        ),
    ] = None,
    target_layer: TargetLayer = None,
    dicom: Annotated[
        bool,
        typer.Option(
            "--dicom",
            help="Write the maps of DICOM images as DICOM objects on the image's grid too: values, "
            "and a picture.",
        ),
    ] = False,
    keep_identifiers: KeepIdentifiers = False,
    seed: Seed = 0,
) -> None:
    """Print class probabilities of a few images, DICOM too, and draw their densities and maps."""
    load_tensorflow()
    from bayescam.workflows.explain import describe_explanations, explain_images

    table = explain_images(
        [run, *(member or [])],
        images,
        out=out,
        num_samples=num_samples,
        seed=seed,
        targets=target or None,
        method=method,
        target_layer=target_layer,
        dicom=dicom,
        keep_identifiers=keep_identifiers,
    )
    typer.echo(describe_explanations(table))
    tell_skipped(out)
    typer.echo(f"figures and explanations.csv: {out}")
