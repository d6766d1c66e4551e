from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bayescam.data import ImageError, load_image, load_images, resize_image


def test_a_batch_is_its_images_one_by_one(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (9, 12, 3)), ("b.png", (20, 8, 3))):
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(tmp_path / name)
    paths = sorted(tmp_path.glob("*.png"))
    batch = load_images(paths, (6, 5, 3))
    for path, image in zip(paths, batch, strict=True):
        np.testing.assert_array_equal(image, resize_image(load_image(path), (6, 5)))
    assert load_images([], (6, 5)).shape == (0, 6, 5, 3)
    with pytest.raises(ImageError, match="missing.png: no such file"):
        load_images([*paths, tmp_path / "missing.png"], (6, 5))
