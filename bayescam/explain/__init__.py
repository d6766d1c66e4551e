"""Class activation maps of posterior draws, their closed forms and their summaries."""
from bayescam.explain.gradcam import CamExplainer

__all__ = ["CamExplainer"]
