"""What draws of probabilities say: uncertainty, scores, calibration, referral. NumPy only."""

from bayescam.uncertainty.bootstrap import BootstrapScores, group_bootstrap
from bayescam.uncertainty.calibration import Calibration, cross_fit_logits, fit_calibration
from bayescam.uncertainty.decomposition import (
    decompose,
    expected_entropy,
    mutual_information,
    predictive_entropy,
)
from bayescam.uncertainty.intervals import credible_interval
from bayescam.uncertainty.referral import RiskCoverage, accuracy_at_referral, risk_coverage
from bayescam.uncertainty.reliability import (
    ReliabilityCurve,
    expected_calibration_error,
    reliability_curve,
)
from bayescam.uncertainty.scoring import (
    OVERALL_SCORES,
    PredictionScores,
    score_names,
    score_predictions,
)

__all__ = [
    "OVERALL_SCORES",
    "BootstrapScores",
    "Calibration",
    "PredictionScores",
    "ReliabilityCurve",
    "RiskCoverage",
    "accuracy_at_referral",
    "credible_interval",
    "cross_fit_logits",
    "decompose",
    "expected_calibration_error",
    "expected_entropy",
    "fit_calibration",
    "group_bootstrap",
    "mutual_information",
    "predictive_entropy",
    "reliability_curve",
    "risk_coverage",
    "score_names",
    "score_predictions",
]
