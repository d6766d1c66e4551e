"""pydicom without its warnings and log lines, which quote what stands in a header."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_dicom"]

_PACKAGES = r"(pydicom|pylibjpeg|highdicom)(\.|$)"
_lock = threading.Lock()
_inside = 0


@contextmanager
def quiet_dicom() -> Iterator[None]:
    """Silence what the packages that read and write DICOM say, in any number of threads.

    `warnings.catch_warnings` puts back all filters as they were when it was entered, which is wrong
    where threads overlap; here one filter is added, and taken away by the last to leave.
    """
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            warnings.filterwarnings("ignore", module=_PACKAGES)
            logging.getLogger("pydicom").addFilter(_say_nothing)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                logging.getLogger("pydicom").removeFilter(_say_nothing)
                warnings.filters[:] = [f for f in warnings.filters if not _is_ours(f)]  # type: ignore[index]


def _is_ours(entry: tuple[object, ...]) -> bool:
    return getattr(entry[3], "pattern", None) == _PACKAGES


def _say_nothing(record: logging.LogRecord) -> bool:
    return False
