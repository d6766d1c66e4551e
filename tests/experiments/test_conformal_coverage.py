"""The study on predictions whose coverage is known, and its verdict on some that break it."""

from __future__ import annotations

from pathlib import Path

import conformal_coverage as study
import numpy as np
import pytest


def write_results(path: Path, *, shared: bool = False) -> Path:
    """Four draws of one head, 150 validation images and 300 test images, two a lesion."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, num_images in (("val", 150), ("test", 300)):
        labels = np.repeat(rng.choice(3, size=num_images // 2, p=[0.6, 0.3, 0.1]), 2)
        logits = 1.5 * np.eye(3)[labels] + rng.normal(size=(num_images, 3))
        arrays[f"flipout/{split}"] = logits + 0.3 * rng.normal(size=(4, num_images, 3))
        arrays[f"labels/{split}"] = labels
        prefix = "lesion" if shared else split
        arrays[f"groups/{split}"] = np.array([f"{prefix} {i // 2}" for i in range(num_images)])
    np.savez(path, **arrays)
    return path


def test_every_row_of_an_honest_source_keeps_the_promise(tmp_path, capsys):
    path = write_results(tmp_path / "seed_0.npz")
    config = study.Config(
        (str(path),), head="flipout", alphas=(0.2,), num_splits=25, level=1 - 1e-6
    )
    images = study.read_images(str(path), config)
    assert len(images.labels) == 150  # one a lesion
    table = study.main(config)
    assert (table["kept"] == "yes").all()
    assert table["method"].tolist() == [name for name in study.METHODS for _ in range(2)]
    marginal = table[table["thresholds"] == "marginal"].iloc[0]
    assert marginal["promised"] == pytest.approx(61 / 76)  # ceil(76 * 0.8) of 75 and one more
    out = capsys.readouterr().out
    assert "6 of 6 exact rows keep the promise." in out
    assert "4 of 4 deterministic rows keep the promise." in out


def splits_of(covered: list[list[int]]):
    shape = np.shape(covered)
    return study.Splits(np.array(covered), np.full(shape, 19), np.full(shape, 40), 1.0, 0.0)


def test_a_broken_promise_is_seen():
    """Two classes of 19 and 40 images at alpha 0.1: 35.1 of 39 and 18 of 20 are promised."""
    right = splits_of([[36, 36]] * 50)
    row = study.judge(right, "LAC", True, 0.1, 0.99)
    assert (row["kept"], row["promised"], row["coverage"]) == ("yes", 0.9, 0.9)
    for name, covered, kept in (
        ("LAC", 40, "NO"),
        ("LAC", 32, "NO"),
        ("APS, deterministic", 40, "yes"),
        ("APS, deterministic", 35, "NO"),
    ):
        assert study.judge(splits_of([[covered] * 2] * 50), name, True, 0.1, 0.99)["kept"] == kept
    uneven = splits_of([[40, 32]] * 50)
    assert study.judge(uneven, "LAC", True, 0.1, 0.99)["lowest class"] == pytest.approx(0.8)


def test_marginal_thresholds_count_all_classes_together():
    row = study.judge(splits_of([[36, 36]] * 50), "LAC", False, 0.1, 0.99)
    assert row["promised"] == pytest.approx(36 / 39)  # ceil(39 * 0.9)


def test_bad_sources_are_refused_in_one_line(tmp_path):
    path = str(write_results(tmp_path / "seed_0.npz"))
    with pytest.raises(study.InputError, match="has no head 'dense'; it has flipout"):
        study.read_images(path, study.Config((path,), head="dense"))
    with pytest.raises(study.InputError, match="neither an analysis folder nor a result file"):
        study.read_images("nowhere", study.Config(("nowhere",)))
    shared = str(write_results(tmp_path / "shared.npz", shared=True))
    with pytest.raises(study.InputError, match="must not occur among the validation images"):
        study.read_images(shared, study.Config((shared,), head="flipout"))


def test_the_command_line_sets_the_configuration():
    config = study.parse(["a.npz", "b", "--alphas", "0.1", "--num-splits", "9", "--seed", "3"])
    assert config == study.Config(("a.npz", "b"), alphas=(0.1,), num_splits=9, seed=3)
