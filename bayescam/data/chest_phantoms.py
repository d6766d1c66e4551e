"""Synthetic frontal chest X-rays, normal or with pneumonia, painted as layers of attenuation.

A patient has an anatomy (thorax, lungs, heart, ribs) and, when ill, consolidations: one or two
lobar clouds in bacterial, a diffuse interstitial pattern in viral pneumonia. Each image of a
patient is taken in another pose and exposure. Severity goes down to nearly nothing, and healthy
lungs can be hazy, so some images cannot be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bayescam.data.phantom_noise import Field, fractal_noise, smooth_noise, smooth_step

__all__ = ["CHEST_SIZE", "ChestPatient", "Disease", "draw_patient", "radiograph"]

CHEST_SIZE = (224, 224)
Disease = Literal["normal", "bacteria", "virus"]


@dataclass(frozen=True)
class ChestPatient:
    """Anatomy and disease; lengths in half-sides of the image, y downwards.

    Attributes:
        disease: none, bacterial or viral pneumonia.
        severity: attenuation which the disease adds to the lung.
        foci: (x, y, radius) of lobar clouds, shape (F, 3); x counts from the spine.
        width: half-width of the thorax.
        apex: y of the top of the lungs.
        diaphragm: y of the two domes, (patient's right, patient's left).
        heart: half-axes of its ellipse, (long, short).
        rib_spacing: distance of neighbouring ribs.
        rib_slope: how far ribs fall towards the side.
        haze: attenuation added to both lungs without any disease.
        texture_seed: seed of the lung vessels and of the shape of the clouds.
    """

    disease: Disease
    severity: float
    foci: NDArray[np.float64]
    width: float
    apex: float
    diaphragm: tuple[float, float]
    heart: tuple[float, float]
    rib_spacing: float
    rib_slope: float
    haze: float
    texture_seed: int


def draw_patient(disease: Disease, rng: np.random.Generator) -> ChestPatient:
    """Return a new patient."""
    right = rng.uniform(0.32, 0.52)
    count = int(rng.integers(1, 3)) if disease == "bacteria" else 0
    side = rng.choice([-1.0, 1.0], count)
    foci = np.column_stack(
        [side * rng.uniform(0.25, 0.6, count), rng.uniform(-0.45, 0.35, count)]
        + [rng.uniform(0.14, 0.36, count)]
    )
    return ChestPatient(
        disease=disease,
        severity=0.0 if disease == "normal" else 0.06 + 0.4 * rng.beta(1.8, 1.4),
        foci=foci,
        width=rng.uniform(0.72, 0.86),
        apex=rng.uniform(-0.74, -0.62),
        diaphragm=(right, right + rng.uniform(0.02, 0.1)),
        heart=(rng.uniform(0.34, 0.44), rng.uniform(0.23, 0.3)),
        rib_spacing=rng.uniform(0.145, 0.18),
        rib_slope=rng.uniform(0.3, 0.5),
        haze=0.08 * rng.beta(1.2, 3.0),
        texture_seed=int(rng.integers(2**31)),
    )


def radiograph(
    patient: ChestPatient, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return one grey image (224, 224) of a patient and the mask of both lungs."""
    x, y = _pose(rng)
    lung = _lungs(patient, x, y)
    dense = _thorax(patient, x, y)
    dense += _bones(patient, x, y)
    dense += _heart_and_mediastinum(patient, x, y)
    dense -= lung * (0.44 - patient.haze)
    dense += lung * _vessels(patient, x, y)
    dense += lung * _disease(patient, x, y)
    return _develop(dense, x, y, rng), lung > 0.5


def _pose(rng: np.random.Generator) -> tuple[Field, Field]:
    """Coordinates of the patient at every pixel: shifted, turned a little, enlarged."""
    height, width = CHEST_SIZE
    axis_y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    axis_x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    angle, zoom = float(np.deg2rad(rng.normal(0, 2.5))), float(rng.uniform(0.92, 1.08))
    cos, sin = float(np.cos(angle)) * zoom, float(np.sin(angle)) * zoom
    x = axis_x * cos + axis_y * sin + float(rng.normal(0, 0.04))
    y = axis_y * cos - axis_x * sin + float(rng.normal(0, 0.04))
    return x, y


def _bump(values: Field, width: float) -> Field:
    return np.exp(-np.square(values * (1 / width)))


def _chest_wall(patient: ChestPatient, y: Field) -> Field:
    """Half-width of the inner chest wall at each y: narrow above, widest low."""
    return patient.width * np.sqrt(np.clip(1 - np.square((y - 0.32) / 1.22), 0.02, 1))


def _domes(patient: ChestPatient, x: Field) -> Field:
    """The y of the diaphragm at each x."""
    right, left = (np.float32(level) for level in patient.diaphragm)
    return np.where(x < 0, right, left) + 0.75 * np.square(np.abs(x) - 0.36)


def _heart_depth(patient: ChestPatient, x: Field, y: Field) -> Field:
    """Below 1 inside the heart: an ellipse whose apex points to the patient's left."""
    half_width, half_height = patient.heart
    along, across = 0.82 * (x - 0.1) + 0.57 * (y - 0.2), 0.82 * (y - 0.2) - 0.57 * (x - 0.1)
    return np.square(along * (1 / half_width)) + np.square(across * (1 / half_height))


def _lungs(patient: ChestPatient, x: Field, y: Field) -> Field:
    side = np.abs(x)
    wall = smooth_step(_chest_wall(patient, y) - side, 0.0, 0.05)
    hilum = 0.14 + 0.05 * _bump(y + 0.02, 0.2)
    inner = smooth_step(side - hilum, 0.0, 0.06)
    inner = inner * smooth_step(_heart_depth(patient, x, y), 0.92, 1.25)
    apex = smooth_step(y - patient.apex - 1.5 * np.square(side - 0.36), 0.0, 0.05)
    base = smooth_step(_domes(patient, x) - y, 0.0, 0.035)
    return wall * inner * apex * base


def _thorax(patient: ChestPatient, x: Field, y: Field) -> Field:
    """Soft tissue: an elliptic cross-section, shoulders, neck, and the abdomen below."""
    shoulders = 0.2 + 0.95 * smooth_step(y, -1.0, -0.62)
    outline = np.minimum(shoulders, patient.width + 0.13 + 0.1 * smooth_step(y, -0.3, -0.7))
    thickness = np.sqrt(np.clip(1 - np.square(x / outline), 0, 1))
    abdomen = smooth_step(y - _domes(patient, x), -0.02, 0.06) * thickness
    return 0.5 * thickness + 0.16 * np.minimum(1, 4 * thickness) + 0.13 * abdomen


def _bones(patient: ChestPatient, x: Field, y: Field) -> Field:
    side = np.abs(x)
    wall = _chest_wall(patient, y) + 0.03
    thorax = smooth_step(wall - side, 0.0, 0.05) * smooth_step(y, patient.apex - 0.05, -0.55)
    thorax = thorax * smooth_step(0.75 - y, 0.0, 0.3)
    back = y + 0.05 * np.sin(side * 5) - patient.rib_slope * np.square(side)
    front = y + 0.55 * patient.rib_slope * side
    ribs = 0.085 * _band(back * (1 / patient.rib_spacing), 0.27) * smooth_step(side, 0.05, 0.14)
    ribs += 0.035 * _band(front * (1 / patient.rib_spacing), 0.3) * smooth_step(side, 0.25, 0.5)
    edge = 0.1 * _bump(side - wall + 0.02, 0.035)
    spine = _bump(x, 0.085) * (0.12 + 0.04 * np.cos(y * (2 * np.pi / 0.125)))
    collar = _bump(y + 0.5 + 0.18 * side - 0.03 * np.sin(side * 8), 0.03)
    collar = 0.11 * collar * smooth_step(side, 0.07, 0.14) * smooth_step(0.72 - side, 0.0, 0.08)
    return thorax * (ribs + edge) + spine + collar


def _band(phase: Field, width: float) -> Field:
    """A band at every whole number, brighter at its two edges as cortical bone is."""
    distance = np.abs(phase - np.rint(phase)) * (1 / width)
    return smooth_step(1 - distance, 0.0, 0.25) * (0.65 + 0.35 * distance)


def _heart_and_mediastinum(patient: ChestPatient, x: Field, y: Field) -> Field:
    middle = smooth_step(np.abs(x), 0.22, 0.08) * smooth_step(y, -0.9, -0.5)
    heart = smooth_step(_heart_depth(patient, x, y), 1.3, 0.5)
    arch = _bump(np.hypot(x - 0.1, y + 0.3), 0.11)
    trachea = _bump(x, 0.045) * smooth_step(-y, 0.25, 0.4)
    return 0.1 * heart + 0.1 * middle + 0.05 * arch - 0.1 * trachea


def _lung_noise(patient: ChestPatient, stream: int, cells: float) -> Field:
    return fractal_noise(np.random.default_rng([patient.texture_seed, stream]), CHEST_SIZE, cells)


def _vessels(patient: ChestPatient, x: Field, y: Field) -> Field:
    """Ridges of noise, strongest at the hila and fading outwards."""
    ridges = np.square(np.clip(1 - 1.8 * np.abs(_lung_noise(patient, 0, 13)), 0, 1))
    hila = np.exp(-np.hypot(np.abs(x) - 0.2, y + 0.02) * 3.2)
    return ridges * (0.02 + 0.13 * hila) + 0.1 * hila


def _disease(patient: ChestPatient, x: Field, y: Field) -> Field:
    """Attenuation added by the disease, before it is cut to the lungs."""
    if patient.disease == "normal":
        return np.zeros_like(x)
    if patient.disease == "virus":
        spread = np.exp(-np.hypot(np.abs(x) - 0.3, y - 0.05) * 1.6)
        streaks = np.clip(1 - 1.5 * np.abs(_lung_noise(patient, 1, 20)), 0, 1)
        patches = smooth_step(_lung_noise(patient, 2, 5), -0.4, 1.2)
        return patient.severity * spread * (0.65 * streaks + 0.75 * patches + 0.1)
    ragged = _lung_noise(patient, 1, 7)
    cloud = np.zeros_like(x)
    for focus_x, focus_y, radius in patient.foci.tolist():
        depth = np.hypot(x - focus_x, y - focus_y) * (1 / radius) + 0.3 * ragged
        cloud = np.maximum(cloud, smooth_step(depth, 1.25, 0.35))
    return patient.severity * cloud * (0.95 + 0.12 * _lung_noise(patient, 2, 24))


def _develop(dense: Field, x: Field, y: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Scatter, exposure, grain and the marker of the side."""
    body = smooth_noise(rng, CHEST_SIZE, 3) * 0.012 + smooth_noise(rng, CHEST_SIZE, 40) * 0.006
    dense = np.clip(dense + body * (dense > 0.02), 0, None)
    bright = 1 - np.exp(-dense * float(rng.uniform(1.5, 2.1)))
    bright = bright ** float(rng.uniform(0.9, 1.35)) * float(rng.uniform(0.95, 1.15))
    grain = rng.standard_normal(CHEST_SIZE, dtype=np.float32) * float(rng.uniform(0.006, 0.018))
    levels = np.clip((bright + grain + 0.02) * 255, 0, 255).astype(np.uint8)
    image = Image.fromarray(levels)
    if rng.random() < 0.7:
        place = (int(rng.integers(4, 30)), int(rng.integers(6, 40)))
        ImageDraw.Draw(image).text(place, "R", fill=int(rng.integers(190, 250)), font_size=14)
    return np.asarray(image)
