"""Class activation maps of posterior draws, their closed forms and their summaries."""

from bayescam.explain.closed_form import (
    LogitMoments,
    cam_covariance,
    cam_moments,
    logit_moments,
    prob_above,
)
from bayescam.explain.gradcam import CamExplainer

__all__ = [
    "CamExplainer",
    "LogitMoments",
    "cam_covariance",
    "cam_moments",
    "logit_moments",
    "prob_above",
]
