"""Curves and errors of perturbation, on models whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bayescam.explain import deletion, infidelity, insertion, road
from bayescam.explain.imputation import impute_noisy_linear
from bayescam.explain.infidelity_score import _draw_squares
from bayescam.report import upsample_map
from bayescam.types import InputError

SIZE = (8, 10)
PIXELS = SIZE[0] * SIZE[1]


def linear(weights):
    """Class 1 has `sum(weights * pixels)`, one value for each draw; class 0 the rest to 1."""

    def predict(images):
        value = np.einsum("...hwc,bhwc->...b", weights, images.astype(np.float64))
        return np.stack([1 - value, value], axis=-1)

    return predict


def some(num=2, seed=0):
    return np.random.default_rng(seed).uniform(1, 2, (num, *SIZE, 1))


def weights(*draws, seed=1):
    return np.random.default_rng(seed).normal(0, 0.1, (*draws, *SIZE, 1))


ONE = np.ones(2, int)


def slow_curve(predict, image, cam, change, steps):
    """Class 1 as the pixels of the highest values are changed one after another."""
    order = np.argsort(-cam.ravel(), kind="stable")
    curve = []
    for step in range(steps + 1):
        flat = image.reshape(PIXELS, 1).copy()
        chosen = order[: round(step / steps * PIXELS)]
        flat[chosen] = change[chosen]
        curve.append(predict(flat.reshape(1, *SIZE, 1))[..., 0, 1])
    return np.array(curve)


def test_deletion_of_a_linear_model_follows_the_sorted_contributions():
    """With the exact map, what is left after each step is the sum of the smallest terms."""
    x, w = some(), weights()
    terms = w[..., 0] * x[..., 0]
    curve = deletion(linear(w), x, terms, ONE, fill=0.0, num_steps=PIXELS)
    falling = -np.sort(-terms.reshape(2, -1), axis=1)
    left = falling.sum(axis=1, keepdims=True) - np.cumsum(falling, axis=1)
    np.testing.assert_allclose(curve.probs[:, 1:], left, atol=1e-9)
    whole = np.concatenate([falling.sum(axis=1, keepdims=True), left], axis=1)
    np.testing.assert_allclose(curve.area, (whole[:, 1:] + whole[:, :-1]).mean(axis=1) / 2)


def test_the_exact_map_has_the_smallest_deletion_and_the_largest_insertion():
    x, w = some(), weights()
    exact = w[..., 0] * x[..., 0]
    other = np.random.default_rng(5).permuted(exact.reshape(2, -1), axis=1).reshape(exact.shape)
    predict = linear(w)
    best, worse, worst = (
        deletion(predict, x, maps, ONE, fill=0.0).area for maps in (exact, other, -exact)
    )
    assert (best < worse).all()
    assert (worse < worst).all()
    gained = w[..., 0] * (x[..., 0] - x[..., 0].mean(axis=(1, 2), keepdims=True))  # by sharpening
    best, worst = (insertion(predict, x, maps, ONE, blur=50.0).area for maps in (gained, -gained))
    assert (best > worst).all()


@pytest.mark.parametrize("num_steps", [7, 20])
def test_curves_are_those_of_a_slow_loop(num_steps):
    x, w = some(), weights()
    maps = np.random.default_rng(2).normal(size=(2, *SIZE))
    predict = linear(w)
    gone = deletion(predict, x, maps, ONE, num_steps=num_steps)
    shown = insertion(predict, x, maps, ONE, blur=2.0, num_steps=num_steps)
    for n in range(2):
        mean = np.full((PIXELS, 1), x[n].mean())
        expected = slow_curve(predict, x[n], maps[n], mean, num_steps)
        np.testing.assert_allclose(gone.probs[n], expected, atol=1e-9)
        blurred = gaussian_filter(x[n], (2, 2, 0))
        expected = slow_curve(predict, blurred, maps[n], x[n].reshape(PIXELS, 1), num_steps)
        np.testing.assert_allclose(shown.probs[n], expected, atol=1e-9)


def test_draws_of_the_model_share_one_pass_on_the_mean_map():
    x, w = some(3), weights(4)
    maps = np.random.default_rng(2).normal(size=(3, *SIZE))
    classes, calls = np.array([1, 0, 1]), []

    def counted(images):
        calls.append(len(images))
        return linear(w)(images)

    together = deletion(counted, x, maps, classes, num_steps=9, batch_size=16)
    assert together.probs.shape == (4, 3, 10)
    assert sum(calls) == 3 * 10
    assert max(calls) <= 16
    for s in range(4):
        alone = deletion(linear(w[s]), x, maps, classes, num_steps=9)
        np.testing.assert_allclose(together.probs[s], alone.probs, atol=1e-9)


def test_each_draws_own_map_is_judged_by_its_own_draw():
    x, w = some(3), weights(4)
    maps = np.random.default_rng(2).normal(size=(4, 3, *SIZE))
    classes = np.array([1, 0, 1])
    together = insertion(linear(w), x, maps, classes, num_steps=5, batch_size=20)
    for s in range(4):
        alone = insertion(linear(w[s]), x, maps[s], classes, num_steps=5)
        np.testing.assert_allclose(together.probs[s], alone.probs, atol=1e-9)
        np.testing.assert_allclose(together.area[s], alone.area, atol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_the_batch_changes_nothing(batch_size):
    x, w = some(3), weights()
    maps = np.random.default_rng(2).normal(size=(3, 4, 5))  # enlarged maps have ties at the border
    classes = np.array([1, 0, 1])
    for judge in (deletion, insertion):
        whole = judge(linear(w), x, maps, classes)
        np.testing.assert_allclose(
            judge(linear(w), x, maps, classes, batch_size=batch_size).probs, whole.probs, atol=1e-9
        )
    whole, parts = (
        infidelity(linear(w), x, maps, classes, num_perturbations=9, batch_size=size)
        for size in (32, batch_size)
    )
    np.testing.assert_allclose(parts.raw, whole.raw, atol=1e-9)
    first, second = (
        road(linear(w), x, maps, classes, noise_sd=0.1, batch_size=size).difference
        for size in (32, batch_size)
    )
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_pixels_of_one_value_go_in_no_order_of_the_image():
    """A constant map on an image whose upper half alone counts: half is left after half."""
    x = np.ones((1, 20, 20, 1))
    upper = np.zeros((20, 20, 1))
    upper[:10] = 1 / 200
    curve = deletion(linear(upper), x, np.ones((1, 5, 5)), ONE[:1], fill=0.0, num_steps=2)
    sd = np.sqrt(0.25 / 400)  # of the upper share of 200 pixels out of 400, without replacement
    assert curve.probs[0, 1] == pytest.approx(0.5, abs=5 * sd)


def test_imputed_pixels_are_the_weighted_means_of_their_neighbours():
    rng = np.random.default_rng(0)
    image, removed = rng.uniform(0, 255, (7, 9, 3)), rng.uniform(size=(7, 9)) < 0.6
    removed[0, 0], removed[3, 4] = True, False
    filled = impute_noisy_linear(image[None], removed[None], np.zeros(image.shape))[0]
    np.testing.assert_array_equal(filled[~removed], image[~removed])
    for i, j in np.argwhere(removed):
        total, mass = np.zeros(3), 0.0
        for a in range(max(0, i - 1), min(7, i + 2)):
            for b in range(max(0, j - 1), min(9, j + 2)):
                if (a, b) != (i, j):
                    weight = 1 / 6 if a == i or b == j else 1 / 12
                    total += weight * filled[a, b]
                    mass += weight
        np.testing.assert_allclose(filled[i, j], total / mass, rtol=1e-9)


def test_imputation_continues_a_plane_inside_the_image():
    """A plane is the mean of its neighbours, so a hole in it is filled exactly."""
    y, x = np.indices((9, 9))
    image = (3.0 * x - 2.0 * y)[..., None]
    removed = np.zeros((9, 9), bool)
    removed[2:7, 3:6] = True
    filled = impute_noisy_linear(image[None], removed[None], np.zeros((9, 9, 1)))[0]
    np.testing.assert_allclose(filled, image, atol=1e-9)


def test_road_is_positive_for_the_exact_map_and_turns_its_sign_with_it():
    x, w = some(), weights()
    exact = w[..., 0] * (x[..., 0] - x[..., 0].mean(axis=(1, 2), keepdims=True))
    result = road(linear(w), x, exact, ONE, noise_sd=0.01)
    assert (result.difference > 0).all()
    turned = road(linear(w), x, -exact, ONE, noise_sd=0.01)
    np.testing.assert_allclose(turned.difference, -result.difference, atol=1e-9)
    np.testing.assert_array_equal(
        turned.most_relevant_first.probs, result.least_relevant_first.probs
    )


def test_the_noise_of_imputed_pixels_has_its_sd():
    """A flat image is imputed flat, so what the model sees of it is the noise."""
    size = (40, 40)
    x, seen = np.full((1, *size, 1), 100.0), []

    def predict(images):
        seen.append(images)
        return np.ones((len(images), 2)) / 2

    road(predict, x, np.zeros((1, 4, 4)), ONE[:1], fractions=(0.25, 0.5), noise_sd=3.0)
    noise = (seen[0][1] - 100.0).ravel()
    changed = noise[noise != 0]
    assert len(changed) == 800
    assert changed.std() == pytest.approx(3.0, abs=5 * 3.0 / np.sqrt(2 * 800))


@pytest.mark.parametrize("fill", [0.0, 1.5])
def test_gradient_times_input_of_a_linear_model_has_no_infidelity(fill):
    x, w = some(), weights()
    result = infidelity(linear(w), x, w[..., 0] * (x[..., 0] - fill), ONE, fill=fill)
    assert result.raw.max() < 1e-15
    assert result.effect.min() > 1e-3
    assert result.unexplained.max() < 1e-12
    doubled = infidelity(linear(w), x, 2 * w[..., 0] * (x[..., 0] - fill), ONE, fill=fill)
    np.testing.assert_allclose(doubled.raw, result.effect)  # it tells twice the fall
    assert doubled.unexplained.max() < 1e-12


def test_infidelity_of_draws_by_a_slow_loop():
    x, w, size = some(), weights(3), (4, 5)
    maps = np.random.default_rng(3).normal(size=(3, 2, *size))
    result = infidelity(linear(w), x, maps, ONE, num_perturbations=11, seed=4)
    mean = infidelity(linear(w), x, maps[1], ONE, num_perturbations=11, seed=4)
    np.testing.assert_allclose(result.raw[1], mean.raw[1])
    squares = _draw_squares(11, SIZE, seed=4)
    for s in range(3):
        for n in range(2):
            told, fall = [], []
            for square in squares:
                told.append((square * upsample_map(maps[s, n], SIZE)).sum())
                changed = np.where(square[..., None], x[n].mean(), x[n])
                before, after = (linear(w[s])(z[None])[0, 1] for z in (x[n], changed))
                fall.append(before - after)
            told, fall = np.array(told), np.array(fall)
            assert result.raw[s, n] == pytest.approx(np.mean((told - fall) ** 2), rel=1e-5)
            _, rest, *_ = np.linalg.lstsq(told[:, None], fall, rcond=None)
            assert result.scaled[s, n] == pytest.approx(rest[0] / len(fall), rel=1e-5)


def test_a_map_of_zeros_explains_nothing():
    result = infidelity(linear(weights()), some(), np.zeros((2, 3, 3)), ONE)
    np.testing.assert_allclose(result.unexplained, 1.0)
    deaf = infidelity(linear(np.zeros((*SIZE, 1))), some(), np.ones((2, 3, 3)), ONE)
    assert np.isnan(deaf.unexplained).all()


@pytest.mark.parametrize("judge", [deletion, insertion, road, infidelity])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_indices": np.array([0, 2])}, "`class_indices` must be 0 to 1; got 2"),
        ({"class_indices": np.array([0, -1])}, "`class_indices` must be 0 or more; got -1"),
        ({"class_indices": np.array([0])}, "`class_indices` must be 2 whole numbers"),
        ({"maps": np.ones((3, 4, 4))}, r"with N = 2; got \(3, 4, 4\)"),
        ({"maps": np.full((2, 4, 4), np.nan)}, "`maps` must be finite"),
        ({"maps": np.ones((3, 2, 4, 4))}, "of 3 draws need a `predict` that returns"),
        ({"images": np.ones((2, 8, 8))}, r"`images` must have shape \(N, H, W, C\)"),
        ({"predict": lambda x: np.ones(len(x))}, "`predict` must return"),
        ({"predict": lambda x: np.full((len(x), 2), np.nan)}, "finite numbers"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(judge, change, message):
    given = {
        "predict": linear(weights()),
        "images": some(),
        "maps": np.ones((2, 4, 4)),
        "class_indices": ONE,
        **change,
    }
    with pytest.raises(InputError, match=message):
        judge(*given.values())


def test_fractions_and_steps_out_of_range_are_refused():
    given = linear(weights()), some(), np.ones((2, 4, 4)), ONE
    with pytest.raises(InputError, match="`fractions` must stay below 1"):
        road(*given, fractions=(0.5, 1.0))
    with pytest.raises(InputError, match="`fractions` must rise"):
        road(*given, fractions=(0.5, 0.3))
    with pytest.raises(InputError, match="`num_steps` must be at least 1; got 0"):
        deletion(*given, num_steps=0)
    with pytest.raises(InputError, match="`num_perturbations` must be at least 2; got 1"):
        infidelity(*given, num_perturbations=1)
