from __future__ import annotations

import numpy as np
import pytest

from bayescam.explain import positive_evidence, summarize_maps
from bayescam.types import InputError


def flagged(cams: np.ndarray) -> np.ndarray:
    summary = summarize_maps(cams)
    return positive_evidence(summary.mean, summary.sd, len(cams))


def test_noise_is_rarely_taken_for_evidence_and_a_patch_always_is():
    """500 maps of pure noise: the share called positive is at most the level, 5 %."""
    cams = np.random.default_rng(0).normal(size=(50, 500, 1, 7, 7)).astype(np.float32)
    share = flagged(cams).mean()
    assert 0 < share < 0.05 + 5 * np.sqrt(0.05 * 0.95 / 500)
    cams[..., 2:4, 2:4] += 1.0
    assert flagged(cams).all()


def test_a_negative_map_has_no_positive_evidence_however_many_draws():
    cams = -1 + 0.1 * np.random.default_rng(1).normal(size=(50, 3, 2, 4, 4))
    assert not flagged(cams).any()
    assert flagged(-cams).all()


def test_an_exact_mean_and_a_single_draw_count_by_their_sign():
    mean, sd = np.array([[[0.01, -1.0]], [[-0.01, -1.0]]]), np.ones((2, 1, 2))
    for num in (None, 1):
        np.testing.assert_array_equal(positive_evidence(mean, sd, num), [True, False])
    np.testing.assert_array_equal(positive_evidence(mean, sd, 100), [False, False])
    np.testing.assert_array_equal(positive_evidence(mean, 0 * sd, 100), [True, False])
    assert not positive_evidence(np.zeros((2, 2)), np.zeros((2, 2)), 10)


def test_a_level_or_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="must have one shape"):
        positive_evidence(np.zeros((2, 2)), np.zeros(2), 3)
    with pytest.raises(InputError, match="`num_samples` must be at least 1"):
        positive_evidence(np.zeros((2, 2)), np.zeros((2, 2)), 0)
    with pytest.raises(InputError, match="`level` must lie strictly between"):
        positive_evidence(np.zeros((2, 2)), np.zeros((2, 2)), 3, level=95)
