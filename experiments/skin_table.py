"""The table of `skin_lesions.py`: scores as they come and calibrated, mean over the splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import softmax
from skin_config import CLASS_NAMES, ENSEMBLE, TUNED_HEAD, Config, Floats, heads

from bayescam.report import format_interval
from bayescam.uncertainty import (
    BIASED_SCORES,
    OVERALL_SCORES,
    BootstrapScores,
    cross_fit_logits,
    fit_calibration,
    group_bootstrap,
    resample_interval,
    score_predictions,
)

BIAS_PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 1e6)
LEAST_BALANCED_ACCURACY = 0.62


def summarize_seeds(runs: Sequence[dict[str, Floats]], config: Config) -> pd.DataFrame:
    """One row per head, as it comes and calibrated: mean over the splits, with 95 % intervals.

    An interval is that of the mean over the splits: lesions are resampled within each test split,
    and the same lesions for every head, so that the last row is a paired difference.
    """
    priors = [best_prior(run, config) for run in runs]
    names = [TUNED_HEAD, "dense", *([ENSEMBLE] if config.networks > 1 else [])]
    keys_of = {name: [name] * len(runs) for name in names}
    resamples, estimates = {}, {}
    for name, keys in {**keys_of, "flipout": priors}.items():
        for calibrated in (False, True):
            row = f"{name}, calibrated" if calibrated else name
            scored = [
                score_run(run, key, calibrated=calibrated)
                for run, key in zip(runs, keys, strict=True)
            ]
            estimates[row] = np.mean([part.estimate for part in scored], axis=0)
            resamples[row] = np.mean([part.resamples for part in scored], axis=0)
    difference = "flipout - dense, both calibrated"
    for kept in (estimates, resamples):
        kept[difference] = kept["flipout, calibrated"] - kept["dense, calibrated"]
    table = {
        row: score_cells(
            estimates[row], resamples[row], least=-np.inf if row == difference else 0.0
        )
        for row in estimates
    }
    chosen = ", ".join(prior.removeprefix("flipout, prior sd ") for prior in priors)
    return pd.DataFrame(table).T.rename_axis(f"mean of {len(runs)} splits; prior sd {chosen}")


def score_cells(estimate: Floats, resamples: Floats, *, least: float = 0.0) -> dict[str, str]:
    """Scores (M,) by name with 95 % intervals from resamples (R, M), those per class left out."""
    shown = slice(len(OVERALL_SCORES))
    lower, upper = resample_interval(
        estimate[shown],
        resamples[:, shown],
        biased=np.isin(OVERALL_SCORES, BIASED_SCORES),
        least=least,
    )
    cells = map(format_interval, estimate[shown], lower, upper)
    return dict(zip(OVERALL_SCORES, cells, strict=True))


def best_prior(run: dict[str, Floats], config: Config) -> str:
    """The flipout head with the best cross-fitted validation likelihood."""

    def loss(head: str) -> float:
        probs = cross_fitted(run, head)
        return float(-np.log(probs[np.arange(len(probs)), run["labels/val"]]).mean())

    return min((head for head in heads(config) if head != "dense"), key=loss)


def cross_fitted(run: dict[str, Floats], head: str, **options: float) -> Floats:
    """Calibrated validation probabilities, no image by a fit that saw its lesion."""
    val = (run[f"{head}/val"], run["labels/val"], run["groups/val"])
    return mean_probs(cross_fit_logits(*val, class_names=CLASS_NAMES, **options))


def score_run(run: dict[str, Floats], head: str, *, calibrated: bool) -> BootstrapScores:
    """Test scores of one head on one split; the calibration is fitted on validation data."""
    logits = run[f"{head}/test"]
    if calibrated:
        penalty = choose_penalty(run, head)
        val = run[f"{head}/val"], run["labels/val"]
        fit = fit_calibration(*val, bias_penalty=penalty, class_names=CLASS_NAMES)
        logits = fit.apply(logits)
    return group_bootstrap(mean_probs(logits), run["labels/test"], run["groups/test"], CLASS_NAMES)


def choose_penalty(run: dict[str, Floats], head: str) -> float:
    """The penalty of the class biases, by cross-fitting on validation images.

    Biases trade the rare classes for the common ones; a small penalty lets them go further. Of the
    penalties that keep a balanced accuracy of at least 0.62, the most accurate one; if there is
    none, the one with the best balanced accuracy.
    """

    def merit(penalty: float) -> tuple[float, float]:
        probs = cross_fitted(run, head, bias_penalty=penalty)
        scores = score_predictions(probs, run["labels/val"], CLASS_NAMES)
        return min(scores.balanced_accuracy, LEAST_BALANCED_ACCURACY), scores.accuracy

    return max(BIAS_PENALTIES, key=merit)


def mean_probs(logits: Floats) -> Floats:
    """Posterior predictive mean (N, K)."""
    return softmax(np.asarray(logits, np.float64), axis=-1).mean(axis=0)
