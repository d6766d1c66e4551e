from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from bayescam.types import InputError
from bayescam.uncertainty import DiagonalDistance, fit_mahalanobis


def sample(num_images: int = 120, num_features: int = 5):
    """Correlated features of three classes."""
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 3], size=num_images, p=[0.6, 0.3, 0.1])
    mixing = rng.normal(size=(num_features, num_features))
    centres = 3 * rng.normal(size=(4, num_features))
    return rng.normal(size=(num_images, num_features)) @ mixing + centres[labels], labels


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, None])
def test_mahalanobis_equals_a_slow_loop(shrinkage) -> None:
    features, labels = sample()
    new = np.random.default_rng(2).normal(size=(20, 5)) * 4
    residuals, means = np.empty_like(features), {}
    for c in (0, 1, 3):
        means[c] = features[labels == c].sum(axis=0) / (labels == c).sum()
        residuals[labels == c] = features[labels == c] - means[c]
    covariance = sum(np.outer(r, r) for r in residuals) / len(residuals)
    weight = LedoitWolf(assume_centered=True).fit(residuals).shrinkage_
    weight = weight if shrinkage is None else shrinkage
    shrunk = (1 - weight) * covariance + weight * np.trace(covariance) / 5 * np.eye(5)
    expected = [
        min(np.sqrt((f - m) @ np.linalg.solve(shrunk, f - m)) for m in means.values()) for f in new
    ]
    fitted = fit_mahalanobis(features, labels, shrinkage=shrinkage)
    np.testing.assert_array_equal(fitted.classes, [0, 1, 3])
    assert fitted.shrinkage == pytest.approx(weight)
    np.testing.assert_allclose(fitted.covariance, shrunk, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(fitted.distance(new), expected, rtol=1e-9)


def test_mahalanobis_is_that_of_scikit_learn() -> None:
    features, labels = sample()
    one_class = fit_mahalanobis(features, np.zeros(120, int), shrinkage=0.0)
    oracle = EmpiricalCovariance().fit(features)
    np.testing.assert_allclose(one_class.distance(features) ** 2, oracle.mahalanobis(features))
    fitted = fit_mahalanobis(features, labels, shrinkage=0.0)
    analysis = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True)
    analysis.fit(features, labels)
    np.testing.assert_allclose(fitted.covariance, analysis.covariance_)
    np.testing.assert_allclose(fitted.class_means, analysis.means_)


def test_unshrunk_distance_ignores_affine_changes_and_a_shrunk_one_does_not() -> None:
    features, labels = sample()
    rng = np.random.default_rng(3)
    matrix, offset = rng.normal(size=(5, 5)), 100 * rng.normal(size=5)
    for shrinkage, same in [(0.0, True), (0.3, False)]:
        plain = fit_mahalanobis(features, labels, shrinkage=shrinkage).distance(features)
        moved = features @ matrix + offset
        changed = fit_mahalanobis(moved, labels, shrinkage=shrinkage).distance(moved)
        assert np.allclose(plain, changed, rtol=1e-6) is same


def test_squared_distance_of_training_images_sums_to_images_times_features() -> None:
    """trace(covariance^-1 covariance) = F, where every image belongs to its nearest class."""
    rng = np.random.default_rng(4)
    labels = np.arange(90) % 3
    features = rng.normal(size=(90, 4)) + 50 * np.eye(4)[labels]
    distance = fit_mahalanobis(features, labels, shrinkage=0.0).distance(features)
    assert (distance**2).sum() == pytest.approx(90 * 4)


def test_more_features_than_images_need_shrinkage() -> None:
    rng = np.random.default_rng(5)
    features, labels = rng.normal(size=(10, 30)), np.arange(10) % 2
    fitted = fit_mahalanobis(features, labels)
    assert 0 < fitted.shrinkage <= 1
    far = fitted.distance(features.mean(axis=0, keepdims=True) + 20.0)
    assert far[0] > fitted.distance(features).max()
    with pytest.raises(InputError, match="10 images.*30 features.*shrinkage 0. Are features const"):
        fit_mahalanobis(features, labels, shrinkage=0.0)
    with pytest.raises(InputError, match="cannot be inverted"):
        fit_mahalanobis(np.ones((10, 3)), labels)


def test_diagonal_distance_is_chi_for_normal_features_and_leaves_out_dead_ones() -> None:
    rng = np.random.default_rng(6)
    mean, sd = np.array([1.0, -2.0, 0.0, 7.0]), np.array([0.5, 3.0, 1.0, 0.0])
    features = mean + sd * rng.normal(size=(5000, 4))
    distance = DiagonalDistance(mean, sd).distance(features)
    slow = [sum(((f[i] - mean[i]) / sd[i]) ** 2 for i in range(3)) ** 0.5 for f in features[:30]]
    np.testing.assert_allclose(distance[:30], slow)
    for level in (0.1, 0.5, 0.95):
        below = (distance**2 <= chi2.ppf(level, df=3)).mean()
        assert below == pytest.approx(level, abs=5 * np.sqrt(level * (1 - level) / 5000))
    mahalanobis = fit_mahalanobis(features[:, :1], np.zeros(5000, int), shrinkage=0.0)
    one = DiagonalDistance(features[:, 0].mean(keepdims=True), features[:, 0].std(keepdims=True))
    np.testing.assert_allclose(
        one.distance(features[:, :1]), mahalanobis.distance(features[:, :1]), rtol=1e-9
    )


def test_bad_input_is_refused() -> None:
    features, labels = sample()
    with pytest.raises(InputError, match="`features` must be finite"):
        fit_mahalanobis(features * np.nan, labels)
    with pytest.raises(InputError, match=r"`features` must have shape \(N, F\); got \(120,\)"):
        fit_mahalanobis(features[:, 0], labels)
    with pytest.raises(InputError, match=r"`labels` must have shape \(120,\); got \(3,\)"):
        fit_mahalanobis(features, labels[:3])
    with pytest.raises(InputError, match="`labels` must be class indices.*got -1"):
        fit_mahalanobis(features, labels - 1)
    with pytest.raises(InputError, match=r"`shrinkage` must lie between 0 and 1; got 1\.5"):
        fit_mahalanobis(features, labels, shrinkage=1.5)
    with pytest.raises(InputError, match="`features` must have 5 columns.*got 4"):
        fit_mahalanobis(features, labels).distance(features[:, :4])
    with pytest.raises(InputError, match="`features` must have 2 columns"):
        DiagonalDistance(np.zeros(2), np.ones(2)).distance(features)
    with pytest.raises(InputError, match="`sd` must be 2 finite numbers, none negative"):
        DiagonalDistance(np.zeros(2), np.array([1.0, -1.0])).distance(features[:, :2])
