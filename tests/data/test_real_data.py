"""Counts on the real data sets; skipped unless BAYESCAM_DATA names the folder that holds them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bayescam.data import (
    audit_records,
    load_image,
    read_chest_xray,
    read_covid_chestxray,
    read_ham10000,
    split_records,
)

DATA = Path(os.environ.get("BAYESCAM_DATA", "not-given"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="BAYESCAM_DATA names no folder")


def test_ham10000_leaks_with_a_random_split_and_not_with_a_grouped_one() -> None:
    records = read_ham10000(DATA / "ham10000")
    assert len(records) == 10015
    assert records["group"].nunique() == 7470
    assert records["mask_path"].notna().all()
    assert records["label"].value_counts().to_dict() == {
        "nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115,
    }  # fmt: skip
    shares = []
    for seed in range(3):
        test = np.random.default_rng(seed).random(len(records)) < 0.2
        cut = records.assign(split=np.where(test, "test", "train"))
        leaks = audit_records(cut, near_duplicates=False).leaks.set_index("label")
        shares.append(leaks.loc[["all", "mel"], "by_group"] / leaks["num_images"])
    assert np.mean([share["all"] for share in shares]) == pytest.approx(0.387, abs=0.015)
    assert np.mean([share["mel"] for share in shares]) == pytest.approx(0.685, abs=0.04)
    grouped = audit_records(split_records(records), near_duplicates=False)
    assert not grouped.has_leaks
    assert len(grouped.identical_files) == 2


def test_chest_xray_patients_and_crossing_tokens() -> None:
    records = read_chest_xray(DATA / "chest_xray", published_split=True)
    assert len(records) == 5216
    assert records["group"].notna().all()
    assert records["mask_path"].notna().sum() == 527
    assert (records["split"] == "val").sum() == 16
    assert len(audit_records(records, near_duplicates=False).crossing_persons) == 0
    recut = read_chest_xray(DATA / "chest_xray")
    assert (recut["split"] == "val").sum() == pytest.approx(0.15 * 4663, abs=5)
    test = np.random.default_rng(0).random(len(records)) < 0.2
    cut = records.assign(split=np.where(test, "test", "train"))
    assert len(audit_records(cut, near_duplicates=False).crossing_persons) > 400


def test_covid_chestxray() -> None:
    records = read_covid_chestxray(DATA / "covid_chestxray")
    assert len(records) == 268
    assert (records["finding"] == "COVID-19").sum() == 185
    assert records["group"].nunique() == 156
    assert records["mask_path"].notna().sum() == 191
    audit = audit_records(records)
    assert len(audit.unreadable) == 0
    # The same four X-rays under two patients, entered from two articles.
    assert (~audit.near_duplicates["same_group"]).sum() == 4


def test_dicom() -> None:
    image = load_image(DATA / "dicom" / "nih_chest_dx.dcm")
    assert image.shape == (1024, 1024, 3)
    assert 60 < image.mean() < 200
