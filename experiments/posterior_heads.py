"""The heads of `posterior_comparison.py`: options chosen on validation images, training."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from kept_results import save_arrays
from posterior_config import BIAS_PENALTY, CHOICES, HEADS, VARIATIONAL, Config
from posterior_data import Task, suffix_logits
from rich.console import Console
from scipy.special import log_softmax
from skin_table import mean_probs
from sklearn.linear_model import LogisticRegression

import bayescam as bc
from bayescam.inference.head_training import fit_head
from bayescam.types import Array
from bayescam.uncertainty import cross_fit_logits

CHOOSING_DRAWS = 20  # for the likelihood of validation images, by which only choices are made
STRENGTHS = 10.0 ** np.arange(-5.0, 0.5, 0.5)  # C of the linear probe


def choose_options(
    task: Task, config: Config, folder: Path, console: Console
) -> dict[str, dict[str, float]]:
    """Prior and dropout rate with the best cross-fitted validation likelihood, first seed."""
    best: dict[str, dict[str, float]] = {}
    wanted = {chosen_with(name) for name in config.heads}
    for name, (option, values) in CHOICES.items():
        if name not in wanted:
            continue
        loss = {}
        for value in values:
            run = run_head(task, name, config.seeds[0], {name: {option: value}}, config, folder)
            loss[value] = validation_loss(task, run["val"])
        value = min(loss, key=loss.__getitem__)
        console.print(f"{task.name}: {name}: {option} {value} of {loss}", highlight=False)
        best[name] = {option: value}
    return {name: best[chosen_with(name)] for name in config.heads}


def validation_loss(task: Task, logits: Array) -> float:
    """Mean NLL of validation images, each calibrated by a fit without its lesion or patient.

    Of some twenty of the draws, evenly chosen: calibrating all in five folds takes half of the time
    of the study.
    """
    labels, groups = task.labels["val"], task.groups["val"]
    logits = cross_fit_logits(
        logits[:: max(1, len(logits) // CHOOSING_DRAWS)],
        labels,
        groups,
        bias_penalty=BIAS_PENALTY,
        class_names=task.class_names,
    )
    probs = mean_probs(logits)
    return -float(np.log(probs[np.arange(len(labels)), labels]).mean())


def chosen_with(name: str) -> str:
    """The head whose choice a head shares."""
    if name == "dropout":
        return name
    return "flipout" if name in VARIATIONAL else "dense"


def run_head(
    task: Task,
    name: str,
    seed: int,
    chosen: dict[str, dict[str, float]],
    config: Config,
    folder: Path,
) -> dict[str, Any]:
    """Logits (S, N, K) of the scored images, trained once and kept; the mean over the views."""
    options = {**HEADS[name], **chosen.get(name, {})}
    label = " ".join(str(value) for value in options.values())
    path = folder / f"{label} seed {seed}.npz"
    if not path.exists():
        started = time.monotonic()
        num_features = task.fitting[0].values.shape[-1]
        model = bc.build_head(num_features, class_names=task.class_names, seed=seed, **options)
        fit_head(model, task.fitting, task.fitting_labels, settings=config.training(seed))
        random = bool(bc.draw_posterior(model, 1).split.stochastic)
        number = options.get("num_members", config.num_samples if random else 1)
        logits = suffix_logits(model, task.seen, number, seed)
        save_arrays(path, logits | {"seconds": time.monotonic() - started})
    with np.load(path) as arrays:
        return dict(arrays)


def linear_probe(task: Task, console: Console) -> dict[str, Any]:
    """Logits of scikit-learn's logistic regression; its penalty is chosen on validation images."""
    started = time.monotonic()
    (train, val), (labels, val_labels) = task.fitting, task.fitting_labels
    mean, sd = train.values[0].mean(axis=0), train.values[0].std(axis=0)
    sd[sd == 0] = 1

    def logits(model: LogisticRegression, views: Array) -> Array:
        values = model.decision_function(((views.mean(axis=0)) - mean) / sd)
        return np.column_stack([-values / 2, values / 2]) if values.ndim == 1 else values

    def loss(model: LogisticRegression) -> float:
        log_probs = log_softmax(logits(model, val.values), axis=1)
        return -float(log_probs[np.arange(len(val_labels)), val_labels].mean())

    x = (train.values[0] - mean) / sd
    models = [LogisticRegression(C=c, max_iter=2000).fit(x, labels) for c in STRENGTHS]
    best = min(models, key=loss)
    said = f"{task.name}: linear probe: C {best.C:.2g}"
    if best in (models[0], models[-1]):
        said = f"warning: {said}, the edge of {STRENGTHS[0]:g} to {STRENGTHS[-1]:g}; go further"
    console.print(said, highlight=False)
    made: dict[str, Any] = {key: logits(best, views)[None] for key, views in task.seen.items()}
    return made | {"seconds": time.monotonic() - started}
