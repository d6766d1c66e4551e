"""Class activation maps of posterior draws, their closed forms and their summaries."""

from bayescam.explain.closed_form import (
    LogitMoments,
    cam_covariance,
    cam_moments,
    logit_moments,
    prob_above,
)
from bayescam.explain.explainer import CamExplainer
from bayescam.explain.methods import CAM_METHODS, CamMethod
from bayescam.explain.targets import Target, parse_target

__all__ = [
    "CAM_METHODS",
    "CamExplainer",
    "CamMethod",
    "LogitMoments",
    "Target",
    "cam_covariance",
    "cam_moments",
    "logit_moments",
    "parse_target",
    "prob_above",
]
