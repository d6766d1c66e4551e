r"""Which posterior is best? Every kind of head on the same cached features of two data sets.

Skin lesions: the features of the fine-tuned networks that `skin_lesions.py` left, one for each of
its lesion-disjoint splits. Where it left several on each (`--networks 3`), the heads stand on the
first, and the networks together are one more row, an ensemble of whole models. Chest X-rays: those
of the backbone as it comes, one set, in as many patient-disjoint splits. Every head is trained with
several seeds on every split, calibrated on validation images (temperature and class bias) and
scored on the test images; prior and dropout rate are chosen on validation images of the first seed,
by cross-fitting, and so is, over all seeds and splits, the head that the others are compared with.
Images of the other organ and phantoms are foreign images. A second table of skin lesions is of the
same draws with what age, sex and site of the lesion say of the classes (`fit_covariate_prior`); its
weight is chosen on validation images with the fine-tuned network. Flipout, reparameterisation and
local reparameterisation are one posterior with three gradient estimators:
they share one choice of the prior, and their differences are optimisation noise. The Laplace heads
and the members of the ensemble are trained as the dense head is, to the maximum of the posterior.

    python experiments/skin_lesions.py --data ham10000 --weights squeezenet_notop.h5 --out runs/skin
    python experiments/posterior_comparison.py --skin ham10000 --skin-run runs/skin \
        --chest chest_xray --weights squeezenet_notop.h5 --out runs/posteriors
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from help_format import HelpFormat
from kept_results import keep_config
from posterior_config import (
    BIAS_PENALTY,
    CONCERN,
    COVARIATES,
    HEADS,
    PROBE,
    REFERENCES,
    VARIATIONAL,
    Config,
)
from posterior_data import TASKS, Task, chest_features, phantoms
from posterior_heads import choose_options, linear_probe, run_head, validation_loss
from posterior_scores import OUTCOMES, HeadScores, score_head
from posterior_table import compare_heads, gain_lines
from rich.console import Console
from threadpoolctl import threadpool_limits

import bayescam as bc
from bayescam.report import to_markdown
from bayescam.types import Array
from bayescam.uncertainty import fit_calibration, fit_mahalanobis

INFORMED = f"skin, with {', '.join(COVARIATES)}"


def main(config: Config, output_dir: Path, *, jobs: int = 1) -> dict[str, pd.DataFrame]:
    """Trains what is not trained yet, prints one table per data set and returns them."""
    started = time.monotonic()
    output_dir.mkdir(parents=True, exist_ok=True)
    keep_config(config, output_dir / "config.json")
    chest_features(config, output_dir)  # once, before the processes share them, as the phantoms
    phantoms("skin", config.num_foreign, output_dir)
    units = [(config, name, split, output_dir) for name in TASKS for split in config.splits]
    if jobs == 1:
        scored = [score_unit(*unit) for unit in units]
    else:
        threads = max(1, (os.cpu_count() or 1) // jobs)
        spawn = get_context("spawn")
        with ProcessPoolExecutor(jobs, spawn, initializer=use_threads, initargs=(threads,)) as pool:
            scored = list(pool.map(score_unit, *zip(*units, strict=True)))
    tables = {}
    for name, scores in gather(scored).items():
        tables[name], verdict = compare_heads(scores, REFERENCES, VARIATIONAL)
        tables[name].to_csv(output_dir / f"{name}.csv")
        if name == INFORMED:
            heads = list(tables[name].index)
            verdict += gain_lines(gather(scored)["skin"], scores, heads, ", ".join(COVARIATES))
        print(f"\n{name}: {describe(config, name)}\n\n{to_markdown(tables[name])}\n")
        print("\n".join(verdict), flush=True)
    print(f"\n{(time.monotonic() - started) / 60:.1f} minutes with {jobs} processes")
    return tables


def use_threads(number: int) -> None:
    """Gives this process its share of the cores.

    Threads of two processes wait for each other: a head then takes several times as long to score.
    """
    tf.config.threading.set_intra_op_parallelism_threads(number)
    tf.config.threading.set_inter_op_parallelism_threads(number)
    threadpool_limits(number)


def gather(scored: Sequence[dict[str, list[HeadScores]]]) -> dict[str, list[HeadScores]]:
    """The scores of each table, of all units."""
    names = dict.fromkeys(name for unit in scored for name in unit)
    return {name: [s for unit in scored for s in unit.get(name, [])] for name in names}


def score_unit(
    config: Config, name: str, split: int, output_dir: Path
) -> dict[str, list[HeadScores]]:
    """The scores of every head and seed on one split of one data set, by table."""
    console, folder = Console(), output_dir / f"{name}_{split}"
    task = TASKS[name](config, split, folder, console)
    return score_task(task, config, split, folder, console)


def describe(config: Config, name: str) -> str:
    """What a table is of."""
    return (
        f"mean of {len(config.splits)} splits x {len(config.seeds)} seeds, {config.num_samples} "
        f"draws, calibrated on validation images; missed silently are images of "
        f"{CONCERN[name.split(',')[0]]} that are kept and called something else"
    )


def score_task(
    task: Task, config: Config, split: int, folder: Path, console: Console
) -> dict[str, list[HeadScores]]:
    """The scores of every head and seed on one split, by table."""
    folder.mkdir(parents=True, exist_ok=True)
    train = task.fitting[0].values[0]
    distance = fit_mahalanobis(train, task.fitting_labels[0])
    by_distance = {
        name: np.mean([distance.distance(view) for view in views], axis=0)
        for name, views in task.seen.items()
        if name != "val"
    }
    chosen = choose_options(task, config, folder, console)
    jobs: list[tuple[str, int]] = [(name, seed) for name in config.heads for seed in config.seeds]
    runs = {(name, seed): run_head(task, name, seed, chosen, config, folder) for name, seed in jobs}
    runs[PROBE, 0] = linear_probe(task, console)
    runs |= {(name, 0): made | {"seconds": np.nan} for name, made in task.tuned.items()}
    tables: dict[str, list[HeadScores]] = {}
    for key, run in runs.items():
        states = {task.name: (run, by_distance)}
        if task.log_ratio:
            states[INFORMED] = (informed(task, run), {})
        for name, (draws, distances) in states.items():
            score = score_run(task, draws, key, split, distances)
            tables.setdefault(name, []).append(score)
            if key[1] == 0:
                shown = {outcome: round(score.estimate[outcome], 4) for outcome in OUTCOMES[:6]}
                console.print(f"{name} {split}: {key[0]}: {shown}", highlight=False)
    return tables


def informed(task: Task, run: dict[str, Any]) -> dict[str, Any]:
    """Logits of a head with what is known beside the image; of foreign images that is nothing."""
    known = {part: run[part] + ratio for part, ratio in task.log_ratio.items()}
    return known | {"seconds": run["seconds"]}


def score_run(
    task: Task, run: dict[str, Any], key: tuple[str, int], split: int, by_distance: dict[str, Array]
) -> HeadScores:
    """The scores of one head with one seed, calibrated on validation images."""
    fit = fit_calibration(run["val"], task.labels["val"], bias_penalty=BIAS_PENALTY)
    return score_head(
        {name: fit.apply(run[name]) for name in ("test", *task.foreign) if name in run},
        task.labels["test"],
        task.groups["test"],
        task.class_names,
        head=key[0],
        split=split,
        seed=key[1],
        concern=task.concern,
        by_distance=by_distance,
        validation_loss=validation_loss(task, run["val"]),
        seconds=float(run["seconds"]),
    )


def parse(arguments: Sequence[str] | None = None) -> tuple[Config, Path, int]:
    """The configuration, the output folder and the number of processes, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormat)
    parser.add_argument("--skin", required=True, help="HAM10000 folder")
    parser.add_argument("--skin-run", required=True, help="of skin_lesions.py")
    parser.add_argument("--chest", required=True, help="chest X-ray folder (Kermany)")
    parser.add_argument("--weights", help='backbone weights, an .h5 file or "imagenet"')
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--seeds", type=int, nargs="+", default=Config.seeds)
    parser.add_argument("--splits", type=int, nargs="+", default=Config.splits)
    parser.add_argument("--heads", nargs="+", choices=list(HEADS), default=Config.heads)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    given = vars(parser.parse_args(arguments))
    out, jobs = given.pop("out"), given.pop("jobs")
    lists = {key: tuple(given.pop(key)) for key in ("seeds", "splits", "heads")}
    return Config(**given, **lists), out, jobs


if __name__ == "__main__":
    try:
        config, out, jobs = parse()
        main(config, out, jobs=jobs)
    except bc.InputError as error:
        print(f"posterior_comparison: {error}", file=sys.stderr)
        sys.exit(2)
