"""CLAIM, methods: what the manifests of the training and of the analysis answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayescam.workflows.claim_facts import (
    NOT_ASSESSED,
    AnalysisFacts,
    Answer,
    count,
    listed,
    shown,
    source_of,
)

__all__ = [
    "assignment",
    "category_of_ai",
    "data_sources",
    "disjointness",
    "ensembling",
    "exclusions",
    "explainability",
    "initialization",
    "missing_data",
    "model_description",
    "model_selection",
    "not_assessed",
    "preprocessing",
    "software",
    "subsets",
    "training_approach",
]

_RUN = "training.json"
_ANALYSIS = "manifest.json"
_TRAINING_WORDS = {
    "num_views": "views of each image",
    "class_weight_power": "class weights frequency ** -power, power",
    "batch_size": "batch size",
    "head_epochs": "epochs of the head at most",
    "head_learning_rate": "learning rate (Adam)",
    "kl_warmup_epochs": "epochs over which the KL divergence comes in",
    "average_decay": "decay of the averaged weights",
    "patience": "patience in epochs",
}
_FINE_TUNING_WORDS = {
    "fine_tune_layers": "layers of the backbone fine-tuned",
    "fine_tune_epochs": "epochs of it at most",
    "fine_tune_learning_rate": "its learning rate",
}


def not_assessed(facts: AnalysisFacts) -> Answer:
    """Of what no run can know."""
    return NOT_ASSESSED


def category_of_ai(facts: AnalysisFacts) -> Answer:
    """Item 1: the category of technology; the title is the authors'."""
    kind = "deep learning: a convolutional image classifier"
    models = {name for name in map(_network_name, facts.training) if name}
    named = f" ({', '.join(sorted(models))})" if models else ""
    return Answer("partly", f"Category: {kind}{named}.", _from(facts))


def data_sources(facts: AnalysisFacts) -> Answer:
    """Item 7: the kind of data set and its fingerprint; the institutions are not known."""
    found = f"analysed: {count(facts.num_images, 'image')}"
    found += f", data fingerprint {facts.manifest['data_fingerprint']}"
    kinds = {run["settings"]["data"]["source"] for run in facts.training} - {None}
    if kinds:
        found = f"data set read as {', '.join(map(shown, sorted(kinds)))}; " + found
    return Answer("partly", _sentence(found), _from(facts))


def exclusions(facts: AnalysisFacts) -> Answer:
    """Item 8: what the software left out; clinical criteria are the authors'."""
    text = f"Left out of the analysis as not decodable: {count(facts.num_skipped, 'image')}"
    for run in facts.training:
        text += f"; of the training: {count(run['skipped'], 'image')}"
    text += ". Images without a label are neither trained on nor scored. No other criterion."
    return Answer("partly", text, "skipped.csv")


def preprocessing(facts: AnalysisFacts) -> Answer:
    """Item 9: decoding, size and augmentation."""
    if not facts.training or not _model(facts.training[0]):
        return NOT_ASSESSED
    run = facts.training[0]
    height, width, _ = _model(run)["input_shape"]
    views, kind = run["settings"]["training"]["num_views"], run["settings"]["data"]["augmentation"]
    more = (
        "no augmentation"
        if kind == "none"
        else f"{views} views of each training image by the augmentation {kind!r}"
    )
    text = (
        f"Decoded to RGB of 0 to 255 and resized to {height} x {width} pixels (bilinear with "
        f"antialiasing); scaled inside the model as its backbone asks; {more}."
    )
    return Answer("answered", text, source_of(facts, "settings.model, settings.data"))


def subsets(facts: AnalysisFacts) -> Answer:
    """Item 10: which splits were analysed, and that images were used whole."""
    text = f"Whole images, no region cut out. Analysed: {_by_split(facts.splits)}."
    return Answer("partly", text, "predictions.parquet")


def missing_data(facts: AnalysisFacts) -> Answer:
    """Item 12: images and labels that are missing; nothing is imputed."""
    text = (
        f"Nothing is imputed. {count(facts.num_skipped, 'image')} not decodable and left out; "
        f"{count(facts.num_unlabelled, 'image')} without a label that the model knows, analysed "
        "but not scored"
    )
    for run in facts.training:
        text += f"; in training {count(run['without_group'], 'image')} without a group"
    return Answer("answered", f"{text}.", "skipped.csv, predictions.parquet")


def assignment(facts: AnalysisFacts) -> Answer:
    """Item 19: the partitions, their shares, and how they were made."""
    if not facts.training:
        return NOT_ASSESSED
    run = facts.training[0]
    data, parts = run["settings"]["data"], run["partitions"]
    total = sum(part["num_images"] for part in parts.values())
    numbers = ", ".join(
        f"{name} {part['num_images']:,} images of {part['num_groups']:,} groups "
        f"({part['num_images'] / total:.0%})"
        for name, part in parts.items()
    )
    if data["source"] is None:
        return Answer(
            "partly", f"{numbers}. Assigned before the training.", source_of(facts, "partitions")
        )
    seed = run["seed"] if data["split_seed"] is None else data["split_seed"]
    how = (
        "the published split was kept where there is one"
        if data["published_split"]
        else ("what the data set does not assign was cut at random by group, stratified by class")
    )
    return Answer(
        "answered", f"{numbers}; {how}, seed {seed}.", source_of(facts, "partitions, settings")
    )


def disjointness(facts: AnalysisFacts) -> Answer:
    """Item 20: the level at which partitions are disjoint, counted in the records."""
    if not facts.training:
        return NOT_ASSESSED
    run = facts.training[0]
    images = sum(part["num_images"] for part in run["partitions"].values())
    if run["without_group"] >= images + run["unused"]:
        text = "By image: no image has a group, so that patients may be in several partitions."
        return Answer("partly", text, source_of(facts, "without_group"))
    crossing = run["crossing_groups"]
    text = (
        "By group (lesion or patient, as the records have it): "
        f"{'no group is' if not crossing else count(crossing, 'group') + ' with images'} in more "
        "than one partition"
    )
    if run["without_group"]:
        text += f"; {count(run['without_group'], 'image')} without a group"
    text += ". Identical files and near-duplicates: bayescam audit."
    return Answer("answered", text, source_of(facts, "crossing_groups"))


def model_description(facts: AnalysisFacts) -> Answer:
    """Item 22: backbone, head and classes."""
    classes = facts.settings["class_names"]
    says = f"{count(len(classes), 'class')}: {', '.join(map(shown, classes))}"
    model = _model(facts.training[0]) if facts.training else None
    if not model:
        return Answer("partly", _sentence(says), f"{_ANALYSIS}: settings.class_names")
    shape = " x ".join(map(str, model["input_shape"]))
    units = ", ".join(map(str, model["hidden_units"])) or "none"
    text = (
        f"Backbone {model['backbone']}, input {shape}, {model['pooling']} pooling, hidden units "
        f"{units}, head {model['head']}"
    )
    for name, word in (
        ("prior_sd", "prior sd"),
        ("dropout_rate", "dropout rate"),
        ("num_members", "members"),
        ("covariance", "covariance"),
    ):
        if model.get(name) is not None:
            text += f", {word} {model[name]}"
    return Answer("answered", f"{text}; {says}.", source_of(facts, "settings.model"))


def software(facts: AnalysisFacts) -> Answer:
    """Item 23: versions."""
    versions = facts.manifest["versions"]
    text = ", ".join(f"{name} {number}" for name, number in versions.items())
    return Answer("answered", _sentence(text), f"{_ANALYSIS}: versions")


def initialization(facts: AnalysisFacts) -> Answer:
    """Item 24: weights at the start."""
    if not facts.training or not _model(facts.training[0]):
        return NOT_ASSESSED
    lines = []
    for run in facts.training:
        weights = _model(run)["weights"]
        start = "at random" if weights is None else f"from {shown(weights)}"
        lines.append(f"backbone {start}, head at random, seed {run['seed']}")
    return Answer(
        "answered", _sentence("; ".join(lines)), source_of(facts, "settings.model.weights")
    )


def training_approach(facts: AnalysisFacts) -> Answer:
    """Item 25: how it was trained, with all numbers."""
    if not facts.training:
        return NOT_ASSESSED
    run = facts.training[0]
    settings = run["settings"]["training"]
    words = dict(_TRAINING_WORDS)
    if settings.get("fine_tune_layers"):
        words |= _FINE_TUNING_WORDS
    text = ", ".join(f"{word} {settings[name]}" for name, word in words.items())
    epochs = ", ".join(f"{shown(stage)} {number}" for stage, number in run["epochs"].items())
    seeds = ", ".join(str(other["seed"]) for other in facts.training)
    text = f"Cached features; {text}; epochs run: {epochs}; seed {seeds}."
    return Answer("answered", text, source_of(facts, "settings.training, epochs"))


def model_selection(facts: AnalysisFacts) -> Answer:
    """Item 26: which epoch is kept."""
    if not facts.training:
        return NOT_ASSESSED
    settings = facts.training[0]["settings"]["training"]
    text = (
        "The epoch with the best log-likelihood of the validation images is kept; a stage stops "
        f"after {settings['patience']} epochs without a better one."
    )
    return Answer("answered", text, source_of(facts, "settings.training.patience"))


def ensembling(facts: AnalysisFacts) -> Answer:
    """Item 27: how draws or members are combined."""
    number = facts.settings["num_samples"]
    unit = facts.settings.get("draws_are", "draws")
    members = facts.settings["model"].count("+") + 1
    mean = f"the mean of the class probabilities of {number} {unit}"
    if number == 1:
        text = "One model without a posterior, no ensemble: its class probabilities."
        return Answer("answered", text, f"{_ANALYSIS}: settings")
    if unit == "members":
        return Answer("answered", f"An ensemble: {mean}.", f"{_ANALYSIS}: settings")
    if members > 1:
        text = f"An ensemble of {members} models with draws of each: {mean}."
        return Answer("answered", text, f"{_ANALYSIS}: settings")
    text = f"One model, no ensemble of models: {mean} of its posterior."
    return Answer("answered", text, f"{_ANALYSIS}: settings")


def explainability(facts: AnalysisFacts) -> Answer:
    """Item 31: how maps are made; whether they were validated the run does not know."""
    settings = facts.settings
    if "method" not in settings:
        return NOT_ASSESSED
    targets = settings["targets"]
    kept = "of every draw" if settings["maps"] == "draws" else "their mean, sd and P(relevant)"
    text = (
        f"Maps by {settings['method']} of layer {shown(settings['layer'])} for "
        f"{count(len(targets), 'target')}, from the same {settings['num_samples']} draws as the "
        f"probabilities; kept: {kept}. Whether the maps are faithful was not tested in this run."
    )
    return Answer("partly", text, f"{_ANALYSIS}: settings.method, layer, targets, maps")


def _model(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the network; empty for a model that was made in Python."""
    model: Mapping[str, Any] = run["settings"].get("model") or {}
    return model


def _network_name(run: Mapping[str, Any]) -> str:
    model = _model(run)
    return f"{model['backbone']} with a {model['head']} head" if model else ""


def _by_split(splits: Mapping[str, int]) -> str:
    return listed({"without a split" if name == "none" else name: n for name, n in splits.items()})


def _from(facts: AnalysisFacts) -> str:
    return f"{_ANALYSIS}, {_RUN}" if facts.training else _ANALYSIS


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
