from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bayescam.data import audit_records, find_near_duplicates, hash_files, split_records
from bayescam.data.phantom_noise import fractal_noise
from bayescam.data.records import build_records
from bayescam.types import InputError


def _picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grey = fractal_noise(rng, (60, 80), 6, octaves=3)[..., None]
    hue = np.stack([fractal_noise(rng, (60, 80), 3, octaves=2) for _ in range(3)], axis=-1)
    return np.clip(128 + 30 * grey + 12 * hue, 0, 255).astype(np.uint8)


def _save(path: Path, pixels: np.ndarray, **options: object) -> str:
    Image.fromarray(pixels).save(path, **options)
    return str(path)


def _records(paths: list[str], **columns: list[str | None]) -> pd.DataFrame:
    ids = [Path(path).stem for path in paths]
    return build_records({"image_id": ids, "path": paths, **columns})


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Eight images with one fault of every kind between them.

    a, b: one group, train and test.     c, d: identical files, train and test.
    e, f: near-duplicates, train and val. g: missing file.   h: no label.
    """
    paths = [_save(tmp_path / f"{name}.png", _picture(k)) for k, name in enumerate("abcdefgh")]
    shutil.copy(paths[2], paths[3])
    darker = np.clip(_picture(4) * 0.8 + 10, 0, 255).astype(np.uint8)
    paths[5] = _save(tmp_path / "f.jpg", darker, quality=70)
    Path(paths[6]).unlink()
    return _records(
        paths,
        label=["x", "x", "y", "y", "x", "y", "x", None],
        group=["1", "1", "2", "3", "4", "5", "6", "6"],
        split=["train", "test", "train", "test", "train", "val", "test", "train"],
    )


def test_every_fault_is_found_once(table: pd.DataFrame) -> None:
    audit = audit_records(table)
    assert audit.num_images == 8
    assert audit.num_groups == 6
    assert audit.crossing_groups.to_numpy().tolist() == [
        ["1", "train, test", 2],
        ["6", "train, test", 2],
    ]
    assert audit.identical_files[["image_ids", "splits", "crosses"]].to_numpy().tolist() == [
        ["c, d", "train, test", True]
    ]
    assert audit.near_duplicates[["first", "second", "splits"]].to_numpy().tolist() == [
        ["e", "f", "train, val"]
    ]
    assert audit.near_duplicates["correlation"][0] > 0.97
    assert not audit.near_duplicates["same_group"][0]
    assert audit.unreadable[["image_id", "reason"]].to_numpy().tolist() == [["g", "no such file"]]
    assert audit.unknown_labels["image_id"].tolist() == ["h"]
    assert audit.counts.loc["test"].to_dict() == {"no label": 0, "x": 2, "y": 1}
    assert len(audit.crossing_persons) == 0
    assert audit.has_leaks


def test_leaked_share_is_counted_by_cause_and_label(table: pd.DataFrame) -> None:
    leaks = audit_records(table).leaks.set_index(["split", "label"])
    # Of the test images b, d, g: b by its group, d by its file, g by its group.
    assert leaks.loc[("test", "all")].tolist() == [3, 2, 1, 0, 3, 1.0]
    assert leaks.loc[("test", "y")].tolist() == [1, 0, 1, 0, 1, 1.0]
    assert leaks.loc[("val", "all")].tolist() == [1, 0, 0, 1, 1, 1.0]


def test_text_names_findings_and_examples(table: pd.DataFrame) -> None:
    text = str(audit_records(table))
    assert "Leaked test images: 3 of 3 (100.0%)" in text
    assert "!!   2 groups in more than one split (train, test: 2), for example 1; 6" in text
    assert "!!   1 sets of identical files, for example c, d" in text
    assert "of two groups: 1, for example e and f" in text
    assert "g.png: no such file" in text


def test_clean_records_have_no_finding(table: pd.DataFrame) -> None:
    kept = table.iloc[[0, 2, 4]].assign(split=["train", "val", "test"])
    audit = audit_records(kept)
    assert not audit.has_leaks
    assert (audit.leaks["share"] == 0).all()
    assert "!!" not in audit.to_text()


def test_without_split_nothing_crosses(table: pd.DataFrame) -> None:
    audit = audit_records(table.assign(split=pd.Series(np.nan, index=table.index, dtype="str")))
    assert not audit.has_leaks
    assert audit.leaks.empty
    assert len(audit.identical_files) == len(audit.near_duplicates) == 1
    assert "no val or test split yet" in audit.to_text()


def test_random_image_split_leaks_what_a_slow_count_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 60, 120))
    paths = []
    for k in range(120):
        path = tmp_path / f"{k}.bin"
        path.write_bytes(bytes([k, 1]))
        paths.append(str(path))
    records = _records(
        paths, label=["a"] * 120, group=[str(g) for g in groups],
        split=rng.choice(["train", "test"], 120, p=[0.8, 0.2]).tolist(),
    )  # fmt: skip
    audit = audit_records(records, near_duplicates=False)
    expected = 0
    for _, row in records[records["split"] == "test"].iterrows():
        siblings = records[(records["group"] == row["group"]) & (records["split"] == "train")]
        expected += len(siblings) > 0
    assert audit.leaks["leaked"][0] == expected > 5
    grouped = audit_records(split_records(records), near_duplicates=False)
    assert not grouped.has_leaks
    assert grouped.leaks["leaked"].sum() == 0


def test_person_tokens_are_reported_apart_from_groups(table: pd.DataFrame) -> None:
    # The user has told bacteria and virus patients apart; the token still crosses.
    renamed = table.assign(
        group=[f"p{k}" for k in range(8)],
        person=pd.Series(["person1"] * 2 + [None] * 6, dtype="str"),
    )
    audit = audit_records(renamed, near_duplicates=False)
    assert len(audit.crossing_groups) == 0
    assert audit.crossing_persons.to_numpy().tolist() == [["person1", "train, test", 2]]
    assert "1 person tokens in more than one split" in audit.to_text()


def test_unknown_groups_are_said_to_be_unknown(table: pd.DataFrame) -> None:
    nameless = table.assign(group=pd.Series(np.nan, index=table.index, dtype="str"))
    text = audit_records(nameless, near_duplicates=False).to_text()
    assert "8 images, groups unknown" in text
    assert "leaks between their images cannot be found" in text


def test_one_group_with_two_labels(table: pd.DataFrame) -> None:
    audit = audit_records(table.assign(group="g"), near_duplicates=False)
    assert audit.label_conflicts.to_numpy().tolist() == [["g", "x, y", 8]]


def test_progress_ends_complete(table: pd.DataFrame) -> None:
    steps: list[tuple[int, int]] = []
    audit_records(table, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (16, 16)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_refuses_what_is_no_records_table() -> None:
    with pytest.raises(InputError, match="must have the columns"):
        audit_records(pd.DataFrame({"path": ["x"]}))


def test_near_duplicates_survive_compression_light_and_size(tmp_path: Path) -> None:
    base = _picture(0)
    bright = np.clip(base * 1.15 + 12, 0, 255).astype(np.uint8)
    tinted = np.clip(base * np.array([1.0, 0.85, 0.9]), 0, 255).astype(np.uint8)
    small = np.asarray(Image.fromarray(base).resize((60, 45), Image.Resampling.BILINEAR))
    paths = [
        _save(tmp_path / "base.png", base),
        _save(tmp_path / "bright.jpg", bright, quality=60),
        _save(tmp_path / "tinted.png", tinted),
        _save(tmp_path / "small.png", small),
        *[_save(tmp_path / f"other{k}.png", _picture(k)) for k in range(1, 30)],
        _save(tmp_path / "flat1.png", np.full((9, 9, 3), 7, np.uint8)),
        _save(tmp_path / "flat2.png", np.full((9, 9, 3), 9, np.uint8)),
    ]
    pairs, skipped = find_near_duplicates([*paths, "missing.png"])
    assert set(zip(pairs["first"], pairs["second"], strict=True)) == {
        (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3),
    }  # fmt: skip
    assert [item.index for item in skipped] == [len(paths)]


def test_near_duplicate_correlation_is_that_of_numpy(tmp_path: Path) -> None:
    pictures = [_picture(0)[:32, :32], _picture(1)[:32, :32]]
    blend = (0.7 * pictures[0] + 0.3 * pictures[1]).astype(np.uint8)
    paths = [_save(tmp_path / f"{k}.png", p) for k, p in enumerate([pictures[0], blend])]
    pairs, _ = find_near_duplicates(paths, threshold=0.1)
    steps = []
    for picture in (pictures[0], blend):
        grey = picture.mean(axis=2)
        steps.append(np.concatenate([np.diff(grey, axis=0).ravel(), np.diff(grey, axis=1).ravel()]))
    assert pairs["correlation"][0] == pytest.approx(np.corrcoef(*steps)[0, 1], abs=1e-5)


def test_hashes(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    one, two, three, missing = hash_files([str(tmp_path / name) for name in "abcd"])
    assert one == two != three
    assert missing is None
