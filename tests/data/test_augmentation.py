from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bayescam.data import AUGMENTATIONS, Augmentation, augment_batch
from bayescam.types import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 20, 30, 3), dtype=np.uint8)
NUMBERS = np.arange(6)


def _smooth(height: int = 40, width: int = 50) -> np.ndarray:
    """A picture whose red is 2x + 60 and whose green is 3y + 40."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x + 60, 3 * y + 40, np.full_like(x, 99)], axis=-1).astype(np.uint8)[None]


@pytest.mark.parametrize("name", ["skin", "chest"])
def test_a_view_does_not_depend_on_the_batch(name: str) -> None:
    options = AUGMENTATIONS[name]
    whole = augment_batch(IMAGES, options, seed=5, view=2, indices=NUMBERS)
    assert whole.dtype == np.uint8
    assert whole.shape == IMAGES.shape
    for k in (4, 1):
        alone = augment_batch(IMAGES[k : k + 1], options, seed=5, view=2, indices=[k])
        np.testing.assert_array_equal(alone[0], whole[k])
    for other in ({"seed": 6, "view": 2}, {"seed": 5, "view": 3}):
        changed = augment_batch(IMAGES, options, indices=NUMBERS, **other)
        assert (changed != whole).any(axis=(1, 2, 3)).all()


def test_view_zero_and_no_augmentation_change_nothing() -> None:
    np.testing.assert_array_equal(
        augment_batch(IMAGES, Augmentation.skin(), seed=1, view=0, indices=NUMBERS), IMAGES
    )
    for nothing in (None, Augmentation(), AUGMENTATIONS["none"]):
        np.testing.assert_array_equal(
            augment_batch(IMAGES, nothing, seed=1, view=4, indices=NUMBERS), IMAGES
        )


@pytest.mark.parametrize(
    ("options", "mirrored"),
    [
        (Augmentation(horizontal_flip=True), np.s_[:, ::-1]),
        (Augmentation(vertical_flip=True), np.s_[::-1]),
    ],
)
def test_flips_are_exact_and_happen_half_the_time(
    options: Augmentation, mirrored: tuple[slice, ...]
) -> None:
    repeats = np.repeat(IMAGES[:1], 400, axis=0)
    views = augment_batch(repeats, options, seed=0, view=1, indices=np.arange(400))
    flipped = (views == IMAGES[0][mirrored]).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(views[~flipped], repeats[~flipped])
    assert abs(flipped.mean() - 0.5) < 5 * 0.5 / np.sqrt(400)


def test_crops_enlarge_a_rectangle_inside_the_image() -> None:
    options = Augmentation(crop_scale=(0.5, 0.9), aspect=0.15)
    picture = np.repeat(_smooth(), 60, axis=0)
    views = augment_batch(picture, options, seed=0, view=1, indices=np.arange(60)).astype(float)
    # Slopes of the enlarged ramps, away from the border, give back the size of the crop.
    part_x = np.diff(views[:, 20, 5:45, 0], axis=1).mean(axis=1) / 2
    part_y = np.diff(views[:, 5:35, 25, 1], axis=1).mean(axis=1) / 3
    area, ratio = part_x * part_y, part_x / part_y
    assert area.min() > 0.48
    assert area.max() < 0.92
    assert area.max() - area.min() > 0.3
    assert ratio.min() > 0.95 / 1.15
    assert ratio.max() < 1.05 * 1.15
    assert views[..., 0].min() >= 60
    assert views[..., 0].max() <= 60 + 2 * 49
    assert (views[..., 2] == 99).all()


def test_rotation_turns_about_the_centre_and_fills_by_reflection() -> None:
    options = Augmentation(rotation_degrees=20)
    picture = np.repeat(_smooth(), 60, axis=0)
    views = augment_batch(picture, options, seed=0, view=1, indices=np.arange(60)).astype(float)
    # d(red)/dx = 2 cos(a), d(red)/dy = -+ 2 sin(a)
    slope_x = (views[:, 20, 35, 0] - views[:, 20, 15, 0]) / 40
    slope_y = (views[:, 30, 25, 0] - views[:, 10, 25, 0]) / 40
    angles = np.rad2deg(np.arctan2(slope_y, slope_x))
    assert np.abs(np.hypot(slope_x, slope_y) - 1).max() < 0.05
    assert np.abs(angles).max() < 21
    assert np.abs(angles).max() > 15
    centre = views[:, 19:21, 24:26].mean(axis=(1, 2))
    assert np.abs(centre - _smooth()[0, 19:21, 24:26].mean(axis=(0, 1))).max() < 1
    assert (views[..., 2] == 99).all()  # no black corners


def test_a_turned_crop_is_the_affine_map_of_its_definition() -> None:
    image = ndimage.gaussian_filter(RNG.uniform(0, 255, (40, 50, 3)), (2, 2, 0)).astype(np.uint8)
    options = Augmentation(crop_scale=(0.4, 0.4), rotation_degrees=180)
    views = augment_batch(image[None].repeat(5, 0), options, seed=3, view=1, indices=range(5))
    part = np.sqrt(0.4)
    for index, view in enumerate(views):
        numbers = np.random.default_rng([3, 1, index])
        numbers.random(2)
        _, _, place_x, place_y, turn, *_ = numbers.uniform(-1, 1, 8)
        angle = np.deg2rad(180 * turn)
        centre = np.array([50, 40]) / 2 + (1 - part) * np.array([50, 40]) / 2 * [place_x, place_y]
        y, x = np.mgrid[:40, :50]
        across, down = part * (x + 0.5 - 25), part * (y + 0.5 - 20)
        source_x = centre[0] + np.cos(angle) * across - np.sin(angle) * down - 0.5
        source_y = centre[1] + np.sin(angle) * across + np.cos(angle) * down - 0.5
        for channel in range(3):
            slow = ndimage.map_coordinates(
                image[..., channel].astype(float), [source_y, source_x], order=1, mode="mirror"
            )
            assert np.abs(slow - view[..., channel]).max() < 2  # of 255: rounded, and to 1/32 pixel


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colour_changes_follow_their_definition(name: str) -> None:
    image = (IMAGES // 4 + 96).astype(np.uint8)  # room for the change: nothing is clipped
    views = augment_batch(
        image, Augmentation(**{name: 0.3}), seed=0, view=1, indices=NUMBERS
    ).astype(float)
    for before, after in zip(image.astype(float), views, strict=True):
        if name == "brightness":
            centre = np.zeros(3)
        elif name == "contrast":
            centre = before.mean(axis=(0, 1))
        else:
            centre = (before @ [0.299, 0.587, 0.114])[..., None]
        distance = before - centre
        factor = (distance * (after - centre)).sum() / (distance**2).sum()
        assert 0.69 < factor < 1.31
        assert abs(factor - 1) > 0.001
        assert np.abs(after - (centre + factor * distance)).max() < 1.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_scale": (0.9, 0.5)}, r"`crop_scale` must hold .* got \(0\.9, 0\.5\)"),
        ({"crop_scale": (0.0, 1.0)}, "`crop_scale`"),
        ({"rotation_degrees": 200}, r"`rotation_degrees` must be in \[0, 180\]; got 200"),
        ({"brightness": -0.1}, "`brightness`"),
    ],
)
def test_bad_ranges(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Augmentation(**options)


def test_bad_batches() -> None:
    options = Augmentation.skin()
    with pytest.raises(InputError, match=r"`images` must be uint8 .* got float32 \(6, 20, 30, 3\)"):
        augment_batch(IMAGES.astype(np.float32), options, seed=0, view=1, indices=NUMBERS)
    with pytest.raises(InputError, match="`indices` must hold one number per image; got 2"):
        augment_batch(IMAGES, options, seed=0, view=1, indices=[0, 1])
    with pytest.raises(InputError, match="`view` must be 0 or more; got -1"):
        augment_batch(IMAGES, options, seed=0, view=-1, indices=NUMBERS)
