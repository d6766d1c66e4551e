"""Public names that are imported on first use (PEP 562), so that importing a package is instant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

__all__ = ["lazy_names"]


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package whose names live elsewhere.

    Args:
        package: the package's `__name__`.
        homes: module that defines them -> public names.

    Example:
        >>> getattr_, dir_ = lazy_names("shapes", {"math": ["tau"]})
        >>> dir_(), round(getattr_("tau"), 2)
        (['tau'], 6.28)
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def get(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home_of[name]), name)

    return get, lambda: sorted(home_of)
