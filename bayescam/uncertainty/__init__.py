"""What draws of probabilities say: uncertainty, scores, calibration, referral. NumPy only."""

from bayescam.uncertainty.bootstrap import BootstrapScores, group_bootstrap
from bayescam.uncertainty.brier import BrierDecomposition, brier_decomposition
from bayescam.uncertainty.calibration import Calibration, cross_fit_logits, fit_calibration
from bayescam.uncertainty.covariance import (
    CovarianceSplit,
    covariance_split,
    covariance_traces,
)
from bayescam.uncertainty.decomposition import (
    decompose,
    expected_entropy,
    mutual_information,
    predictive_entropy,
)
from bayescam.uncertainty.intervals import credible_interval
from bayescam.uncertainty.labelwise import VarianceSplit, labelwise_variance
from bayescam.uncertainty.montecarlo import MonteCarloError, check_draws, monte_carlo_error
from bayescam.uncertainty.overlap import class_overlap
from bayescam.uncertainty.referral import RiskCoverage, accuracy_at_referral, risk_coverage
from bayescam.uncertainty.reliability import (
    Binning,
    ReliabilityCurve,
    classwise_calibration_error,
    expected_calibration_error,
    reliability_curve,
)
from bayescam.uncertainty.scoring import (
    CALIBRATION_SCORES,
    OVERALL_SCORES,
    PredictionScores,
    score_names,
    score_predictions,
)
from bayescam.uncertainty.variation import variation_ratio

__all__ = [
    "CALIBRATION_SCORES",
    "OVERALL_SCORES",
    "Binning",
    "BootstrapScores",
    "BrierDecomposition",
    "Calibration",
    "CovarianceSplit",
    "MonteCarloError",
    "PredictionScores",
    "ReliabilityCurve",
    "RiskCoverage",
    "VarianceSplit",
    "accuracy_at_referral",
    "brier_decomposition",
    "check_draws",
    "class_overlap",
    "classwise_calibration_error",
    "covariance_split",
    "covariance_traces",
    "credible_interval",
    "cross_fit_logits",
    "decompose",
    "expected_calibration_error",
    "expected_entropy",
    "fit_calibration",
    "group_bootstrap",
    "labelwise_variance",
    "monte_carlo_error",
    "mutual_information",
    "predictive_entropy",
    "reliability_curve",
    "risk_coverage",
    "score_names",
    "score_predictions",
    "variation_ratio",
]
