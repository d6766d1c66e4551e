from __future__ import annotations

import numpy as np
import pytest

from bayescam.data import ARTEFACTS, choose_planted, plant_artefact, planted_batches
from bayescam.data.records import build_records
from bayescam.types import InputError

SIZES = [(150, 200, 3), (97, 64, 3), (16, 16, 3)]


@pytest.mark.parametrize("artefact", ARTEFACTS)
@pytest.mark.parametrize("shape", SIZES)
def test_pixels_change_exactly_inside_the_mask_and_come_back(artefact, shape) -> None:
    # No artefact has a pixel of (1, 200, 3), so each one that is drawn differs.
    image = np.broadcast_to(np.array([1, 200, 3], np.uint8), shape).copy()
    for key in map(str, range(40)):
        planted = plant_artefact(image, artefact, key=key)
        np.testing.assert_array_equal((planted.image != image).any(axis=2), planted.mask)
        assert planted.image.dtype == np.uint8
        assert 0.01 < planted.mask.mean() < 0.35
        np.testing.assert_array_equal(planted.remove(), image)


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_an_image_always_has_the_same_artefact_and_images_have_several(artefact) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 60, 80, 3)).astype(np.uint8)
    masks = []
    for key in map(str, range(30)):
        one, other = (plant_artefact(image, artefact, key=key) for image in (first, second))
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.image[one.mask], other.image[other.mask])
        np.testing.assert_array_equal(one.remove(), first)
        masks.append(one.mask.tobytes())
    assert len(set(masks)) > 10


def test_a_laterality_mark_is_above_on_the_right() -> None:
    for key in map(str, range(30)):
        mask = plant_artefact(np.zeros((90, 90, 3), np.uint8), "laterality_mark", key=key).mask
        rows, columns = np.nonzero(mask)
        assert rows.max() < 45
        assert columns.min() >= 45


@pytest.mark.parametrize(
    ("image", "artefact", "message"),
    [
        (np.zeros((40, 40, 3), np.uint8), "scar", "`artefact` must be one of ruler, colour_patch"),
        (np.zeros((40, 40, 3)), "ruler", "uint8"),
        (np.zeros((40, 40), np.uint8), "ruler", "uint8"),
        (np.zeros((8, 40, 3), np.uint8), "ruler", "16 pixels"),
    ],
)
def test_what_cannot_be_planted(image, artefact, message) -> None:
    with pytest.raises(InputError, match=message):
        plant_artefact(image, artefact, key="a")


def records_of(labels: list[str], splits: list[str]):
    names = [f"image{i}" for i in range(len(labels))]
    return build_records({"image_id": names, "path": names, "label": labels, "split": splits})


def test_the_shares_are_kept_in_every_split() -> None:
    labels = ["a"] * 50 + ["b"] * 100 + ["c"] * 70
    splits = [("train", "train", "train", "val", "test")[i % 5] for i in range(220)]
    records = records_of(labels, splits)
    chosen = choose_planted(records, "b", share=0.9, other_share=0.25, seed=3)
    for split, number, others in (("train", 54, 18), ("val", 18, 6), ("test", 18, 6)):
        here = (records["split"] == split).to_numpy()
        of_class = (records["label"] == "b").to_numpy()
        assert chosen[here & of_class].sum() == number
        assert chosen[here & ~of_class].sum() == others
    np.testing.assert_array_equal(
        chosen, choose_planted(records, "b", share=0.9, other_share=0.25, seed=3)
    )
    assert (chosen != choose_planted(records, "b", share=0.9, other_share=0.25, seed=4)).any()
    assert not choose_planted(records, "b", share=0.0).any()


@pytest.mark.parametrize(
    ("planted_class", "share", "message"),
    [("d", 0.9, "0 images of 'd'"), ("a", 1.2, "`share` must be between 0 and 1; got 1.2")],
)
def test_a_choice_that_cannot_be_made(planted_class, share, message) -> None:
    records = records_of(["a", "b"] * 6, ["train", "train", "val", "val", "test", "test"] * 2)
    with pytest.raises(InputError, match=message):
        choose_planted(records, planted_class, share=share)


def test_an_image_that_cannot_be_decoded_is_named() -> None:
    records = records_of(["a"], ["train"])
    with pytest.raises(InputError, match="cannot be decoded, the first of them image0"):
        list(planted_batches(records, "ruler", (32, 32, 3)))
