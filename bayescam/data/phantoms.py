"""Synthetic data sets in the layouts of HAM10000 and of Kermany's chest X-rays, with masks."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from bayescam.data.chest_phantoms import Disease, draw_patient, radiograph
from bayescam.data.skin_phantoms import paint_lesion, view_lesion
from bayescam.types import InputError

__all__ = ["write_phantoms"]

_SKIN_SHARES = {
    "nv": 0.46,
    "mel": 0.18,
    "bkl": 0.14,
    "bcc": 0.09,
    "akiec": 0.06,
    "vasc": 0.04,
    "df": 0.03,
}
_SKIN_MASKS = "HAM10000_segmentations_lesion_tschandl"
_SITES = ("back", "lower extremity", "trunk", "upper extremity", "abdomen", "face", "chest")
_MEAN_AGE = {"nv": 44, "mel": 60, "bkl": 64, "bcc": 66, "akiec": 67, "vasc": 52, "df": 50}
_CHEST_SHARES = {"normal": 0.3, "bacteria": 0.43, "virus": 0.27}
_IMAGES_PER_GROUP = (0.68, 0.22, 0.10)  # lesions or patients with one, two, three images


@dataclass(frozen=True)
class _Group:
    """A lesion or a patient of the plan: its number, kind, and the numbers of its images."""

    number: int
    kind: str
    images: tuple[int, ...]


def write_phantoms(
    root: str | Path,
    *,
    kind: Literal["skin", "chest"] = "skin",
    num_images: int = 600,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a synthetic data set and return its folder.

    `skin`: 150 x 200 dermatoscopy-like images of the seven classes of HAM10000, imbalanced, in
    its Kaggle layout (metadata, two part folders, masks); about a third of the lesions have two
    or three images. `read_ham10000` reads it. `chest`: 224 x 224 X-ray-like images in Kermany's
    layout, with a published `val` as small as the real one and masks in `lung_masks`;
    `read_chest_xray` reads it. Both hold images that cannot be told apart, on purpose.

    Work goes to `<root>.phantoms.partial` and is renamed when complete. The same arguments give
    the same pixels.

    Args:
        root: a folder that does not exist or is empty.
        kind: skin or chest.
        num_images: at least 20.
        seed: of everything.
        progress: called with (images written, images in all).

    Raises:
        InputError: if `root` is not empty, or an argument is out of range.
    """
    if kind not in ("skin", "chest"):
        raise InputError(f"`kind` must be 'skin' or 'chest'; got {kind!r}")
    if num_images < 20:
        raise InputError(f"`num_images` must be at least 20; got {num_images}")
    folder = Path(root).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"phantoms: a folder was expected, but this is a file: {folder}")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"phantoms: {folder} is not empty; name a new folder")
    partial = folder.with_name(f"{folder.name}.phantoms.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write = _write_skin if kind == "skin" else _write_chest
    with closing(write(partial, num_images, seed)) as steps:
        for done in steps:
            if progress is not None:
                progress(done, num_images)
    if folder.exists():
        folder.rmdir()
    return partial.rename(folder)


def _plan(shares: dict[str, float], num_images: int, seed: int) -> list[_Group]:
    """Groups with one to three images each, in random order, exact numbers per kind."""
    rng = np.random.default_rng([seed, 0])
    exact = np.array(list(shares.values())) * num_images
    counts = np.maximum(1, np.floor(exact).astype(int))
    counts[np.argmax(counts)] += num_images - counts.sum()
    sizes: list[tuple[str, int]] = []
    for kind, count in zip(shares, counts.tolist(), strict=True):
        while count:
            size = min(count, 1 + int(rng.choice(3, p=_IMAGES_PER_GROUP)))
            sizes.append((kind, size))
            count -= size
    rng.shuffle(sizes)
    numbers = iter(rng.permutation(num_images).tolist())
    return [
        _Group(number, kind, tuple(itertools.islice(numbers, int(size))))
        for number, (kind, size) in enumerate(sizes)
    ]


def _in_threads(
    write: Callable[[_Group], int], groups: Iterable[_Group]
) -> Generator[int, None, None]:
    """Run `write` on all groups and yield the number of images written so far."""
    pool = ThreadPoolExecutor()
    try:
        yield from itertools.accumulate(pool.map(write, groups))
    finally:
        pool.shutdown(cancel_futures=True)  # leaving `with` would write all that is left first


def _save_jpeg(pixels: NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(pixels).save(path, quality=90)


def _save_mask(inside: NDArray[np.bool_], path: Path) -> None:
    Image.fromarray(inside.astype(np.uint8) * np.uint8(255)).save(path)


def _write_skin(folder: Path, num_images: int, seed: int) -> Generator[int, None, None]:
    groups = _plan(_SKIN_SHARES, num_images, seed)
    parts = [folder / "HAM10000_images_part_1", folder / "HAM10000_images_part_2"]
    for place in (*parts, folder / _SKIN_MASKS):
        place.mkdir()
    rows = [row for group in groups for row in _skin_rows(group, seed)]
    pd.DataFrame(rows).to_csv(folder / "HAM10000_metadata.csv", index=False)

    def write(group: _Group) -> int:
        canvas = paint_lesion(group.kind, np.random.default_rng([seed, 1, group.number]))
        for image in group.images:
            pixels, inside = view_lesion(canvas, np.random.default_rng([seed, 2, image]))
            part = parts[image >= num_images / 2]
            _save_jpeg(pixels, part / f"{_skin_name(image)}.jpg")
            _save_mask(inside, folder / _SKIN_MASKS / f"{_skin_name(image)}_segmentation.png")
        return len(group.images)

    yield from _in_threads(write, groups)


def _skin_name(image: int) -> str:
    return f"ISIC_{image + 1:07d}"


def _skin_rows(group: _Group, seed: int) -> list[dict[str, object]]:
    rng = np.random.default_rng([seed, 3, group.number])
    age = float(np.clip(5 * np.round(rng.normal(_MEAN_AGE[group.kind], 14) / 5), 5, 85))
    checked = rng.random() < 0.5 or group.kind in ("mel", "bcc", "akiec")
    shared: dict[str, object] = {
        "dx": group.kind,
        "dx_type": "histo" if checked else str(rng.choice(["follow_up", "consensus"])),
        "age": age,
        "sex": str(rng.choice(["male", "female"])),
        "localization": str(rng.choice(_SITES)),
    }
    lesion = f"HAM_{group.number + 1:07d}"
    return [
        {"lesion_id": lesion, "image_id": _skin_name(image), **shared} for image in group.images
    ]


def _write_chest(folder: Path, num_images: int, seed: int) -> Generator[int, None, None]:
    groups = _plan(_CHEST_SHARES, num_images, seed)
    splits = _chest_splits(groups, num_images)
    masks = folder / "lung_masks"
    masks.mkdir()
    for split in ("train", "val", "test"):
        for label in ("NORMAL", "PNEUMONIA"):
            (folder / split / label).mkdir(parents=True)

    def write(group: _Group) -> int:
        disease: Disease = group.kind  # type: ignore[assignment]
        patient = draw_patient(disease, np.random.default_rng([seed, 1, group.number]))
        label = "NORMAL" if disease == "normal" else "PNEUMONIA"
        for place, image in enumerate(group.images, start=1):
            pixels, inside = radiograph(patient, np.random.default_rng([seed, 2, image]))
            name = _chest_name(group, place, image)
            _save_jpeg(pixels, folder / splits[group.number] / label / f"{name}.jpeg")
            _save_mask(inside, masks / f"{name}_lung.png")
        return len(group.images)

    yield from _in_threads(write, groups)


def _chest_name(group: _Group, place: int, image: int) -> str:
    if group.kind == "normal":
        return f"IM-{group.number + 1:04d}-{place:04d}"
    return f"person{group.number + 1}_{group.kind}_{image + 1}"


def _chest_splits(groups: list[_Group], num_images: int) -> list[str]:
    """A split for each patient: a tiny val of both labels as published, 15 % test."""
    room = {
        (split, healthy): images
        for split, images in (("val", min(8, num_images // 20)), ("test", 0.075 * num_images))
        for healthy in (True, False)
    }
    splits = []
    for group in groups:
        healthy = group.kind == "normal"
        split = next(
            (name for name in ("val", "test") if room[name, healthy] >= len(group.images)), "train"
        )
        if split != "train":
            room[split, healthy] -= len(group.images)
        splits.append(split)
    return splits
