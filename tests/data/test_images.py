from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bayescam.data import ImageError, load_image, load_mask, resize_image
from tests.data.broken_files import write_broken_files

RAMP = np.arange(0, 60, dtype=np.uint8).reshape(5, 12)


def _colour(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (5, 12, 3), dtype=np.uint8)


def test_rgb_png_is_exact(tmp_path: Path) -> None:
    Image.fromarray(_colour()).save(tmp_path / "x.png")
    image = load_image(tmp_path / "x.png")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, _colour())


def test_content_counts_not_the_suffix(tmp_path: Path) -> None:
    Image.fromarray(_colour()).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    np.testing.assert_array_equal(load_image(str(tmp_path / "x.jpg")), _colour())


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(RAMP).save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(load_image(path), np.repeat(RAMP[..., None], 3, axis=2))


def test_sixteen_bits_are_scaled_by_the_full_range(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 256, 257, 4095, 32768, 65535]], dtype=np.uint16)
    for suffix in ("png", "tif"):
        Image.fromarray(values).save(tmp_path / f"x.{suffix}")
        expected = np.rint(values / 65535 * 255)
        # 4095, the brightest of a 12-bit detector, stays dark: the range is not guessed.
        np.testing.assert_array_equal(load_image(tmp_path / f"x.{suffix}")[..., 1], expected)


def test_palette_and_bilevel(tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [10, 20, 30]], dtype=np.uint8)
    indices = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)
    image = Image.fromarray(indices).convert("P")
    image.putpalette(colours.ravel().tolist())
    image.save(tmp_path / "p.png")
    np.testing.assert_array_equal(load_image(tmp_path / "p.png"), colours[indices])
    Image.fromarray(indices == 1).save(tmp_path / "b.png")
    np.testing.assert_array_equal(load_image(tmp_path / "b.png")[..., 0], (indices == 1) * 255)


def test_transparent_parts_are_laid_on_black(tmp_path: Path) -> None:
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)
    pixels[0, :, :3] = 200
    pixels[0, :, 3] = [255, 128, 0]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = np.rint(200 * np.array([255, 128, 0]) / 255)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png")[0, :, 0], expected)
    Image.fromarray(pixels[..., [0, 3]], "LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(load_image(tmp_path / "la.png")[0, :, 2], expected)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    ink = np.zeros((16, 16, 4), dtype=np.uint8)
    ink[..., 1] = ink[..., 2] = 255  # magenta and yellow make red
    Image.fromarray(ink, "CMYK").save(tmp_path / "x.jpg", quality=100)
    red = load_image(tmp_path / "x.jpg")
    assert np.abs(red.astype(int) - [255, 0, 0]).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright.T[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "x.png")[..., 0], upright)


def test_first_page_of_several(tmp_path: Path) -> None:
    pages = [Image.fromarray(_colour(k)) for k in range(2)]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(load_image(tmp_path / "x.tif"), _colour(0))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_without_a_fixed_range_are_refused(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(RAMP.astype(dtype)).save(tmp_path / "x.tif")
    with pytest.raises(ImageError, match="no fixed range"):
        load_image(tmp_path / "x.tif")


def test_broken_files_are_refused_in_one_short_line_each(tmp_path: Path) -> None:
    for path in write_broken_files(tmp_path):
        with pytest.raises(ImageError) as caught:
            load_image(path)
        reason = caught.value.reason
        assert "\n" not in reason
        assert 0 < len(reason) <= 200, path.name
        assert str(caught.value) == f"cannot read image {path}: {reason}"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.jpg", "empty file"),
        ("text.jpg", "not an image of a known format"),
        ("truncated.jpg", "truncated"),
        ("truncated.png", "truncated"),
        ("bad_pixels.png", "broken data stream"),
        ("huge_header.png", "more than 89,478,485 pixels"),
        ("folder.jpg", "a folder, not a file"),
        ("dangling_link.png", "link to a file that does not exist"),
        ("circular_link.png", "symbolic links"),
        ("pipe.jpg", "not an ordinary file"),
        ("no_pixels.dcm", "DICOM without PixelData"),
        ("short_pixels.dcm", "fewer bytes of pixels than rows and columns need"),
        ("false_syntax.dcm", "no decoder can read its pixels"),
    ],
)
def test_reasons(tmp_path: Path, name: str, reason: str) -> None:
    write_broken_files(tmp_path)
    with pytest.raises(ImageError, match=reason):
        load_image(tmp_path / name)


def _triangle_resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A slow antialiased bilinear resize: the weights are a triangle as wide as the scale."""

    def weights(length: int, target: int) -> np.ndarray:
        scale = length / target
        centres = (np.arange(target) + 0.5) * scale - 0.5
        distance = np.abs(np.arange(length) - centres[:, None]) / max(scale, 1.0)
        matrix = np.clip(1 - distance, 0, None)
        return matrix / matrix.sum(axis=1, keepdims=True)

    rows, columns = weights(image.shape[0], size[0]), weights(image.shape[1], size[1])
    return np.einsum("ij,jkc,lk->ilc", rows, image.astype(float), columns)


@pytest.mark.parametrize("size", [(7, 9), (30, 20), (60, 80), (13, 80)])
def test_resize_against_a_slow_triangle_filter(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    resized = resize_image(image, size)
    assert resized.shape == (*size, 3)
    # Pillow rounds between its two passes.
    assert np.abs(resized - _triangle_resize(image, size)).max() <= 1.01


def test_resize_is_antialiased_and_keeps_equal_sizes() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize_image(stripes, (16, 16)).astype(int) - 127).max() < 12
    np.testing.assert_array_equal(resize_image(stripes, (64, 64)), stripes)


def test_mask(tmp_path: Path) -> None:
    values = np.zeros((4, 8), np.uint8)
    values[:, 3:] = 1  # labels 0 and 1 count as much as 0 and 255
    Image.fromarray(values).save(tmp_path / "m.png")
    np.testing.assert_array_equal(load_mask(tmp_path / "m.png"), values == 1)
    halved = load_mask(tmp_path / "m.png", (2, 4))
    # Columns 2 and 3 make cell 1: half of it is inside.
    np.testing.assert_array_equal(halved, [[False, True, True, True]] * 2)
    with pytest.raises(ImageError, match="no such file"):
        load_mask(tmp_path / "none.png")
