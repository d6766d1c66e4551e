"""Draws of an analysis judged: mean probabilities and every score of uncertainty, block by block.

Draws are turned into probabilities a few hundred images at a time, so that no float64 copy of all
of them is ever held.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import confusion_matrix

from bayescam.data.records import group_keys
from bayescam.types import Array, InputError
from bayescam.uncertainty import (
    Calibration,
    class_overlap,
    labelwise_variance,
    one_per_group,
    variation_ratio,
)
from bayescam.uncertainty.decomposition import entropies
from bayescam.workflows.finished import Analysis

__all__ = ["JudgedImages", "class_histograms", "judge_images", "map_blocks", "score_draws"]

_BLOCK_VALUES = 1_000_000  # probabilities in one block of images, 8 MB
_MOST_THREADS = 4

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class JudgedImages:
    """What the draws say of n images, before or after calibration.

    Attributes:
        mean_probs: (n, K), mean over the draws.
        labels: class index of each image, (n,), -1 where unknown.
        groups: lesion or patient of each image, (n,); an image without one stands alone.
        image_ids: (n,).
        scores: by name, larger is less sure, (n,) each; see `score_draws`.
    """

    mean_probs: Array
    labels: NDArray[np.int64]
    groups: Array
    image_ids: Array
    scores: dict[str, Array]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class of the largest mean probability, (n,)."""
        return np.asarray(self.mean_probs.argmax(axis=1), dtype=np.int64)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the prediction is the label, (n,)."""
        return self.predicted == self.labels

    def confusion(self) -> NDArray[np.int64]:
        """Counts (K, K): rows are true classes, columns predicted."""
        classes = range(self.mean_probs.shape[1])
        return np.asarray(confusion_matrix(self.labels, self.predicted, labels=classes))

    def take(self, rows: Array) -> JudgedImages:
        """The same of some images, by positions or a mask."""
        scores = {name: values[rows] for name, values in self.scores.items()}
        return JudgedImages(
            self.mean_probs[rows],
            self.labels[rows],
            self.groups[rows],
            self.image_ids[rows],
            scores,
        )

    def one_per_group(self, seed: int) -> NDArray[np.int64]:
        """Positions of one image of each group, chosen by the images' names and `seed`."""
        return one_per_group(self.groups, seed=seed, keys=self.image_ids)


def judge_images(
    analysis: Analysis, rows: NDArray[np.int64], calibration: Calibration | None
) -> JudgedImages:
    """Judge some images of an analysis.

    Raises:
        InputError: logits are not finite.
    """
    blocks = map_blocks(
        lambda probs, _: {"mean": probs.mean(axis=0), **score_draws(probs)},
        analysis,
        rows,
        calibration,
    )
    found = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    table = analysis.predictions
    return JudgedImages(
        found.pop("mean"),
        analysis.labels[rows],
        group_keys(table).to_numpy(dtype=object)[rows],
        table["image_id"].to_numpy(dtype=object)[rows],
        found,
    )


def score_draws(probs: Array) -> dict[str, Array]:
    """Scores by which images can be referred, larger is less sure: (n,) each, for (S, n, K).

    `1 - confidence`, `predictive_entropy` and `total_variance` (the trace of the covariance of the
    label, `1 - sum_k mean_k^2`) need no spread of the draws. The others are there from two draws
    on: `expected_entropy`, `mutual_information`, `variation_ratio`, `class_overlap`, and the two
    parts of the total variance, `aleatoric_variance` and `epistemic_variance`, which are the sums
    of the class-wise variances and the traces of the covariances.
    """
    mean, parts = probs.mean(axis=0), entropies(probs)
    scores = {
        "1 - confidence": 1.0 - mean.max(axis=1),
        "predictive_entropy": parts.predictive_entropy,
        "total_variance": 1.0 - (mean**2).sum(axis=1),
    }
    if len(probs) == 1:
        return scores
    variance = labelwise_variance(probs).sum()
    return scores | {
        "expected_entropy": parts.expected_entropy,
        "mutual_information": parts.mutual_information,
        "variation_ratio": variation_ratio(probs),
        "class_overlap": class_overlap(probs),
        "aleatoric_variance": variance.aleatoric,
        "epistemic_variance": variance.epistemic,
    }


def class_histograms(
    analysis: Analysis,
    rows: NDArray[np.int64],
    calibration: Calibration | None,
    *,
    num_bins: int = 200,
) -> tuple[Array, Array]:
    """How the draws of the probability of each class are distributed, two arrays (K, B).

    Counts in bins of equal width on [0, 1], of the draws of `p_k` of the images of class k, and of
    the images of the other classes.
    """
    labels = analysis.labels

    def count(probs: Array, chosen: NDArray[np.int64]) -> Array:
        cells = np.minimum((probs * num_bins).astype(np.int64), num_bins - 1)
        of_class = labels[chosen][:, np.newaxis] == np.arange(probs.shape[2])
        return np.stack(
            [
                [
                    np.bincount(cells[:, among[:, k], k].ravel(), minlength=num_bins)
                    for k in range(probs.shape[2])
                ]
                for among in (of_class, ~of_class)
            ]
        )

    own, others = np.sum(map_blocks(count, analysis, rows, calibration), axis=0)
    return own, others


def map_blocks(
    function: Callable[[Array, NDArray[np.int64]], Result],
    analysis: Analysis,
    rows: NDArray[np.int64],
    calibration: Calibration | None,
) -> list[Result]:
    """What `function` makes of the probabilities (S, b, K), float64, and rows of ever b images.

    A few blocks are at work at once, since NumPy computes outside of Python's lock.

    Raises:
        InputError: logits are not finite.
    """
    num_samples, _, num_classes = analysis.logits.shape
    size = max(1, _BLOCK_VALUES // (num_samples * num_classes))

    def work(chosen: NDArray[np.int64]) -> Result:
        logits = analysis.logits[:, chosen].astype(np.float64)
        _refuse_broken(analysis, chosen, logits)
        if calibration is not None:
            logits = calibration.apply(logits)
        return function(softmax(logits, axis=-1), chosen)

    blocks = [rows[start : start + size] for start in range(0, len(rows), size)]
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(work, blocks))


def _refuse_broken(analysis: Analysis, rows: NDArray[np.int64], logits: Array) -> None:
    finite = np.isfinite(logits).all(axis=(0, 2))
    if finite.all():
        return
    name = analysis.predictions["image_id"].iloc[rows[int(finite.argmin())]]
    raise InputError(
        f"{analysis.folder}: logits of analysis.zarr must be finite; those of image {name!r} are "
        "not. Did the training diverge, or was the folder changed?"
    )
