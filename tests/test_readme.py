"""The README's example runs as it is written, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import bayescam.cli

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "mutual_information" in printed
    assert (tmp_path / "run" / "model" / "model.keras").exists()


def test_the_commands_exist(capsys):
    used = set(re.findall(r"^bayescam (\w+)", README, flags=re.MULTILINE))
    assert {"audit", "train", "analyze", "evaluate", "report", "explain"} <= used
    for command in sorted(used):
        assert bayescam.cli.main([command, "--help"]) == 0
    capsys.readouterr()
