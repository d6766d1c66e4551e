"""Randomised weights, noise and seeds, for an explainer that looks at the model and one that fails.

The model is made by hand, so that it needs no training: one channel sees red, one sees blue, and
the class "red" is for the one and against the other.
"""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras
from scipy.ndimage import sobel
from scipy.stats import spearmanr

from bayescam.explain import (
    CamExplainer,
    cam_moments,
    cascade,
    cascading_randomization,
    compare_maps,
    head_layers,
    head_randomization,
    noise_stability,
    randomized,
    rank_correlation,
    seed_repeatability,
    summary_maps,
    weighted_layers,
)
from bayescam.inference import draw_posterior
from bayescam.models import FlipoutDense
from bayescam.types import InputError
from tests.networks import narrow

KINDS = ["mean map", "sd map", "P(map > c)"]
NUM = 14


def two_discs(num: int = NUM, seed: int = 0) -> np.ndarray:
    """A red and a blue disc on grey noise, each anywhere."""
    rng = np.random.default_rng(seed)
    row, column = np.indices((32, 32))
    pictures = rng.uniform(60, 100, (num, 32, 32, 3))
    for picture in pictures:
        for channel in (0, 2):
            centre = rng.uniform(4, 28, 2)
            disc = np.hypot(row - centre[0], column - centre[1]) < rng.uniform(4, 8)
            picture[disc, channel] += 120
    return pictures.astype(np.float32)


@pytest.fixture(scope="module")
def model():
    start = tf_keras.Input((32, 32, 3))
    scaled = tf_keras.layers.Rescaling(1 / 255)(start)
    maps = tf_keras.layers.Conv2D(6, 4, strides=4, activation="relu", name="detect")(scaled)
    pooled = tf_keras.layers.GlobalAveragePooling2D()(maps)
    head = FlipoutDense(2, name="head")
    made = tf_keras.Model(start, head(pooled))
    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 0.5, (4, 4, 3, 6))
    kernel -= kernel.mean(axis=(0, 1))  # texture: no colour
    kernel[..., 0] = [0.1, -0.05, -0.05]
    kernel[..., 1] = [-0.05, -0.05, 0.1]
    made.get_layer("detect").set_weights([kernel, np.zeros(6)])
    for weight in head.weights:
        if "untransformed_scale" in weight.name:
            weight.assign(np.array([[1.0], [-5], [-5], [-5], [-5], [-5]]).repeat(2, axis=1))
        elif "kernel" in weight.name:
            weight.assign(np.array([[4.0, -4]] + [[-4, 4]] + [[0.02, 0]] * 4))
    return made


def maps_of(model, images, seed=0):
    draws = draw_posterior(model, 40, seed=seed)
    return summary_maps(CamExplainer(draws)(images).cams, np.zeros(len(images), int))


def edges(images) -> dict[str, np.ndarray]:
    """A broken explainer: the edges of the image, whatever the model."""
    grey = images.mean(axis=-1)
    strength = np.hypot(sobel(grey, axis=1), sobel(grey, axis=2))
    cells = strength.reshape(len(images), 8, 4, 8, 4).mean(axis=(2, 4))
    return dict.fromkeys(KINDS, cells)


def test_maps_of_the_model_change_with_its_weights(model):
    images = two_discs()
    head = head_randomization(model, lambda: maps_of(model, images), num_repeats=8)
    below = cascading_randomization(
        model, lambda: maps_of(model, images), layers=["detect"], num_repeats=4
    )["detect"]
    assert list(head) == list(below) == KINDS
    for kind in KINDS:
        assert head[kind].correlations.shape == (8, NUM)
        assert head[kind].differs, (kind, head[kind].mean, head[kind].limit)
        assert below[kind].differs, (kind, below[kind].mean, below[kind].limit)


def test_an_edge_detector_fails(model):
    images = two_discs()
    stages = cascading_randomization(model, lambda: edges(images))
    head = head_randomization(model, lambda: edges(images))
    assert list(stages) == ["head", "detect"]
    for found in (head, *stages.values()):
        for kind in KINDS:
            assert found[kind].mean == pytest.approx(1)
            assert not found[kind].differs


def test_maps_change_where_labels_are_permuted_before_training(model):
    """One-layer regression on the pooled maps: is there more red or more blue?"""
    images, photos = two_discs(), two_discs(60, seed=1)
    labels = np.sign(photos[..., 0].sum(axis=(1, 2)) - photos[..., 2].sum(axis=(1, 2)))
    features = CamExplainer(draw_posterior(model, 2))(photos).features
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    head = model.get_layer("head")
    before = head.get_weights()

    def trained_maps(labels):
        weights = np.linalg.solve(scaled.T @ scaled + np.eye(6), scaled.T @ labels)
        kernel = np.outer(weights / features.std(axis=0), [1, -1])
        head.set_weights([kernel, *before[1:]])
        return maps_of(model, images)["mean map"]

    assert head.weights[0].shape == (6, 2)
    assert "untransformed" not in head.weights[0].name
    rng = np.random.default_rng(3)
    try:
        own = trained_maps(labels)
        others = np.stack([trained_maps(rng.permutation(labels)) for _ in range(6)])
    finally:
        head.set_weights(before)
    found = compare_maps(own, others)
    assert found.differs, (found.mean, found.limit)
    broken = edges(images)["mean map"]
    assert not compare_maps(broken, np.stack([broken] * 6)).differs


def test_maps_outlast_a_little_noise_and_another_seed(model):
    images = two_discs()
    noisy = noise_stability(lambda x: maps_of(model, x), images, noise_sd=3.0, num_repeats=2)
    again = seed_repeatability(lambda seed: maps_of(model, images, seed), [0, 1, 2])
    for kind in KINDS:
        assert noisy[kind].correlations.shape == again[kind].correlations.shape == (2, NUM)
        assert noisy[kind].agrees, (kind, noisy[kind].mean, noisy[kind].limit)
        assert again[kind].agrees, (kind, again[kind].mean, again[kind].limit)


def test_maps_of_noise_neither_outlast_noise_nor_another_seed():
    images = two_discs(8)
    rng = np.random.default_rng(0)

    def unstable(_):
        return {"mean map": rng.normal(size=(8, 6, 6))}

    assert not noise_stability(unstable, images, noise_sd=1.0)["mean map"].agrees
    assert not seed_repeatability(unstable, [0, 1, 2, 3])["mean map"].agrees


def test_the_noise_has_its_sd():
    images, seen = np.full((4, 40, 40, 3), 100.0), []

    def explain(x):
        seen.append(x)
        return {"mean map": x[..., 0] + np.random.default_rng(0).normal(size=x.shape[:3])}

    noise_stability(explain, images, noise_sd=7.0, num_repeats=1)
    noise = seen[1] - images
    assert noise.std() == pytest.approx(7.0, abs=5 * 7.0 / np.sqrt(2 * noise.size))


def test_weights_come_back_even_after_an_error(model):
    before = model.get_weights()

    def same():
        return [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]

    with randomized(model):
        assert not all(same())
    assert all(same())
    with pytest.raises(RuntimeError, match="stop"), randomized(model):
        raise RuntimeError("stop")
    assert all(same())

    def broken():
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        cascade(model, broken)
    assert all(same())


def test_a_cascade_goes_from_the_output_to_the_input(model):
    before = {name: model.get_layer(name).get_weights() for name in ("detect", "head")}

    def changed():
        return {
            name
            for name, weights in before.items()
            if not all(
                np.array_equal(a, b)
                for a, b in zip(weights, model.get_layer(name).get_weights(), strict=True)
            )
        }

    assert cascade(model, changed) == {"head": {"head"}, "detect": {"head", "detect"}}
    assert list(cascade(model, changed, layers=["detect"])) == ["detect"]
    with randomized(model, ["detect"]):
        assert changed() == {"detect"}


def test_random_weights_are_the_old_ones_in_another_order(model):
    before = [w.copy() for w in model.get_layer("detect").get_weights()]
    with randomized(model, seed=3):
        whole = model.get_layer("detect").get_weights()
    with randomized(model, ["detect"], seed=3):
        alone = model.get_layer("detect").get_weights()
    with randomized(model, ["detect"], seed=4):
        other = model.get_layer("detect").get_weights()
    np.testing.assert_array_equal(whole[0], alone[0])
    assert not np.array_equal(whole[0], other[0])
    np.testing.assert_array_equal(np.sort(before[0], axis=None), np.sort(whole[0], axis=None))


def test_the_head_is_what_follows_the_features():
    model = narrow(hidden_units=(4,))
    head = head_layers(model)
    assert head == ["hidden_1", "logits"]
    names = weighted_layers(model)
    assert names[-2:] == head
    assert names[0] == "block1_conv1"
    with pytest.raises(InputError, match="name layers with learned weights; 'pool' is none"):
        randomized(model, ["pool"]).__enter__()
    with pytest.raises(InputError, match="'pool' is none"):
        cascade(model, dict, layers=["pool"])


def test_statistics_of_the_data_stay_so_equal_sds_leave_the_uncertainty_map_as_it_was():
    """Permuted standardisation would change that map, whatever the weights."""
    model = narrow()
    for weight in model.get_layer("logits").weights:
        if "untransformed_scale" in weight.name:
            weight.assign(np.full(weight.shape, -2.0))
    pictures = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    statistics = model.get_layer("standardization").get_weights()

    def explain():
        np.testing.assert_array_equal(model.get_layer("standardization").get_weights(), statistics)
        moments = cam_moments(model, pictures, targets=[0], target_layer="block4_conv3")
        return {"mean map": moments.mean[:, 0], "sd map": np.sqrt(moments.variance[:, 0])}

    found = head_randomization(model, explain, num_repeats=3)
    assert found["sd map"].mean == pytest.approx(1)
    assert found["mean map"].mean < 0.9


def test_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 5, (6, 4, 5)).astype(float)  # with ties
    other = one + rng.normal(0, 2, (3, 6, 4, 5))
    found = compare_maps(one, other)
    for r in range(3):
        for n in range(6):
            expected = spearmanr(one[n].ravel(), other[r, n].ravel()).statistic
            assert found.correlations[r, n] == pytest.approx(expected)
    pairs = [
        spearmanr(one[a].ravel(), one[b].ravel()).statistic for a in range(6) for b in range(a)
    ]
    np.testing.assert_allclose(np.sort(found.between_images), np.sort(pairs))
    assert found.limit == pytest.approx(np.quantile(pairs, 0.95))
    assert found.mean == pytest.approx(found.correlations.mean())


def test_maps_that_are_the_same_for_every_image_pass_nothing():
    """A blob in the middle, random weights or not: alike, but no more than different images."""
    blob = np.tile(np.arange(16.0).reshape(4, 4), (5, 1, 1))
    found = compare_maps(blob, blob)
    assert not found.differs


def test_constant_maps_have_no_correlation():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 4, 4))
    some = maps.copy()
    some[1] = 2.0
    assert np.isnan(rank_correlation(maps, some)).tolist() == [False, True, False]
    assert compare_maps(maps, some).mean == pytest.approx(1)
    with pytest.raises(InputError, match="these are constant"):
        compare_maps(maps, np.ones_like(maps))
    with pytest.raises(InputError, match=r"got \(3, 4, 4\) and \(3, 5, 5\)"):
        compare_maps(maps, np.ones((3, 5, 5)))
    with pytest.raises(InputError, match="at least two images"):
        compare_maps(maps[:1], maps[:1])


def test_what_does_not_fit_is_refused_in_one_line():
    maps = {"mean map": np.random.default_rng(0).normal(size=(3, 4, 4))}
    with pytest.raises(InputError, match="`num_repeats` must be at least 1; got 0"):
        noise_stability(lambda x: maps, two_discs(3), noise_sd=1.0, num_repeats=0)
    with pytest.raises(InputError, match="`noise_sd` must be positive"):
        noise_stability(lambda x: maps, two_discs(3), noise_sd=0.0)
    with pytest.raises(InputError, match=r"at least two different ones; got \[1, 1\]"):
        seed_repeatability(lambda seed: maps, [1, 1])
    kinds = iter([maps, {"sd": maps["mean map"]}])
    with pytest.raises(InputError, match="the same kinds of maps each time; got mean map and then"):
        seed_repeatability(lambda seed: next(kinds), [1, 2])
