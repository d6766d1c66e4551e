"""Our docstrings as reStructuredText: what is between single backticks is a name, or else code."""

from __future__ import annotations

import inspect
import re

from sphinx.application import Sphinx

_TICKS = re.compile(r"(?<!`)`([^`]+)`(?!`)(\w?)")
_NAME = re.compile(r"[A-Za-z_][\w.]*\Z")
_TYPES = {
    r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], "
    r"~?numpy\.dtype\[~?([\w.]+)\]\]": r"NDArray[\1]",
    r"~?numpy\._typing\._array_like\._Buffer.*?"
    r"_NestedSequence\[complex \| bytes \| str\]": "ArrayLike",
    r"TypeAliasForwardRef\('(\w+)'\)": r"\1",
    r"\bnumpy\.(?=\w)": "np.",
    r"\btf_keras\.src\.engine\.\w+\.": "tf_keras.",
    r"\btensorflow\.python\.\w+(\.\w+)*\.(?=[A-Z])": "tf.",
    r"\bmatplotlib\.axes\._axes\.": "matplotlib.axes.",
}
_FIELD = "Alias for field number"


def setup(app: Sphinx) -> dict[str, bool]:
    """Rewrite docstrings before napoleon reads them, and leave out fields that say nothing."""
    app.connect("autodoc-process-docstring", rewrite, priority=100)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}


def rewrite(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Code between single backticks gets two of them; names keep one, which Sphinx makes links.

    A value without a docstring has that of its type, which says nothing of it.
    """
    of_type = inspect.cleandoc(getattr(value, "__doc__", None) or "").partition("\n")[0]
    if what == "data" and lines and lines[0] == of_type:
        lines.clear()
    text = "\n".join(lines)
    lines[:] = _TICKS.sub(_literal, text).split("\n")


def _literal(found: re.Match[str]) -> str:
    inside, letter = " ".join(found[1].split()), found[2]
    marked = f"`{inside}`" if _NAME.match(inside) else f"``{inside}``"
    return f"{marked}\\ {letter}" if letter else marked


def shorten(
    app: Sphinx,
    what: str,
    name: str,
    value: object,
    options: object,
    arguments: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Types as one writes them, not as the packages define them."""
    return tuple(None if text is None else _short_types(text) for text in (arguments, returned))


def _short_types(text: str) -> str:
    for pattern, short in _TYPES.items():
        text = re.sub(pattern, short, text)
    return text


def skip(
    app: Sphinx, what: str, name: str, value: object, skipped: bool, options: object
) -> bool | None:
    """Fields of named tuples have no docstring of their own."""
    return True if str(getattr(value, "__doc__", "")).startswith(_FIELD) else None
