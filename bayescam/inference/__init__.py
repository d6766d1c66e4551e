"""From a model and data to posterior draws: training, the split, whole-function draws."""

from bayescam.inference.draws import PosteriorDraws
from bayescam.inference.head_training import fit_head
from bayescam.inference.posterior import EnsembleDraws, draw_posterior
from bayescam.inference.split import NetworkSplit, split_network
from bayescam.inference.trainer import TrainingSettings

__all__ = [
    "EnsembleDraws",
    "NetworkSplit",
    "PosteriorDraws",
    "TrainingSettings",
    "draw_posterior",
    "fit_head",
    "split_network",
]
