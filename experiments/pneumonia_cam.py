"""Pneumonia on chest X-rays: a frozen backbone, a linear classifier, class activation maps.

The system of *Detecting and localizing pneumonia from chest X-ray scans* (H. Ansah), on Kermany's
X-rays: rotations of up to 20 degrees and mirror images, every layer of the backbone frozen, Adam
with a rate that falls every four epochs, the best of ten epochs kept, and the class activation map
of Zhou et al. (CVPR 2016, equation 2) enlarged by linear interpolation, as a jet overlay.

"as published" chooses the epoch by the accuracy on the test images, trains on images that stand in
the test folder too (same file or same patient), and shows the trained model images that are scaled
to [0, 1] but not normalised. "corrected" chooses by the validation likelihood, leaves such images
out of training and cuts validation by patient; the classifier carries its own preprocessing. Both
are scored on the published test images, beside the figures of Kermany et al. (Cell 2018). Features
are kept, so a run that was stopped carries on.

    python experiments/pneumonia_cam.py --data chest_xray --backbone squeezenet \
        --weights squeezenet_notop.h5 --out runs/pneumonia

The article's own network: `--backbone resnet152 --weights imagenet`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from help_format import HelpFormat
from kept_results import keep_config
from pneumonia_data import (
    VARIANTS,
    Config,
    shared_with_test,
    split_sizes,
    variant_split,
)
from pneumonia_maps import draw_examples, score_shown, shown_classes
from pneumonia_network import classifier_of, image_features, train_head
from rich.console import Console
from scipy.special import softmax

import bayescam as bc
from bayescam.report import interval_table, to_markdown
from bayescam.uncertainty import group_bootstrap

SCORES = (
    "accuracy",
    "macro_auc",
    "sensitivity_PNEUMONIA",
    "specificity_PNEUMONIA",
    "negative_log_likelihood",
    "expected_calibration_error",
)
KERMANY = "Kermany et al. 2018"
PUBLISHED = {
    "accuracy": 0.928,
    "macro_auc": 0.968,
    "sensitivity_PNEUMONIA": 0.932,
    "specificity_PNEUMONIA": 0.901,
}


def main(config: Config, output_dir: Path) -> pd.DataFrame:
    """Trains both variants, writes table and figure, and returns the table."""
    console, started = Console(), time.monotonic()
    output_dir.mkdir(parents=True, exist_ok=True)
    keep_config(config, output_dir / "config.json")
    records = bc.read_chest_xray(config.data, published_split=True)
    names = tuple(sorted(records["label"].unique()))
    features = image_features(config, names, records, output_dir, console)
    labels = records["label"].map(names.index).to_numpy(np.int64)
    shared = shared_with_test(records)
    columns, models, sizes = {}, {}, {}
    for variant in VARIANTS:
        split = variant_split(variant, records, shared, config.seed)
        sizes[variant] = split_sizes(split, shared)
        head, history = train_head(config, features, labels, split.to_numpy(), variant)
        history.to_csv(output_dir / f"history, {variant}.csv", index=False)
        console.print(f"{variant}\n{history.round(4).to_string(index=False)}", highlight=False)
        models[variant] = classifier_of(config, names, head)
        bc.save_model(models[variant], output_dir / f"{variant}.keras")
        test = (records["split"] == "test").to_numpy()
        probs = softmax(head.predict(features.values[0, test], verbose=0), axis=1)
        groups = records["group"].fillna(records["image_id"])[test].to_numpy(str)
        scores = group_bootstrap(probs, labels[test], groups, names)
        seen = shown_classes(config, models[variant], records["path"][test].tolist(), variant)
        columns[variant] = {name: scores.interval(name) for name in SCORES}
        columns[variant] |= score_shown(seen, probs.argmax(axis=1), labels[test], groups)
    columns[KERMANY] = {name: (value, np.nan, np.nan) for name, value in PUBLISHED.items()}
    counts = pd.DataFrame(sizes).astype(str)
    table = pd.concat([counts, interval_table(columns)]).fillna("–").rename_axis("score")
    table.to_csv(output_dir / "table.csv")
    draw_examples(config, models, records).savefig(output_dir / "maps.png", dpi=150)
    print(f"\n{to_markdown(table)}\n")
    print(f"{(time.monotonic() - started) / 60:.1f} minutes")
    return table


def parse(arguments: Sequence[str] | None = None) -> tuple[Config, Path]:
    """The configuration and the output folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormat)
    parser.add_argument("--data", required=True, help="chest X-ray folder (Kermany)")
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--weights", help='backbone weights, an .h5 file or "imagenet"')
    parser.add_argument("--backbone", default=Config.backbone)
    parser.add_argument("--input-shape", type=int, nargs=2, default=Config.input_shape[:2])
    parser.add_argument("--epochs", type=int, default=Config.epochs)
    parser.add_argument("--num-views", type=int, default=Config.num_views)
    parser.add_argument("--seed", type=int, default=Config.seed)
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    given["input_shape"] = (*given["input_shape"], 3)
    return Config(**given), out


if __name__ == "__main__":
    try:
        main(*parse())
    except bc.InputError as error:
        print(f"pneumonia_cam: {error}", file=sys.stderr)
        sys.exit(2)
