"""`bayescam shortcut`: does a classifier lean on a planted artefact, and do its maps say so?

An artefact is planted in most images of one class; one head is trained on these images, another,
the control, on the same images without it. Both are shown the same test images with and without
the artefact. A frozen backbone runs once per image and version; its features are kept and serve
every seed and both heads. Where layers are fine-tuned, as those of the phantoms' small random
network are, each model has its own.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tf_keras
from numpy.typing import NDArray

from bayescam.data import ARTEFACTS, Artefact
from bayescam.data.records import group_keys
from bayescam.models import build_classifier, class_names, save_model
from bayescam.report import shortcut_figure
from bayescam.types import Array, InputError
from bayescam.workflows.folders import (
    data_fingerprint,
    new_manifest,
    read_manifest,
    work_folder,
    write_atomically,
    write_json,
    write_table,
)
from bayescam.workflows.progress import ProgressReport, progress_bars
from bayescam.workflows.shortcut_config import ShortcutConfig
from bayescam.workflows.shortcut_examples import example_rows, make_examples, save_examples
from bayescam.workflows.shortcut_models import (
    ShownImages,
    both_features,
    class_codes,
    fine_tune,
    head_draws,
    show_images,
    train_head,
)
from bayescam.workflows.shortcut_records import read_planted
from bayescam.workflows.shortcut_scores import (
    compare_models,
    decision_scores,
    is_found,
    map_scores,
)

__all__ = ["ShortcutConfig", "ShortcutOutcome", "run_shortcut"]


@dataclass(frozen=True)
class ShortcutOutcome:
    """What one seed has shown: its folder, `table` of `compare_models`, and the verdict."""

    folder: Path
    table: pd.DataFrame
    planted_class: str
    found: bool


def run_shortcut(
    out: str | os.PathLike[str],
    config: ShortcutConfig | None = None,
    *,
    seed: int = 0,
    progress: bool = True,
    announce: Callable[[str], object] | None = None,
) -> ShortcutOutcome:
    """Plant an artefact, train with and without it, and write what both models make of it.

    `out/seed_<seed>` gets `table.csv`, `shortcut.png`, `scores.npz`, `planted.keras` and
    `control.keras`. Other seeds go beside it and use the same features. What is complete is kept,
    so a call that was interrupted carries on.

    Args:
        out: folder for everything.
        config: what to do.
        seed: of the split, the choice of images, the heads and the draws.
        progress: show bars on standard error.
        announce: told what each step does.

    Raises:
        InputError: the data or an argument do not fit, or `out` holds the results of another
            configuration.
    """
    config = config or ShortcutConfig()
    root, tell = Path(out).expanduser(), announce or (lambda line: None)
    if config.planted not in ARTEFACTS:
        raise InputError(f"`artefact` must be one of {', '.join(ARTEFACTS)}; got {config.artefact}")
    _keep_config(root, config)
    folder = root / f"seed_{seed}"
    with progress_bars(shown=progress) as report:
        if not folder.exists():
            records, planted_class = read_planted(root, config, seed, report, tell)
            _run(root, folder, config, records, planted_class, seed, report, tell)
    manifest = read_manifest(folder, "shortcut")
    table = pd.read_csv(folder / "table.csv")
    return ShortcutOutcome(folder, table, manifest["settings"]["planted_class"], is_found(table))


def _keep_config(root: Path, config: ShortcutConfig) -> None:
    """Write the configuration beside the results, or refuse to mix them with another's."""
    path, now = root / "shortcut.json", _plain(config)
    found = json.loads(path.read_text()) if path.exists() else now
    for name, value in now.items():
        if found.get(name) != value:
            raise InputError(
                f"{root} holds a study with {name} {found.get(name)!r}, not {value!r}: give "
                "another --out"
            )
    root.mkdir(parents=True, exist_ok=True)
    write_json(path, now)


def _run(
    root: Path,
    target: Path,
    config: ShortcutConfig,
    records: pd.DataFrame,
    planted_class: str,
    seed: int,
    report: ProgressReport,
    tell: Callable[[str], object],
) -> None:
    """Write the folder of one seed."""
    manifest = new_manifest(
        "shortcut",
        seed=seed,
        fingerprint=data_fingerprint(records),
        settings={**_plain(config), "artefact": config.planted, "planted_class": planted_class},
    )
    here = (records["split"] == "test").to_numpy()
    test, shown = records[here].reset_index(drop=True), {}
    with work_folder(target, manifest) as folder:
        for place, name in enumerate(("planted", "control")):
            tell(f"seed {seed}, {name}: training, draws and maps of {len(test)} test images")
            model = _build(config, records, seed)
            chosen = records["planted"].to_numpy() & (name == "planted")
            work = folder / "work" / name if config.settings(seed).fine_tune_layers else None
            seen = _train(model, config, records, chosen, seed, root, work, report)
            save_model(model, folder / f"{name}.keras")
            draws = head_draws(model, config.num_samples, 2 * seed + place)
            index = class_names(model).index(planted_class)
            shown[name] = show_images(draws, seen, test, config.planted, index, report)
        _write(folder, shown, model, test, config.planted, planted_class, seed)
        write_table(folder / "records.parquet", records)
        shutil.rmtree(folder / "work", ignore_errors=True)


def _train(
    model: tf_keras.Model,
    config: ShortcutConfig,
    records: pd.DataFrame,
    chosen: NDArray[np.bool_],
    seed: int,
    root: Path,
    work: Path | None,
    report: ProgressReport,
) -> Array:
    """Train a model in place and return the features of both versions of the test images."""
    here, training = (records["split"] == "test").to_numpy(), config.settings(seed)
    if work is None:
        features = both_features(model, records, config.planted, root / "features", report)
        train_head(model, features, records, chosen, training, report)
        return features[:, here]
    fine_tune(model, records, chosen, config.planted, training, work, report)
    test = records[here].reset_index(drop=True)
    return both_features(model, test, config.planted, None, report)


def _write(
    folder: Path,
    shown: dict[str, ShownImages],
    model: tf_keras.Model,
    test: pd.DataFrame,
    artefact: Artefact,
    planted_class: str,
    seed: int,
) -> None:
    """Write scores, table, examples and figure."""
    index = class_names(model).index(planted_class)
    where = class_codes(model, test), test["planted"].to_numpy(), index
    scores = {
        name: map_scores(seen.energy) | decision_scores(seen.plain, seen.planted, *where)
        for name, seen in shown.items()
    }
    table = compare_models(scores["planted"], scores["control"], group_keys(test), seed=seed)
    rows = example_rows(test, planted_class, seed)
    examples = make_examples(shown, test, rows, artefact, model.input_shape[1:], index)
    figure = shortcut_figure([table], examples, planted_class=planted_class, artefact=artefact)
    arrays = {
        f"{name}/{score}": values.astype(np.float32)
        for name, by_score in scores.items()
        for score, values in by_score.items()
    }
    write_table(folder / "table.csv", table)
    write_atomically(folder / "scores.npz", lambda path: _save(path, arrays))
    save_examples(folder / "examples.npz", examples)
    write_atomically(
        folder / "shortcut.png", lambda path: figure.savefig(path, dpi=150, format="png")
    )


def _save(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _build(config: ShortcutConfig, records: pd.DataFrame, seed: int) -> tf_keras.Model:
    return build_classifier(
        config.backbone,
        class_names=sorted(records["label"].unique()),
        head=config.head,
        weights=None if config.weights is None else os.path.expanduser(config.weights),
        input_shape=config.shape,
        seed=seed,
    )


def _plain(config: ShortcutConfig) -> dict[str, Any]:
    """The configuration as JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return plain
