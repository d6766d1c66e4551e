"""Writes the pages that follow the program: the command line and the reference of every room."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

ROOMS = {
    "bayescam": "What most scripts need. Every name is loaded on first use.",
    "bayescam.data": None,
    "bayescam.models": None,
    "bayescam.inference": None,
    "bayescam.explain": None,
    "bayescam.uncertainty": None,
    "bayescam.report": None,
    "bayescam.workflows": None,
    "bayescam.types": None,
}
SETTINGS = (
    "bayescam.inference.training.FitResult",
    "bayescam.inference.tensorboard.TensorBoardLog",
    "bayescam.workflows.streaming.AnalysisOptions",
    "bayescam.workflows.streaming.AnalysisOutcome",
    "bayescam.workflows.serve.report_server",
    "bayescam.workflows.mlflow_log.log_folder",
)


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the pages before Sphinx looks for pages."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "generated"))
    return {"parallel_read_safe": True}


def write_pages(folder: Path) -> None:
    """Write every generated page; one that is the same already is left, for a quick build."""
    folder.mkdir(exist_ok=True)
    pages = {"command-line": command_line_page(), "settings": settings_page()}
    pages |= {room: reference_page(room, text) for room, text in ROOMS.items()}
    for name, page in pages.items():
        file = folder / f"{name}.md"
        if not file.exists() or file.read_text() != page:
            file.write_text(page)


def command_line_page() -> str:
    """The help of the program and of each command, as a terminal of 88 columns shows it."""
    from bayescam.cli.program import app

    commands = [command.callback.__name__ for command in app.registered_commands]
    parts = [
        "# The command line",
        "Long work shows bars and can be interrupted: run again, it carries on. Exit codes are 0; "
        "2 for bad use or bad input, with one clear line; 1 for a failure; 130 when interrupted. "
        "`python -m bayescam` is the same program.",
        _block("bayescam --help", help_text([])),
    ]
    for name in commands:
        parts += [f"## bayescam {name}", _block(f"bayescam {name} --help", help_text([name]))]
    return "\n\n".join(parts) + "\n"


def help_text(arguments: list[str]) -> str:
    """What `bayescam ARGUMENTS --help` prints."""
    from bayescam.cli import main

    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "88"
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            main([*arguments, "--help"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return printed.getvalue().strip()


def reference_page(room: str, text: str | None) -> str:
    """Every public name of a room, with its docstring."""
    module = import_module(room)
    about = text or inspect.getdoc(module) or ""
    first, _, rest = about.partition("\n\n")
    parts = [f"# {room}", first.replace("\n", " "), *([rest] if rest else [])]
    if room == "bayescam":
        parts.append("```python\nimport bayescam as bc\n```")
    names = sorted(module.__all__, key=lambda name: (name.isupper(), name.lower()))
    return "\n\n".join([*parts, *_entries(room, names)]) + "\n"


def settings_page() -> str:
    """What is public in its own module alone."""
    parts = ["# Settings and results", "Names that are not in the doors of their rooms."]
    for path in SETTINGS:
        module, _, name = path.rpartition(".")
        heading, _, entry = next(_entries(module, [name])).partition("\n\n")
        parts += [heading, f"```python\nfrom {module} import {name}\n```", entry]
    parts += [
        "## evaluation.json",
        "```{eval-rst}\n.. automodule:: bayescam.workflows.evaluate\n   :no-members:\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _entries(module: str, names: list[str]) -> Iterator[str]:
    for name in names:
        value = getattr(import_module(module), name)
        kind, home, option = _directive(value), module, ""
        if module == "bayescam":  # shown here too, found in its room
            option = "\n   :no-index:"
        if kind == "autodata":
            home = _home(module, name, value)
        if isinstance(value, dict):  # of functions, whose addresses change
            option = "\n   :no-value:\n\n   Keys: " + ", ".join(f"``{key}``" for key in value)
        yield f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: {home}.{name}{option}\n```"


def _home(room: str, name: str, value: object) -> str:
    """The module that defines a value; there its docstring is found."""
    modules = [m for key, m in sys.modules.items() if key.startswith(f"{room}.")]
    homes = [m.__name__ for m in modules if vars(m).get(name) is value and _assigns(m, name)]
    return homes[0] if homes else room


def _assigns(module: ModuleType, name: str) -> bool:
    return re.search(rf"^{name}\b.*=", inspect.getsource(module), flags=re.MULTILINE) is not None


def _directive(value: object) -> str:
    if isinstance(value, type):
        return "autoexception" if issubclass(value, Exception) else "autoclass"
    return "autofunction" if inspect.isroutine(value) else "autodata"


def _block(command: str, output: str) -> str:
    return f"```text\n$ {command}\n{output}\n```"
