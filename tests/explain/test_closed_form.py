from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from bayescam.explain import (
    CamExplainer,
    Target,
    cam_covariance,
    cam_moments,
    gaussian_quantiles,
    gaussian_statistics,
    logit_moments,
    map_errors,
    map_quantiles,
    prob_above,
    summarize_maps,
)
from bayescam.inference import draw_posterior
from bayescam.models import build_classifier
from bayescam.types import InputError, MapMoments
from tests.networks import NAMES, images, narrow, vary_scales

NUM = 3000


def assert_within_monte_carlo_error(draws, mean, variance):
    """Five standard errors of a mean and of a variance of Gaussian draws."""
    sd = np.sqrt(variance)
    live = sd > 0
    error = np.abs(draws.mean(axis=0) - mean)[live] / (sd[live] / np.sqrt(len(draws)))
    assert error.max() < 5
    ratio = np.abs(draws.var(axis=0, ddof=1)[live] / variance[live] - 1)
    assert ratio.max() < 5 * np.sqrt(2 / len(draws))
    np.testing.assert_allclose(draws.mean(axis=0)[~live], mean[~live], atol=1e-6)


@pytest.mark.parametrize("pooling", ["avg", "flatten"])
@pytest.mark.parametrize("layer", [None, "block5_pool", "block5_conv2"])
def test_draws_have_the_closed_form_moments(pooling, layer):
    model = narrow(pooling=pooling, seed=5)
    x = images(2)
    out = CamExplainer(draw_posterior(model, NUM, seed=1), target_layer=layer)(x)
    exact = cam_moments(model, x, target_layer=layer)
    assert exact.variance.max() > 0
    assert_within_monte_carlo_error(out.cams.astype(np.float64), exact.mean, exact.variance)
    logits = logit_moments(model, x)
    assert_within_monte_carlo_error(out.logits.astype(np.float64), logits.mean, logits.variance)


def test_draws_of_vgg16_have_the_closed_form_moments_at_block5_conv3():
    model = build_classifier("vgg16", class_names=NAMES, input_shape=(64, 64, 3), seed=2)
    vary_scales(model, 2)
    x = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    explainer = CamExplainer(draw_posterior(model, NUM, seed=1))
    assert explainer.target_layer == "block5_conv3"
    out = explainer(x)
    exact = cam_moments(model, x)
    assert_within_monte_carlo_error(out.cams.astype(np.float64), exact.mean, exact.variance)


def test_moments_equal_the_formula():
    model = narrow(seed=3)
    x = images(2)
    split = draw_posterior(model, 1).split
    (maps,) = split.prefix(split.target)(tf.constant(x))
    maps = maps.numpy().astype(np.float64)
    normal = model.get_layer("logits").kernel_posterior.distribution
    mu, sigma = normal.loc.numpy(), tf.convert_to_tensor(normal.scale).numpy()
    d = model.get_layer("standardization").sd.numpy()
    z = maps.shape[1] * maps.shape[2]
    exact = cam_moments(model, x, targets=(2, 1))
    for place, t in enumerate((2, 1)):
        mean = (maps * mu[:, t] / (z * d)).sum(axis=-1)
        variance = (maps**2 * sigma[:, t] ** 2 / (z * d) ** 2).sum(axis=-1)
        np.testing.assert_allclose(exact.mean[:, place], mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(exact.variance[:, place], variance, rtol=1e-4)


@pytest.mark.parametrize(("pooling", "layer"), [("avg", None), ("flatten", "block5_conv2")])
def test_covariance_agrees_with_the_draws(pooling, layer):
    model = narrow(pooling=pooling, seed=5)
    x = images(1)
    exact = cam_covariance(model, x, target=1, target_layer=layer)[0]
    variance = cam_moments(model, x, targets=(1,), target_layer=layer).variance
    np.testing.assert_allclose(np.diag(exact), variance.ravel(), rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(exact, exact.T, rtol=1e-4, atol=1e-9)
    draws = draw_posterior(model, NUM, seed=1)
    cams = CamExplainer(draws, targets=(1,), target_layer=layer)(x).cams.reshape(NUM, -1)
    sample = np.cov(cams.T.astype(np.float64))
    error = np.sqrt((np.outer(np.diag(exact), np.diag(exact)) + exact**2) / NUM)
    live = error > 0
    assert np.abs((sample - exact)[live] / error[live]).max() < 5


def test_a_deterministic_model_has_no_closed_form_of_spread():
    with pytest.raises(InputError, match="closed forms exist for a head of one linear layer"):
        cam_moments(narrow(head="dense"), images(1))
    with pytest.raises(InputError, match="this model's head is .*hidden_1"):
        logit_moments(narrow(hidden_units=(4,)), images(1))


def laplace(covariance, **options):
    """A narrow VGG whose Laplace posterior has random roots, as if fitted."""
    model = narrow(head="laplace", covariance=covariance, **options)
    layer, rng = model.get_layer("logits"), np.random.default_rng(0)
    layer.bias.assign(rng.normal(size=layer.bias.shape))
    layer.posterior_sd.assign(rng.uniform(0.1, 0.5, layer.noise_shape))
    for basis in layer.bases:
        basis.assign(rng.normal(size=basis.shape) / np.sqrt(basis.shape[0]))
    return model


@pytest.mark.parametrize("covariance", ["diagonal", "kronecker", "full"])
@pytest.mark.parametrize(("pooling", "layer"), [("avg", None), ("flatten", "block5_conv2")])
def test_draws_of_a_laplace_head_have_the_closed_form_moments(covariance, pooling, layer):
    model, x = laplace(covariance, pooling=pooling), images(2)
    contrast = Target("contrast", (2, 0), "c - a")
    targets = [contrast, Target.of_class(1)]
    explainer = CamExplainer(
        draw_posterior(model, NUM, seed=1), targets=targets, target_layer=layer
    )
    out = explainer(x)
    exact = cam_moments(model, x, targets=targets, target_layer=layer)
    assert_within_monte_carlo_error(out.cams.astype(np.float64), exact.mean, exact.variance)
    logits = logit_moments(model, x)
    assert_within_monte_carlo_error(out.logits.astype(np.float64), logits.mean, logits.variance)
    cells = cam_covariance(model, x, target=contrast, target_layer=layer)[0]
    sample = np.cov(out.cams[:, 0, 0].reshape(NUM, -1).T.astype(np.float64))
    error = np.sqrt((np.outer(np.diag(cells), np.diag(cells)) + cells**2) / NUM)
    assert (np.abs(sample - cells) <= 5 * error + 1e-9).all()


def test_a_contrast_of_independent_logits_has_the_sum_of_their_variances():
    model, x = narrow(seed=3), images(2)
    single = cam_moments(model, x)
    both = cam_moments(model, x, targets=[Target("contrast", (2, 0), "c - a")])
    scale = np.abs(single.mean).max()
    difference = single.mean[:, 2] - single.mean[:, 0]
    np.testing.assert_allclose(both.mean[:, 0] / scale, difference / scale, atol=1e-5)
    total = single.variance[:, 2] + single.variance[:, 0]
    np.testing.assert_allclose(both.variance[:, 0], total, rtol=1e-4)


def test_ten_thousand_draws_agree_with_the_exact_statistics():
    model, x, num = narrow(seed=5), images(1), 10_000
    moments = cam_moments(model, x)
    cams = CamExplainer(draw_posterior(model, num, seed=2))(x).cams
    exact, sampled = gaussian_statistics(moments), summarize_maps(cams)
    errors = map_errors(cams, shares=[0.1])
    live = moments.variance > 0
    for name in ("mean", "sd"):
        difference = np.abs(getattr(sampled, name) - getattr(exact, name))
        assert (difference <= 5 * getattr(errors, name) + 1e-6)[live].all()
    quantile = map_quantiles(cams, [0.1])[0]
    difference = np.abs(quantile - gaussian_quantiles(moments, [0.1])[0])
    assert (difference <= 5 * errors.quantiles[0] + 1e-6)[live].all()
    for limit in (0.0, float(moments.mean.max()) / 2):
        prob = prob_above(moments, limit)
        share = (cams > limit).mean(axis=0)
        slack = 5 * np.sqrt(prob * (1 - prob) / num) + 25 / num  # Bernstein, for rare events
        assert (np.abs(share - prob) <= slack)[live].all()


def test_scores_that_are_not_linear_have_no_closed_form():
    with pytest.raises(InputError, match="exist for logits and their contrasts.*'p'"):
        cam_moments(narrow(), images(1), targets=[Target("probability", (0,), "p")])
    with pytest.raises(InputError, match=r"`targets` must be class indices 0 to 2; got \[3\]"):
        cam_moments(narrow(), images(1), targets=[3])


def test_probability_of_exceeding_a_threshold():
    moments = MapMoments(np.array([[[[0.0, 1.0, 2.0, 1.0]]]]), np.array([[[[1.0, 4.0, 0.0, 0.0]]]]))
    expected = [norm.sf(1.0), 0.5, 1.0, 0.0]
    np.testing.assert_allclose(prob_above(moments, 1.0).ravel(), expected)
