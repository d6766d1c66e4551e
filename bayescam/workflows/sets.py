"""Conformal sets: thresholds from validation images, coverage and size on the scored ones."""

from __future__ import annotations

import warnings
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bayescam.types import Array
from bayescam.uncertainty import (
    ConformalMethod,
    ConformalPredictor,
    SetSummary,
    coverage_band,
    fit_conformal,
    score_sets,
)
from bayescam.workflows.judging import JudgedImages

__all__ = ["conformal_sets"]

_BAND = 0.99


def conformal_sets(
    validation: JudgedImages,
    test: JudgedImages,
    names: tuple[str, ...],
    *,
    coverage: float,
    strata: Array | None,
    seed: int,
) -> tuple[dict[str, Any], list[str]]:
    """LAC, APS and RAPS, one threshold for all classes and one per class, judged on test images.

    Args:
        validation: one image of each group, none used for fitting anything else.
        test: the scored images; one of each group is judged, and all of them beside.
        names: K names of classes.
        coverage: promised share of sets that hold the right class.
        strata: name of the stratum of each test image, or None.
        seed: of the random numbers of APS and RAPS, and of the image that stands for its group.

    Returns:
        The part `conformal` of `evaluation.json`, and notes.
    """
    alone = test.one_per_group(seed)
    notes: list[str] = []
    methods: dict[str, Any] = {}
    for method in get_args(ConformalMethod):
        methods[method] = {}
        for kind in ("marginal", "class_conditional"):
            fitted, said = _fit(validation, names, method, kind, coverage, seed)
            notes += said
            methods[method][kind] = _judge(fitted, test, alone, names, strata, seed)
    return {
        "coverage_promised": coverage,
        "num_validation": len(validation.labels),
        "num_images": len(alone),
        "randomised": "aps and raps",
        "band_level": _BAND,
        "promise": (
            f"A set holds the right class with probability at least {coverage:.0%} (marginal: over "
            "all images; class_conditional: within each class), over validation images and new "
            "image together, for one image of each group (lesion, patient) of one population. It "
            "holds for no stratum by itself. Validation images also served to stop training, which "
            "the promise takes no account of."
        ),
        "methods": methods,
    }, list(dict.fromkeys(notes))


def _fit(
    validation: JudgedImages,
    names: tuple[str, ...],
    method: ConformalMethod,
    kind: str,
    coverage: float,
    seed: int,
) -> tuple[ConformalPredictor, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = fit_conformal(
            validation.mean_probs,
            validation.labels,
            alpha=1.0 - coverage,
            method=method,
            class_conditional=kind == "class_conditional",
            class_names=names,
            groups=validation.groups,
            seed=seed,
            keys=validation.image_ids,
        )
    return fitted, [f"Conformal sets, {kind}: {warning.message}." for warning in caught]


def _judge(
    fitted: ConformalPredictor,
    test: JudgedImages,
    alone: NDArray[np.int64],
    names: tuple[str, ...],
    strata: Array | None,
    seed: int,
) -> dict[str, Any]:
    """Coverage and size of the sets; of one image of each group, unless the name says `all`."""
    sets = fitted.sets(test.mean_probs, seed=seed, keys=test.image_ids)
    every = score_sets(sets, test.labels, strata=strata)
    scores = score_sets(
        sets[alone], test.labels[alone], strata=None if strata is None else strata[alone]
    )
    sizes = np.bincount(sets[alone].sum(axis=1), minlength=len(names) + 1) / len(alone)
    by_class = {}
    for k, name in enumerate(names):
        by_class[name] = _summary(scores.by_class[k]) | {
            "threshold": fitted.thresholds[k],
            "num_validation": fitted.count[k],
            "band": _band(fitted, k, scores.by_class[k]) if fitted.class_conditional else None,
        }
    found = _summary(scores.overall)
    found["band"] = None if fitted.class_conditional else _band(fitted, 0, scores.overall)
    return found | {
        "share_of_sizes": sizes,
        "by_class": by_class,
        "by_stratum": {name: _summary(part) for name, part in scores.by_stratum.items()},
        "all_images": _summary(every.overall),
    }


def _summary(part: SetSummary) -> dict[str, Any]:
    return {
        "num_images": part.count,
        "coverage": part.coverage,
        "mean_size": part.mean_size,
        "empty": part.empty,
    }


def _band(fitted: ConformalPredictor, k: int, part: SetSummary) -> tuple[float, float] | None:
    """Where the coverage of the images lies in 99 % of repetitions."""
    if not part.count:
        return None
    return coverage_band(int(fitted.count[k]), part.count, alpha=fitted.alpha, level=_BAND)
