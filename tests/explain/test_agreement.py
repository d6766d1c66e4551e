from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from bayescam.explain import overlap_agreement, rank_agreement, validation
from bayescam.types import InputError


def tied(num: int = 8) -> np.ndarray:
    """Maps with equal cells in them, as after a relu."""
    return np.random.default_rng(0).normal(size=(num, 2, 3, 3, 4)).round(0)


def test_rank_agreement_is_the_mean_of_spearman_over_all_pairs():
    cams = tied()
    found = rank_agreement(cams)
    for n, t in np.ndindex(2, 3):
        pairs = combinations(cams[:, n, t].reshape(8, -1), 2)
        assert found[n, t] == pytest.approx(np.mean([spearmanr(a, b).statistic for a, b in pairs]))


def test_overlap_agreement_is_the_mean_soft_iou_over_all_pairs():
    cams = np.random.default_rng(1).normal(size=(8, 2, 3, 3, 4))
    found = overlap_agreement(cams)
    for n, t in np.ndindex(2, 3):
        maps = np.maximum(cams[:, n, t], 0)
        ious = [np.minimum(a, b).sum() / np.maximum(a, b).sum() for a, b in combinations(maps, 2)]
        assert found[n, t] == pytest.approx(np.mean(ious))


def test_blocks_change_nothing(monkeypatch):
    cams = tied()
    whole = rank_agreement(cams), overlap_agreement(cams)
    monkeypatch.setattr(validation, "_BLOCK_VALUES", 700)
    np.testing.assert_array_equal(rank_agreement(cams), whole[0])
    np.testing.assert_array_equal(overlap_agreement(cams), whole[1])


def test_equal_maps_agree_whatever_their_strength_in_rank_only():
    one = np.random.default_rng(2).uniform(size=(1, 1, 1, 3, 3))
    cams = one * np.array([1.0, 2.0, 4.0]).reshape(3, 1, 1, 1, 1)
    assert rank_agreement(cams).item() == pytest.approx(1)
    assert overlap_agreement(cams).item() == pytest.approx(np.mean([1 / 2, 1 / 4, 1 / 2]))
    assert rank_agreement(np.concatenate([one, -one])).item() == pytest.approx(-1)
    assert overlap_agreement(np.concatenate([one, -one])).item() == 0


def test_unrelated_maps_do_not_agree():
    num, cells = 60, 400
    found = rank_agreement(np.random.default_rng(3).normal(size=(num, 1, 1, 20, 20))).item()
    assert abs(found) < 5 / np.sqrt(cells * num * (num - 1) / 2)


def test_constant_and_empty_maps_are_left_out():
    cams = tied(5)[:, :1, :1]
    flat, dark = np.ones((1, *cams.shape[1:])), -np.ones((2, *cams.shape[1:]))
    assert rank_agreement(np.concatenate([cams, flat])).item() == pytest.approx(
        rank_agreement(cams).item()
    )
    assert np.isnan(rank_agreement(np.concatenate([cams[:1], flat])).item())
    assert np.isnan(overlap_agreement(dark).item())
    one = np.concatenate([cams[:2], dark[:1]])
    pair = overlap_agreement(cams[:2]).item()
    assert overlap_agreement(one).item() == pytest.approx(pair / 3)


def test_one_draw_agrees_with_nothing():
    for measure in (rank_agreement, overlap_agreement):
        with pytest.raises(InputError, match="agreement` compares draws"):
            measure(tied(1))
