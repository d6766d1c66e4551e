"""The command line: arguments and paths only. What a command needs is imported when it runs.

Exit codes: 0; 2 for bad use or bad input, with one line; 1 for a failure; 130 when interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from bayescam import __version__

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["app", "main"]

app = typer.Typer(
    name="bayescam",
    help="Class probabilities and Grad-CAM maps of medical images, both with their uncertainty.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_UsageError = typer.BadParameter.__mro__[1]
_DEBUG = "BAYESCAM_DEBUG"
_INTERRUPTED = 130

Data = Annotated[
    str,
    typer.Option(
        metavar="KIND:PATH",
        help="Data set: ham10000, chest_xray, covid, folder, table, chexpert or mura, and where.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Key of all random numbers.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder to make; never overwritten.")]
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
_TARGET_HELP = (
    'What maps explain: a class, a contrast of two like "mel - nv", "probability(mel)", '
    '"log_odds(mel)", predictive_entropy or mutual_information; can be repeated.'
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("MPLBACKEND", "Agg")
    warnings.showwarning = _show_warning
    command = typer.main.get_command(app)
    try:
        code = command.main(
            None if arguments is None else list(arguments),
            prog_name="bayescam",
            standalone_mode=False,
        )
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Exception as error:
        return _explain_failure(error)
    if code == _INTERRUPTED:
        _complain("interrupted; run the same command again and it carries on where it was")
    return int(code or 0)


def _explain_failure(error: Exception) -> int:
    from bayescam.types import InputError  # loads NumPy, which nothing needs before

    if isinstance(error, InputError):
        _complain(str(error))
        return 2
    if isinstance(error, _UsageError):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "bayescam"
        _complain(f"{error.format_message()} See {path} --help.")  # type: ignore[attr-defined]
        return 2
    if os.environ.get(_DEBUG):
        raise error
    _complain(f"failed: {type(error).__name__}: {error} (bayescam --debug ... shows where)")
    return 1


@app.callback(invoke_without_command=True)
def _global_options(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show tracebacks of failures (or set {_DEBUG}=1).")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if debug:
        os.environ[_DEBUG] = "1"
    if version:
        typer.echo(f"bayescam {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@app.command()
def demo(
    out: Out = Path("demo"),
    seed: Seed = 0,
    num_images: Annotated[int, typer.Option(min=100, help="Synthetic images.")] = 800,
) -> None:
    """The whole story on synthetic skin lesions: train, analyze, evaluate, report."""
    _load_tensorflow()
    from bayescam.workflows.demo import run_demo

    outcome = run_demo(out, seed=seed, num_images=num_images, announce=typer.echo)
    _print_table(outcome.scores)
    typer.echo(f"report: {outcome.report}")


@app.command()
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


@app.command()
def audit(
    data: Annotated[str, typer.Argument(metavar="KIND:PATH", help="Data set to audit.")],
    cut: Annotated[
        Literal["found", "grouped", "random"],
        typer.Option(
            help="Split to audit: the one found in the data (or grouped, where there is none), "
            "a new grouped one, or one of random images."
        ),
    ] = "found",
    seed: Seed = 0,
    near_duplicates: Annotated[bool, typer.Option(help="Compare all images by look.")] = True,
) -> None:
    """Look for leaks between splits, missing or broken files and unknown labels."""
    from bayescam.data import audit_records, complete_split, read_records, split_records
    from bayescam.workflows.progress import progress_bars

    records = read_records(data, published_split=True)
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


@app.command()
def train(
    data: Data,
    out: Out,
    backbone: Annotated[
        str, typer.Option(help="vgg16, squeezenet, narrow_vgg, or any of tf_keras.applications.")
    ] = "vgg16",
    head: Annotated[
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
    ] = "flipout",
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Backbone weights: a file, or imagenet.")
    ] = None,
    input_size: Annotated[
        tuple[int, int], typer.Option(metavar="H W", help="Size that images are resized to.")
    ] = (224, 224),
    pooling: Annotated[Literal["avg", "flatten"], typer.Option(help="Before the head.")] = "avg",
    hidden_units: Annotated[
        str, typer.Option(metavar="N,N,...", help="Sizes of hidden layers of the head.")
    ] = "",
    prior_sd: Annotated[
        float | None,
        typer.Option(help="Prior sd of each weight; 0.15 for Gaussian heads, else none."),
    ] = None,
    dropout_rate: Annotated[
        float | None,
        typer.Option(help="Share of features that a dropout head masks.  [default: 0.5]"),
    ] = None,
    num_members: Annotated[
        int | None, typer.Option(min=2, help="Heads of an ensemble.  [default: 5]")
    ] = None,
    covariance: Annotated[
        Literal["kronecker", "full", "diagonal"] | None,
        typer.Option(
            help="Of a laplace head. Its prior is --prior-sd, or without that the one of the "
            "largest marginal likelihood; biases have none.  [default: kronecker]"
        ),
    ] = None,
    augmentation: Annotated[
        Literal["none", "skin", "chest"], typer.Option(help="Random views of training images.")
    ] = "none",
    num_views: Annotated[int, typer.Option(min=1, help="Views of each, the first plain.")] = 4,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per step.")] = 32,
    head_epochs: Annotated[int, typer.Option(min=1, help="Of the head, at most.")] = 40,
    head_learning_rate: Annotated[float, typer.Option(help="Of the head, at its peak.")] = 1e-3,
    fine_tune_layers: Annotated[
        int, typer.Option(min=0, help="Last layers of the backbone to train after the head.")
    ] = 0,
    fine_tune_epochs: Annotated[int, typer.Option(min=1, help="At most.")] = 12,
    fine_tune_learning_rate: Annotated[float, typer.Option(help="At its peak.")] = 3e-4,
    class_weight_power: Annotated[
        float, typer.Option(min=0, help="Classes weigh frequency ** -power; 0 for equally.")
    ] = 0.5,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without better validation before a stage stops.")
    ] = 5,
    published_split: Annotated[
        bool, typer.Option("--published-split", help="Keep the folders' own train and val.")
    ] = False,
    split_seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Key of the split, for members of an ensemble.  [default: that of --seed]"
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Train a classifier on a data set and write a run folder."""
    _load_tensorflow()
    from bayescam.inference.training import TrainingSettings
    from bayescam.workflows.config import DataConfig, ModelConfig, TrainConfig
    from bayescam.workflows.train import train_run

    config = TrainConfig(
        seed=seed,
        data=DataConfig(
            source=data,
            published_split=published_split,
            split_seed=split_seed,
            augmentation=augmentation,
        ),
        model=ModelConfig(
            backbone=backbone,
            head=head,
            weights=weights,
            input_shape=(*input_size, 3),
            pooling=pooling,
            hidden_units=_sizes(hidden_units),
            prior_sd=prior_sd,
            dropout_rate=dropout_rate,
            num_members=num_members,
            covariance=covariance,
        ),
        training=TrainingSettings(
            num_views=num_views,
            batch_size=batch_size,
            head_epochs=head_epochs,
            head_learning_rate=head_learning_rate,
            fine_tune_layers=fine_tune_layers,
            fine_tune_epochs=fine_tune_epochs,
            fine_tune_learning_rate=fine_tune_learning_rate,
            class_weight_power=class_weight_power,
            patience=patience,
        ),
    )
    history = train_run(config, out)
    _print_table(history.set_index("epoch"))
    _tell_skipped(out)
    typer.echo(f"run folder: {out}")


@app.command()
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
        typer.Option(metavar="KIND:PATH", help="Data set.  [default: that of the training]"),
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
        typer.Option(metavar="TARGET", help=f"{_TARGET_HELP}  [default: every class]"),
    ] = None,
    target_layer: TargetLayer = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 32,
    seed: Seed = 0,
) -> None:
    """Write class probabilities and maps of posterior draws, for any number of images.

    Of an ensemble of runs, each gives its share of the draws: models without a posterior one each.
    """
    _load_tensorflow()
    from bayescam.data import read_records
    from bayescam.workflows.streaming import AnalysisOptions, analyze_records

    outcome = analyze_records(
        runs,
        None if data is None else read_records(data, published_split=True),
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
    _tell_skipped(out)
    typer.echo(f"{outcome.num_analysed} images analyzed: {outcome.folder}")


@app.command()
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
        typer.Option(metavar="CLASS", help="Class whose silent misses are counted, like mel."),
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


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of bayescam analyze.")],
    num_cases: Annotated[int, typer.Option(min=1, help="Most uncertain images to show.")] = 40,
    seed: Annotated[
        int | None, typer.Option(help="Refuse unless the analysis has this seed.")
    ] = None,
) -> None:
    """Write one self-contained page of the most uncertain images."""
    from bayescam.workflows.report import report_folder

    typer.echo(f"report: {report_folder(folder, num_cases=num_cases, seed=seed)}")


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of bayescam train.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    out: Out,
    member: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="One more run of an ensemble with RUN; can be repeated."),
    ] = None,
    num_samples: NumSamples = 100,
    method: Method = "gradcam",
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="TARGET", help=f"{_TARGET_HELP}  [default: the predicted class]"),
    ] = None,
    target_layer: TargetLayer = None,
    seed: Seed = 0,
) -> None:
    """Print class probabilities of a few images, DICOM too, and draw their densities and maps."""
    _load_tensorflow()
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
    )
    typer.echo(describe_explanations(table))
    _tell_skipped(out)
    typer.echo(f"figures and explanations.csv: {out}")


@app.command()
def shortcut(
    out: Out = Path("shortcut"),
    data: Annotated[
        str | None,
        typer.Option(metavar="KIND:PATH", help="Data set.  [default: synthetic skin lesions]"),
    ] = None,
    artefact: Annotated[
        Literal["ruler", "colour_patch", "laterality_mark"] | None,
        typer.Option(
            help="What is planted.  [default: laterality_mark in X-rays, ruler in other images]"
        ),
    ] = None,
    planted_class: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Where.  [default: the second most frequent class]"),
    ] = None,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of that class that has it.")
    ] = 0.9,
    other_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the other classes that has it.")
    ] = 0.0,
    backbone: Annotated[str, typer.Option(help="As in bayescam train.")] = "narrow_vgg",
    head: Annotated[
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
    ] = "flipout",
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Backbone weights: a file, or imagenet.")
    ] = None,
    input_size: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="H W", help="Size of images.  [default: 224 224; phantoms 96 128]"),
    ] = None,
    num_samples: NumSamples = 100,
    seed: Seed = 0,
) -> None:
    """Plant an artefact in one class, and show whether the classifier leans on it and where."""
    _load_tensorflow()
    from bayescam.workflows.shortcut import ShortcutConfig, run_shortcut
    from bayescam.workflows.shortcut_scores import describe_outcome

    config = ShortcutConfig(
        data=data,
        artefact=artefact,
        planted_class=planted_class,
        share=share,
        other_share=other_share,
        backbone=backbone,
        weights=weights,
        head=head,
        input_shape=None if input_size is None else (*input_size, 3),
        num_samples=num_samples,
    )
    outcome = run_shortcut(out, config, seed=seed, announce=typer.echo)
    typer.echo(describe_outcome(outcome.table))
    typer.echo(f"figure and table: {outcome.folder}")


def _load_tensorflow() -> None:
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


def _sizes(text: str) -> tuple[int, ...]:
    from bayescam.types import InputError

    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise InputError(
            f"--hidden-units must be whole numbers with commas between; got {text!r}"
        ) from error


def _print_table(table: pd.DataFrame) -> None:
    from bayescam.report import to_text

    typer.echo(to_text(table))


def _tell_skipped(folder: Path) -> None:
    """Say how many images could not be decoded, if any."""
    lines = (folder.expanduser() / "skipped.csv").read_text().splitlines()[1:]
    if lines:
        typer.echo(f"{len(lines)} images could not be decoded: {folder / 'skipped.csv'} says why")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if not issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning):
        _complain(f"note: {message}")


def _complain(line: str) -> None:
    typer.echo(f"bayescam: {' '.join(line.split())}", err=True)


if __name__ == "__main__":
    sys.exit(main())
