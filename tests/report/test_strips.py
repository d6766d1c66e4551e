from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from bayescam.report import draw_map_strip, upsample_map
from bayescam.types import InputError

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)
CAMS = RNG.normal(size=(2, 4, 5))
MEAN, SD = CAMS.mean(axis=0), CAMS.std(axis=0)


def strip(number: int = 5, **changed: object) -> list:
    arguments = {
        "image": IMAGE,
        "cams": CAMS,
        "probs": [0.25, 0.75],
        "mean_map": MEAN,
        "sd_map": SD,
    }
    axes = list(Figure().subplots(1, number))
    return draw_map_strip(**(arguments | changed), axes=axes, target="mel", draws=[4, 17])


def test_all_maps_have_one_scale_in_their_own_units() -> None:
    axes = strip()
    shown = [ax.images[1] for ax in axes[1:4]]
    for picture, cam in zip(shown, (*CAMS, MEAN), strict=True):
        np.testing.assert_allclose(
            picture.get_array(), np.maximum(upsample_map(cam, (20, 30)), 0.0)
        )
        assert picture.norm.vmax == CAMS.max()
        assert picture.norm.vmin == 0
    np.testing.assert_allclose(axes[4].images[0].get_array(), upsample_map(SD, (20, 30)))
    assert [ax.get_title() for ax in axes] == ["image", "draw 4", "draw 17", "relu(mean)", "sd"]
    assert [ax.get_xlabel() for ax in axes[1:3]] == ["P(mel)\n0.25", "P(mel)\n0.75"]


def test_maps_without_positive_cells_leave_the_image_as_it_is() -> None:
    axes = strip(cams=-np.abs(CAMS), mean_map=-np.abs(MEAN))
    assert all((ax.images[1].get_alpha() == 0).all() for ax in axes[1:4])


@pytest.mark.parametrize(
    ("number", "changed", "match"),
    [
        (4, {}, "`axes` must be 5 axes; got 4"),
        (5, {"probs": [0.5]}, r"`probs` \(D,\); got \(2, 4, 5\), \(1,\)"),
        (5, {"sd_map": SD[:2]}, r"must have the shape of each map, \(4, 5\)"),
        (5, {"mask": np.ones((3, 3))}, r"`mask` must have the size of the image"),
    ],
)
def test_bad_input_is_named(number: int, changed: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        strip(number, **changed)
