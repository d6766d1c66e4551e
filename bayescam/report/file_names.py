"""File names made of ids and labels, which may hold anything."""

from __future__ import annotations

import hashlib
import unicodedata

__all__ = ["safe_file_name"]

_LONGEST = 80  # characters; at most 4 bytes each in UTF-8, and file systems take 255
_ALLOWED = frozenset("-_.,+()= ")
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
)


def safe_file_name(text: str) -> str:
    """Return `text` as the stem of a file name that is one file in one folder, everywhere.

    Letters and digits of any script and a few signs stay. Separators, quotes, controls, marks that
    turn the direction of writing, and a leading dot or hyphen become `_`; long names are cut. What
    was changed has a hash at its end, so that two names stay two.

    Example:
        >>> safe_file_name("ISIC_0024306"), safe_file_name("../etc/passwd")
        ('ISIC_0024306', '_._etc_passwd-7fef78f5')
    """
    whole = unicodedata.normalize("NFC", text)
    name = "".join(sign if sign.isalnum() or sign in _ALLOWED else "_" for sign in whole)
    name = ("_" + name[1:] if name[:1] in (".", "-", " ", "=", "+") else name)[:_LONGEST]
    name = name.rstrip(". ") or "_"
    if name == text and name.split(".")[0].lower() not in _RESERVED:
        return name
    return f"{name}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
