"""Values for the gallery: phantoms and seeded synthetic draws, nothing trained and nothing real."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.special import softmax

from bayescam.data.artefacts import plant_artefact
from bayescam.data.skin_phantoms import paint_lesion, view_lesion
from bayescam.report import ShortcutExamples
from bayescam.types import Array

__all__ = [
    "NAMES",
    "PhantomCase",
    "SyntheticTest",
    "heads_compared",
    "phantom_case",
    "shortcut_examples",
    "shortcut_table",
    "synthetic_test",
]

SEED = 7
NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
_SHARES = (0.03, 0.05, 0.11, 0.02, 0.12, 0.64, 0.03)
_NEIGHBOURS = {("mel", "nv"): 1.6, ("nv", "mel"): 0.9, ("bkl", "mel"): 0.9, ("akiec", "bkl"): 1.1}
_CELLS = (10, 13)


@dataclass(frozen=True, eq=False)
class SyntheticTest:
    """Draws of a test set whose labels are known.

    Attributes:
        probs: (S, N, K).
        labels: (N,).
        groups: (N,), lesions of one to three images.
    """

    probs: Array
    labels: Array
    groups: Array

    @property
    def mean_probs(self) -> Array:
        """The mean over the draws, (N, K)."""
        return self.probs.mean(axis=0)

    @property
    def predicted(self) -> Array:
        """The most probable class, (N,)."""
        return self.mean_probs.argmax(axis=1)


@dataclass(frozen=True, eq=False)
class PhantomCase:
    """A phantom with draws of probabilities and of maps for one class.

    Attributes:
        image: uint8 (150, 200, 3).
        mask: of the lesion.
        probs: (S, K).
        cams: (S, h, w), signed.
        target: the explained class.
    """

    image: Array
    mask: Array
    probs: Array
    cams: Array
    target: str


@cache
def synthetic_test(num_images: int = 1500, num_draws: int = 60) -> SyntheticTest:
    """Draws that doubt where classes are alike."""
    rng = np.random.default_rng(SEED)
    labels = rng.choice(len(NAMES), num_images, p=_SHARES)
    centre = np.eye(len(NAMES))[labels] * 2.6 + np.log(_SHARES) * 0.35
    for (true, other), pull in _NEIGHBOURS.items():
        rows = np.flatnonzero(labels == NAMES.index(true))
        centre[rows, NAMES.index(other)] += pull * rng.normal(1.0, 0.8, len(rows))
    centre += rng.normal(0, 1.0, centre.shape)
    spread = rng.gamma(2.0, 0.3, (num_images, 1))
    logits = centre + spread * rng.normal(size=(num_draws, *centre.shape))
    return SyntheticTest(softmax(1.5 * logits, axis=-1), labels, np.arange(num_images) * 3 // 4)


@cache
def phantom_case(num_draws: int = 200) -> PhantomCase:
    """A melanoma phantom that some draws call a nevus, whose maps then look elsewhere."""
    rng = np.random.default_rng(SEED)
    image, mask = view_lesion(paint_lesion("mel", rng), rng)
    centre = np.array([-2.4, -1.6, -0.2, -2.0, 1.5, 0.9, -3.0])
    tilt = rng.normal(size=num_draws)
    logits = centre + 0.35 * rng.normal(size=(num_draws, len(NAMES)))
    logits[:, 4] += 0.9 * tilt
    probs = softmax(logits, axis=-1)
    lesion = _at_cells(gaussian_filter(mask.astype(float), 12))
    edge = _at_cells(np.abs(np.gradient(gaussian_filter(mask.astype(float), 8))[0]) * 25)
    noise = gaussian_filter(rng.normal(size=(num_draws, *_CELLS)), (0, 1.0, 1.0)) * 0.8
    strength = np.clip(1.0 + 0.4 * tilt, 0.05, None)[:, None, None]
    cams = strength * lesion + (0.8 - 0.3 * tilt)[:, None, None] * edge + noise - 0.25
    return PhantomCase(_without_grain(image), mask, probs, cams, "mel")


def heads_compared() -> tuple[dict[str, dict], dict[str, dict]]:
    """Scores of heads as intervals, and their paired differences to the dense head."""
    rng = np.random.default_rng(SEED)
    heads = ("dense", "flipout", "dropout", "ensemble", "Laplace, full")
    centres = {
        "accuracy": (0.781, 0.780, 0.778, 0.786, 0.781),
        "NLL": (0.604, 0.589, 0.596, 0.574, 0.581),
        "ECE": (0.031, 0.022, 0.026, 0.017, 0.019),
    }
    halves = {"accuracy": 0.011, "NLL": 0.027, "ECE": 0.006}
    columns: dict[str, dict] = {head: {} for head in heads}
    differences: dict[str, dict] = {head: {} for head in heads[1:]}
    for score, values in centres.items():
        for head, value in zip(heads, values, strict=True):
            half = halves[score] * rng.uniform(0.9, 1.1)
            columns[head][score] = (value, value - half, value + half)
            if head != "dense":
                gap, half = value - values[0], 0.45 * half
                differences[head][score] = (gap, gap - half, gap + half)
    return columns, differences


def shortcut_table(seed: int) -> pd.DataFrame:
    """Scores of a model that found a planted ruler and of its control."""
    rng = np.random.default_rng([SEED, seed])
    scores = {
        "energy of the map on the artefact": (0.46, 0.07),
        "P(mel) gained by the artefact": (0.38, 0.03),
        "called mel because of it": (0.41, 0.04),
    }
    rows = []
    for score, values in scores.items():
        for model, value in zip(("planted", "control"), values, strict=True):
            value = value + rng.normal(0, 0.015)
            draws, groups = 0.02 + 0.09 * value, 0.03 + 0.05 * value
            bounds = {
                "draws_lower": max(value - draws, 0.0),
                "draws_upper": value + draws,
                "groups_lower": max(value - groups, 0.0),
                "groups_upper": value + groups,
            }
            rows.append({"score": score, "model": model, "estimate": value, **bounds})
    return pd.DataFrame(rows)


def shortcut_examples(number: int = 3) -> ShortcutExamples:
    """Phantoms with a ruler, and maps that lie on it or on the lesion."""
    kinds = ("nv", "bkl", "mel")
    images, masks, found, missed = [], [], [], []
    for place in range(number):
        rng = np.random.default_rng([SEED, 11, place])
        image, lesion = view_lesion(paint_lesion(kinds[place % 3], rng), rng)
        planted = plant_artefact(image, "ruler", key=f"gallery {place}")
        images.append(_without_grain(planted.image))
        masks.append(planted.mask)
        noise = gaussian_filter(rng.normal(size=(2, *_CELLS)), (0, 1, 1)) * 0.2
        ruler = _at_cells(gaussian_filter(planted.mask.astype(float), 8))
        found.append(ruler + noise[0])
        missed.append(_at_cells(gaussian_filter(lesion.astype(float), 12)) + noise[1])
    return ShortcutExamples(
        np.stack(images),
        np.stack(masks),
        [kinds[place % 3] for place in range(number)],
        {"planted": np.stack(found), "control": np.stack(missed)},
        {
            "planted": np.array([[0.12, 0.18, 0.61], [0.71, 0.66, 0.93]])[:, :number],
            "control": np.array([[0.10, 0.21, 0.64], [0.11, 0.19, 0.66]])[:, :number],
        },
    )


def _without_grain(image: Array) -> Array:
    """The image smoothed by less than a pixel, which makes a PNG half as large."""
    return gaussian_filter(image.astype(float), (0.9, 0.9, 0)).round().astype(np.uint8)


def _at_cells(values: Array) -> Array:
    """The means over map cells, (h, w)."""
    rows = np.array_split(np.arange(values.shape[0]), _CELLS[0])
    columns = np.array_split(np.arange(values.shape[1]), _CELLS[1])
    return np.array([[values[np.ix_(r, c)].mean() for c in columns] for r in rows])
