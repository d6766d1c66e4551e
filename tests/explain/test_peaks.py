from __future__ import annotations

import numpy as np
import pytest

from bayescam.explain import peak_distribution


def test_peaks_are_those_of_a_loop_over_draws():
    cams = np.random.default_rng(0).normal(size=(15, 2, 3, 4, 5))
    found = peak_distribution(cams)
    for n, t in np.ndindex(2, 3):
        places = [np.unravel_index(cams[s, n, t].argmax(), (4, 5)) for s in range(15)]
        share = np.zeros((4, 5))
        for place in places:
            share[place] += 1 / 15
        centre = np.mean(places, axis=0)
        distance = [np.sum((place - centre) ** 2) for place in np.array(places)]
        np.testing.assert_allclose(found.probability[n, t], share)
        assert found.spread[n, t] == pytest.approx(np.sqrt(np.mean(distance)))
        positive = share[share > 0]
        assert found.entropy[n, t] == pytest.approx(-(positive * np.log(positive)).sum())


def test_draws_that_agree_have_a_peak_without_spread():
    cams = np.zeros((6, 1, 1, 3, 3))
    cams[..., 1, 2] = np.arange(1.0, 7.0).reshape(6, 1, 1)
    found = peak_distribution(cams)
    assert (found.spread.item(), found.entropy.item()) == (0, 0)
    assert found.probability[0, 0, 1, 2] == 1


def test_peaks_everywhere_have_the_largest_entropy_and_the_spread_of_a_uniform_law():
    cams = np.eye(12).reshape(12, 1, 1, 3, 4)
    found = peak_distribution(cams)
    assert found.entropy.item() == pytest.approx(np.log(12))
    assert found.spread.item() == pytest.approx(np.sqrt((3**2 - 1) / 12 + (4**2 - 1) / 12))


def test_turning_the_maps_turns_the_peaks():
    cams = np.random.default_rng(1).normal(size=(9, 1, 2, 3, 4))
    found, turned = peak_distribution(cams), peak_distribution(cams[..., ::-1].swapaxes(-2, -1))
    np.testing.assert_allclose(turned.probability.swapaxes(-2, -1)[..., ::-1], found.probability)
    np.testing.assert_allclose(turned.spread, found.spread)
