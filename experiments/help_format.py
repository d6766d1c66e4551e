"""How the scripts show their help."""

from __future__ import annotations

import argparse

__all__ = ["HelpFormat"]


class HelpFormat(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the text as it is and shows defaults."""
