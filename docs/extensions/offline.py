"""Fails the build if a page would load anything from another host; links to read are no loads."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

_REMOTE = re.compile(r"^\s*(?:https?:)?//", re.IGNORECASE)
_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?\s*(?:https?:)?//[^)'\"\s]+", re.IGNORECASE)
_LOADED = {"src", "srcset", "poster", "data", "background"}


class _Loads(HTMLParser):
    """Collects the remote addresses that a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at everything that loads: sources of any tag, and `link`, except the canonical."""
        values = {name: value or "" for name, value in attrs}
        loaded = [values[name] for name in _LOADED & set(values)]
        if tag == "link" and values.get("rel") != "canonical":
            loaded.append(values.get("href", ""))
        self.found += [address for address in loaded if _REMOTE.match(address)]
        self.found += _STYLE.findall(values.get("style", ""))


def remote_loads(folder: Path) -> list[str]:
    """Return `file: address` of everything that pages and styles below a folder load remotely."""
    found = []
    for page in sorted(folder.rglob("*.html")):
        reader = _Loads()
        reader.feed(page.read_text(encoding="utf-8"))
        found += [f"{page.relative_to(folder)}: {address}" for address in reader.found]
    for style in sorted([*folder.rglob("*.css"), *folder.rglob("*.svg")]):
        text = style.read_text(encoding="utf-8")
        found += [f"{style.relative_to(folder)}: {address}" for address in _STYLE.findall(text)]
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Look at the site when it is built."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _check(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        found = remote_loads(Path(app.outdir))
        if found:
            raise ExtensionError("pages load from other hosts:\n" + "\n".join(found))
