"""What draws of probabilities say: uncertainty, scores, calibration, referral. NumPy only."""

from bayescam.uncertainty.auroc_bootstrap import AurocResamples, bootstrap_auroc
from bayescam.uncertainty.bootstrap import BootstrapScores, group_bootstrap
from bayescam.uncertainty.brier import BrierDecomposition, brier_decomposition
from bayescam.uncertainty.calibration import Calibration, cross_fit_logits, fit_calibration
from bayescam.uncertainty.conformal import ConformalPredictor, fit_conformal
from bayescam.uncertainty.conformal_score import ConformalMethod, ConformalScore
from bayescam.uncertainty.confusion import (
    ConfusionIntervals,
    confusion_over_draws,
    confusion_over_groups,
)
from bayescam.uncertainty.convergence import DrawsConvergence, draws_convergence
from bayescam.uncertainty.covariance import (
    CovarianceSplit,
    covariance_error,
    covariance_split,
    covariance_traces,
)
from bayescam.uncertainty.covariate_prior import (
    CovariatePrior,
    choose_prior_weight,
    fit_covariate_prior,
)
from bayescam.uncertainty.coverage import (
    SetScores,
    SetSummary,
    coverage_band,
    expected_coverage,
    score_sets,
)
from bayescam.uncertainty.decomposition import (
    decompose,
    expected_entropy,
    mutual_information,
    predictive_entropy,
)
from bayescam.uncertainty.distance import (
    DiagonalDistance,
    MahalanobisDistance,
    fit_mahalanobis,
)
from bayescam.uncertainty.enough_draws import TOLERANCES, Tolerance, check_draws, draws_needed
from bayescam.uncertainty.exchangeability import one_per_group, refuse_shared_groups
from bayescam.uncertainty.intervals import credible_interval, interval_error
from bayescam.uncertainty.labelwise import VarianceSplit, labelwise_variance
from bayescam.uncertainty.mean_bootstrap import BootstrapMeans, bootstrap_means
from bayescam.uncertainty.montecarlo import MonteCarloError, monte_carlo_error
from bayescam.uncertainty.overlap import class_overlap
from bayescam.uncertainty.referral import (
    ClassReferral,
    RiskCoverage,
    accuracy_at_referral,
    class_at_referral,
    risk_coverage,
    risk_coverage_curves,
)
from bayescam.uncertainty.referral_bands import ReferralBand, missed_silently_band, risk_band
from bayescam.uncertainty.referral_bootstrap import (
    AurcResamples,
    ReferralResamples,
    bootstrap_at_referral,
    bootstrap_aurc,
)
from bayescam.uncertainty.reliability import (
    Binning,
    ReliabilityCurve,
    calibration_error_by_chance,
    classwise_calibration_error,
    expected_calibration_error,
    reliability_curve,
)
from bayescam.uncertainty.resample_interval import BIASED_SCORES, resample_interval
from bayescam.uncertainty.risk_control import ReferralRule, fit_referral_rule
from bayescam.uncertainty.scoring import (
    CALIBRATION_SCORES,
    OVERALL_SCORES,
    PredictionScores,
    score_names,
    score_predictions,
)
from bayescam.uncertainty.shift import ShiftDetection, detect_shift, detect_shift_by_score
from bayescam.uncertainty.shift_bootstrap import ShiftResamples, bootstrap_shift
from bayescam.uncertainty.variation import variation_ratio

__all__ = [
    "BIASED_SCORES",
    "CALIBRATION_SCORES",
    "OVERALL_SCORES",
    "AurcResamples",
    "AurocResamples",
    "Binning",
    "BootstrapMeans",
    "BootstrapScores",
    "BrierDecomposition",
    "Calibration",
    "CovariatePrior",
    "ClassReferral",
    "ConformalMethod",
    "ConformalPredictor",
    "ConformalScore",
    "ConfusionIntervals",
    "CovarianceSplit",
    "DiagonalDistance",
    "DrawsConvergence",
    "MahalanobisDistance",
    "MonteCarloError",
    "PredictionScores",
    "ReferralBand",
    "ReferralResamples",
    "ReferralRule",
    "ReliabilityCurve",
    "RiskCoverage",
    "SetScores",
    "SetSummary",
    "ShiftDetection",
    "ShiftResamples",
    "TOLERANCES",
    "Tolerance",
    "VarianceSplit",
    "accuracy_at_referral",
    "bootstrap_at_referral",
    "bootstrap_aurc",
    "bootstrap_auroc",
    "bootstrap_means",
    "bootstrap_shift",
    "brier_decomposition",
    "calibration_error_by_chance",
    "check_draws",
    "choose_prior_weight",
    "class_at_referral",
    "class_overlap",
    "classwise_calibration_error",
    "confusion_over_draws",
    "confusion_over_groups",
    "covariance_error",
    "covariance_split",
    "covariance_traces",
    "coverage_band",
    "credible_interval",
    "cross_fit_logits",
    "decompose",
    "detect_shift",
    "detect_shift_by_score",
    "draws_convergence",
    "draws_needed",
    "expected_calibration_error",
    "expected_coverage",
    "expected_entropy",
    "fit_calibration",
    "fit_covariate_prior",
    "fit_conformal",
    "fit_mahalanobis",
    "fit_referral_rule",
    "group_bootstrap",
    "interval_error",
    "labelwise_variance",
    "missed_silently_band",
    "monte_carlo_error",
    "mutual_information",
    "one_per_group",
    "predictive_entropy",
    "refuse_shared_groups",
    "reliability_curve",
    "resample_interval",
    "risk_band",
    "risk_coverage",
    "risk_coverage_curves",
    "score_names",
    "score_predictions",
    "score_sets",
    "variation_ratio",
]
