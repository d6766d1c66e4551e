"""Temperature and class bias from some of the images for fitting, and what is said of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayescam.uncertainty import Calibration, fit_calibration
from bayescam.workflows.parts import EvaluationParts

__all__ = ["describe_fit", "fit_rows"]


def fit_rows(
    parts: EvaluationParts, rows: NDArray[np.int64]
) -> tuple[Calibration | None, list[str]]:
    """The fit on these rows of the fitting images, and what the reader should know of it.

    Without rows there is none.
    """
    if not len(rows):
        return None, []
    fitting = parts.fitting
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = fit_calibration(
            fitting.logits[:, rows], fitting.labels[rows], class_names=fitting.class_names
        )
    return fitted, [f"Calibration: {warning.message}." for warning in caught]


def describe_fit(
    fitted: Calibration | None, parts: EvaluationParts, rows: NDArray[np.int64]
) -> dict[str, Any] | None:
    """What `evaluation.json` says of a fit on these rows; None without one."""
    if fitted is None:
        return None
    return {
        "num_images": len(rows),
        "data_fingerprint": parts.fitting.manifest["data_fingerprint"],
        "temperature": fitted.temperature,
        "class_bias": dict(zip(parts.fitting.class_names, fitted.class_bias, strict=True)),
    }
