"""From a model and data to posterior draws: training, the split, whole-function draws."""

from bayescam.inference.draws import PosteriorDraws
from bayescam.inference.posterior import EnsembleDraws, draw_posterior
from bayescam.inference.split import NetworkSplit, split_network

__all__ = ["EnsembleDraws", "NetworkSplit", "PosteriorDraws", "draw_posterior", "split_network"]
