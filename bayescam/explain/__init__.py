"""Class activation maps of posterior draws, their closed forms, summaries, and how good they are.

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
    from bayescam.explain.comparison import MapAgreement, compare_maps, rank_correlation
    from bayescam.explain.evidence import positive_evidence
    from bayescam.explain.excursion import (
        ExcursionProbability,
        ExcursionSet,
        excursion_probability,
        excursion_set,
    )
    from bayescam.explain.explainer import CamExplainer
    from bayescam.explain.faithfulness import Road, deletion, insertion, road
    from bayescam.explain.gaussian_maps import gaussian_quantiles, gaussian_statistics, prob_above
    from bayescam.explain.infidelity_score import Infidelity, infidelity
    from bayescam.explain.localization import (
        Localization,
        energy_in_masks,
        judge_localization,
        tune_threshold,
    )
    from bayescam.explain.localization_baselines import (
        MaskedMaps,
        centred_gaussian,
        judge_beside_baselines,
    )
    from bayescam.explain.map_error import DrawsEnough, MapErrors, draws_enough, map_errors
    from bayescam.explain.masks import mean_mask
    from bayescam.explain.methods import CAM_METHODS, MAP_METHODS, CamMethod, MapMethod
    from bayescam.explain.modes import ExplanationModes, explanation_modes
    from bayescam.explain.peaks import PeakDistribution, peak_distribution
    from bayescam.explain.perturbation import PerturbationCurve
    from bayescam.explain.predicted_maps import class_maps, summary_maps
    from bayescam.explain.randomization import cascade, head_layers, randomized, weighted_layers
    from bayescam.explain.sanity import (
        cascading_randomization,
        head_randomization,
        noise_stability,
        seed_repeatability,
    )
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
    "Infidelity",
    "Localization",
    "LogitMoments",
    "MAP_METHODS",
    "MapAgreement",
    "MapErrors",
    "MapMethod",
    "MapStatistics",
    "MapVarianceSplit",
    "MaskedMaps",
    "PeakDistribution",
    "PerturbationCurve",
    "Road",
    "Target",
    "cam_covariance",
    "cam_moments",
    "cascade",
    "cascading_randomization",
    "centred_gaussian",
    "class_maps",
    "coefficient_of_variation",
    "compare_maps",
    "deletion",
    "draws_enough",
    "energy_in_masks",
    "excursion_probability",
    "excursion_set",
    "explanation_modes",
    "gaussian_quantiles",
    "gaussian_statistics",
    "head_layers",
    "head_randomization",
    "infidelity",
    "insertion",
    "intersection_map",
    "judge_beside_baselines",
    "judge_localization",
    "logit_moments",
    "map_errors",
    "map_quantiles",
    "summary_maps",
    "mean_mask",
    "noise_stability",
    "overlap_agreement",
    "parse_target",
    "peak_distribution",
    "positive_evidence",
    "prob_above",
    "randomized",
    "rank_agreement",
    "rank_correlation",
    "relevance_threshold",
    "road",
    "seed_repeatability",
    "split_map_variance",
    "summarize_maps",
    "tune_threshold",
    "union_map",
    "weighted_layers",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "bayescam.explain.agreement": ("overlap_agreement", "rank_agreement"),
        "bayescam.explain.class_flips": ("MapVarianceSplit", "split_map_variance"),
        "bayescam.explain.predicted_maps": ("class_maps", "summary_maps"),
        "bayescam.explain.closed_form": (
            "LogitMoments",
            "cam_covariance",
            "cam_moments",
            "logit_moments",
        ),
        "bayescam.explain.comparison": ("MapAgreement", "compare_maps", "rank_correlation"),
        "bayescam.explain.evidence": ("positive_evidence",),
        "bayescam.explain.excursion": (
            "ExcursionProbability",
            "ExcursionSet",
            "excursion_probability",
            "excursion_set",
        ),
        "bayescam.explain.explainer": ("CamExplainer",),
        "bayescam.explain.faithfulness": ("Road", "deletion", "insertion", "road"),
        "bayescam.explain.gaussian_maps": (
            "gaussian_quantiles",
            "gaussian_statistics",
            "prob_above",
        ),
        "bayescam.explain.infidelity_score": ("Infidelity", "infidelity"),
        "bayescam.explain.localization": (
            "Localization",
            "energy_in_masks",
            "judge_localization",
            "tune_threshold",
        ),
        "bayescam.explain.localization_baselines": (
            "MaskedMaps",
            "centred_gaussian",
            "judge_beside_baselines",
        ),
        "bayescam.explain.map_error": ("DrawsEnough", "MapErrors", "draws_enough", "map_errors"),
        "bayescam.explain.masks": ("mean_mask",),
        "bayescam.explain.methods": ("CAM_METHODS", "MAP_METHODS", "CamMethod", "MapMethod"),
        "bayescam.explain.modes": ("ExplanationModes", "explanation_modes"),
        "bayescam.explain.peaks": ("PeakDistribution", "peak_distribution"),
        "bayescam.explain.perturbation": ("PerturbationCurve",),
        "bayescam.explain.randomization": (
            "cascade",
            "head_layers",
            "randomized",
            "weighted_layers",
        ),
        "bayescam.explain.sanity": (
            "cascading_randomization",
            "head_randomization",
            "noise_stability",
            "seed_repeatability",
        ),
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
