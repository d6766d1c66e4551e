from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = ("disc", "plain", "ring")


def draw_image(label: str, rng: np.random.Generator, size: int = 40) -> np.ndarray:
    """A bright disc, a bright ring or nothing, somewhere on a noisy ground."""
    row, column = np.indices((size, size))
    centre = rng.uniform(0.3, 0.7, 2) * size
    radius = np.hypot(row - centre[0], column - centre[1]) / size
    shape = {"disc": radius < 0.2, "ring": abs(radius - 0.2) < 0.05, "plain": radius < 0}[label]
    image = rng.uniform(40, 110, (size, size, 3))
    image[shape] += 100
    return image.astype(np.uint8)


def write_images(root: Path, per_class: int, seed: int) -> Path:
    """A folder per class, as `folder:` reads it."""
    rng = np.random.default_rng(seed)
    for label in CLASSES:
        (root / label).mkdir(parents=True)
        for number in range(per_class):
            path = root / label / f"{label}{seed}-{number:03}.png"
            Image.fromarray(draw_image(label, rng)).save(path)
    return root


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images", per_class=20, seed=1)


@pytest.fixture(scope="session")
def run_config(image_folder: Path):
    from bayescam.inference.training import TrainingSettings
    from bayescam.workflows.config import DataConfig, ModelConfig, TrainConfig

    return TrainConfig(
        seed=5,
        data=DataConfig(source=f"folder:{image_folder}"),
        model=ModelConfig(backbone="narrow_vgg", input_shape=(32, 32, 3)),
        training=TrainingSettings(
            num_views=1, head_epochs=4, batch_size=16, head_learning_rate=0.02
        ),
    )


@pytest.fixture(scope="session")
def run_folder(run_config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bayescam.workflows.train import train_run

    folder = tmp_path_factory.mktemp("runs") / "run"
    train_run(run_config, folder, progress=False)
    return folder


@pytest.fixture(scope="session")
def analysis_folder(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bayescam.workflows.streaming import AnalysisOptions, analyze_records

    folder = tmp_path_factory.mktemp("analyses") / "analysis"
    options = AnalysisOptions(split="all", num_samples=20, batch_size=7, seed=3)
    analyze_records(run_folder, out=folder, options=options, progress=False)
    return folder
