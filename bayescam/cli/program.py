"""The program `bayescam`: its commands in the order of the help, and how it ends."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from bayescam import __version__
from bayescam.cli.analysis import analyze, checklist, evaluate, explain, report
from bayescam.cli.console import complain, show_warning
from bayescam.cli.data import audit, phantoms
from bayescam.cli.sharing import log, serve
from bayescam.cli.studies import demo, shortcut
from bayescam.cli.training import train

__all__ = ["app", "main"]

app = typer.Typer(
    name="bayescam",
    help="Class probabilities and Grad-CAM maps of medical images, both with their uncertainty.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_COMMANDS = (
    demo,
    phantoms,
    audit,
    train,
    analyze,
    evaluate,
    report,
    checklist,
    serve,
    explain,
    shortcut,
    log,
)
for _command in _COMMANDS:
    app.command()(_command)

_UsageError = typer.BadParameter.__mro__[1]
_DEBUG = "BAYESCAM_DEBUG"
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("MPLBACKEND", "Agg")
    warnings.showwarning = show_warning
    command = typer.main.get_command(app)
    try:
        code = command.main(
            None if arguments is None else list(arguments),
            prog_name="bayescam",
            standalone_mode=False,
        )
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Exception as error:
        return _explain_failure(error)
    if code == _INTERRUPTED:
        complain("interrupted; run the same command again and it carries on where it was")
    return int(code or 0)


def _explain_failure(error: Exception) -> int:
    from bayescam.types import InputError  # loads NumPy, which nothing needs before

    if isinstance(error, InputError):
        complain(str(error))
        return 2
    if isinstance(error, _UsageError):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "bayescam"
        complain(f"{error.format_message()} See {path} --help.")  # type: ignore[attr-defined]
        return 2
    if os.environ.get(_DEBUG):
        raise error
    complain(f"failed: {type(error).__name__}: {error} (bayescam --debug ... shows where)")
    return 1


@app.callback(invoke_without_command=True)
def _global_options(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show tracebacks of failures (or set {_DEBUG}=1).")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if debug:
        os.environ[_DEBUG] = "1"
    if version:
        typer.echo(f"bayescam {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit
