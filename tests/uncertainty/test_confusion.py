from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from bayescam.types import InputError
from bayescam.uncertainty import confusion_over_draws, confusion_over_groups

RNG = np.random.default_rng(0)
PROBS = RNG.dirichlet(np.ones(3), size=(9, 40))
LABELS = RNG.integers(0, 3, 40)
GROUPS = np.array([f"lesion {i // 2:02}" for i in range(40)])


@pytest.mark.parametrize("unit", ["share", "images"])
def test_draws_are_classifiers_of_their_own(unit: str) -> None:
    found = confusion_over_draws(PROBS, LABELS, level=0.8, unit=unit)
    normalize = "true" if unit == "share" else None
    tables = np.array(
        [
            confusion_matrix(LABELS, draw.argmax(axis=1), labels=range(3), normalize=normalize)
            for draw in PROBS
        ]
    )
    np.testing.assert_allclose(found.estimate, tables.mean(axis=0))
    np.testing.assert_allclose(found.sd, tables.std(axis=0))
    np.testing.assert_allclose(found.lower, np.quantile(tables, 0.1, axis=0))
    np.testing.assert_allclose(found.upper, np.quantile(tables, 0.9, axis=0))
    assert (found.unit, found.over, found.level) == (unit, "draws", 0.8)


def test_resamples_are_of_whole_groups() -> None:
    """The very same resamples, made one by one."""
    mean = PROBS.mean(axis=0)
    found = confusion_over_groups(mean, LABELS, GROUPS, num_resamples=50, seed=3)
    rng, tables = np.random.default_rng(3), []
    for drawn in rng.integers(20, size=(50, 20)):
        rows = np.concatenate([np.flatnonzero(f"lesion {group:02}" == GROUPS) for group in drawn])
        table = confusion_matrix(LABELS[rows], mean[rows].argmax(axis=1), labels=range(3))
        tables.append(table / table.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found.lower, np.quantile(tables, 0.025, axis=0), atol=1e-12)
    np.testing.assert_allclose(found.upper, np.quantile(tables, 0.975, axis=0), atol=1e-12)
    np.testing.assert_allclose(found.sd, np.std(tables, axis=0), atol=1e-12)
    sample = confusion_matrix(LABELS, mean.argmax(axis=1), normalize="true")
    np.testing.assert_allclose(found.estimate, sample)


def test_a_class_without_images_has_no_shares_but_zero_images() -> None:
    labels = np.zeros(40, int)
    assert np.isnan(confusion_over_draws(PROBS, labels).upper[1:]).all()
    mean = PROBS.mean(axis=0)
    assert np.isnan(confusion_over_groups(mean, labels, GROUPS).sd[1:]).all()
    counts = confusion_over_groups(mean, labels, GROUPS, unit="images")
    assert (counts.upper[1:] == 0).all()
    assert counts.estimate.sum() == 40


def test_bad_options_are_refused() -> None:
    with pytest.raises(InputError, match="`unit` must be one of"):
        confusion_over_draws(PROBS, LABELS, unit="counts")
    with pytest.raises(InputError, match="`level`"):
        confusion_over_groups(PROBS.mean(axis=0), LABELS, GROUPS, level=95)
