"""Class probabilities and Grad-CAM maps of medical images, both as posterior distributions.

Public names are loaded on first use, so that `import bayescam` loads neither TensorFlow nor
matplotlib.

    >>> import bayescam as bc
    >>> "analyze" in dir(bc)
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayescam.lazy import lazy_names

if TYPE_CHECKING:
    from bayescam.data import (
        audit_records,
        load_images,
        read_chest_xray,
        read_chexpert,
        read_covid_chestxray,
        read_dicom,
        read_ham10000,
        read_image_folder,
        read_mura,
        read_records,
        read_table,
        split_records,
        write_phantoms,
    )
    from bayescam.inference import draw_posterior, fit_head
    from bayescam.models import (
        adapt_model,
        attach_head,
        build_classifier,
        build_head,
        load_ensemble,
        load_model,
        save_model,
    )
    from bayescam.types import InputError
    from bayescam.workflows import analyze, analyze_exactly, fit, summarize, to_arviz

__all__ = [
    "InputError",
    "adapt_model",
    "analyze",
    "analyze_exactly",
    "attach_head",
    "audit_records",
    "build_classifier",
    "build_head",
    "draw_posterior",
    "fit",
    "fit_head",
    "load_ensemble",
    "load_images",
    "load_model",
    "read_chest_xray",
    "read_chexpert",
    "read_covid_chestxray",
    "read_dicom",
    "read_ham10000",
    "read_image_folder",
    "read_mura",
    "read_records",
    "read_table",
    "save_model",
    "split_records",
    "summarize",
    "to_arviz",
    "write_phantoms",
]

__version__ = "0.1.0"

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "bayescam.data": (
            "audit_records",
            "load_images",
            "read_chest_xray",
            "read_chexpert",
            "read_covid_chestxray",
            "read_dicom",
            "read_ham10000",
            "read_image_folder",
            "read_mura",
            "read_records",
            "read_table",
            "split_records",
            "write_phantoms",
        ),
        "bayescam.inference": ("draw_posterior", "fit_head"),
        "bayescam.models": (
            "adapt_model",
            "attach_head",
            "build_classifier",
            "build_head",
            "load_ensemble",
            "load_model",
            "save_model",
        ),
        "bayescam.types": ("InputError",),
        "bayescam.workflows": ("analyze", "analyze_exactly", "fit", "summarize", "to_arviz"),
    },
)
