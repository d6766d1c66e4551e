"""The table of `covid_xray.py` and the verdict that its numbers give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from covid_data import COVID, VARIANTS, VIEWS, Images
from covid_pooling import Interval, Pooled, Sampled, mean_of, mean_over_seeds
from covid_units import LOCAL_SCORES, MAPS
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bayescam.report import format_interval, format_number
from bayescam.types import Array
from bayescam.uncertainty import (
    BIASED_SCORES,
    BootstrapScores,
    bootstrap_auroc,
    credible_interval,
    group_bootstrap,
)

AUC = "AUC of COVID-19"
SCORES = {
    "accuracy": "accuracy",
    "balanced accuracy": "balanced_accuracy",
    AUC: f"auc_{COVID}",
    "negative log-likelihood": "negative_log_likelihood",
    "expected calibration error": "expected_calibration_error",
}
OWN_AUC = "AUC of COVID-19 against other findings of its own source"
NEED = "only the lung field - lung field blacked out: AUC of COVID-19"
AREA = "lungs, share of the image"
DRAWS = "energy in the lungs: maps of draws (credible interval)"
SAPORTA = {"hit rate in the lungs: maps": 0.575, "IoU with the lungs: maps": 0.282}
PROBE_PENALTY = 0.01  # C of scikit-learn, on standardised features


def score_variant(
    images: Images, variant: str, seeds: Sequence[Pooled]
) -> tuple[dict[str, Sampled | float], dict[str, Interval]]:
    """All scores of a variant by name, and the credible intervals over its draws."""
    groups, rows = images.groups(), seeds[0].rows
    shares = np.bincount(images.labels(variant)[rows]) / len(rows)
    found: dict[str, Sampled | float] = {
        "images": len(rows),
        "patients": len(np.unique(groups[rows])),
        "accuracy of the most common class": float(shares.max()),
    }
    whole, without, only = (score_view(images, variant, seeds, place) for place in (0, 1, 2))
    found |= whole | score_own_source(images, seeds)
    for place, scores in ((1, without), (2, only)):
        for name in ("accuracy", AUC):
            found[f"{VIEWS[place]}: {name}"] = scores[name]
            found[f"{VIEWS[place]}: change of {name}"] = scores[name] - whole[name]
    found[NEED] = only[AUC] - without[AUC]
    for place in (3, 4):
        found[f"{VIEWS[place]}: change of p(true class)"] = mean_over_seeds(
            seeds, lambda pooled, place=place: change_of_true(images, variant, pooled, place)
        )
    maps, credible = score_maps(images, seeds)
    return found | maps, credible


def score_view(
    images: Images, variant: str, seeds: Sequence[Pooled], place: int
) -> dict[str, Sampled]:
    """The scores of the predictions in one view, `VIEWS[place]`."""
    rows = seeds[0].rows
    truth, groups = images.labels(variant)[rows], images.groups()[rows]
    found = [group_bootstrap(p.probs[place], truth, groups, VARIANTS[variant]) for p in seeds]

    def score(scores: BootstrapScores, key: str) -> Sampled:
        where = scores.names.index(key)
        resamples = scores.resamples[:, where]
        return Sampled(float(scores.estimate[where]), resamples, key in BIASED_SCORES)

    return {
        name: mean_over_seeds(found, lambda scores, key=key: score(scores, key))
        for name, key in SCORES.items()
    }


def score_maps(
    images: Images, seeds: Sequence[Pooled]
) -> tuple[dict[str, Sampled | float], dict[str, Interval]]:
    """Where the maps and their baselines lie, and the energy of the draws with its interval."""
    masked = seeds[0].masked
    groups = images.groups()[masked]
    found: dict[str, Sampled | float] = {
        "images with lung masks": len(masked),
        AREA: mean_of(images.masks[masked].mean(axis=(1, 2)), groups),
    }
    for score, words in LOCAL_SCORES.items():
        for name in MAPS:
            found[f"{words}: {name}"] = mean_over_seeds(
                seeds, lambda pooled, key=f"{name}/{score}": mean_of(pooled.scores[key], groups)
            )
    for name in MAPS[1:]:
        found[f"energy in the lungs: maps - {name}"] = (
            found["energy in the lungs: maps"] - found[f"energy in the lungs: {name}"]
        )
    draws = np.concatenate([np.nanmean(p.scores["draw_energy"], axis=1) for p in seeds])
    credible = credible_interval(draws)
    bounds = float(draws.mean()), float(credible.lower), float(credible.upper)
    return found, {DRAWS: bounds}


def score_own_source(images: Images, seeds: Sequence[Pooled]) -> dict[str, Sampled]:
    """What a model makes of the other findings in the collection that COVID-19 is from."""
    groups, truth = images.groups(), (images.records["label"] == COVID).to_numpy()
    inside = (images.records["source"] == "collection").to_numpy()

    def within(pooled: Pooled) -> tuple[Array, Array]:
        rows = np.concatenate([pooled.rows, pooled.foreign])
        probs = np.concatenate([pooled.probs[0], pooled.foreign_probs])
        order = np.argsort(rows)
        order = order[inside[rows[order]]]
        return rows[order], probs[order]

    def auc(pooled: Pooled) -> Sampled:
        rows, probs = within(pooled)
        found = bootstrap_auroc({"p": probs[:, 0]}, truth[rows], groups[rows])["p"]
        return Sampled(found.auroc, found.resamples)

    def called(pooled: Pooled) -> Sampled:
        rows, probs = within(pooled)
        others = ~truth[rows]
        return mean_of(probs[others].argmax(axis=1) == 0, groups[rows[others]])

    return {
        OWN_AUC: mean_over_seeds(seeds, auc),
        "other findings of its own source called COVID-19": mean_over_seeds(seeds, called),
    }


def change_of_true(images: Images, variant: str, pooled: Pooled, place: int) -> Sampled:
    """How much the probability of the true class changes in a view, on images with lung masks."""
    chosen = np.flatnonzero(images.has_mask[pooled.rows])
    rows = pooled.rows[chosen]
    true = images.labels(variant)[rows]
    change = pooled.probs[place, chosen, true] - pooled.probs[0, chosen, true]
    return mean_of(change, images.groups()[rows])


def probe(features: Array, positive: Array, groups: Array, seeds: Sequence[int]) -> Sampled:
    """The cross-validated AUC of a logistic regression on features (N, F), folds by patient."""
    found = []
    for seed in seeds:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=PROBE_PENALTY, max_iter=1000))
        cutter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        scores = cross_val_predict(
            model, features, positive, groups=groups, cv=cutter, method="decision_function"
        )
        found.append(bootstrap_auroc({"probe": scores}, positive, groups)["probe"])
    resamples = np.mean([one.resamples for one in found], axis=0)
    return Sampled(float(np.mean([one.auroc for one in found])), resamples)


def probe_variant(
    images: Images, variant: str, seen: Array, seeds: Sequence[int]
) -> dict[str, Sampled]:
    """What a linear model can learn of an image, of the rest without lungs, and of the lungs.

    As published it tells which collection an image is from, corrected whether it is COVID-19.
    """
    inside = (images.records["source"] == "collection").to_numpy()
    positive = inside if variant == "as published" else images.labels(variant) == 0
    used = np.flatnonzero(np.ones_like(inside) if variant == "as published" else inside)
    groups = images.groups()[used]
    return {
        f"{VIEWS[place]}: linear probe, AUC": probe(
            seen[place, used], positive[used], groups, seeds
        )
        for place in (0, 1, 2)
    }


def verdict(variant: str, found: dict[str, Sampled | float], draws: Interval) -> str:
    """One sentence: does the model look at the lungs?

    Its maps point there if they have more energy in the lungs than a centred blob; it needs them
    if it tells COVID-19 better by the lungs alone than by the rest alone. Both by intervals that
    leave zero out.
    """
    gain = found["energy in the lungs: maps - centred Gaussian"]
    need = found[NEED]
    points, needs = gain.interval()[1] > 0, need.interval()[1] > 0
    words = {
        (True, True): "looks at the lungs",
        (False, False): "does not look at the lungs",
        (True, False): "points at the lungs but does not need them",
        (False, True): "needs the lungs but does not point at them",
    }[points, needs]
    energy, blob = (
        found[f"energy in the lungs: {name}"].estimate for name in ("maps", "centred Gaussian")
    )
    without, only = (found[f"{VIEWS[place]}: {AUC}"].estimate for place in (1, 2))
    whole = found[AUC].estimate
    return (
        f"{variant}: the model {words}: {energy:.1%} of the energy of its maps lies in the lungs "
        f"(draws {draws[1]:.1%} to {draws[2]:.1%}; a centred blob {blob:.1%}), and its AUC of "
        f"COVID-19 is {whole:.3f}, {without:.3f} without the lungs and {only:.3f} with nothing "
        "else."
    )


def table_of(columns: dict[str, dict[str, Sampled | float | Interval]]) -> pd.DataFrame:
    """One column per variant, intervals in brackets; Grad-CAM of Saporta et al. beside them.

    Theirs is of findings on CheXpert against the contours of radiologists, which are smaller than
    lungs (Nature Machine Intelligence 2022).
    """

    def cell(value: Sampled | float | Interval) -> str:
        if isinstance(value, Sampled):
            return format_interval(*value.interval())
        if isinstance(value, tuple):
            return format_interval(*value)
        return str(value) if isinstance(value, int) else format_number(value)

    shown = {**columns, "Saporta et al. 2022, of findings": SAPORTA}
    made = {name: {k: cell(v) for k, v in scores.items()} for name, scores in shown.items()}
    return pd.DataFrame(made).fillna("–").rename_axis("score")
