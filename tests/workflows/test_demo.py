from __future__ import annotations

from pathlib import Path

import pytest

from bayescam.inference.training import TrainingSettings
from bayescam.types import InputError
from bayescam.workflows.demo import run_demo


@pytest.mark.filterwarnings("ignore::UserWarning")  # notes of a small evaluation
def test_the_demo_ends_with_a_report_and_can_be_run_again(tmp_path: Path) -> None:
    lines: list[str] = []
    training = TrainingSettings(num_views=1, head_epochs=1)
    options = {"seed": 1, "num_images": 120, "training": training, "num_cases": 2}
    options["progress"] = False
    first = run_demo(tmp_path / "demo", announce=lines.append, **options)
    assert [line[:3] for line in lines if "/5" in line] == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    assert first.report.read_text().count('src="figures/') >= 5
    assert list(first.scores) == ["raw", "calibrated"]
    assert "accuracy" in first.scores.index
    lines.clear()
    second = run_demo(tmp_path / "demo", announce=lines.append, **options)
    assert lines == []
    assert second.scores.equals(first.scores)
    with pytest.raises(InputError, match="holds a demo with --seed 1, not 2: give --seed 1"):
        run_demo(tmp_path / "demo", **options | {"seed": 2})
    with pytest.raises(InputError, match="with --num-images 120, not 130"):
        run_demo(tmp_path / "demo", **options | {"num_images": 130})
