"""How ill a class fits an image: the scores of LAC, APS and RAPS that conformal sets compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["ConformalMethod", "ConformalScore"]

ConformalMethod = Literal["lac", "aps", "raps"]


@dataclass(frozen=True)
class ConformalScore:
    """How ill a class fits an image; see `fit_conformal` for the formulas.

    Attributes:
        method: `"lac"`, `"aps"` or `"raps"`.
        randomised: whether APS and RAPS draw a uniform number per image; false for LAC.
        penalty: lambda of RAPS, 0 for the other methods.
        k_reg: classes without penalty, RAPS only.
    """

    method: ConformalMethod
    randomised: bool
    penalty: float
    k_reg: int

    def for_fitting(
        self, probs: NDArray[np.float64], draws: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The scores (N, K) that thresholds are quantiles of, for probabilities and `u` (N,)."""
        if self.method == "lac":
            return 1.0 - probs
        above, upto, _, rank = _ranked_mass(probs)
        if self.randomised:
            upto = above + draws[:, np.newaxis] * (upto - above)
        return upto + self._penalty_of(rank)

    def for_sets(
        self, probs: NDArray[np.float64], draws: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The scores (N, K) that thresholds are compared with, never above `for_fitting`.

        Lower only for the deterministic APS and RAPS: the score of the class before, so that the
        class at which the sum crosses the threshold is in.
        """
        if self.method == "lac" or self.randomised:
            return self.for_fitting(probs, draws)
        above, _, rank_before, _ = _ranked_mass(probs)
        return above + self._penalty_of(rank_before)

    def _penalty_of(self, rank: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.penalty * np.maximum(rank - self.k_reg, 0)


def _ranked_mass(
    probs: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Mass above each class and up to it, number of classes above and up to it; ties count alike.

    Four arrays (N, K). Sums run over sorted probabilities, so they do not depend on the order of
    the classes.
    """
    num_classes = probs.shape[1]
    order = np.argsort(-probs, axis=1)
    ordered = np.take_along_axis(probs, order, axis=1)
    place, edge = np.arange(num_classes), np.diff(ordered, axis=1) != 0
    starts = np.where(np.pad(edge, ((0, 0), (1, 0)), constant_values=True), place, 0)
    ends = np.where(np.pad(edge, ((0, 0), (0, 1)), constant_values=True), place + 1, num_classes)
    back = np.argsort(order, axis=1)
    before = np.take_along_axis(np.maximum.accumulate(starts, axis=1), back, axis=1)
    upto = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    upto = np.take_along_axis(upto, back, axis=1)
    mass = np.pad(np.cumsum(ordered, axis=1), ((0, 0), (1, 0)))
    image = np.arange(len(probs))[:, np.newaxis]
    return mass[image, before], mass[image, upto], before, upto
