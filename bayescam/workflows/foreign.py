"""Images from elsewhere: how well each score, and the distance in feature space, tells them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from bayescam.types import InputError
from bayescam.uncertainty import ShiftResamples, bootstrap_shift, detect_shift_by_score
from bayescam.workflows.feature_distance import fit_distance, measure_distance
from bayescam.workflows.finished import Analysis
from bayescam.workflows.judging import JudgedImages
from bayescam.workflows.parts import EvaluationParts
from bayescam.workflows.scores import resampled_interval

__all__ = ["compare_with_foreign", "refuse_shared_images"]


def compare_with_foreign(
    parts: EvaluationParts,
    inside: dict[str, JudgedImages],
    outside: dict[str, JudgedImages],
    foreign: Analysis,
    *,
    seed: int,
) -> tuple[dict[str, Any], list[str]]:
    """AUROC and false-positive rate at 95 % of each score, before and after calibration.

    Beside the scores of the draws there is `feature_distance`: the Mahalanobis distance of the
    cached features from the nearest class of the training images (Lee et al. 2018), or, with more
    than 4096 features, the distance from their mean where features are taken as uncorrelated; see
    `fit_distance`. AUROC and false-positive rate are `estimate, lower, upper`, of a bootstrap over
    groups of both sides; where all images of one side are of one group, without bounds.

    Args:
        parts: the scored images, and those for fitting.
        inside: scored images, by state of calibration.
        outside: images from elsewhere, likewise.
        foreign: analysis of all images from elsewhere.
        seed: of the bootstrap.

    Returns:
        The part `ood` of `evaluation.json`, and notes.
    """
    described, fitted, notes = fit_distance(parts)
    near, far = {}, {}
    if fitted is not None:
        near["feature_distance"] = measure_distance(fitted, parts.analysis, parts.scored)
        everyone = np.arange(len(foreign.predictions))
        far["feature_distance"] = measure_distance(fitted, foreign, everyone)
    return {
        "num_images": len(foreign.predictions),
        "data_fingerprint": foreign.manifest["data_fingerprint"],
        "feature_distance": described,
        "detection": {
            state: _detect(
                dataclasses.replace(inside[state], scores=inside[state].scores | near),
                dataclasses.replace(outside[state], scores=outside[state].scores | far),
                seed,
            )
            for state in inside
        },
    }, notes


def _detect(inside: JudgedImages, outside: JudgedImages, seed: int) -> dict[str, Any]:
    """What `detect_shift` says of each score, with intervals."""
    found = detect_shift_by_score(inside.scores, outside.scores)
    resampled: dict[str, ShiftResamples] = {}
    if len(set(inside.groups)) > 1 and len(set(outside.groups)) > 1:
        resampled = bootstrap_shift(
            inside.scores, outside.scores, inside.groups, outside.groups, seed=seed
        )
    return {
        score: dataclasses.asdict(whole)
        | {
            name: resampled_interval(
                getattr(whole, name), getattr(resampled.get(score), f"{name}_resamples", None)
            )
            for name in ("auroc", "false_positive_rate")
        }
        for score, whole in found.items()
    }


def refuse_shared_images(foreign: Analysis, *others: Analysis) -> None:
    """Make sure that no image from elsewhere is one of these analyses too, under any folder.

    The same image has the same name and, since the model is the same, the same features.

    Raises:
        InputError: some images are shared.
    """
    for other in others:
        shared = _shared_images(foreign, other)
        if len(shared):
            raise InputError(
                f"--ood must hold images from elsewhere; of the {len(foreign.predictions)} images "
                f"of {foreign.folder}, {len(shared)} are in {other.folder} too, for example "
                f"{shared[0]!r}"
            )


def _shared_images(foreign: Analysis, other: Analysis) -> list[str]:
    """The names of images that both hold, with features that differ by rounding at most."""
    names, known = (pd.Index(part.predictions["image_id"]) for part in (foreign, other))
    both = names.intersection(known)
    if both.empty or foreign.num_features != other.num_features:
        return []
    features = foreign.features(names.get_indexer(both))
    same = np.isclose(features, other.features(known.get_indexer(both)), rtol=1e-2, atol=1e-3)
    return [str(name) for name in both[same.all(axis=1)]]
