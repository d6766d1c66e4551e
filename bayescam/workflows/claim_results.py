"""CLAIM, evaluation and results: what `evaluation.json` answers; without it, nothing is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayescam.uncertainty import OVERALL_SCORES
from bayescam.workflows.claim_facts import (
    NOT_ASSESSED,
    AnalysisFacts,
    Answer,
    count,
    interval,
    listed,
    shown,
    source_of,
)

__all__ = [
    "availability",
    "characteristics",
    "diagnostic_performance",
    "external_testing",
    "failures",
    "internal_testing",
    "limitations",
    "metrics",
    "numbers_included",
    "performance",
    "protocol",
    "robustness",
    "statistics",
]

_FILE = "evaluation.json"
_INTERNAL = ("test", "val")


def metrics(facts: AnalysisFacts) -> Answer:
    """Item 28: which scores were computed."""
    evaluation = facts.evaluation
    if evaluation is None:
        return NOT_ASSESSED
    overall = ", ".join(map(_words, OVERALL_SCORES))
    text = (
        f"{overall}; AUC, sensitivity and specificity of each class; calibration error; area under "
        "the risk-coverage curve and accuracy when the least sure are referred"
    )
    text += "; conformal sets" if evaluation["conformal"] is not None else ""
    return Answer("answered", f"{text[:1].upper()}{text[1:]}.", f"{_FILE}: scores, referral")


def statistics(facts: AnalysisFacts) -> Answer:
    """Item 29: how uncertainty was measured."""
    evaluation = facts.evaluation
    if evaluation is None:
        return NOT_ASSESSED
    scored = evaluation["scored"]
    resampled = (
        "One group only, so no intervals of the scores"
        if scored["num_groups"] == 1
        else f"95 % intervals of 1,000 resamples of {count(scored['num_groups'], 'group')} "
        f"(lesions or patients), seed {evaluation['seed']}"
    )
    text = (
        f"{resampled}; equal-tailed 95 % credible intervals and Monte Carlo errors of "
        f"{evaluation['num_samples']} draws for each image"
    )
    fitted = evaluation["calibration"]
    if fitted is not None:
        text += (
            f"; temperature {fitted['temperature']:.3f} and class bias fitted on "
            f"{count(fitted['num_images'], 'validation image')}"
        )
    return Answer("answered", f"{text}.", f"{_FILE}: scores, calibration, measures")


def robustness(facts: AnalysisFacts) -> Answer:
    """Item 30: scores by stratum, and images from elsewhere."""
    evaluation = facts.evaluation
    if evaluation is None:
        return NOT_ASSESSED
    lines = []
    if evaluation["strata"] is not None:
        found = evaluation["strata"]["strata"].values()
        accuracy = [part["scores"]["accuracy"]["estimate"] for part in found]
        lines.append(
            f"by {shown(evaluation['strata']['column'])}, {len(accuracy)} strata: accuracy from "
            f"{min(accuracy):.3f} to {max(accuracy):.3f}"
        )
    if evaluation["ood"] is not None:
        detection = evaluation["ood"]["detection"][evaluation["reported_state"]]
        auroc = detection["predictive_entropy"]["auroc"]
        lines.append(
            f"{count(evaluation['ood']['num_images'], 'image')} from elsewhere told apart by the "
            f"predictive entropy with AUROC {interval(auroc)}"
        )
    if not lines:
        return NOT_ASSESSED
    text = "; ".join(lines)
    return Answer("partly", f"{text[:1].upper()}{text[1:]}.", f"{_FILE}: strata, ood")


def internal_testing(facts: AnalysisFacts) -> Answer:
    """Item 32: the scores on held-out images of the data that the training knows."""
    evaluation = facts.evaluation
    if evaluation is None or evaluation["scored"]["split"] not in _INTERNAL:
        return NOT_ASSESSED
    scored = evaluation["scored"]
    text = f"{_scored(scored)}, not used for training: accuracy {_accuracy(evaluation)}."
    if scored["split"] == "val":
        text = f"{_scored(scored)}, which also chose the epoch: accuracy {_accuracy(evaluation)}."
        return Answer("partly", text, f"{_FILE}: scored, scores")
    return Answer("answered", text, f"{_FILE}: scored, scores")


def external_testing(facts: AnalysisFacts) -> Answer:
    """Item 33: images of no split of the training; where they come from is not known."""
    evaluation = facts.evaluation
    if evaluation is None or evaluation["scored"]["split"] in _INTERNAL:
        return NOT_ASSESSED
    text = (
        f"{_scored(evaluation['scored'])}, in no split of the training: accuracy "
        f"{_accuracy(evaluation)}. Whether they come from another institution is not known."
    )
    return Answer("partly", text, f"{_FILE}: scored, scores")


def numbers_included(facts: AnalysisFacts) -> Answer:
    """Item 35: images and groups, included and left out by the software."""
    text = f"Analysed {count(facts.num_images, 'image')}, {facts.num_skipped:,} not decodable"
    if facts.evaluation is not None:
        text += f"; scored {_scored(facts.evaluation['scored'])}"
    for run in facts.training[:1]:
        parts = run["partitions"]
        images = sum(part["num_images"] for part in parts.values())
        groups = sum(part["num_groups"] for part in parts.values())
        text += (
            f"; of the training's data {count(images, 'image')} of {count(groups, 'group')} "
            f"included, {run['skipped']:,} not decodable, {run['unused']:,} in no partition"
        )
    return Answer("partly", f"{text}.", "predictions.parquet, skipped.csv, training.json")


def characteristics(facts: AnalysisFacts) -> Answer:
    """Item 36: classes of each partition, and age and sex where the records have them."""
    if not facts.training:
        if facts.evaluation is None:
            return NOT_ASSESSED
        scored = facts.evaluation["scored"]
        text = f"{scored['split']}: {listed(scored['classes'])}."
        return Answer("partly", text, f"{_FILE}: scored.classes")
    lines = []
    for name, part in facts.training[0]["partitions"].items():
        line = f"{name}: {listed(part['classes'])}"
        if part["age"] is not None:
            age = part["age"]
            line += (
                f"; age {age['median']:.0f} ({age['q25']:.0f} to {age['q75']:.0f}) years, median "
                f"and quartiles of {count(int(age['known']), 'image')}"
            )
        if part["sex"] is not None:
            line += f"; {listed(part['sex'])}"
        lines.append(line)
    return Answer("partly", ". ".join(lines) + ".", source_of(facts, "partitions"))


def performance(facts: AnalysisFacts) -> Answer:
    """Item 37: overall scores with intervals."""
    evaluation = facts.evaluation
    if evaluation is None:
        return NOT_ASSESSED
    state = evaluation["reported_state"]
    scores = evaluation["scores"][state]
    named = ", ".join(f"{_words(name)} {interval(scores[name])}" for name in OVERALL_SCORES)
    text = f"{_scored(evaluation['scored'])}, {state}: {named}."
    return Answer("answered", text, f"{_FILE}: scores.{state}")


def diagnostic_performance(facts: AnalysisFacts) -> Answer:
    """Item 38: sensitivity, specificity and AUC of each class with intervals."""
    evaluation = facts.evaluation
    if evaluation is None:
        return NOT_ASSESSED
    state = evaluation["reported_state"]
    scores = evaluation["scores"][state]
    lines = [
        f"{shown(name)}: sensitivity {interval(scores[f'sensitivity_{name}'])}, specificity "
        f"{interval(scores[f'specificity_{name}'])}, AUC {interval(scores[f'auc_{name}'])}"
        for name in evaluation["class_names"]
    ]
    text = f"With 95 % intervals, {state}. {'; '.join(lines)}."
    return Answer("answered", text, f"{_FILE}: scores.{state}, tables/classes.csv")


def failures(facts: AnalysisFacts) -> Answer:
    """Item 39: which classes are taken for which; the medical reason is the authors'."""
    evaluation = facts.evaluation
    if evaluation is None:
        return NOT_ASSESSED
    table, names = np.array(evaluation["confusion"]), evaluation["class_names"]
    wrong = table - np.diag(np.diag(table))
    text = f"{count(int(wrong.sum()), 'image')} of {int(table.sum()):,} called wrong"
    if wrong.any():
        row, column = np.unravel_index(wrong.argmax(), wrong.shape)
        text += (
            f", most often {shown(names[row])} as {shown(names[column])} ({wrong[row, column]} of "
            f"{table[row].sum()})"
        )
        spread = evaluation["measures"]["scores"]["predictive_entropy"]
        if spread["mean_right"] is not None and spread["mean_wrong"] is not None:
            text += (
                f"; mean predictive entropy {spread['mean_wrong']:.3f} nats of the wrong, "
                f"{spread['mean_right']:.3f} of the right"
            )
    return Answer("partly", f"{text}.", f"{_FILE}: confusion, measures; tables/images.csv")


def limitations(facts: AnalysisFacts) -> Answer:
    """Item 40: limits that the numbers themselves show."""
    evaluation = facts.evaluation
    if evaluation is None:
        return NOT_ASSESSED
    lines = []
    if evaluation["measures"]["draws"] is not None:
        lines.append(evaluation["measures"]["draws"])
    rare = {name: n for name, n in evaluation["scored"]["classes"].items() if n < 30}
    if rare:
        lines.append(f"Fewer than 30 scored images of: {listed(rare)}.")
    if evaluation["calibration"] is None:
        lines.append("The probabilities are not calibrated.")
    if not lines:
        return NOT_ASSESSED
    return Answer("partly", " ".join(lines), f"{_FILE}: measures.draws, scored, calibration")


def protocol(facts: AnalysisFacts) -> Answer:
    """Item 42: technical details by which the run can be repeated."""
    text = (
        f"Technical details: manifest.json (seed {facts.manifest['seed']}, data fingerprint "
        f"{facts.manifest['data_fingerprint']}, model fingerprint {facts.settings['model']})"
    )
    text += ", training.json" if facts.training else ""
    text += ", evaluation.json" if facts.evaluation is not None else ""
    return Answer("partly", f"{text}.", "manifest.json")


def availability(facts: AnalysisFacts) -> Answer:
    """Item 43: the software; whether model and data are public is the authors' to say."""
    text = f"Software: bayescam {facts.manifest['versions']['bayescam']}, MIT licence."
    return Answer("partly", text, "manifest.json: versions")


def _words(score: str) -> str:
    """The name of a score as it is written in text."""
    return score.replace("_", " ").replace("auc", "AUC").replace("brier", "Brier")


def _scored(scored: Mapping[str, Any]) -> str:
    return (
        f"{count(scored['num_images'], 'image')} of {count(scored['num_groups'], 'group')} "
        f"({scored['split']})"
    )


def _accuracy(evaluation: Mapping[str, Any]) -> str:
    return interval(evaluation["scores"][evaluation["reported_state"]]["accuracy"])
