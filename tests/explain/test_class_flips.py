from __future__ import annotations

import numpy as np
import pytest

from bayescam.explain import split_map_variance
from bayescam.types import InputError


@pytest.fixture
def flipping() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    cams = rng.normal(size=(12, 3, 4, 2, 3)) + np.arange(4.0).reshape(4, 1, 1)
    predicted = rng.integers(0, 4, (12, 3))
    predicted[:, 2] = 1
    return cams.astype(np.float32), predicted


def test_parts_are_those_of_a_loop_and_sum_to_the_variance(flipping):
    cams, predicted = flipping
    split = split_map_variance(cams, predicted)
    for n in range(3):
        own = np.stack([cams[s, n, predicted[s, n]] for s in range(12)]).astype(float)
        within, flips = np.zeros((2, 3)), np.zeros((2, 3))
        for k in set(predicted[:, n]):
            group = own[predicted[:, n] == k]
            within += len(group) / 12 * group.var(axis=0)
            flips += len(group) / 12 * (group.mean(axis=0) - own.mean(axis=0)) ** 2
        np.testing.assert_allclose(split.within_class[n], within, atol=1e-12)
        np.testing.assert_allclose(split.class_flips[n], flips, atol=1e-12)
        np.testing.assert_allclose(split.total[n], own.var(axis=0), rtol=1e-12)
        assert split.flip_share[n] == pytest.approx(flips.sum() / own.var(axis=0).sum(), abs=1e-12)


def test_draws_that_call_one_class_have_no_flips(flipping):
    split = split_map_variance(*flipping)
    assert np.abs(split.class_flips[2]).max() == pytest.approx(0, abs=1e-20)
    assert split.flip_share[2] == pytest.approx(0, abs=1e-20)
    assert (split.flip_share[:2] > 0.2).all()


def test_maps_that_depend_on_the_class_alone_vary_by_flips_alone():
    cams = np.broadcast_to(np.arange(4.0).reshape(1, 1, 4, 1, 1), (8, 1, 4, 2, 2))
    split = split_map_variance(cams, np.tile([0, 3], 4)[:, None])
    assert split.within_class.max() == 0
    np.testing.assert_allclose(split.class_flips, 1.5**2)
    assert split.flip_share.item() == 1


def test_the_names_of_the_classes_do_not_matter(flipping):
    cams, predicted = flipping
    order = np.array([2, 0, 3, 1])
    renamed = split_map_variance(cams[:, :, order], np.argsort(order)[predicted])
    np.testing.assert_allclose(renamed.class_flips, split_map_variance(*flipping).class_flips)


def test_a_class_without_a_map_is_refused(flipping):
    cams, predicted = flipping
    with pytest.raises(InputError, match="has class 3, but `cams` has maps of 2 classes"):
        split_map_variance(cams[:, :, :2], predicted)
    with pytest.raises(InputError, match=r"`predicted` must have shape \(S, N\) = \(12, 3\)"):
        split_map_variance(cams, predicted.T)
    with pytest.raises(InputError, match="must be class indices from 0; got float64"):
        split_map_variance(cams, predicted.astype(float))
