"""`bayescam train`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from bayescam.cli.completion import complete_backbone
from bayescam.cli.console import load_tensorflow, print_table, tell_skipped
from bayescam.cli.options import Data, Head, KeepIdentifiers, Out, Seed

__all__ = ["train"]


def train(
    data: Data,
    out: Out,
    backbone: Annotated[
        str,
        typer.Option(
            help="vgg16, squeezenet, narrow_vgg, or any of tf_keras.applications.",
            autocompletion=complete_backbone,
        ),
    ] = "vgg16",
    head: Head = "flipout",
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
    keep_identifiers: KeepIdentifiers = False,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Write RUN/tensorboard too, epoch by epoch."),
    ] = False,
    seed: Seed = 0,
) -> None:
    """Train a classifier on a data set and write a run folder."""
    load_tensorflow()
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
            keep_identifiers=keep_identifiers,
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
    history = train_run(config, out, tensorboard=tensorboard)
    print_table(history.set_index("epoch"))
    tell_skipped(out)
    typer.echo(f"run folder: {out}")


def _sizes(text: str) -> tuple[int, ...]:
    from bayescam.types import InputError

    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise InputError(
            f"--hidden-units must be whole numbers with commas between; got {text!r}"
        ) from error
