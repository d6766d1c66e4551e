"""One look for all figures, applied inside a context and never left behind; their colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

__all__ = ["LINE_COLORS", "RIGHT_COLOR", "WRONG_COLOR", "class_colors", "figure_style"]

_NEVUS, _MELANOMA = "#0072B2", "#E8740C"
_FIXED = {
    "nv": _NEVUS,
    "nevus": _NEVUS,
    "melanocytic nevus": _NEVUS,
    "melanocytic nevi": _NEVUS,
    "mel": _MELANOMA,
    "melanoma": _MELANOMA,
}
# After Okabe and Ito (2008), told apart in the common kinds of colour blindness; the yellow is
# darkened so that a thin line stands out on white.
_PALETTE = (_NEVUS, _MELANOMA, "#009E73", "#CC79A7", "#56B4E9", "#4D4D4D", "#B39B00", "#7B3294")

LINE_COLORS = ("#0072B2", "#E8740C", "#009E73", "#CC79A7", "#4D4D4D", "#56B4E9")
"""Of scores, methods and models, in the order in which they are named."""
RIGHT_COLOR, WRONG_COLOR = "#0072B2", "#D55E00"
"""Of what the model calls right and wrong."""

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#555555",
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10.0,
    "axes.titleweight": "normal",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "xtick.color": "#333333",
    "xtick.labelsize": 8.0,
    "ytick.color": "#333333",
    "ytick.labelsize": 8.0,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """The figure style, for the axes made inside the `with` block; matplotlib's own comes back.

    Only what the style sets is put back: a first figure made inside turns on the display of
    figures in a notebook, and this stays.
    """
    before = {name: mpl.rcParams[name] for name in _STYLE}
    mpl.rcParams.update(_STYLE)
    try:
        yield
    finally:
        mpl.rcParams.update(before)


def class_colors(class_names: Sequence[str]) -> dict[str, str]:
    """A colour for each class: melanocytic nevus blue, melanoma orange, the others fixed by order.

    Colours are told apart by colour-blind readers up to 8 classes; beyond that they repeat.

    Example:
        >>> class_colors(["akiec", "mel", "nv"])
        {'akiec': '#009E73', 'mel': '#E8740C', 'nv': '#0072B2'}
    """
    fixed = {name: _FIXED[name.lower()] for name in class_names if name.lower() in _FIXED}
    free = [color for color in _PALETTE if color not in fixed.values()]
    others = [name for name in class_names if name not in fixed]
    chosen = {name: free[i % len(free)] for i, name in enumerate(others)}
    return {name: (fixed | chosen)[name] for name in class_names}
