from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from bayescam.types import InputError
from bayescam.uncertainty import one_per_group, refuse_shared_groups
from bayescam.uncertainty.exchangeability import keyed_uniform, refuse_repeated_groups
from bayescam.uncertainty.validation import check_groups


def test_one_image_of_each_group_whatever_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(40, size=100).astype(str)
    keys = np.array([f"image{i}" for i in range(100)])
    kept = one_per_group(groups, seed=1, keys=keys)
    assert sorted(groups[kept]) == sorted(set(groups))
    assert (np.diff(kept) > 0).all()
    order = rng.permutation(100)
    again = one_per_group(groups[order], seed=1, keys=keys[order])
    assert set(keys[order][again]) == set(keys[kept])
    assert set(one_per_group(groups, seed=2, keys=keys)) != set(kept)


def test_each_image_of_a_group_is_as_likely() -> None:
    chosen = [one_per_group(["a", "b", "a", "a", "a"], seed=seed) for seed in range(2000)]
    assert all(1 in kept for kept in chosen)
    times = np.bincount(np.concatenate(chosen), minlength=5)[[0, 2, 3, 4]]
    assert chisquare(times).pvalue > 1e-4


def test_keyed_numbers_are_uniform_and_independent_over_keys_seeds_and_purposes() -> None:
    first = keyed_uniform(4000, seed=0, purpose="fit")
    assert kstest(first, "uniform").pvalue > 1e-4
    others = [
        first[1:],
        keyed_uniform(4000, seed=1, purpose="fit")[:-1],
        keyed_uniform(4000, seed=0, purpose="sets")[:-1],
    ]
    for other in others:
        assert abs(np.corrcoef(first[:-1], other)[0, 1]) < 5 / np.sqrt(4000)
    keys = np.array(["x", "y", "x"])
    numbers = keyed_uniform(3, seed=0, purpose="fit", keys=keys)
    assert numbers[0] == numbers[2] != numbers[1]


@pytest.mark.parametrize("name", [7, "7", 7.0, "7.0", np.int32(7), np.float32(7), "7.00"])
def test_a_whole_number_is_one_name_in_every_type(name: object) -> None:
    for other in (7, "7", 7.0, "7.0"):
        with pytest.raises(InputError, match=r"shared: 1, first '7'"):
            refuse_shared_groups([other, 8], [name, 9])
    assert len(one_per_group(np.array([7, name], dtype=object))) == 1
    with pytest.raises(InputError, match="one image a group; '7' has 2"):
        refuse_repeated_groups(np.array([7.0, name], dtype=object), 2)


def test_other_names_stay_apart() -> None:
    names = ["7", "07", "7.5", "7.0a", "a7.0", "-7", "1e3", "1000", "seven"]
    assert check_groups(names, len(names)).max() == len(names) - 1
    mixed = np.array([7.5, "7.5", 10**20, 1e20, "v1.0.0", "v1.0"], dtype=object)
    assert check_groups(mixed, 6).max() + 1 == 4


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="`groups` has no images"):
        one_per_group([])
    with pytest.raises(InputError, match="`groups` must name the group of every image"):
        one_per_group(["a", None])
    with pytest.raises(InputError, match="`keys` must be 2 names"):
        one_per_group(["a", "b"], keys=["x"])
    with pytest.raises(
        InputError, match=r"`groups` of the test images.*training.*shared: 1, first '7'"
    ):
        refuse_shared_groups([7, 8], ["7", "9"], what="training")
    refuse_shared_groups([7, 8], ["9"])
