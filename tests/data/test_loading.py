from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bayescam.data import ImageLoader, image_dataset, load_image, resize_image
from bayescam.data.records import build_records
from bayescam.types import InputError
from tests.data.broken_files import write_broken_files

SHAPE = (12, 16, 3)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    found = []
    for k in range(23):
        size = rng.integers(8, 30, 2)
        path = tmp_path / f"{k:02d}.png"
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
        found.append(path)
    return found


def test_batches_hold_every_image_once_in_order(paths: list[Path]) -> None:
    batches = list(ImageLoader(paths, SHAPE, batch_size=5, num_workers=3))
    assert [len(indices) for indices, _ in batches] == [5, 5, 5, 5, 3]
    indices = np.concatenate([indices for indices, _ in batches])
    np.testing.assert_array_equal(indices, np.arange(23))
    images = np.concatenate([images for _, images in batches])
    expected = np.stack([resize_image(load_image(path), SHAPE[:2]) for path in paths])
    np.testing.assert_array_equal(images, expected)
    assert images.dtype == np.uint8


def test_any_subset_in_any_order(paths: list[Path]) -> None:
    wanted = [7, 3, 3, 22]
    whole = ImageLoader(paths, SHAPE, batch_size=23)
    ((_, every),) = list(whole)
    ((indices, images),) = list(ImageLoader(paths, SHAPE[:2], indices=wanted))
    np.testing.assert_array_equal(indices, wanted)
    np.testing.assert_array_equal(images, every[wanted])
    assert list(ImageLoader(paths, SHAPE, indices=[])) == []


def test_broken_files_are_skipped_and_batches_stay_full(paths: list[Path], tmp_path: Path) -> None:
    broken = write_broken_files(tmp_path / "broken")
    mixed = [path for pair in zip(paths, broken, strict=False) for path in pair] + paths[20:]
    loader = ImageLoader(mixed, SHAPE, batch_size=8)
    for _ in range(2):  # and again from the start
        batches = list(loader)
        assert [len(images) for _, images in batches] == [8, 8, 7]
        good = np.concatenate([indices for indices, _ in batches])
        assert [mixed[k] for k in good] == paths
        assert [skip.path for skip in loader.skipped] == [str(path) for path in broken]
        assert [mixed[index] for index, _, _ in loader.skipped] == broken
        assert all(reason for _, _, reason in loader.skipped)


def test_reading_ahead_is_bounded_and_stops_with_the_reader(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def count(path: str) -> np.ndarray:
        opened.append(path)
        return load_image(path)

    monkeypatch.setattr("bayescam.data.loading.load_image", count)
    before = threading.active_count()
    batches = iter(ImageLoader(paths * 20, SHAPE, batch_size=4, num_workers=2))
    next(batches)
    batches.close()
    assert len(opened) <= 4 + 2 * 4 + 2
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (8, 8, 1)}, r"`input_shape` must be \(H, W, 3\); got \(8, 8, 1\)"),
        ({"input_shape": (8,)}, "`input_shape`"),
        ({"input_shape": (0, 8, 3)}, "`input_shape`"),
        ({"batch_size": 0}, "`batch_size` must be at least 1; got 0"),
        ({"indices": [1]}, r"`indices` must be in 0\.\.0"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ImageLoader(["x.png"], **{"input_shape": (8, 8, 3), **arguments})


def test_image_dataset(paths: list[Path]) -> None:
    labels = [("a", "b", "c")[k % 3] for k in range(len(paths))]
    records = build_records(
        {
            "image_id": [path.stem for path in paths],
            "path": [str(path) for path in paths],
            "label": labels,
        }
    )
    options = {"class_names": ["c", "a", "b"], "input_shape": SHAPE, "batch_size": 4}
    ordered = list(image_dataset(records, **options).as_numpy_iterator())
    images = np.concatenate([batch for batch, _ in ordered])
    codes = np.concatenate([batch for _, batch in ordered])
    assert images.dtype == np.float32
    expected = np.stack([resize_image(load_image(path), SHAPE[:2]) for path in paths])
    np.testing.assert_array_equal(images, expected)
    assert [options["class_names"][code] for code in codes] == labels

    shuffled = image_dataset(records, **options, shuffle_seed=1)
    epochs = [np.concatenate([y for _, y in shuffled.as_numpy_iterator()]) for _ in range(2)]
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], codes)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.sort(codes))

    with pytest.raises(InputError, match="label 'c' of image '02' is not among"):
        image_dataset(records, class_names=["a", "b"], input_shape=SHAPE)
