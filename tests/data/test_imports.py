from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["tensorflow", "pydicom", "matplotlib", "sklearn"])
def test_data_loads_without(package: str) -> None:
    code = f"import sys, bayescam.data; sys.exit({package!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
