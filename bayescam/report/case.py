"""One case of the report: what the page says of an image, as plain values ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from bayescam.report.density import unit_interval_density
from bayescam.report.packing import PackedArray, pack_positive, pack_signed
from bayescam.report.wording import describe_draws, is_path, shown_text
from bayescam.types import InputError

__all__ = [
    "DENSITY_GRID",
    "CaseReport",
    "MapContrast",
    "MapSummary",
    "case_content",
    "case_row",
    "mask_outline",
]

DENSITY_GRID = np.unique(
    np.concatenate([np.linspace(0.004, 0.996, 125), expit(np.linspace(-9.0, 9.0, 76))])
)
"""Where the densities of a page are known, (G,): denser towards 0 and 1, where peaks are narrow."""

_NO_SPREAD = 1e-3
_MAX_CLASSES = 8
_PRIVATE_COLUMNS = frozenset({"path", "mask_path", "patient", "patient_id", "patientid", "group"})


@dataclass(frozen=True, eq=False)
class MapSummary:
    """The distribution of the map of one target of one image.

    Attributes:
        target: the explained class.
        mean: (h, w), mean of the signed map over draws.
        sd: (h, w), standard deviation over draws.
        p_relevant: (h, w), P(map > threshold).
        threshold: in the units of the map.
        has_evidence: whether the mean is positive anywhere beyond chance; if not, that is said in
            place of a picture of `relu(mean)`.
        is_of_all_draws: whether the target is an uncertainty, whose map is one alone: then each of
            `draws` is what that draw adds to it.
        draws: (M, h, w), signed maps of the first M draws, or None where they were not kept.
    """

    target: str
    mean: NDArray[np.floating]
    sd: NDArray[np.floating]
    p_relevant: NDArray[np.floating]
    threshold: float
    has_evidence: bool = True
    is_of_all_draws: bool = False
    draws: NDArray[np.floating] | None = None


@dataclass(frozen=True, eq=False)
class MapContrast:
    """Mean over draws of the signed map of one class minus that of another, (h, w)."""

    name: str
    mean: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class CaseReport:
    """What the report shows of one image.

    Attributes:
        image_id: a name for the eye; must not identify the patient.
        probs: (S, K), draws of the class probabilities.
        class_names: K names.
        size: (H, W) of the picture.
        predictive_entropy: nats, total.
        expected_entropy: nats, aleatoric part.
        mutual_information: nats, epistemic part.
        label: the true class, or None where it is not known.
        called: the class that rules kept or referred, where a calibration may have changed it.
        maps: one per explained class.
        contrast: of the two most probable classes, where both are explained.
        outline: closed lines around the masked region, (n, 2) each, x and y from 0 to 1.
        referred: what the referral rule says; None where there is none.
        decisions: lines on what the rules make of the image.
        details: further facts, in the order given. Paths and patient names are refused.
        remarks: short flags, such as "map outside the mask".
        picture: where the page finds the image: a relative address, or a data URI.
        thumbnail: the same for the small image of the lists.
        level: of the equal-tailed intervals.
        unit: what a draw is called, in the plural.
    """

    image_id: str
    probs: NDArray[np.float64]
    class_names: Sequence[str]
    size: tuple[int, int]
    predictive_entropy: float
    expected_entropy: float
    mutual_information: float
    label: str | None = None
    called: str | None = None
    maps: tuple[MapSummary, ...] = ()
    contrast: MapContrast | None = None
    outline: tuple[NDArray[np.float64], ...] = ()
    referred: bool | None = None
    decisions: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    picture: str = ""
    thumbnail: str = ""
    level: float = 0.95
    unit: str = "draws"

    def __post_init__(self) -> None:
        """Refuses draws of another shape, and details that would identify a patient."""
        if self.probs.ndim != 2 or self.probs.shape[1] != len(self.class_names):
            raise InputError(
                f"`probs` must have shape (S, {len(self.class_names)}), the draws of one image; "
                f"got {self.probs.shape}."
            )
        for name, value in self.details.items():
            if name.lower() in _PRIVATE_COLUMNS or is_path(str(value)):
                raise InputError(
                    f"`details` must not hold paths or patient identifiers; got {name!r}."
                )

    @property
    def mean_probs(self) -> NDArray[np.float64]:
        """(K,), posterior predictive mean."""
        mean: NDArray[np.float64] = self.probs.mean(axis=0)
        return mean

    @property
    def predicted(self) -> str:
        """The most probable class of the mean probabilities."""
        return self.class_names[int(self.mean_probs.argmax())]

    @property
    def wrong(self) -> bool | None:
        """Whether the label differs from the call; None where it is no class of the model.

        The call is `called`, which the verdict speaks of, or where there is none `predicted`.
        """
        return (
            self.label != (self.called or self.predicted)
            if self.label in self.class_names
            else None
        )


def case_row(case: CaseReport) -> dict[str, object]:
    """What lists, filters and search of the page need of a case: plain JSON values."""
    names = list(case.class_names)
    return {
        "id": shown_text(case.image_id),
        "label": None if case.label is None else shown_text(case.label),
        "predicted": names.index(case.predicted),
        "wrong": case.wrong,
        "confidence": round(float(case.mean_probs.max()), 4),
        "total": round(case.predictive_entropy, 5),
        "between": round(case.mutual_information, 5),
        "referred": case.referred,
        "details": [shown_text(value) for value in case.details.values()],
        "remarks": [*_changed_call(case), *case.remarks],
        "thumbnail": case.thumbnail,
    }


def case_content(case: CaseReport) -> dict[str, object]:
    """All that the page shows of a case: plain JSON values, maps and draws packed.

    Maps of single draws share one scale; so do mean, sd and contrast not, each has its own.
    """
    lower, upper = np.quantile(case.probs, [(1 - case.level) / 2, (1 + case.level) / 2], axis=0)
    mean, order = case.mean_probs, np.argsort(-case.mean_probs, kind="stable")
    names = [shown_text(name) for name in case.class_names]
    return {
        "picture": case.picture,
        "size": list(case.size),
        "outline": [np.rint(line * 1000).astype(int).tolist() for line in case.outline],
        "words": describe_draws(case.probs, names, level=case.level, unit=case.unit),
        "decisions": [shown_text(line, longest=400) for line in case.decisions],
        "classes": [
            [int(k), *(round(float(part[k]), 4) for part in (mean, lower, upper))] for k in order
        ],
        "probs": pack_positive(case.probs, largest=1.0),
        "densities": _densities(case.probs, order[:_MAX_CLASSES]),
        "facts": {
            "total uncertainty": f"{case.predictive_entropy:.3f} nats",
            "within draws": f"{case.expected_entropy:.3f} nats",
            "between draws": f"{case.mutual_information:.3f} nats",
            **{name: shown_text(value) for name, value in case.details.items()},
        },
        "maps": [_map_content(part) for part in case.maps],
        "contrast": None
        if case.contrast is None
        else {"name": shown_text(case.contrast.name), "mean": pack_signed(case.contrast.mean)},
    }


def mask_outline(mask: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """Closed lines around the nonzero region of a mask (H, W): (n, 2) each, x and y from 0 to 1.

    The lines run along the outermost pixels of the region, to about a five-hundredth of the larger
    side; islands of fewer than four points and holes are left out.
    """
    import cv2

    array = (np.asarray(mask) > 0).astype(np.uint8)
    height, width = array.shape
    found, _ = cv2.findContours(array, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    lines = (cv2.approxPolyDP(line, max(height, width) / 500, closed=True)[:, 0] for line in found)
    return tuple((line + 0.5) / (width, height) for line in lines if len(line) > 3)


def _changed_call(case: CaseReport) -> list[str]:
    """A flag where the call that the verdict speaks of is not the prediction of the draws."""
    if case.called in (None, case.predicted):
        return []
    return [f"calibrated: {shown_text(case.called)}"]


def _map_content(part: MapSummary) -> dict[str, object]:
    return {
        "target": shown_text(part.target),
        "mean": pack_signed(part.mean),
        "sd": pack_positive(part.sd),
        "relevant": pack_positive(np.clip(part.p_relevant, 0.0, 1.0), largest=1.0),
        "threshold": part.threshold,
        "evidence": part.has_evidence,
        "ofAll": part.is_of_all_draws,
        "draws": None if part.draws is None else pack_signed(part.draws),
    }


def _densities(
    probs: NDArray[np.float64], classes: Sequence[int] | NDArray[np.int64]
) -> dict[str, object]:
    """Curves over `DENSITY_GRID` on one scale that fits the most probable class; see `top`.

    The second class may raise the scale up to 2.5 times, as in `draw_class_densities`. A class
    whose draws do not vary visibly has no curve: the page draws a line at its mean.
    """
    spread = [int(k) for k in classes if np.ptp(probs[:, k]) >= _NO_SPREAD]
    curves = [unit_interval_density(probs[:, k], DENSITY_GRID) for k in spread]
    peaks = [float(curve.max()) for curve in curves]
    top = (
        1.12 * max([peaks[0], *(min(peak, 2.5 * peaks[0]) for peak in peaks[1:2])], default=1.0)
        if peaks
        else 1.0
    )
    packed: PackedArray = pack_positive(
        np.reshape(curves, (len(curves), len(DENSITY_GRID))), largest=top
    )
    return {"classes": spread, "curves": packed, "cut": any(peak > top for peak in peaks)}
