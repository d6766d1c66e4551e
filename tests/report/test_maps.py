from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bayescam.report import draw_map_panels, scale_map, upsample_map
from bayescam.types import InputError


def maps(seed: int = 0, shape: tuple[int, int] = (5, 7)):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape), rng.random(shape), rng.random(shape)


MODES = ("relu", "signed")


def image(shape: tuple[int, ...] = (40, 56, 3)) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, size=shape).astype(np.uint8)


def panels(**options):
    axes = list(Figure().subplots(1, 4))
    mean, sd, relevant = maps()
    arguments = {"image": image(), "mean_map": mean, "sd_map": sd, "p_relevant": relevant}
    arguments |= {"threshold": 0.25, **options}
    picture, *rest = (arguments.pop(n) for n in ("image", "mean_map", "sd_map", "p_relevant"))
    return draw_map_panels(picture, *rest, axes=axes, **arguments)


@pytest.mark.parametrize("size", [(30, 28), (13, 7), (41, 100)])
def test_enlarging_agrees_with_pillow(size: tuple[int, int]) -> None:
    cam = maps()[0]
    pillow = Image.fromarray(cam.astype(np.float32)).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(upsample_map(cam, size), np.asarray(pillow), atol=1e-5)


def test_enlarging_keeps_a_plane_and_a_constant() -> None:
    rows = np.arange(6.0)[:, np.newaxis] + np.zeros((1, 4))
    large = upsample_map(rows, (60, 40))
    np.testing.assert_allclose(large[10:50, 3], (np.arange(10, 50) + 0.5) / 10 - 0.5)
    np.testing.assert_allclose(upsample_map(np.full((3, 3), 2.5), (10, 11)), 2.5)
    np.testing.assert_array_equal(upsample_map(rows, (6, 4)), rows)


def test_scaling_for_the_eye() -> None:
    cam = np.array([[-2.0, 0.0], [1.0, 4.0]])
    np.testing.assert_allclose(scale_map(cam), [[0, 0], [0.25, 1]])
    np.testing.assert_allclose(scale_map(cam, mode="signed"), [[-0.5, 0], [0.25, 1]])
    np.testing.assert_allclose(scale_map(cam + 3.0), [[0, 1 / 3], [0.5, 1]])
    np.testing.assert_allclose(scale_map(7.0 * cam), scale_map(cam))


@pytest.mark.parametrize("mode", ["relu", "signed"])
def test_a_constant_or_wholly_negative_map_becomes_zeros(mode) -> None:
    np.testing.assert_array_equal(scale_map(np.full((2, 3), 5.0), mode=mode), 0.0)
    np.testing.assert_array_equal(scale_map(np.zeros((2, 3)), mode=mode), 0.0)
    np.testing.assert_array_equal(scale_map([[-1.0, -2.0]], mode="relu"), 0.0)


def test_panels_hold_the_numbers_at_the_size_of_the_image() -> None:
    mean, sd, relevant = maps()
    first, second, third, fourth = panels(target="mel")
    np.testing.assert_array_equal(first.images[0].get_array(), image())
    picture, overlay = second.images
    np.testing.assert_array_equal(picture.get_array(), image())
    large = upsample_map(mean, (40, 56))
    np.testing.assert_allclose(overlay.get_array(), np.maximum(large, 0))
    np.testing.assert_allclose(overlay.get_alpha(), 0.7 * scale_map(large))
    assert overlay.get_clim() == pytest.approx((0.0, large.max()))
    np.testing.assert_allclose(third.images[0].get_array(), upsample_map(sd, (40, 56)))
    assert third.images[0].get_clim() == pytest.approx((0.0, sd.max()))
    np.testing.assert_allclose(fourth.images[0].get_array(), upsample_map(relevant, (40, 56)))
    assert fourth.images[0].get_clim() == (0.0, 1.0)
    titles = [ax.get_title() for ax in (first, second, third, fourth)]
    assert titles == [
        "original",
        "relu(mean map) for mel",
        "uncertainty of the map (sd)",
        "P(map > 0.25)",
    ]
    assert len(first.figure.axes) == 8  # each panel with the room of a colour bar


def test_signed_mode_shows_both_sides_of_zero_and_says_so() -> None:
    mean = maps()[0]
    second = panels(mode="signed")[1]
    large = upsample_map(mean, (40, 56))
    np.testing.assert_allclose(second.images[1].get_array(), large)
    limit = np.abs(large).max()
    assert second.images[1].get_clim() == pytest.approx((-limit, limit))
    assert second.get_title() == "mean map, signed"


def test_relu_of_the_mean_differs_from_the_mean_of_relu_and_ours_is_the_first() -> None:
    draws = np.array([[[3.0, -3.0]], [[-1.0, 1.0]]])
    second = panels(
        mean_map=draws.mean(axis=0), sd_map=draws.std(axis=0), p_relevant=(draws > 0).mean(axis=0)
    )[1]
    shown = second.images[1].get_array()
    assert shown[0, 0] == pytest.approx(1.0)
    assert shown[0, -1] == 0.0  # the mean of relu would be 0.5 here


def test_constant_maps_are_drawn_without_complaint() -> None:
    zeros = np.zeros((5, 7))
    axes = panels(mean_map=zeros, sd_map=zeros, p_relevant=zeros)
    np.testing.assert_array_equal(axes[1].images[1].get_alpha(), 0.0)
    axes[0].figure.canvas.draw()


def test_a_map_without_positive_evidence_is_said_instead_of_drawn() -> None:
    said, signed = (panels(has_evidence=False, mode=mode, target="mel")[1] for mode in MODES)
    assert said.get_title() == "no positive evidence for mel"
    assert len(said.images) == 1
    np.testing.assert_array_equal(said.images[0].get_array(), image())
    assert signed.get_title() == "mean map, signed for mel"
    assert len(signed.images) == 2


def test_colormap_and_mask_are_used() -> None:
    mask = np.zeros((40, 56))
    mask[10:20, 10:30] = 255
    axes = panels(colormap="jet", mask=mask)
    assert axes[1].images[1].get_cmap().name == "jet"
    assert [len(ax.collections) for ax in axes] == [2, 2, 0, 0]
    box = axes[0].collections[0].get_paths()[0].get_extents()
    assert (box.x0, box.x1, box.y0, box.y1) == (9.5, 29.5, 9.5, 19.5)
    assert [len(ax.collections) for ax in panels(mask=np.zeros((40, 56)))] == [0, 0, 0, 0]


def test_grey_images_are_drawn() -> None:
    axes = panels(image=image((40, 56)))
    assert axes[0].images[0].get_array().shape == (40, 56)
    axes = panels(image=image((40, 56, 1)))
    assert axes[0].images[0].get_array().shape == (40, 56)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"`image` must have shape"):
        panels(image=image((4, 40, 56, 3)))
    with pytest.raises(InputError, match="values from 0 to 255"):
        panels(image=image().astype(float) - 128)
    with pytest.raises(InputError, match=r"one shape \(h, w\)"):
        panels(sd_map=np.ones((2, 2)))
    with pytest.raises(InputError, match="`sd_map` must not be negative"):
        panels(sd_map=-np.ones((5, 7)))
    with pytest.raises(InputError, match="`p_relevant` must lie between 0 and 1"):
        panels(p_relevant=2 * np.ones((5, 7)))
    with pytest.raises(InputError, match="finite"):
        panels(mean_map=np.full((5, 7), np.nan))
    with pytest.raises(InputError, match="`mask` must have the size of the image"):
        panels(mask=np.ones((5, 7)))
    with pytest.raises(InputError, match="`axes` must be four axes"):
        draw_map_panels(image(), *maps(), axes=[], threshold=0.1)
    with pytest.raises(InputError, match="`mode` must be one of"):
        panels(mode="abs")
