"""The model card of a report (Mitchell et al. 2019): data, model, intended use, limits.

Only what the run says of itself; what it does not say is not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["audit_lines", "glance", "model_card"]

_FEW_IMAGES = 50
_USE = (
    "Research on uncertainty and explanations of image classifiers. Not a medical device: nothing "
    "on these pages was assessed for the care of patients."
)


def model_card(
    manifest: Mapping[str, Any],
    runs: Sequence[Mapping[str, Any]],
    evaluation: Mapping[str, Any] | None,
) -> dict[str, dict[str, str]]:
    """Return sections of names and texts.

    Args:
        manifest: of the analysis.
        runs: of `read_training_record`; several for an ensemble of runs.
        evaluation: of `bayescam evaluate`, or None.
    """
    return {
        "Data": {"classes": ", ".join(manifest["settings"]["class_names"]), **_data(runs)},
        "Model": _model(manifest["settings"], runs),
        "Intended use and limits": {"intended use": _USE, "limits": " ".join(_limits(evaluation))},
    }


def audit_lines(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the audit of the training data found, in lines; nothing where none was made."""
    told = [_audit(run) for run in runs if run["audit"] is not None]
    if all(lines == told[0] for lines in told):
        return told[0] if told else []
    return [f"Member {m}: {line}" for m, lines in enumerate(told, 1) for line in lines]


def glance(card: Mapping[str, Mapping[str, str]], audit: Sequence[str]) -> dict[str, str]:
    """Return what of the card and the audit stands on the front page."""
    splits = {name: text for name, text in card["Data"].items() if name.endswith("images")}
    leaks = [line for line in audit if "Leaked" in line]
    return {
        **splits,
        "audit": " ".join(leaks) if leaks else "the run recorded none",
        **card["Intended use and limits"],
    }


def _data(runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    if not runs:
        return {"training data": "not recorded"}
    run = runs[0]
    found = {"kind": run["settings"]["data"]["source"] or "records made in Python"}
    for split, part in run["partitions"].items():
        classes = ", ".join(f"{label} {count:,}" for label, count in part["classes"].items())
        found[f"{split} images"] = (
            f"{part['num_images']:,} of {part['num_groups']:,} groups (lesions, patients): "
            f"{classes}"
        )
    return found


def _model(settings: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found = {}
    if runs and runs[0]["settings"]["model"] is not None:
        model = runs[0]["settings"]["model"]
        height, width = model["input_shape"][:2]
        found = {
            "backbone": f"{model['backbone']}, first weights {model['weights'] or 'random'}",
            "head": model["head"],
            "input": f"{height} x {width} pixels, RGB",
        }
    elif runs:
        found = {"model": "made in Python"}
    if len(runs) > 1:
        found["members"] = f"{len(runs)} whole networks"
    return found | {
        "draws": f"{settings['num_samples']} {settings.get('draws_are', 'draws')}",
        "maps": f"{settings['method']} at {settings['layer']}",
    }


def _limits(evaluation: Mapping[str, Any] | None) -> list[str]:
    found = [
        "A map says what the network used, not what is diseased.",
        "Images of other cameras, hospitals or patients can differ from those it was tried on.",
    ]
    if evaluation is None:
        return ["It was not evaluated: how often it is right is not known.", *found]
    few = [k for k, count in evaluation["scored"]["classes"].items() if count < _FEW_IMAGES]
    if few:
        found.append(
            f"Fewer than {_FEW_IMAGES} scored images, so little is known of: {', '.join(few)}."
        )
    if evaluation["ood"] is None:
        found.append("What it does with images from elsewhere was not tried.")
    return found


def _audit(run: Mapping[str, Any]) -> list[str]:
    audit = run["audit"]
    lines = [
        f"Leaked {split} images: {found['leaked']:,} of {found['num_images']:,} have in train a "
        "sibling of their group or an identical file."
        for split, found in audit["leaks"].items()
    ]
    for number, said in (
        (run["crossing_groups"], "groups with images in more than one split"),
        (audit["identical_files"], "sets of identical files"),
        (audit["label_conflicts"], "groups with more than one label"),
        (audit["unreadable"], "images missing or unreadable"),
        (run["without_group"], "images whose lesion or patient is not known"),
    ):
        lines.append(f"{number:,} {said}")
    return lines
