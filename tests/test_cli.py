from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args, get_type_hints

import pandas as pd
import pytest

from bayescam.cli import main

COMMANDS = (
    "demo",
    "phantoms",
    "audit",
    "train",
    "analyze",
    "evaluate",
    "report",
    "checklist",
    "serve",
    "explain",
    "shortcut",
    "log",
)
NOTHING_RANDOM = ("serve", "log")


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a fresh interpreter, as a user has it."""
    return subprocess.run(
        [sys.executable, "-m", "bayescam", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_a_seed_for_what_is_random(command: str, capsys) -> None:
    assert main([command, "--help"]) == 0
    assert ("--seed" in capsys.readouterr().out) == (command not in NOTHING_RANDOM)


def test_help_is_quick_and_loads_no_tensorflow() -> None:
    code = (
        "import sys, bayescam.cli as c; c.main(['--help']); assert 'tensorflow' not in sys.modules"
    )
    seconds = []
    for _ in range(5):
        started = sum(os.times()[2:4])  # of the processor, whatever else runs on this machine
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        seconds.append(sum(os.times()[2:4]) - started)
        assert done.returncode == 0, done.stderr
        assert all(command in done.stdout for command in COMMANDS)
    assert min(seconds) < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'? See bayescam --help."),
        (["train", "--data", "folder:x"], "Missing option '--out'. See bayescam train --help."),
        (["train", "--head", "big", "--data", "folder:x", "--out", "y"], "'big' is not one of"),
        (["analyze", "r", "--out", "x", "--num-samples", "0"], "--num-samples"),
        (["evaluate", "nowhere"], "nowhere is not a folder; expected a bayescam analysis folder."),
        (["report", "nowhere"], "nowhere is not a folder; expected a bayescam analysis folder."),
        (["audit", "ham1000:x"], "Did you mean ham10000:x?"),
        (["audit", "folder:nowhere"], "nowhere"),
        (["phantoms", "skin", "x", "--num-images", "3"], "--num-images"),
        (["shortcut", "--artefact", "scar"], "'scar' is not one of"),
        (["shortcut", "--share", "1.5"], "--share"),
    ],
)
def test_bad_use_is_one_line_and_code_2(arguments: list[str], message: str, capsys) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("bayescam: ")
    assert message in captured.err
    assert captured.out == ""


def test_a_failure_is_one_line_and_code_1(tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "manifest.json").write_text("{ not json")
    monkeypatch.delenv("BAYESCAM_DEBUG", raising=False)
    assert main(["report", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("bayescam: failed: JSONDecodeError")
    assert error.count("\n") == 1
    monkeypatch.setenv("BAYESCAM_DEBUG", "1")
    with pytest.raises(ValueError, match="Expecting property name"):
        main(["report", str(tmp_path)])


def _heed_interrupts() -> None:
    """Jobs in the background of a shell, and what they start, ignore interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_says_how_to_carry_on(tmp_path: Path) -> None:
    command = ["phantoms", "skin", tmp_path / "data", "--num-images", "5000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bayescam.cli", *map(str, command)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_interrupts,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*partial/**/*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.endswith("run the same command again and it carries on where it was\n")
    assert "Traceback" not in error


def test_without_a_command_it_shows_its_help(capsys) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n") > 10
    assert all(command in shown for command in COMMANDS)


def test_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bayescam 0.")


def test_the_whole_way(tmp_path: Path) -> None:
    data, run, analysis = tmp_path / "data", tmp_path / "run", tmp_path / "analysis"
    made = call("phantoms", "skin", data, "--num-images", 60, "--seed", 2)
    assert made.returncode == 0, made.stderr
    source = f"ham10000:{data}"
    assert source in made.stdout
    audited = call("audit", source, "--no-near-duplicates")
    assert audited.returncode == 0, audited.stderr
    pictures = sorted(data.rglob("*.jpg"))
    for number, picture in enumerate(pictures[:5]):
        picture.write_bytes(picture.read_bytes()[: 200 * number])
    small = ["--backbone", "narrow_vgg", "--input-size", 48, 64, "--num-views", 1, "--seed", 2]
    trained = call("train", "--data", source, "--out", run, "--head-epochs", 2, *small)
    assert trained.returncode == 0, trained.stderr
    assert "Traceback" not in trained.stderr
    assert "cudart" not in trained.stderr
    analyzed = call("analyze", run, "--data", source, "--num-samples", 10, "--out", analysis)
    assert analyzed.returncode == 0, analyzed.stderr
    predictions = pd.read_parquet(analysis / "predictions.parquet")
    skipped = pd.read_csv(analysis / "skipped.csv")
    assert f"{len(predictions)} images analyzed" in analyzed.stdout
    known = pd.read_parquet(run / "records.parquet")
    assert set(predictions["split"]) <= {"val", "test"}
    assert len(predictions) + len(skipped) == known["split"].isin(["val", "test"]).sum()
    evaluated = call("evaluate", analysis)
    assert evaluated.returncode == 0, evaluated.stderr
    assert "negative_log_likelihood" in evaluated.stdout
    reported = call("report", analysis, "--num-cases", 2)
    assert reported.returncode == 0, reported.stderr
    assert len(list((analysis / "report" / "cases").glob("*.js"))) == 2
    explained = call("explain", run, pictures[-1], "--num-samples", 10, "--out", tmp_path / "x")
    assert explained.returncode == 0, explained.stderr
    assert (tmp_path / "x" / f"{pictures[-1].stem}.png").exists()
    again = call("analyze", run, "--data", source, "--num-samples", 10, "--out", analysis)
    assert again.returncode == 2
    assert "never overwritten" in again.stderr
    shutil.rmtree(tmp_path)


def test_train_offers_every_head_and_covariance():
    """Spelled out in the command line, which must not load TensorFlow for its help."""
    from bayescam.cli.options import Head
    from bayescam.cli.training import train
    from bayescam.models.heads import HeadKind
    from bayescam.models.laplace import Covariance

    hints = get_type_hints(train)
    assert get_args(get_args(Head)[0]) == get_args(HeadKind)
    assert get_args(get_args(hints["covariance"])[0]) == get_args(Covariance)


def test_every_method_of_maps_is_offered() -> None:
    from bayescam.cli.options import Method
    from bayescam.explain import MAP_METHODS

    assert get_args(get_args(Method)[0]) == MAP_METHODS


def offered(line: str) -> list[str]:
    """What bash is offered at the end of a line; loading TensorFlow for it would be an error."""
    words = line.split(" ")
    asked = {
        "_BAYESCAM_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: 'tensorflow' in sys.modules and print('TensorFlow'))\n"
        "from bayescam.cli import main\nmain([])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_the_shell_completes_commands_choices_and_classes(tmp_path: Path) -> None:
    settings = {"class_names": ["mel", "nv", "mole"]}
    (tmp_path / "manifest.json").write_text(json.dumps({"settings": settings}))
    assert set(offered("bayescam ")) == set(COMMANDS)
    assert offered("bayescam train --head lo") == ["local_reparameterization"]
    assert offered("bayescam analyze run --method g") == [
        "gradcam",
        "gradcam++",
        "guided_gradcam_tutorial",
    ]
    assert offered("bayescam train --backbone vgg") == ["vgg16", "vgg19"]
    assert offered("bayescam train --data ch") == ["chest_xray:", "chexpert:"]
    assert offered(f"bayescam evaluate {tmp_path} --concern m") == ["mel", "mole"]
    assert offered(f"bayescam explain {tmp_path} x.png --target n") == ["nv"]
    assert offered("bayescam evaluate nowhere --concern m") == []


def test_what_completion_spells_out_is_what_there_is() -> None:
    from bayescam.cli.completion import BACKBONES, DATA_KINDS
    from bayescam.data.registry import READERS
    from bayescam.models.backbones import backbone_names

    assert backbone_names() == BACKBONES
    assert tuple(READERS) == DATA_KINDS


def test_completion_of_a_shell_is_shown(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--show-completion", "bash"])
    assert ended.value.code == 0
    assert "_BAYESCAM_COMPLETE=complete_bash" in capsys.readouterr().out
