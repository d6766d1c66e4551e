"""Classifiers as `tf_keras` models: backbones, heads, composition, adaptation, files."""

from __future__ import annotations

from bayescam.models.adapt import adapt_model
from bayescam.models.backbones import backbone_layers, backbone_names
from bayescam.models.compose import attach_head, build_classifier, build_head
from bayescam.models.ensemble import EnsembleDense
from bayescam.models.graph import LayerGraph, Step, Value, flatten_model
from bayescam.models.laplace import LaplaceDense
from bayescam.models.layers import (
    BinaryLogits,
    ClassLogits,
    PixelNormalization,
    SampledDropout,
    Standardization,
)
from bayescam.models.mean_field import MeanFieldDense
from bayescam.models.members import ModelEnsemble, class_names, load_ensemble
from bayescam.models.perturbations import (
    FlipoutDense,
    LocalReparameterizationDense,
    ReparameterizationDense,
    rademacher,
)
from bayescam.models.saving import load_model, save_model
from bayescam.models.variational import posterior_mean, variational_layers
from bayescam.models.weights import WeightsReport, load_weights

__all__ = [
    "BinaryLogits",
    "ClassLogits",
    "EnsembleDense",
    "FlipoutDense",
    "LaplaceDense",
    "LocalReparameterizationDense",
    "MeanFieldDense",
    "ReparameterizationDense",
    "LayerGraph",
    "ModelEnsemble",
    "PixelNormalization",
    "SampledDropout",
    "Standardization",
    "Step",
    "Value",
    "WeightsReport",
    "adapt_model",
    "attach_head",
    "backbone_layers",
    "backbone_names",
    "build_classifier",
    "build_head",
    "class_names",
    "flatten_model",
    "load_ensemble",
    "load_model",
    "load_weights",
    "posterior_mean",
    "rademacher",
    "save_model",
    "variational_layers",
]
