"""Class activation maps of posterior draws, their closed forms and their summaries.

Names are loaded on first use: statistics of maps are NumPy only and do not load TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayescam.lazy import lazy_names

if TYPE_CHECKING:
    from bayescam.explain.agreement import overlap_agreement, rank_agreement
    from bayescam.explain.class_flips import MapVarianceSplit, split_map_variance
    from bayescam.explain.closed_form import (
        LogitMoments,
        cam_covariance,
        cam_moments,
        logit_moments,
    )
    from bayescam.explain.evidence import positive_evidence
    from bayescam.explain.excursion import (
        ExcursionProbability,
        ExcursionSet,
        excursion_probability,
        excursion_set,
    )
    from bayescam.explain.explainer import CamExplainer
    from bayescam.explain.gaussian_maps import (
        gaussian_quantiles,
        gaussian_statistics,
        prob_above,
    )
    from bayescam.explain.map_error import DrawsEnough, MapErrors, draws_enough, map_errors
    from bayescam.explain.methods import CAM_METHODS, CamMethod
    from bayescam.explain.modes import ExplanationModes, explanation_modes
    from bayescam.explain.peaks import PeakDistribution, peak_distribution
    from bayescam.explain.summary import (
        MapStatistics,
        coefficient_of_variation,
        intersection_map,
        map_quantiles,
        relevance_threshold,
        summarize_maps,
        union_map,
    )
    from bayescam.explain.targets import Target, parse_target

__all__ = [
    "CAM_METHODS",
    "CamExplainer",
    "CamMethod",
    "DrawsEnough",
    "ExcursionProbability",
    "ExcursionSet",
    "ExplanationModes",
    "LogitMoments",
    "MapErrors",
    "MapStatistics",
    "MapVarianceSplit",
    "PeakDistribution",
    "Target",
    "cam_covariance",
    "cam_moments",
    "coefficient_of_variation",
    "draws_enough",
    "excursion_probability",
    "excursion_set",
    "explanation_modes",
    "gaussian_quantiles",
    "gaussian_statistics",
    "intersection_map",
    "logit_moments",
    "map_errors",
    "map_quantiles",
    "overlap_agreement",
    "parse_target",
    "peak_distribution",
    "positive_evidence",
    "prob_above",
    "rank_agreement",
    "relevance_threshold",
    "split_map_variance",
    "summarize_maps",
    "union_map",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "bayescam.explain.agreement": ("overlap_agreement", "rank_agreement"),
        "bayescam.explain.class_flips": ("MapVarianceSplit", "split_map_variance"),
        "bayescam.explain.closed_form": (
            "LogitMoments",
            "cam_covariance",
            "cam_moments",
            "logit_moments",
        ),
        "bayescam.explain.evidence": ("positive_evidence",),
        "bayescam.explain.excursion": (
            "ExcursionProbability",
            "ExcursionSet",
            "excursion_probability",
            "excursion_set",
        ),
        "bayescam.explain.explainer": ("CamExplainer",),
        "bayescam.explain.gaussian_maps": (
            "gaussian_quantiles",
            "gaussian_statistics",
            "prob_above",
        ),
        "bayescam.explain.map_error": ("DrawsEnough", "MapErrors", "draws_enough", "map_errors"),
        "bayescam.explain.methods": ("CAM_METHODS", "CamMethod"),
        "bayescam.explain.modes": ("ExplanationModes", "explanation_modes"),
        "bayescam.explain.peaks": ("PeakDistribution", "peak_distribution"),
        "bayescam.explain.summary": (
            "MapStatistics",
            "coefficient_of_variation",
            "intersection_map",
            "map_quantiles",
            "relevance_threshold",
            "summarize_maps",
            "union_map",
        ),
        "bayescam.explain.targets": ("Target", "parse_target"),
    },
)
