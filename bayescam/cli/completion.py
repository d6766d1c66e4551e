"""What a shell offers at the tab key where the choices are not fixed by a type.

Names are spelled out or read from a manifest: nothing here may load TensorFlow or pandas.
"""

from __future__ import annotations

import json
from pathlib import Path

import typer

__all__ = ["BACKBONES", "DATA_KINDS", "complete_backbone", "complete_class", "complete_data"]

DATA_KINDS = ("ham10000", "chest_xray", "covid", "folder", "table", "chexpert", "mura", "dicom")
BACKBONES = (
    "convnextbase",
    "convnextlarge",
    "convnextsmall",
    "convnexttiny",
    "convnextxlarge",
    "densenet121",
    "densenet169",
    "densenet201",
    "efficientnetb0",
    "efficientnetb1",
    "efficientnetb2",
    "efficientnetb3",
    "efficientnetb4",
    "efficientnetb5",
    "efficientnetb6",
    "efficientnetb7",
    "efficientnetv2b0",
    "efficientnetv2b1",
    "efficientnetv2b2",
    "efficientnetv2b3",
    "efficientnetv2l",
    "efficientnetv2m",
    "efficientnetv2s",
    "inceptionresnetv2",
    "inceptionv3",
    "mobilenet",
    "mobilenetv2",
    "mobilenetv3large",
    "mobilenetv3small",
    "narrow_vgg",
    "nasnetlarge",
    "nasnetmobile",
    "regnetx002",
    "regnetx004",
    "regnetx006",
    "regnetx008",
    "regnetx016",
    "regnetx032",
    "regnetx040",
    "regnetx064",
    "regnetx080",
    "regnetx120",
    "regnetx160",
    "regnetx320",
    "regnety002",
    "regnety004",
    "regnety006",
    "regnety008",
    "regnety016",
    "regnety032",
    "regnety040",
    "regnety064",
    "regnety080",
    "regnety120",
    "regnety160",
    "regnety320",
    "resnet101",
    "resnet101v2",
    "resnet152",
    "resnet152v2",
    "resnet50",
    "resnet50v2",
    "resnetrs101",
    "resnetrs152",
    "resnetrs200",
    "resnetrs270",
    "resnetrs350",
    "resnetrs420",
    "resnetrs50",
    "squeezenet",
    "vgg16",
    "vgg19",
    "xception",
)


def complete_backbone(incomplete: str) -> list[str]:
    """Names of backbones."""
    return [name for name in BACKBONES if name.startswith(incomplete.lower())]


def complete_data(incomplete: str) -> list[str]:
    """The kind of a `KIND:PATH`; the path itself is left to the shell."""
    return [f"{kind}:" for kind in DATA_KINDS if kind.startswith(incomplete)]


def complete_class(context: typer.Context, incomplete: str) -> list[str]:
    """Classes of the model of the first folder in the line that has a manifest."""
    manifests = (Path(word).expanduser() / "manifest.json" for word in context.args)
    try:
        found = next(path for path in manifests if path.is_file())
        names = json.loads(found.read_text())["settings"]["class_names"]
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return []
    return [str(name) for name in names if str(name).startswith(incomplete)]
