from __future__ import annotations

import subprocess
import sys


def test_uncertainty_loads_neither_tensorflow_nor_matplotlib() -> None:
    code = (
        "import sys, bayescam.uncertainty; "
        "found = [m for m in sys.modules if m in {'tensorflow', 'tf_keras', 'matplotlib'}]; "
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
