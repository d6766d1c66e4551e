from __future__ import annotations

import subprocess
import sys

import bayescam.report


def run(code: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_importing_report_loads_neither_matplotlib_nor_tensorflow() -> None:
    names = "{'matplotlib', 'seaborn', 'pandas', 'tensorflow', 'tf_keras'}"
    code = (
        f"import sys, bayescam.report; found = {names} & set(sys.modules); assert not found, found"
    )
    assert run(code) == (0, "")


def test_pages_and_figures_load_no_tensorflow() -> None:
    code = (
        "import sys; from bayescam.report import case_content, draw_reliability; "
        "found = {'tensorflow', 'tf_keras'} & set(sys.modules); assert not found, found"
    )
    assert run(code) == (0, "")


def test_all_public_names_exist() -> None:
    assert sorted(bayescam.report.__all__) == dir(bayescam.report)
    for name in bayescam.report.__all__:
        assert getattr(bayescam.report, name) is not None
