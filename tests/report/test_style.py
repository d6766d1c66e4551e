"""The style of figures is lent, and nothing else is taken back."""

from __future__ import annotations

import matplotlib as mpl

from bayescam.report import figure_style


def test_only_the_style_comes_back() -> None:
    """A notebook's first figure turns interactive mode on: later ones would not be shown else."""
    with mpl.rc_context({"interactive": False, "font.size": 13.0}):
        with figure_style():
            assert mpl.rcParams["font.size"] == 9.0
            mpl.rcParams["interactive"] = True
        assert mpl.rcParams["interactive"]
        assert mpl.rcParams["font.size"] == 13.0
