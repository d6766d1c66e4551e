"""COVID-19 on chest X-rays: is the model looking at the lungs, or at where the image is from?

The system of *Explainability and visibility into Covid-19 X-ray classifiers* (Zhong Li), with its
question answered by numbers. Given a model that was saved earlier, it prints class and
probabilities of images as the article does, `0 [[0.917 0.065 0.017]]`, and draws original | heat
map | overlay in HOT, JET and VIRIDIS at the size of each X-ray, by Grad-CAM (Selvaraju et al. 2017,
equations 1 and 2, of the logits) and by its widely copied "guided" variant, and says how far the
article's own maps (`covid_article.py`: which slips they have) are from these:

    python experiments/covid_xray.py --model saved_model.h5 --images a.jpg b.jpg --out runs/maps \
        --class-names COVID-19 pneumonia normal

Given data, it trains a flipout head in folds by patient, several times. "as published" is the usual
mix of three classes: COVID-19 of one collection (adults, from articles), pneumonia and normal
of Kermany's (children of one hospital), so that whoever tells the sources apart is always right
about COVID-19. "corrected" tells COVID-19 from everything else within the first collection.
Both are judged on the same folds: scores; what they make of other findings of the collection; where
their maps lie, against lung masks and beside a centred blob, the mean mask and random weights; and
what they lose when the lungs are blacked out, or everything else is. In that collection only
images of COVID-19 have lung masks, so for scores of classes one and the same lung field is blacked
out in every image, whose shape tells nothing. Features and finished folds are kept, so a run that
was stopped carries on.

    python experiments/covid_xray.py --data covid_chestxray --kermany chest_xray \
        --backbone squeezenet --weights squeezenet_notop.h5 --input-shape 224 224 --out runs/covid
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pandas as pd
import tf_keras
from covid_article import METHODS, agreement, compare_slips
from covid_data import VARIANTS, Config, read_images
from covid_figures import draw_examples, draw_verdict, explain_files
from covid_pooling import Sampled, pool
from covid_tables import probe_variant, score_variant, table_of, verdict
from covid_units import Study, kept_model, open_study, run_unit
from help_format import HelpFormat
from kept_results import keep_config
from rich.console import Console

import bayescam as bc
from bayescam.models import class_names
from bayescam.report import to_markdown


def main(config: Config, output_dir: Path) -> pd.DataFrame:
    """Trains what is not trained yet, writes table and figures, and returns the table."""
    console, started = Console(), time.monotonic()
    output_dir.mkdir(parents=True, exist_ok=True)
    keep_config(config, output_dir / "config.json", without={"seeds"})
    images = read_images(config)
    console.print(images.records.value_counts(["source", "label"]).sort_index().to_string())
    study = open_study(config, images, output_dir, console)
    columns, intervals, sentences = {}, {}, []
    for variant in VARIANTS:
        seeds = [
            pool([run_unit(study, variant, seed, fold) for fold in range(config.folds)])
            for seed in config.seeds
        ]
        found, credible = score_variant(images, variant, seeds)
        found |= probe_variant(images, variant, study.seen, config.seeds)
        columns[variant] = found | credible
        sampled = {name: v.interval() for name, v in found.items() if isinstance(v, Sampled)}
        intervals[variant] = sampled | credible
        sentences.append(verdict(variant, found, next(iter(credible.values()))))
    table = table_of(columns)
    table.to_csv(output_dir / "table.csv")
    (output_dir / "verdict.txt").write_text("\n".join(sentences) + "\n")
    draw_figures(study, output_dir, intervals)
    slips = judge_slips(study)
    slips.to_csv(output_dir / "maps.csv")
    print(f"\n{to_markdown(table)}\n")
    print("\n".join(sentences))
    print(f"\nmaps of one network, the article's and correct ones\n{to_markdown(slips)}\n")
    print(f"{(time.monotonic() - started) / 60:.1f} minutes", flush=True)
    return table


def draw_figures(
    study: Study, output_dir: Path, intervals: dict[str, dict[str, tuple[float, float, float]]]
) -> None:
    """The verdict, and maps of test images of the first fold and seed by the networks of these."""
    config, images = study.config, study.images
    draw_verdict(intervals).savefig(output_dir / "verdict.png", dpi=150)
    seed = config.seeds[0]
    models = {name: bc.load_model(kept_model(output_dir, name, seed)) for name in VARIANTS}
    rows = example_rows(study)
    figure = draw_examples(models, images, rows, config.num_samples)
    figure.savefig(output_dir / "maps.png", dpi=150)
    paths = images.records["path"].iloc[rows].tolist()
    for line in explain_files(
        models["corrected"], paths, output_dir / "maps", num_samples=config.num_samples
    ):
        print(line)


def judge_slips(study: Study) -> pd.DataFrame:
    """The article's maps beside correct ones: the network that was kept, its masked test images."""
    unit = run_unit(study, "corrected", study.config.seeds[0], 0)
    rows, images = unit["masked"], study.images
    return compare_slips(
        bc.load_model(kept_model(study.folder, "corrected", study.config.seeds[0])),
        bc.load_images(images.records["path"].iloc[rows], images.field.shape),
        images.masks[rows],
        images.groups()[rows],
    )


def example_rows(study: Study) -> list[int]:
    """Test images of the first fold, of the collection, some of each class, taken at random."""
    unit = run_unit(study, "corrected", study.config.seeds[0], 0)
    rows = study.images.records.iloc[unit["test"]]
    chosen = rows.groupby("corrected").sample(study.config.shown, random_state=0)
    return [int(row) for row in chosen.index]


def load_classifier(
    path: Path, names: Sequence[str] | None, rescale: float, *, trust: bool = False
) -> tf_keras.Model:
    """A model that was saved earlier, of bayescam or of any other maker.

    Args:
        path: An `.h5` or `.keras` file, or a SavedModel folder.
        names: Names of the classes; those of the file, or "class 0", "class 1", ... if `None`.
        rescale: What the model's own input pipeline multiplied pixels in 0..255 by.
        trust: Whether to execute code that the model carries; a SavedModel folder needs it.
    """
    model = bc.load_model(path, trust=trust)
    try:
        class_names(model)
    except bc.InputError:
        number = max(2, int(model.output_shape[-1]))
        names = [f"class {k}" for k in range(number)] if names is None else list(names)
        return bc.adapt_model(model, names, rescale=rescale)
    return model


def explain_saved(given: argparse.Namespace) -> None:
    """Prints the probabilities of images by a saved model, and writes their figures."""
    model = load_classifier(given.model, given.class_names, given.rescale, trust=given.trust)
    print(dict(enumerate(class_names(model))))
    lines = explain_files(
        model,
        given.images,
        given.out,
        num_samples=given.num_samples,
        target_layer=given.target_layer,
    )
    print("\n".join(lines))
    pictures = bc.load_images(given.images, model.input_shape[1:3])
    for method, title in METHODS.items():
        found = agreement(model, pictures, method, given.target_layer)
        print(
            f"{title} as the article has it, of the softmax and with the gradients of all "
            f"{len(found)} images averaged: rank correlation with these maps "
            f"{', '.join(f'{value:.2f}' for value in found)}"
        )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormat)
    made.add_argument("--out", required=True, type=Path, help="folder of the results")
    saved = made.add_argument_group("a model that was saved earlier")
    saved.add_argument("--model", type=Path, help="an .h5 or .keras file, or a SavedModel folder")
    saved.add_argument(
        "--trust", action="store_true", help="execute code of the model; a SavedModel needs it"
    )
    saved.add_argument("--images", nargs="+", help="image files")
    saved.add_argument("--class-names", nargs="+", help="in the order of the model's outputs")
    saved.add_argument("--rescale", type=float, default=1 / 255, help="of pixels in 0..255")
    saved.add_argument("--target-layer", help="by default the last maps before the pooling")
    study = made.add_argument_group("training")
    study.add_argument("--data", help="COVID-19 collection (ieee8023)")
    study.add_argument("--kermany", help="chest X-ray folder (Kermany)")
    study.add_argument("--weights", help='backbone weights, an .h5 file or "imagenet"')
    study.add_argument("--backbone", default=Config.backbone)
    study.add_argument("--input-shape", type=int, nargs=2, default=Config.input_shape[:2])
    study.add_argument("--head-epochs", type=int, default=Config.head_epochs)
    study.add_argument("--fine-tune-layers", type=int, default=Config.fine_tune_layers)
    study.add_argument("--epochs", type=int, default=Config.epochs, help="of fine-tuning")
    study.add_argument("--num-views", type=int, default=Config.num_views)
    study.add_argument("--num-samples", type=int, default=Config.num_samples)
    study.add_argument("--folds", type=int, default=Config.folds)
    study.add_argument("--seeds", type=int, nargs="+", default=Config.seeds)
    return made


def config_of(given: argparse.Namespace) -> Config:
    """The configuration of a training."""
    values = {f.name: getattr(given, f.name) for f in fields(Config) if hasattr(given, f.name)}
    values["input_shape"] = (*given.input_shape, 3)
    values["seeds"] = tuple(given.seeds)
    return Config(**values)


def run(arguments: Sequence[str] | None = None) -> None:
    """Explains images by a saved model if one is given, and trains otherwise."""
    given = parser().parse_args(arguments)
    if given.model is not None:
        if not given.images:
            raise bc.InputError("--model explains images; name them with --images")
        explain_saved(given)
    elif given.data is None or given.kermany is None:
        raise bc.InputError("give --model and --images, or --data and --kermany to train")
    else:
        main(config_of(given), given.out)


if __name__ == "__main__":
    try:
        run()
    except bc.InputError as error:
        print(f"covid_xray: {error}", file=sys.stderr)
        sys.exit(2)
