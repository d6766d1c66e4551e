"""A planted shortcut over several seeds: is it found in every one, and is the control clean?

Runs `bayescam shortcut` for each seed (split, choice of images, heads and draws are new in each),
prints the differences between the model trained with the artefact and the one trained without it,
and writes one table and one figure. What is complete is kept, so a run that was stopped carries on.

    python experiments/shortcut.py --data ham10000:DIR --artefact ruler --backbone squeezenet \
        --weights squeezenet_notop.h5 --input-size 150 200 --out runs/shortcut

With --lungs, on X-rays with lung masks: where the maps of the predicted class lie, and how both
models do when the lungs are blacked out (a model that does not mind reads something else).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from help_format import HelpFormat
from scipy.special import softmax

import bayescam as bc
from bayescam.data import ARTEFACTS, load_mask
from bayescam.data.records import group_keys
from bayescam.explain import CamExplainer, class_maps, energy_in_masks
from bayescam.models import class_names
from bayescam.report import interval_table, shortcut_figure, to_markdown
from bayescam.types import Array
from bayescam.uncertainty import bootstrap_means
from bayescam.workflows.analysis import explain_padded
from bayescam.workflows.shortcut import ShortcutConfig, ShortcutOutcome, run_shortcut
from bayescam.workflows.shortcut_examples import load_examples
from bayescam.workflows.shortcut_models import head_draws
from bayescam.workflows.shortcut_scores import DECISIVE, shown_table

BATCH = 32


def main(
    config: ShortcutConfig, output_dir: Path, seeds: Sequence[int], *, lungs: bool = False
) -> pd.DataFrame:
    """Runs every seed that is not done yet, writes table and figure, and returns the table."""
    outcomes = {seed: run_shortcut(output_dir, config, seed=seed, announce=print) for seed in seeds}
    table = pd.concat([found.table.assign(seed=seed) for seed, found in outcomes.items()])
    table.to_csv(output_dir / "table.csv", index=False)
    print(to_markdown(difference_table(outcomes)))
    for seed, found in outcomes.items():
        print(f"\nseed {seed}\n{to_markdown(shown_table(found.table))}")
    number = sum(found.found for found in outcomes.values())
    print(f"\nthe shortcut is found in {number} of {len(outcomes)} seeds")
    first = outcomes[seeds[0]]
    shortcut_figure(
        [found.table for found in outcomes.values()],
        load_examples(first.folder / "examples.npz"),
        planted_class=first.planted_class,
        artefact=config.planted,
    ).savefig(output_dir / "shortcut.png", dpi=150)
    if lungs:
        by_model = {
            name: judge_lungs(first.folder, name, config.num_samples)
            for name in ("planted", "control")
        }
        judged = interval_table(by_model)
        judged.to_csv(output_dir / "lungs.csv")
        print(f"\nseed {seeds[0]}, test images with lung masks, no artefact\n{to_markdown(judged)}")
    return table


def difference_table(outcomes: dict[int, ShortcutOutcome]) -> pd.DataFrame:
    """One row per seed: the decisive differences, planted - control, and the verdict."""
    rows = {
        f"seed {seed}": {
            **shown_table(found.table).loc[list(DECISIVE), "difference"],
            "found": "yes" if found.found else "no",
        }
        for seed, found in outcomes.items()
    }
    return pd.DataFrame(rows).T.rename_axis("planted - control [draws] [groups]")


def judge_lungs(folder: Path, name: str, num_samples: int) -> dict[str, tuple[float, float, float]]:
    """Energy outside the lungs and accuracy, as they are and with black lungs, with intervals."""
    model = bc.load_model(folder / f"{name}.keras")
    records = pd.read_parquet(folder / "records.parquet")
    records = records[(records["split"] == "test") & records["mask_path"].notna()]
    if records["label"].nunique() < 2:
        raise bc.InputError("--lungs needs test images of two classes with lung masks")
    size = model.input_shape[1:3]
    images = bc.load_images(records["path"], size)
    masks = np.stack([load_mask(path, size) for path in records["mask_path"]])
    labels = records["label"].map(class_names(model).index).to_numpy()
    inside, right = predicted_maps(model, images, masks, labels, num_samples)
    black = np.where(masks[..., np.newaxis], np.uint8(0), images)
    _, right_black = predicted_maps(model, black, masks, labels, num_samples)
    scores = {
        "map energy outside the lungs": 1.0 - inside,
        "area outside the lungs": 1.0 - masks.mean(axis=(1, 2)),
        "accuracy": right,
        "accuracy, lungs blacked out": right_black,
    }
    found = {key: bootstrap_means(value, group_keys(records)) for key, value in scores.items()}
    return {
        key: (float(part.estimate), float(part.lower), float(part.upper))
        for key, part in found.items()
    }


def predicted_maps(
    model: object, images: Array, masks: Array, labels: Array, num_samples: int
) -> tuple[Array, Array]:
    """Energy in the masks of the predicted class's mean map, and whether it is right, (N,) each."""
    explainer = CamExplainer(head_draws(model, num_samples, 0))
    energy, right = [], []
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        draws = explain_padded(explainer, images[rows], BATCH, lambda *_: None)
        predicted = softmax(draws.logits, axis=-1).mean(axis=0).argmax(axis=1)
        maps = class_maps(draws.cams.mean(axis=0), predicted)
        energy.append(energy_in_masks(maps, list(masks[rows])))
        right.append(predicted == labels[rows])
    return np.concatenate(energy), np.concatenate(right).astype(float)


def parse(arguments: Sequence[str] | None = None) -> tuple[ShortcutConfig, Path, list[int], bool]:
    """The configuration, the output folder, the seeds and --lungs from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormat)
    parser.add_argument("--data", metavar="KIND:PATH", help="default: synthetic skin lesions")
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--artefact", choices=ARTEFACTS)
    parser.add_argument("--planted-class", help="default: the second most frequent")
    parser.add_argument("--share", type=float, default=ShortcutConfig.share)
    parser.add_argument("--other-share", type=float, default=ShortcutConfig.other_share)
    parser.add_argument("--backbone", default=ShortcutConfig.backbone)
    parser.add_argument("--weights", help="backbone weights, a file")
    parser.add_argument("--head", default=ShortcutConfig.head)
    parser.add_argument("--input-size", type=int, nargs=2)
    parser.add_argument("--num-samples", type=int, default=ShortcutConfig.num_samples)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--lungs", action="store_true", help="judge lungs: X-rays with lung masks")
    given = vars(parser.parse_args(arguments))
    out, seeds, lungs = given.pop("out"), given.pop("seeds"), given.pop("lungs")
    size = given.pop("input_size")
    shape = None if size is None else (size[0], size[1], 3)
    return ShortcutConfig(**given, input_shape=shape), out, seeds, lungs


if __name__ == "__main__":
    try:
        config, out, seeds, lungs = parse()
        main(config, out, seeds, lungs=lungs)
    except bc.InputError as error:
        print(f"shortcut: {error}", file=sys.stderr)
        sys.exit(2)
