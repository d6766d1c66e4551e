"""What draws of probabilities say: uncertainty, scores, calibration, referral. NumPy only."""

from bayescam.uncertainty.bootstrap import BootstrapScores, group_bootstrap
from bayescam.uncertainty.calibration import Calibration, cross_fit_logits, fit_calibration
from bayescam.uncertainty.conformal import (
    ConformalMethod,
    ConformalPredictor,
    ConformalScore,
    fit_conformal,
)
from bayescam.uncertainty.coverage import SetScores, SetSummary, coverage_band, score_sets
from bayescam.uncertainty.decomposition import (
    decompose,
    expected_entropy,
    mutual_information,
    predictive_entropy,
)
from bayescam.uncertainty.exchangeability import one_per_group, refuse_shared_groups
from bayescam.uncertainty.intervals import credible_interval
from bayescam.uncertainty.referral import (
    ClassReferral,
    RiskCoverage,
    accuracy_at_referral,
    class_at_referral,
    risk_coverage,
    risk_coverage_curves,
)
from bayescam.uncertainty.reliability import (
    ReliabilityCurve,
    expected_calibration_error,
    reliability_curve,
)
from bayescam.uncertainty.risk_control import ReferralRule, fit_referral_rule
from bayescam.uncertainty.scoring import (
    OVERALL_SCORES,
    PredictionScores,
    score_names,
    score_predictions,
)
from bayescam.uncertainty.shift import (
    DiagonalDistance,
    MahalanobisDistance,
    ShiftDetection,
    detect_shift,
    detect_shift_by_score,
    fit_mahalanobis,
)

__all__ = [
    "OVERALL_SCORES",
    "BootstrapScores",
    "Calibration",
    "ClassReferral",
    "ConformalMethod",
    "ConformalPredictor",
    "ConformalScore",
    "DiagonalDistance",
    "MahalanobisDistance",
    "PredictionScores",
    "ReferralRule",
    "ReliabilityCurve",
    "RiskCoverage",
    "SetScores",
    "SetSummary",
    "ShiftDetection",
    "accuracy_at_referral",
    "class_at_referral",
    "coverage_band",
    "credible_interval",
    "cross_fit_logits",
    "decompose",
    "detect_shift",
    "detect_shift_by_score",
    "expected_calibration_error",
    "expected_entropy",
    "fit_calibration",
    "fit_conformal",
    "fit_mahalanobis",
    "fit_referral_rule",
    "group_bootstrap",
    "mutual_information",
    "one_per_group",
    "predictive_entropy",
    "refuse_shared_groups",
    "reliability_curve",
    "risk_coverage",
    "risk_coverage_curves",
    "score_names",
    "score_predictions",
    "score_sets",
]
