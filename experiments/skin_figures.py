"""The figure of system A: the density of the classes and the map, from the same draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import tf_keras
from matplotlib.figure import Figure
from scipy.special import softmax
from skin_config import CLASS_NAMES

import bayescam as bc
from bayescam.data import load_mask
from bayescam.explain import class_maps, positive_evidence
from bayescam.report import draw_class_densities, draw_map_panels, figure_style
from bayescam.types import Array

SHOWN = ("nv", "mel")  # the article's two classes


@dataclass(frozen=True, eq=False)
class ShownCase:
    """One image with its draws.

    Attributes:
        name: What it is an example of.
        label: Its class.
        image: (H, W, 3), 0..255.
        mask: (H, W), the lesion, or None.
        probs: (S, K), draws of the class probabilities.
        cams: (S, h, w), maps of the predicted class of the same draws.
    """

    name: str
    label: str
    image: Array
    mask: Array | None
    probs: Array
    cams: Array


def choose_cases(
    model: tf_keras.Model, records: pd.DataFrame, probs: Array, num_samples: int, seed: int
) -> list[ShownCase]:
    """The surest and the least sure image that is called a nevus or a melanoma, rightly or not.

    Args:
        model: A classifier with draws.
        records: n images.
        probs: (n, K), their mean probabilities.
        num_samples: S.
        seed: Of the draws.
    """
    called = np.isin(probs.argmax(axis=1), [CLASS_NAMES.index(name) for name in SHOWN])
    sure = np.where(called, probs.max(axis=1), np.nan)
    rows = [int(np.nanargmax(sure)), int(np.nanargmin(sure))]
    chosen = records.iloc[rows]
    images = bc.load_images(chosen["path"], model.input_shape[1:3])
    draws = bc.analyze(model, images, num_samples=num_samples, seed=seed)
    cams = class_maps(draws["cam"].to_numpy(), probs[rows].argmax(axis=1))
    drawn = softmax(np.float64(draws["logits"].to_numpy()), axis=-1)
    masks = load_masks(chosen, model) if chosen["mask_path"].notna().all() else [None, None]
    return [
        ShownCase(name, label, images[i], masks[i], drawn[:, i], cams[:, i])
        for i, (name, label) in enumerate(zip(("sure", "unsure"), chosen["label"], strict=True))
    ]


def load_masks(records: pd.DataFrame, model: tf_keras.Model) -> Array:
    """Lesion masks (n, H, W) at the size of the model's images."""
    return np.stack([load_mask(path, model.input_shape[1:3]) for path in records["mask_path"]])


def draw_cases(cases: Sequence[ShownCase]) -> Figure:
    """A row per image: densities of nevus, melanoma and the class predicted | image | three panels.

    These are `relu(mean map)` of that class, the sd of the map, and P(map > c), where c is half
    the largest value of the mean map.
    """
    with figure_style():
        figure = Figure(figsize=(14.0, 2.7 * len(cases)), layout="constrained")
        rows = figure.subfigures(len(cases), 2, width_ratios=[1, 3], squeeze=False)
        for (left, right), case in zip(rows, cases, strict=True):
            density, panels = left.subplots(), right.subplots(1, 4)
            draw_class_densities(
                case.probs,
                CLASS_NAMES,
                ax=density,
                classes=_shown(case.probs),
                legend="below",
                title=f"{case.name} (true class {case.label})",
            )
            mean, sd = case.cams.mean(axis=0), case.cams.std(axis=0)
            threshold = 0.5 * float(mean.max())
            draw_map_panels(
                case.image,
                mean,
                sd,
                (case.cams > threshold).mean(axis=0),
                axes=list(panels),
                threshold=threshold,
                target=CLASS_NAMES[int(case.probs.mean(axis=0).argmax())],
                mask=case.mask,
                has_evidence=bool(positive_evidence(mean, sd, len(case.cams))),
            )
    return figure


def _shown(probs: Array) -> list[str]:
    """The article's two classes, and the most probable one."""
    first = CLASS_NAMES[int(probs.mean(axis=0).argmax())]
    return list(dict.fromkeys([first, *SHOWN]))
