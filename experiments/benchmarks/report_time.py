"""Times the report of 2,000 cases, and how long Chromium takes until they can be used.

    python experiments/benchmarks/report_time.py

Pictures of 600x450 pixels with a smooth blob, the draws of seven classes, 100 maps of 14x18 cells
of every class, masks: what HAM10000 gives at 300x225. Shall be at least 20 cases a second on 2
cores; from opening `index.html` from disk until lists and all cases are there, at most 2 seconds.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bayescam.types import CamDraws
from bayescam.workflows.analysis import summarize_logits
from bayescam.workflows.folders import new_manifest, work_folder, write_skipped, write_table
from bayescam.workflows.report import report_folder
from bayescam.workflows.store import AnalysisStore, StoreLayout

NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MAP_SHAPE = (14, 18)
PICTURE = (450, 600)


def main(num_images: int, num_draws: int, folder: Path) -> None:
    """Prints cases a second and seconds until the page can be used."""
    analysis = write_analysis(folder, num_images, num_draws, seed=0)
    start = time.perf_counter()
    page = report_folder(analysis, num_cases=num_images, progress=False)
    seconds = time.perf_counter() - start
    size = sum(file.stat().st_size for file in page.parent.rglob("*") if file.is_file())
    print(f"{num_images} cases in {seconds:.1f} s: {num_images / seconds:.0f} cases a second")
    print(f"{size / 1e6:.0f} MB, of which index.js {index_size(page) / 1e6:.2f} MB")
    opened, case = open_in_browser(page)
    print(f"lists and cases usable after {opened:.2f} s, a case shown after {case:.2f} s more")


def write_analysis(folder: Path, num_images: int, num_draws: int, *, seed: int) -> Path:
    """An analysis folder of made-up draws and maps, with pictures and masks on disk."""
    rng = np.random.default_rng(seed)
    records = write_pictures(folder / "data", num_images, rng)
    sizes = {"draw": num_draws, "image": num_images, "class": 7, "target": 7, "feature": 8}
    layout = StoreLayout(sizes | dict(zip(("row", "column"), MAP_SHAPE, strict=True)), "draws", 32)
    manifest = new_manifest(
        "analysis",
        seed=seed,
        fingerprint="made up",
        settings={
            "model": "0" * 16,
            "class_names": list(NAMES),
            "num_samples": num_draws,
            "maps": "draws",
            "targets": list(NAMES),
            "method": "gradcam",
            "layer": "conv",
            "batch_size": layout.batch_size,
        },
    )
    tables = []
    with work_folder(folder / "analysis", manifest) as partial:
        store = AnalysisStore.create(
            partial / "analysis.zarr",
            layout,
            class_names=NAMES,
            target_names=NAMES,
            attributes={"seed": seed, "method": "gradcam"},
        )
        for begin in range(0, num_images, layout.batch_size):
            indices = np.arange(begin, min(begin + layout.batch_size, num_images))
            draws = make_draws(num_draws, len(indices), rng)
            store.write(indices, draws)
            known = records.loc[indices, ["image_id", "path", "label", "group", "split"]]
            known.insert(0, "image", indices)
            table = summarize_logits(draws.logits, NAMES)
            tables.append(pd.concat([known.reset_index(drop=True), table], axis=1))
        write_table(partial / "records.parquet", records)
        write_table(partial / "predictions.parquet", pd.concat(tables, ignore_index=True))
        write_skipped(partial, [])
    return folder / "analysis"


def write_pictures(folder: Path, num_images: int, rng: np.random.Generator) -> pd.DataFrame:
    """A hundred pictures and masks, copied until there are enough, and their records."""
    folder.mkdir(parents=True)
    rows, columns = np.indices(PICTURE)
    records = []
    for number in range(num_images):
        path, mask_path = folder / f"{number:05}.jpg", folder / f"{number:05}.png"
        if number < 100:
            centre = rng.uniform(0.35, 0.65, 2) * PICTURE
            distance = np.hypot(rows - centre[0], columns - centre[1])
            blob = 1.0 / (1.0 + np.exp((distance - rng.uniform(60, 140)) / 6.0))
            skin = np.array([220.0, 170.0, 150.0]) - blob[..., None] * np.array([90, 100, 90])
            noisy = skin + rng.normal(0, 6, skin.shape)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
            Image.fromarray(np.where(blob > 0.5, 255, 0).astype(np.uint8)).save(mask_path)
        else:
            for made in (path, mask_path):
                shutil.copyfile(folder / f"{number % 100:05}{made.suffix}", made)
        records.append((path.stem, str(path), NAMES[number % 7], path.stem, "test", str(mask_path)))
    columns_of = ["image_id", "path", "label", "group", "split", "mask_path"]
    return pd.DataFrame(records, columns=columns_of)


def make_draws(num_draws: int, num_images: int, rng: np.random.Generator) -> CamDraws:
    """Logits that vary between images and draws, and maps around a random place."""
    centre = rng.normal(0, 2, (1, num_images, 7))
    logits = (centre + rng.normal(0, 0.7, (num_draws, num_images, 7))).astype(np.float32)
    mean = rng.normal(0, 1, (1, num_images, 7, *MAP_SHAPE))
    cams = (mean + rng.normal(0, 0.5, (num_draws, num_images, 7, *MAP_SHAPE))).astype(np.float32)
    return CamDraws(logits, {"conv": cams}, rng.normal(size=(num_images, 8)).astype(np.float32))


def index_size(page: Path) -> int:
    """Bytes of what the lists need."""
    return (page.parent / "data" / "index.js").stat().st_size


def open_in_browser(page: Path) -> tuple[float, float]:
    """Seconds from the call until all cases can be listed, and until one of them is shown."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page()
        start = time.perf_counter()
        tab.goto(page.as_uri() + "#cases", wait_until="commit")
        tab.wait_for_selector("#cards .card")
        opened = time.perf_counter() - start
        tab.click("#cards .card")
        tab.wait_for_selector("#view-case .density")
        shown = time.perf_counter() - start - opened
        browser.close()
    return opened, shown


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        main(given.images, given.draws, Path(made))
