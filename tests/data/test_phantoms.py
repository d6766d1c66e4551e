from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bayescam.data import (
    audit_records,
    load_image,
    load_mask,
    read_chest_xray,
    read_ham10000,
    write_phantoms,
)
from bayescam.data.chest_phantoms import CHEST_SIZE
from bayescam.data.phantom_noise import fractal_noise, smooth_noise, smooth_step
from bayescam.data.skin_phantoms import SKIN_SIZE
from bayescam.data.skin_traits import SKIN_CLASSES
from bayescam.types import InputError


@pytest.fixture(scope="module")
def skin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("skin") / "data", kind="skin", num_images=60)


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("chest") / "data", kind="chest", num_images=60)


@pytest.mark.parametrize("kind", ["skin", "chest"])
def test_an_interrupt_does_not_wait_for_the_images_that_are_left(kind, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path / "data", kind=kind, num_images=400, progress=interrupt)
    assert len(list(tmp_path.rglob("*.jp*g"))) < 200


def test_skin_layout_is_that_of_ham10000(skin: Path) -> None:
    metadata = pd.read_csv(skin / "HAM10000_metadata.csv")
    assert metadata.columns.tolist() == [
        "lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization",
    ]  # fmt: skip
    names = [f"HAM10000_images_part_{part}/{name}.jpg" for name, part in zip(
        metadata["image_id"], 1 + (metadata["image_id"] > "ISIC_0000030"), strict=True
    )]  # fmt: skip
    assert all((skin / name).is_file() for name in names)
    records = read_ham10000(skin)
    assert len(records) == 60
    assert set(records["label"]) == set(SKIN_CLASSES)
    assert records["label"].value_counts().idxmax() == "nv"
    assert records["mask_path"].notna().all()
    sizes = records["group"].value_counts()
    assert sizes.max() in (2, 3)
    assert (sizes == 1).mean() > 0.4
    assert (records.groupby("group")["label"].nunique() == 1).all()


def test_skin_images_show_the_lesion_inside_its_mask(skin: Path) -> None:
    records = read_ham10000(skin)
    contrast = []
    for path, mask_path in zip(records["path"], records["mask_path"], strict=True):
        image, inside = load_image(path), load_mask(mask_path)
        assert image.shape == (*SKIN_SIZE, 3)
        assert inside.shape == SKIN_SIZE
        assert 0.01 < inside.mean() < 0.8
        lit = image.max(axis=2) > 40  # not the dark ring
        contrast.append(image[inside & lit].mean() - image[~inside & lit].mean())
    assert np.mean(np.array(contrast) < 0) > 0.85  # darker than the skin round it, nearly always


def test_views_of_one_lesion_differ_and_share_their_colours(skin: Path) -> None:
    records = read_ham10000(skin)
    assert len(audit_records(records).identical_files) == 0
    medians = records.assign(
        median=[
            np.median(load_image(path)[load_mask(mask)], axis=0).mean()
            for path, mask in zip(records["path"], records["mask_path"], strict=True)
        ]
    )
    within = medians.groupby("group")["median"].std().mean()
    assert within < 0.6 * medians["median"].std()


def test_chest_layout_is_that_of_kermany(chest: Path) -> None:
    records = read_chest_xray(chest, published_split=True)
    assert len(records) == 60
    assert records["group"].notna().all()
    assert (records.groupby("group")["split"].nunique() == 1).all()
    assert (records["split"] == "val").sum() <= 16
    assert set(records["split"]) == {"train", "val", "test"}
    assert (records["label"] == "PNEUMONIA").mean() == pytest.approx(0.7, abs=0.03)
    assert set(records["subtype"].dropna()) == {"bacteria", "virus"}
    assert records["subtype"].isna().equals(records["label"] == "NORMAL")
    assert records["mask_path"].notna().all()
    with Image.open(records["path"][0]) as image:
        assert image.mode == "L"


def test_chest_lungs_are_darker_and_lighter_when_ill(chest: Path) -> None:
    records = read_chest_xray(chest)
    ratios = []
    for path, mask_path in zip(records["path"], records["mask_path"], strict=True):
        image, lungs = load_image(path)[..., 0].astype(float), load_mask(mask_path)
        assert image.shape == CHEST_SIZE
        assert 0.12 < lungs.mean() < 0.45
        ratios.append(image[lungs].mean() / image[~lungs & (image > 60)].mean())
    by_label = pd.Series(ratios).groupby(records["label"]).mean()
    assert by_label["NORMAL"] < by_label["PNEUMONIA"] < 1


@pytest.mark.parametrize("kind", ["skin", "chest"])
def test_equal_seed_equal_pixels(tmp_path: Path, kind: str) -> None:
    one, again, other = (
        write_phantoms(tmp_path / name, kind=kind, num_images=20, seed=seed)
        for name, seed in (("one", 4), ("again", 4), ("other", 5))
    )
    files = sorted(path.relative_to(one) for path in one.rglob("*.jp*g"))
    assert len(files) == 20
    assert files == sorted(path.relative_to(again) for path in again.rglob("*.jp*g"))
    assert all((one / name).read_bytes() == (again / name).read_bytes() for name in files)
    shared = [name for name in files if (other / name).is_file()]
    assert all((one / name).read_bytes() != (other / name).read_bytes() for name in shared)


def test_bad_arguments_and_full_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match="full is not empty; name a new folder"):
        write_phantoms(tmp_path / "full")
    with pytest.raises(InputError, match="this is a file"):
        write_phantoms(tmp_path / "full" / "mine.txt")
    with pytest.raises(InputError, match="`kind` must be 'skin' or 'chest'; got 'brain'"):
        write_phantoms(tmp_path / "new", kind="brain")
    with pytest.raises(InputError, match="`num_images` must be at least 20; got 3"):
        write_phantoms(tmp_path / "new", num_images=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_a_killed_run_leaves_nothing_half_done(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        assert total == 20
        if done > 5:
            raise Killed

    with pytest.raises(Killed):
        write_phantoms(tmp_path / "data", num_images=20, progress=kill)
    assert not (tmp_path / "data").exists()
    assert len(read_ham10000(write_phantoms(tmp_path / "data", num_images=20))) == 20
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_noise_and_step() -> None:
    rng = np.random.default_rng(0)
    fields = np.stack([fractal_noise(rng, (30, 40), 5) for _ in range(200)])
    assert abs(fields.mean()) < 0.1
    assert 0.6 < fields.std() < 1.4
    coarse, fine = (smooth_noise(rng, (60, 60), cells) for cells in (3, 30))
    assert np.abs(np.diff(coarse)).mean() < 0.3 * np.abs(np.diff(fine)).mean()
    x = np.array([-1, 0, 0.25, 0.5, 1, 2], dtype=np.float32)
    np.testing.assert_allclose(smooth_step(x, 0, 1), [0, 0, 0.15625, 0.5, 1, 1], atol=1e-6)
    np.testing.assert_allclose(smooth_step(x, 1, 0), 1 - smooth_step(x, 0, 1), atol=1e-6)
