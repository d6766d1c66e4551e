"""`bayescam demo`: the whole story on synthetic skin lesions, from images to the report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bayescam.data import write_phantoms
from bayescam.inference.training import TrainingSettings
from bayescam.types import InputError
from bayescam.workflows.config import DataConfig, ModelConfig, TrainConfig
from bayescam.workflows.evaluate import evaluate_folder, scores_table
from bayescam.workflows.folders import write_json
from bayescam.workflows.progress import progress_bars
from bayescam.workflows.report import report_folder
from bayescam.workflows.streaming import AnalysisOptions, analyze_records
from bayescam.workflows.train import train_run

__all__ = ["DemoOutcome", "run_demo"]

_NUM_IMAGES = 800
_NUM_SAMPLES = 100
_NUM_CASES = 24
_TRAINING = TrainingSettings(
    num_views=4,
    head_epochs=3,
    fine_tune_layers=18,
    fine_tune_epochs=12,
    fine_tune_learning_rate=2e-3,
    average_decay=0.99,
)


@dataclass(frozen=True)
class DemoOutcome:
    """Where the report of the demo is, and its scores with intervals."""

    report: Path
    scores: pd.DataFrame


def run_demo(
    out: str | os.PathLike[str] = "demo",
    *,
    seed: int = 0,
    num_images: int = _NUM_IMAGES,
    num_cases: int = _NUM_CASES,
    training: TrainingSettings = _TRAINING,
    progress: bool = True,
    announce: Callable[[str], object] | None = None,
) -> DemoOutcome:
    """Make phantoms, train a narrow VGG with a flipout head, analyze, evaluate and report.

    Steps that are complete are kept, so a call that was interrupted carries on.

    Args:
        out: folder for everything.
        seed: of everything.
        num_images: how many phantoms.
        num_cases: how many of them the report shows.
        training: how to train.
        progress: show bars on standard error.
        announce: told what each step does.

    Raises:
        InputError: `out` holds a demo of another seed or number of images.
    """
    root = Path(out).expanduser()
    tell = announce or (lambda line: None)
    _keep_choices(root, {"seed": seed, "num_images": num_images})
    data, run, analysis = root / "data", root / "run", root / "analysis"
    config = _config(data, seed, training)
    if not data.exists():
        tell(f"1/5 {num_images} synthetic skin lesions in {data}")
        with progress_bars(shown=progress) as report:
            write_phantoms(
                data,
                num_images=num_images,
                seed=seed,
                progress=lambda done, total: report("phantoms", done, total, ""),
            )
    if not run.exists():
        tell(f"2/5 training a narrow VGG with a flipout head in {run}")
        train_run(config, run, progress=progress)
    if not analysis.exists():
        tell(f"3/5 {_NUM_SAMPLES} posterior draws and their maps in {analysis}")
        options = AnalysisOptions(num_samples=_NUM_SAMPLES, seed=seed)
        analyze_records(run, out=analysis, options=options, progress=progress, announce=tell)
    if not (analysis / "evaluation.json").exists():
        tell("4/5 calibration on the validation images, scores on the test images")
        evaluate_folder(analysis, seed=seed)
    page = analysis / "report" / "index.html"
    if not page.exists():
        tell("5/5 the report")
        report_folder(analysis, num_cases=num_cases, progress=progress)
    evaluation = json.loads((analysis / "evaluation.json").read_text())
    return DemoOutcome(page, scores_table(evaluation))


def _config(data: Path, seed: int, training: TrainingSettings) -> TrainConfig:
    return TrainConfig(
        seed=seed,
        data=DataConfig(source=f"ham10000:{data}", augmentation="skin"),
        model=ModelConfig(backbone="narrow_vgg", input_shape=(96, 128, 3)),
        training=training,
    )


def _keep_choices(root: Path, choices: dict[str, int]) -> None:
    """Write what was asked for beside the results, or refuse to mix them with other choices."""
    path = root / "demo.json"
    found = json.loads(path.read_text()) if path.exists() else choices
    for name, value in choices.items():
        if found[name] != value:
            option = "--" + name.replace("_", "-")
            raise InputError(
                f"{root} holds a demo with {option} {found[name]}, not {value}: give {option} "
                f"{found[name]}, or another --out"
            )
    root.mkdir(parents=True, exist_ok=True)
    write_json(path, choices)
