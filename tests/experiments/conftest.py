"""Scripts of `experiments/` as modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))


def pytest_configure() -> None:
    importlib.invalidate_caches()
