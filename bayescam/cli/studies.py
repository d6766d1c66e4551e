"""`bayescam demo` and `bayescam shortcut`: from training to the result in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bayescam.cli.completion import complete_backbone, complete_data
from bayescam.cli.console import load_tensorflow, print_table
from bayescam.cli.options import Head, NumSamples, Out, Seed

__all__ = ["demo", "shortcut"]


def demo(
    out: Out = Path("demo"),
    seed: Seed = 0,
    num_images: Annotated[int, typer.Option(min=100, help="Synthetic images.")] = 800,
) -> None:
    """The whole story on synthetic skin lesions: train, analyze, evaluate, report."""
    load_tensorflow()
    from bayescam.workflows.demo import run_demo

    outcome = run_demo(out, seed=seed, num_images=num_images, announce=typer.echo)
    print_table(outcome.scores)
    typer.echo(f"report: {outcome.report}")


def shortcut(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the study, with one for each seed.")
    ] = Path("shortcut"),
    data: Annotated[
        str | None,
        typer.Option(
            metavar="KIND:PATH",
            help="Data set.  [default: synthetic skin lesions]",
            autocompletion=complete_data,
        ),
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
    backbone: Annotated[
        str, typer.Option(help="As in bayescam train.", autocompletion=complete_backbone)
    ] = "narrow_vgg",
    head: Head = "flipout",
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
    load_tensorflow()
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
