"""Synthetic dermatoscopic images of seven classes, painted from traits that dermatologists name.

A lesion is painted once on a square canvas, from traits drawn for its class; each image of it is
a view of that canvas: turned, shifted, enlarged, under other light, with other hairs. Traits of a
class are mixed with those of the class it is mistaken for, melanocytic nevus and melanoma so much
that many cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from bayescam.data.phantom_noise import Field, fractal_noise, smooth_noise, smooth_step
from bayescam.data.skin_traits import LesionTraits, draw_traits

__all__ = ["SKIN_SIZE", "SkinCanvas", "paint_lesion", "view_lesion"]

SKIN_SIZE = (150, 200)

_SIDE = 244  # canvas pixels
_REACH = 1.84  # canvas runs from -1.84 to 1.84 half-heights of the image
_HALO = (206, 104, 100)
_BROWN = np.array([[196, 146, 112], [126, 76, 50], [40, 26, 24]])  # light, middle, dark
_RED = np.array([[222, 140, 132], [176, 72, 78], [74, 18, 40]])


_SKIN_TONES = np.array(
    [[226, 178, 168], [214, 170, 148], [219, 184, 190], [235, 200, 182], [205, 152, 140]],
    dtype=np.float32,
)


@dataclass(frozen=True)
class SkinCanvas:
    """A painted lesion: RGB and bilevel images of one size, `inside` is where the lesion is."""

    colour: Image.Image
    inside: Image.Image


def paint_lesion(dx: str, rng: np.random.Generator) -> SkinCanvas:
    """Return a new lesion of class `dx` (`skin_traits.SKIN_CLASSES`) with the skin round it."""
    traits = draw_traits(dx, rng)
    axis = np.linspace(-_REACH, _REACH, _SIDE, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    depth = _depth(x, y, traits, rng)
    canvas = _paint_skin(rng)
    body = smooth_step(depth, 1 + traits.softness, 1 - traits.softness) * traits.opacity
    if traits.halo > 0.02:
        canvas.paste(_HALO, mask=_opacity(smooth_step(depth, 1.8, 0.8) * (0.5 * traits.halo)))
    canvas.paste(_pigment(x, y, depth, traits, rng), mask=_opacity(body))
    within = smooth_step(depth, 1.02, 0.88)
    for strength, colour, pattern in _patterns(depth, traits, rng):
        canvas.paste(colour, mask=_opacity(pattern * within * min(1.0, 0.05 + 1.5 * strength)))
    return SkinCanvas(colour=canvas, inside=Image.fromarray(depth < 1))


def view_lesion(
    canvas: SkinCanvas, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return one image (150, 200, 3) of a lesion, and its mask (150, 200)."""
    matrix = _random_view(rng)
    seen = _look(canvas.colour, matrix, Image.Resampling.BILINEAR)
    inside = np.asarray(_look(canvas.inside, matrix, Image.Resampling.NEAREST), dtype=np.bool_)
    if rng.random() < 0.5:
        seen.paste((52, 38, 34), mask=_hairs(rng))
    noise = rng.standard_normal(SKIN_SIZE, dtype=np.float32)
    shade = _light(rng) * (1 + noise * np.float32(rng.uniform(0.006, 0.02)))
    cast = (rng.uniform(0.88, 1.08) * rng.uniform(0.96, 1.04, 3)).astype(np.float32)
    lit = np.asarray(seen, dtype=np.float32) * cast * shade[..., None]
    return np.clip(lit, 0, 255, out=lit).astype(np.uint8), inside


def _depth(x: Field, y: Field, traits: LesionTraits, rng: np.random.Generator) -> Field:
    """Distance from the centre in units of the border's: below 1 is inside the lesion."""
    turn, stretch = float(rng.uniform(0, np.pi)), 1 + traits.elongation
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    along, across = (x * cos + y * sin) / stretch, (y * cos - x * sin) * stretch
    angles = np.linspace(-np.pi, np.pi, 361)
    orders = np.arange(2, 9)[:, None]
    waves = np.cos(orders * angles + rng.uniform(0, 2 * np.pi, (7, 1)))
    amplitudes = rng.standard_normal((7, 1)) * 1.6 * traits.irregularity / orders**1.2
    border = np.clip(1 + (amplitudes * waves).sum(axis=0), 0.5, 1.6) * traits.size
    place = ((np.arctan2(across, along) + np.float32(np.pi)) * (180 / np.pi)).astype(np.int16)
    ragged = fractal_noise(rng, x.shape, 16, octaves=3) * (0.22 * traits.irregularity + 0.025)
    return np.hypot(along, across) / border.astype(np.float32)[place] + ragged


def _paint_skin(rng: np.random.Generator) -> Image.Image:
    shape = (_SIDE, _SIDE)
    tone = _SKIN_TONES[rng.integers(len(_SKIN_TONES))] + rng.normal(0, 6, 3).astype(np.float32)
    shade = smooth_noise(rng, shape, 3) * 3 + smooth_noise(rng, shape, 22) * 1.5
    shade += smooth_noise(rng, shape, 90) * float(rng.uniform(1, 3))
    flush = fractal_noise(rng, shape, 9, octaves=3) * float(rng.uniform(1, 5))
    skin = np.stack([t + shade + flush * f for t, f in zip(tone, (0.3, -1, -0.8), strict=True)])
    return Image.fromarray(np.clip(skin, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy())


def _pigment(
    x: Field, y: Field, depth: Field, traits: LesionTraits, rng: np.random.Generator
) -> Image.Image:
    """Colour of the lesion's body: a ramp from tan to nearly black, or from pink to wine."""
    direction = float(rng.uniform(0, 2 * np.pi))
    slope = x * float(np.cos(direction)) + y * float(np.sin(direction))
    tone = traits.darkness + fractal_noise(rng, x.shape, 9) * (traits.mottle * 0.55)
    tone += slope * (traits.asymmetry * 0.6 / max(traits.size, 0.2)) + 0.12 * (1 - depth)
    tone -= _network(x, y, traits.disorder, rng) * (0.33 * traits.network)
    red_share = min(traits.redness, 1.5) / 1.5
    ends = _BROWN + red_share * (_RED - _BROWN) + rng.normal(0, 5, 3)
    steps = np.linspace(0, 2, 256)
    ramp = np.stack([np.interp(steps, [0, 1, 2], channel) for channel in ends.T], axis=1)
    return Image.fromarray(ramp.astype(np.uint8)[_to_bytes(tone)])


def _network(x: Field, y: Field, disorder: float, rng: np.random.Generator) -> Field:
    """A honeycomb: bright holes, dark lines; three plane waves at 60 degrees, warped."""
    turn, period = rng.uniform(0, np.pi / 3), rng.uniform(0.075, 0.11)
    warp = smooth_noise(rng, x.shape, 11) * float(0.02 + 0.05 * disorder)
    bent_x, bent_y = x + warp, y - warp
    waves = np.zeros_like(x)
    for angle in turn + np.arange(3) * np.pi / 3:
        step = 2 * np.pi / period * np.array([np.cos(angle), np.sin(angle)])
        waves += np.cos(bent_x * float(step[0]) + bent_y * float(step[1]))
    fading = smooth_step(smooth_noise(rng, x.shape, 7), disorder - 1.6, disorder + 0.4)
    return waves * fading * np.float32(1 / 3)


def _patterns(
    depth: Field, traits: LesionTraits, rng: np.random.Generator
) -> list[tuple[float, tuple[int, int, int], Field]]:
    """The structures on top: strength, colour, and opacity (side, side)."""
    size = traits.size

    def blobs(count: float, least: float, largest: float) -> Field:
        return _blobs(rng, round(count), (least, largest), size)

    patterns: list[tuple[float, tuple[int, int, int], Callable[[], Field]]] = [
        (traits.veil, (98, 106, 128), lambda: _patch(rng, 4, 0.4) * 0.75),
        (traits.dots, (44, 28, 24), lambda: blobs(45 * traits.dots, 0.012, 0.03) * 0.8),
        (traits.nests, (84, 78, 98), lambda: blobs(9 * traits.nests, 0.04, 0.11) * 0.7),
        (traits.lacunae, (104, 12, 40), lambda: blobs(26 * traits.lacunae, 0.05, 0.13) * 0.8),
        (traits.cysts, (240, 225, 196), lambda: blobs(26 * traits.cysts, 0.015, 0.035) * 0.75),
        (traits.scales, (244, 232, 222), lambda: _patch(rng, 26, 0.8) * 0.8),
        (traits.scar, (236, 208, 198), lambda: smooth_step(depth, 0.75, 0.2) * 0.85),
        (traits.vessels, (172, 44, 50), lambda: _vessels(rng, 7 * traits.vessels, size) * 0.65),
    ]
    return [(strength, colour, draw()) for strength, colour, draw in patterns if strength > 0.02]


def _patch(rng: np.random.Generator, cells: float, threshold: float) -> Field:
    noise = fractal_noise(rng, (_SIDE, _SIDE), cells, octaves=3)
    return smooth_step(noise, threshold - 0.6, threshold + 0.9)


def _blobs(rng: np.random.Generator, count: int, radii: tuple[float, float], size: float) -> Field:
    """Soft ellipses at random places of the lesion."""
    image = Image.new("L", (_SIDE, _SIDE))
    pen = ImageDraw.Draw(image)
    distances, angles = size * 0.95 * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    centres = np.stack([distances * np.cos(angles), distances * np.sin(angles)], axis=1)
    halves = rng.uniform(*radii, (count, 1)) * rng.uniform(0.7, 1.3, (count, 2))
    boxes = _to_canvas(np.concatenate([centres - halves, centres + halves], axis=1))
    for box, strength in zip(boxes.tolist(), rng.integers(150, 256, count).tolist(), strict=True):
        pen.ellipse(box, fill=strength)
    return _softened(image)


def _vessels(rng: np.random.Generator, count: float, size: float) -> Field:
    """Branching lines that thin out, as the arborising vessels of basal cell carcinoma."""
    image = Image.new("L", (_SIDE, _SIDE))
    pen = ImageDraw.Draw(image)
    for _ in range(round(count)):
        angle = rng.uniform(0, 2 * np.pi)
        start = size * 1.05 * np.array([np.cos(angle), np.sin(angle)])
        _branch(pen, rng, start, angle + np.pi + rng.normal(0, 0.5), size * 0.9, 3)
    return _softened(image)


def _branch(
    pen: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    start: NDArray[np.float64],
    heading: float,
    length: float,
    width: int,
) -> None:
    turns = heading + np.cumsum(rng.normal(0, 0.28, 10))
    steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * length / 10
    points = start + np.concatenate([[[0, 0]], np.cumsum(steps, axis=0)])
    pen.line(_to_canvas(points).ravel().tolist(), fill=90 + 50 * width, width=width)
    if width > 1:
        for place in rng.integers(3, 10, 2):
            turn = turns[place] + rng.choice([-1, 1]) * rng.uniform(0.4, 1.0)
            _branch(pen, rng, points[place], turn, length * 0.55, width - 1)


def _to_canvas(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return (points / _REACH + 1) * 0.5 * (_SIDE - 1)


def _softened(image: Image.Image) -> Field:
    return np.asarray(image.filter(ImageFilter.SMOOTH), dtype=np.float32) * np.float32(1 / 255)


def _to_bytes(values: Field) -> NDArray[np.uint8]:
    return (np.clip(values, 0, 1) * np.float32(255)).astype(np.uint8)


def _opacity(values: Field) -> Image.Image:
    return Image.fromarray(_to_bytes(values))


def _random_view(rng: np.random.Generator) -> NDArray[np.float64]:
    """Map from image pixels to canvas pixels, (2, 3)."""
    height, width = SKIN_SIZE
    angle, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([rng.choice([-1.0, 1.0]), 1.0])
    matrix = turn * (_SIDE / (_REACH * height)) / zoom
    shift = rng.uniform(-0.12, 0.12, 2) * _SIDE / (2 * _REACH)
    offset = np.array([_SIDE / 2, _SIDE / 2]) + shift - matrix @ [width / 2, height / 2]
    return np.column_stack([matrix, offset])


def _look(
    canvas: Image.Image, matrix: NDArray[np.float64], resample: Image.Resampling
) -> Image.Image:
    height, width = SKIN_SIZE
    return canvas.transform(
        (width, height), Image.Transform.AFFINE, tuple(matrix.ravel()), resample=resample
    )


def _hairs(rng: np.random.Generator) -> Image.Image:
    """Opacity of curved hairs, drawn at twice the size and shrunk."""
    height, width = SKIN_SIZE
    image = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(image)
    heading = rng.uniform(0, 2 * np.pi)
    for _ in range(rng.integers(2, 14)):
        bends = rng.normal(0, 0.03) + rng.normal(0, 0.02, 24)
        turns = rng.normal(heading, 0.6) + np.cumsum(bends)
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * rng.uniform(4, 12)
        points = rng.uniform([0, 0], [2 * width, 2 * height]) + np.cumsum(steps, axis=0)
        strength = int(rng.integers(110, 250))
        pen.line(points.ravel().tolist(), fill=strength, width=int(rng.integers(1, 4)))
    return image.reduce(2)


def _light(rng: np.random.Generator) -> Field:
    """Uneven light, and sometimes the dark ring of the dermatoscope, shape (150, 200)."""
    height, width = SKIN_SIZE
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(width / height)
    square = x * x + y * y
    shade = 1 + x * float(rng.normal(0, 0.03)) + y * float(rng.normal(0, 0.03))
    shade = shade - square * float(rng.uniform(0.02, 0.1))
    if rng.random() < 0.2:
        edge = rng.uniform(1.3, 1.6)
        shade = shade * smooth_step(np.sqrt(square), edge, edge - rng.uniform(0.1, 0.35))
    return shade
