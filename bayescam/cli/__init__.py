"""The command line: arguments and paths only. What a command needs is imported when it runs.

Exit codes: 0; 2 for bad use or bad input, with one line; 1 for a failure; 130 when interrupted.
"""

from bayescam.cli.program import app, main

__all__ = ["app", "main"]
