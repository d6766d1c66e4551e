"""What the draws say of an image, in words, and text from data made harmless to read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["describe_draws", "is_path", "shown_text"]

_LONGEST = 200
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown_text(text: object, *, longest: int = _LONGEST) -> str:
    r"""Text from data as a page shows it: what cannot be seen is spelt out, what is long is cut.

    Marks that turn the direction of writing can make one name look like another; controls and line
    ends break tables. Escaping for HTML or JavaScript is not done here.

    Example:
        >>> shown_text("case\u202egpj.exe")
        'case\\u202egpj.exe'
        >>> shown_text("x" * 300, longest=5)
        'xxxx…'
    """
    spelt = "".join(_spell(letter) for letter in str(text)[: longest + 1])
    return spelt if len(spelt) <= longest else f"{spelt[: longest - 1]}…"


def describe_draws(
    probs: ArrayLike, class_names: Sequence[str], *, level: float = 0.95, unit: str = "draws"
) -> list[str]:
    """The numbers of one image in words, the most probable class first.

    Args:
        probs: (S, K), draws of the class probabilities of the image.
        class_names: K names.
        level: of the equal-tailed interval.
        unit: what a draw is called, in the plural.

    Returns:
        One line on the most probable class with its interval, and one on how the draws vote.

    Example:
        >>> describe_draws([[0.8, 0.2], [0.6, 0.4], [0.4, 0.6]], ["mel", "nv"])
        ['mel 0.60, 95 % interval 0.41-0.79', '1 of 3 draws say nv']
    """
    draws = np.asarray(probs, dtype=np.float64)
    first = int(draws.mean(axis=0).argmax())
    line = f"{class_names[first]} {draws[:, first].mean():.2f}"
    if len(draws) == 1:
        return [f"{line}, from one network: no interval"]
    lower, upper = np.quantile(draws[:, first], [(1 - level) / 2, (1 + level) / 2])
    votes = np.bincount(draws.argmax(axis=1), minlength=draws.shape[1])
    others = [int(k) for k in np.argsort(-votes, kind="stable") if votes[k] and k != first]
    said = [f"{votes[k]} {class_names[k]}" for k in others[1:]]
    if others:
        most = f"{votes[others[0]]} of {len(draws)} {unit} say {class_names[others[0]]}"
        said = [most, *said]
    return [
        f"{line}, {100 * level:g} % interval {lower:.2f}-{upper:.2f}",
        ", ".join(said) if said else f"all {len(draws)} {unit} say {class_names[first]}",
    ]


def is_path(text: str) -> bool:
    r"""Whether a text looks like the path of a file: folders are often named after patients.

    Example:
        >>> [is_path(text) for text in ("/home/jane/x.jpg", r"C:\x.png", "a/b/c", "w/o mask")]
        [True, True, True, False]
    """
    return bool(re.match(r"^(?:[A-Za-z]:)?[/\\~]", text)) or text.count("/") > 1


def _spell(letter: str) -> str:
    if unicodedata.category(letter) not in _UNSEEN:
        return letter
    code = ord(letter)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
