"""What distinguishes the seven classes of skin phantoms: traits, their ranges, and who mimics whom.

The words are those of dermatoscopy: pigment network, dots, milia-like cysts, blue-white veil,
arborising vessels, lacunae, ovoid nests, scales, central scar.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

__all__ = ["SKIN_CLASSES", "LesionTraits", "draw_traits"]

SKIN_CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


@dataclass(frozen=True)
class LesionTraits:
    """How a lesion looks; sizes in half-heights of the image, the rest strengths from 0 to 1."""

    size: float = 0.0
    elongation: float = 0.0
    irregularity: float = 0.0
    softness: float = 0.0
    darkness: float = 0.0
    mottle: float = 0.0
    asymmetry: float = 0.0
    redness: float = 0.0
    opacity: float = 0.0
    network: float = 0.0
    disorder: float = 0.0
    dots: float = 0.0
    cysts: float = 0.0
    veil: float = 0.0
    vessels: float = 0.0
    lacunae: float = 0.0
    nests: float = 0.0
    scales: float = 0.0
    halo: float = 0.0
    scar: float = 0.0


# Ranges per class, in the order of the fields above. Absent traits are 0.
_RECIPES: dict[str, dict[str, tuple[float, float]]] = {
    "nv": {
        "size": (0.32, 0.62),
        "elongation": (0.0, 0.2),
        "irregularity": (0.03, 0.1),
        "softness": (0.12, 0.3),
        "darkness": (0.25, 0.55),
        "mottle": (0.05, 0.15),
        "asymmetry": (0.0, 0.1),
        "redness": (0.2, 0.45),
        "opacity": (0.7, 0.95),
        "network": (0.3, 0.9),
        "disorder": (0.0, 0.2),
        "dots": (0.0, 0.35),
    },
    "mel": {
        "size": (0.5, 0.85),
        "elongation": (0.05, 0.35),
        "irregularity": (0.15, 0.34),
        "softness": (0.04, 0.2),
        "darkness": (0.5, 0.85),
        "mottle": (0.3, 0.5),
        "asymmetry": (0.2, 0.5),
        "redness": (0.1, 0.45),
        "opacity": (0.85, 1.0),
        "network": (0.1, 0.7),
        "disorder": (0.5, 1.0),
        "dots": (0.2, 0.9),
        "veil": (0.2, 0.9),
        "scar": (0.0, 0.2),
    },
    "bkl": {
        "size": (0.4, 0.8),
        "elongation": (0.05, 0.35),
        "irregularity": (0.08, 0.2),
        "softness": (0.02, 0.08),
        "darkness": (0.2, 0.5),
        "mottle": (0.15, 0.35),
        "asymmetry": (0.0, 0.2),
        "redness": (0.0, 0.2),
        "opacity": (0.7, 0.95),
        "disorder": (0.3, 0.8),
        "dots": (0.1, 0.5),
        "cysts": (0.4, 1.0),
    },
    "bcc": {
        "size": (0.35, 0.75),
        "elongation": (0.05, 0.3),
        "irregularity": (0.1, 0.25),
        "softness": (0.15, 0.35),
        "darkness": (0.0, 0.2),
        "mottle": (0.1, 0.3),
        "asymmetry": (0.05, 0.3),
        "redness": (0.7, 1.0),
        "opacity": (0.35, 0.7),
        "vessels": (0.4, 1.0),
        "nests": (0.2, 1.0),
        "halo": (0.0, 0.25),
    },
    "akiec": {
        "size": (0.4, 0.8),
        "elongation": (0.05, 0.35),
        "irregularity": (0.15, 0.32),
        "softness": (0.2, 0.45),
        "darkness": (0.1, 0.3),
        "mottle": (0.2, 0.45),
        "asymmetry": (0.0, 0.25),
        "redness": (0.6, 0.9),
        "opacity": (0.45, 0.75),
        "dots": (0.0, 0.3),
        "vessels": (0.0, 0.3),
        "scales": (0.4, 1.0),
        "halo": (0.3, 0.8),
    },
    "vasc": {
        "size": (0.25, 0.55),
        "elongation": (0.0, 0.25),
        "irregularity": (0.04, 0.15),
        "softness": (0.03, 0.12),
        "darkness": (0.2, 0.5),
        "mottle": (0.05, 0.25),
        "redness": (1.2, 1.6),
        "opacity": (0.75, 1.0),
        "lacunae": (0.5, 1.0),
        "veil": (0.0, 0.3),
    },
    "df": {
        "size": (0.35, 0.6),
        "elongation": (0.0, 0.2),
        "irregularity": (0.05, 0.15),
        "softness": (0.3, 0.5),
        "darkness": (0.1, 0.35),
        "mottle": (0.05, 0.2),
        "asymmetry": (0.0, 0.1),
        "redness": (0.4, 0.7),
        "opacity": (0.5, 0.8),
        "network": (0.2, 0.5),
        "disorder": (0.1, 0.4),
        "scar": (0.5, 1.0),
    },
}
# The class it is mistaken for, and the Beta distribution of the share borrowed from there.
_MIMICS = {
    "nv": ("mel", 1.3, 3.0),
    "mel": ("nv", 1.6, 2.4),
    "bkl": ("mel", 1.0, 4.0),
    "bcc": ("akiec", 1.0, 4.0),
    "akiec": ("bkl", 1.0, 4.0),
    "vasc": ("mel", 1.0, 6.0),
    "df": ("nv", 1.0, 4.0),
}


def draw_traits(dx: str, rng: np.random.Generator) -> LesionTraits:
    """Return the traits of a new lesion of class `dx`, some share of them those of its mimic."""
    mimic, alpha, beta = _MIMICS[dx]
    share = rng.beta(alpha, beta)
    names = [field.name for field in fields(LesionTraits)]
    draws = rng.random((2, len(names)))
    values = {}
    for name, own_draw, other_draw in zip(names, *draws, strict=True):
        own = _in_range(_RECIPES[dx].get(name, (0.0, 0.0)), own_draw)
        other = _in_range(_RECIPES[mimic].get(name, (0.0, 0.0)), other_draw)
        values[name] = float(own + share * (other - own))
    return LesionTraits(**values)


def _in_range(limits: tuple[float, float], draw: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * draw
