"""Class activation maps of posterior draws, their closed forms, and how good they are."""

from bayescam.explain.agreement import MapAgreement, compare_maps, rank_correlation
from bayescam.explain.class_maps import class_maps, mean_and_sd
from bayescam.explain.closed_form import (
    LogitMoments,
    cam_covariance,
    cam_moments,
    logit_moments,
    prob_above,
)
from bayescam.explain.explainer import CamExplainer
from bayescam.explain.faithfulness import Road, deletion, insertion, road
from bayescam.explain.infidelity import Infidelity, infidelity
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
from bayescam.explain.masks import mean_mask
from bayescam.explain.methods import CAM_METHODS, CamMethod
from bayescam.explain.perturbation import PerturbationCurve
from bayescam.explain.randomization import cascade, head_layers, randomized, weighted_layers
from bayescam.explain.sanity import (
    cascading_randomization,
    head_randomization,
    noise_stability,
    seed_repeatability,
)
from bayescam.explain.targets import Target, parse_target

__all__ = [
    "CAM_METHODS",
    "CamExplainer",
    "CamMethod",
    "Infidelity",
    "Localization",
    "LogitMoments",
    "MapAgreement",
    "MaskedMaps",
    "PerturbationCurve",
    "Road",
    "Target",
    "cam_covariance",
    "cam_moments",
    "cascade",
    "cascading_randomization",
    "centred_gaussian",
    "class_maps",
    "compare_maps",
    "deletion",
    "energy_in_masks",
    "head_layers",
    "head_randomization",
    "infidelity",
    "insertion",
    "judge_beside_baselines",
    "judge_localization",
    "logit_moments",
    "mean_and_sd",
    "mean_mask",
    "noise_stability",
    "parse_target",
    "prob_above",
    "randomized",
    "rank_correlation",
    "road",
    "seed_repeatability",
    "tune_threshold",
    "weighted_layers",
]
