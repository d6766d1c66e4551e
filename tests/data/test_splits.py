from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from bayescam.data import complete_split, recut_validation, split_records
from bayescam.data.records import build_records
from bayescam.types import InputError


def make_records(num_groups: int, seed: int, labels: str = "aaaaaabbbc") -> pd.DataFrame:
    """Groups of 1 to 4 images, each of one class drawn from `labels`."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, num_groups)
    groups = np.repeat(np.arange(num_groups), sizes)
    classes = rng.choice(list(labels), num_groups)[groups]
    order = rng.permutation(len(groups))
    return build_records(
        {
            "image_id": [f"i{k}" for k in range(len(groups))],
            "path": [f"i{k}.png" for k in range(len(groups))],
            "label": classes[order].tolist(),
            "group": [f"g{k}" for k in groups[order]],
        }
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_cut_and_proportions_hold(seed: int) -> None:
    fractions = {"train": 0.6, "val": 0.1, "test": 0.3}
    records = make_records(300, seed)
    result = split_records(records, fractions=fractions, seed=seed)
    assert result.drop(columns="split").equals(records.drop(columns="split"))
    assert (result.groupby("group")["split"].nunique() == 1).all()
    table = pd.crosstab(result["label"], result["split"])
    due = pd.DataFrame({name: table.sum(axis=1) * part for name, part in fractions.items()})
    # Never further from its due than the largest group, rounding included.
    assert (table - due).abs().to_numpy().max() <= 4


def test_single_image_groups_are_cut_exactly() -> None:
    records = make_records(200, 0)
    records["group"] = records["image_id"]
    table = pd.crosstab(*(split_records(records)[name] for name in ("label", "split")))
    due = table.sum(axis=1).to_numpy()[:, None] * np.array([0.15, 0.7, 0.15])  # test, train, val
    assert np.abs(table.to_numpy() - due).max() < 1


def test_missing_group_stands_alone_and_missing_label_is_a_class() -> None:
    records = make_records(60, 1)
    records["group"] = pd.Series(np.nan, index=records.index, dtype="str")
    records.loc[:19, "label"] = np.nan
    result = split_records(records, fractions={"train": 0.5, "test": 0.5})
    assert result["split"][:20].value_counts().to_dict() == {"train": 10, "test": 10}


def test_rare_class_reaches_every_split() -> None:
    records = make_records(100, 2, labels="a")
    records["group"] = records["image_id"]
    records.loc[:2, "label"] = "rare"
    for seed in range(8):
        result = split_records(records, seed=seed)
        assert set(result["split"][:3]) == {"train", "val", "test"}


def test_every_image_is_equally_likely_to_be_tested() -> None:
    records = make_records(40, 3)
    records["group"] = records["image_id"]
    records["label"] = "a"
    runs = 120
    tested = np.mean(
        [
            split_records(records, fractions={"train": 0.75, "test": 0.25}, seed=seed)["split"]
            == "test"
            for seed in range(runs)
        ],
        axis=0,
    )
    share = round(0.25 * len(records)) / len(records)
    assert np.abs(tested - share).max() < 5 * np.sqrt(share * (1 - share) / runs)


def test_equal_seed_equal_split_and_row_order_does_not_matter() -> None:
    records = make_records(80, 4)
    first = split_records(records, seed=7).set_index("image_id")["split"]
    assert first.equals(split_records(records, seed=7).set_index("image_id")["split"])
    assert not first.equals(split_records(records, seed=8).set_index("image_id")["split"])
    shuffled = records.sample(frac=1, random_state=0)
    again = split_records(shuffled, seed=7).set_index("image_id")["split"]
    assert first.sort_index().equals(again.sort_index())


def test_ten_thousand_images_take_seconds() -> None:
    records = make_records(4000, 5)
    start = time.process_time()
    split_records(records)
    assert time.process_time() - start < 10


def test_recut_validation() -> None:
    records = make_records(100, 6)
    records["split"] = "train"
    records.loc[:1, "split"] = "val"
    records.loc[200:, "split"] = "test"
    records.loc[5, "split"] = np.nan
    result = recut_validation(records, fraction=0.2, seed=1)
    pool = records["split"].isin(["train", "val"])
    assert result["split"][~pool].equals(records["split"][~pool])
    cut = result[pool]
    assert (cut.groupby("group")["split"].nunique() == 1).all()
    assert (cut["split"] == "val").mean() == pytest.approx(0.2, abs=0.03)


def test_complete_split_keeps_what_there_is() -> None:
    records = make_records(50, 7)
    assert complete_split(records, seed=2).equals(split_records(records, seed=2))
    whole = split_records(records)
    assert complete_split(whole) is whole
    no_val = whole.assign(split=whole["split"].replace("val", "train"))
    completed = complete_split(no_val)
    assert set(completed["split"]) == {"train", "val", "test"}
    assert (completed["split"] == "test").equals(whole["split"] == "test")
    with pytest.raises(InputError, match=r"no image in train; its splits are \['test'\]"):
        complete_split(records.assign(split="test"))


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"train": 70, "val": 15, "test": 15}, "must sum to 1; .* Were they given in per cent"),
        ({"train": 0.7, "dev": 0.3}, "must name train, val or test"),
        ({"train": 1.2, "test": -0.2}, "must be positive"),
        ({}, "must name train, val or test"),
    ],
)
def test_bad_fractions(fractions: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_records(make_records(20, 0), fractions=fractions)


def test_too_few_groups() -> None:
    records = make_records(20, 0).assign(group="one")
    with pytest.raises(InputError, match="got 1 groups for 3 splits"):
        split_records(records)


@pytest.mark.parametrize("seed", range(20))
def test_few_groups_leave_no_split_empty(seed: int) -> None:
    groups = [f"g{i}" for i, size in enumerate((9, 9, 2, 1)) for _ in range(size)]
    names = [f"i{k}" for k in range(len(groups))]
    records = build_records(
        {"image_id": names, "path": names, "label": ["a"] * len(names), "group": groups}
    )
    split = split_records(records, seed=seed)
    assert set(split["split"]) == {"train", "val", "test"}
    assert (split.groupby("group")["split"].nunique() == 1).all()
