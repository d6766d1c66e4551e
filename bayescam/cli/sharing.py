"""`bayescam serve` and `bayescam log`: results in a browser, and in an experiment tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["log", "serve"]


def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of bayescam report.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of 127.0.0.1; 0 for any that is free.")
    ] = 0,
) -> None:
    """Show a report in a browser on this computer alone.

    The address holds a random token; Ctrl-C stops.
    """
    from bayescam.workflows.serve import report_server

    with report_server(folder, port=port) as server:
        typer.echo(f"report: {server.url}  (Ctrl-C stops)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("stopped")


def log(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of bayescam train or analyze.")
    ],
    mlflow: Annotated[
        str,
        typer.Option(metavar="URI", help="Tracking server of MLflow, or a folder for its files."),
    ],
    experiment: Annotated[str, typer.Option(metavar="NAME", help="Of MLflow.")] = "bayescam",
) -> None:
    """Log a run or an analysis into MLflow: parameters, metrics, tables and figures.

    Nothing of single images is sent, and no path.
    """
    from bayescam.workflows.mlflow_log import log_folder

    typer.echo(f"run of MLflow: {log_folder(folder, mlflow, experiment=experiment)}")
