"""Times `bayescam evaluate` with all options, and its memory, on a synthetic analysis.

    python experiments/benchmarks/evaluate_time.py

10,000 scored images of 7,500 lesions x 100 draws x 7 classes x 512 features, 1,000 group
bootstraps, as many validation images in a folder of their own, and 2,000 images from elsewhere.
The folders are written as `bayescam analyze` writes them, into a temporary folder, and evaluated by
the command in a process of its own. Printed are its wall time and its peak of resident memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from bayescam.types import CamDraws
from bayescam.workflows.analysis import summarize_logits
from bayescam.workflows.folders import new_manifest, work_folder, write_skipped, write_table
from bayescam.workflows.store import AnalysisStore, StoreLayout

NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
FREQUENCIES = (0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02)
BATCH = 256


def main(num_images: int, num_draws: int) -> tuple[float, float]:
    """Prints and returns seconds and gigabytes."""
    with tempfile.TemporaryDirectory() as root:
        folders = {
            name: write_analysis(
                Path(root) / name,
                count,
                num_draws=num_draws,
                split=split,
                seed=seed,
                shift=shift,
            )
            for seed, (name, count, split, shift) in enumerate(
                [
                    ("analysis", num_images, "test", 0.0),
                    ("validation", num_images, "val", 0.0),
                    ("elsewhere", max(20, num_images // 5), None, 1.0),
                ]
            )
        }
        command = [sys.executable, "-m", "bayescam.cli", "evaluate", folders["analysis"]]
        command += ["--calibration", folders["validation"], "--ood", folders["elsewhere"]]
        command += ["--strata", "localization", "--concern", "mel"]
        started = time.perf_counter()
        subprocess.run([str(part) for part in command], check=True)
        seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    gigabytes = used.ru_maxrss / 2**20
    busy = used.ru_utime + used.ru_stime
    print(
        f"{num_images} images x {num_draws} draws x {len(NAMES)} classes: {seconds:.1f} s wall, "
        f"{busy:.1f} s of processor time"
    )
    print(f"peak of resident memory: {gigabytes:.2f} GB, on {os.cpu_count()} cores")
    return seconds, gigabytes


def write_analysis(
    folder: Path,
    num_images: int,
    *,
    num_draws: int = 100,
    num_features: int = 512,
    split: str | None = "test",
    seed: int = 0,
    shift: float = 0.0,
) -> Path:
    """Writes an analysis folder of draws whose truth is known, without maps, and returns it.

    Args:
        folder: to make.
        num_images: four images of three lesions.
        num_draws: posterior draws, of which the spread differs between images.
        num_features: of the backbone.
        split: of all images; without one, they have no label either.
        seed: of everything.
        shift: of the features, in standard deviations.
    """
    rng = np.random.default_rng(seed)
    records = _records(num_images, split, rng)
    sizes = {"draw": num_draws, "image": num_images, "class": len(NAMES), "feature": num_features}
    layout = StoreLayout(
        sizes | {"target": len(NAMES), "row": 1, "column": 1}, "summary", min(BATCH, num_images)
    )
    settings = {"model": "0" * 16, "class_names": list(NAMES), "num_samples": num_draws}
    manifest = new_manifest(
        "analysis",
        seed=seed,
        fingerprint=f"{seed:016}",
        settings=settings
        | {
            "maps": "summary",
            "targets": list(NAMES),
            "method": "gradcam",
            "layer": "conv",
            "batch_size": layout.batch_size,
        },
    )
    tables = []
    with work_folder(folder, manifest) as partial:
        store = AnalysisStore.create(
            partial / "analysis.zarr",
            layout,
            class_names=NAMES,
            target_names=NAMES,
            attributes={"seed": seed},
        )
        for start in range(0, num_images, layout.batch_size):
            indices = np.arange(start, min(start + layout.batch_size, num_images))
            labels = records["label"].iloc[indices].map(NAMES.index).to_numpy(dtype=int)
            logits = _draw_logits(labels, num_draws, rng)
            features = np.eye(num_features)[labels] * 3 + shift
            features = features + rng.normal(size=features.shape)
            cams = np.zeros((num_draws, len(indices), len(NAMES), 1, 1), np.float32)
            store.write(indices, CamDraws(logits, {"last": cams}, features.astype(np.float32)))
            tables.append(summarize_logits(logits, NAMES))
        if split is None:
            records["label"] = pd.Series([None] * num_images, dtype="str")
        write_table(partial / "records.parquet", records)
        known = records[["image_id", "path", "label", "group", "split"]]
        known = known.assign(image=np.arange(num_images))
        predictions = pd.concat([known, pd.concat(tables, ignore_index=True)], axis=1)
        write_table(partial / "predictions.parquet", predictions)
        write_skipped(partial, [])
    return folder


def _records(num_images: int, split: str | None, rng: np.random.Generator) -> pd.DataFrame:
    name = split or "elsewhere"
    lesion = rng.integers(0, max(2, num_images * 3 // 4), num_images)
    of_lesion = rng.choice(len(NAMES), max(2, num_images), p=FREQUENCIES)
    return pd.DataFrame(
        {
            "image_id": [f"{name}_{i:05}" for i in range(num_images)],
            "path": [f"{name}/{i:05}.jpg" for i in range(num_images)],
            "label": [NAMES[of_lesion[i]] for i in lesion],
            "group": [f"{name}_lesion_{i}" for i in lesion],
            "split": pd.Series([split] * num_images, dtype="str"),
            "mask_path": pd.Series([None] * num_images, dtype="str"),
            "sex": rng.choice(["female", "male"], num_images),
            "localization": rng.choice(
                ["abdomen", "back", "face", "foot", "hand", "scalp"],
                num_images,
                p=[0.2, 0.4, 0.2, 0.1, 0.095, 0.005],
            ),
            "age": rng.integers(1, 18, num_images) * 5.0,
        }
    )


def _draw_logits(labels: np.ndarray, num_draws: int, rng: np.random.Generator) -> np.ndarray:
    """Logits (S, n, K) that speak for the label, overconfident by 1.5; spread grows with doubt."""
    n, k = len(labels), len(NAMES)
    clear = rng.gamma(3.0, 0.8, (n, 1)) * np.eye(k)[labels] + np.log(FREQUENCIES)
    middle = clear + rng.normal(0, 1.0, (n, k))
    spread = rng.gamma(4.0, 0.12, (n, 1))
    return (1.5 * (middle + spread * rng.normal(size=(num_draws, n, k)))).astype(np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=100)
    given = parser.parse_args()
    main(given.images, given.draws)
