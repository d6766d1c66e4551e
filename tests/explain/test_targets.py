"""What maps explain: slopes of scores against tapes, formulas and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayescam.explain import CamExplainer, Target, parse_target
from bayescam.explain.targets import score_slopes, score_values
from bayescam.inference import draw_posterior
from bayescam.inference.draws import run_suffix
from bayescam.types import InputError
from tests.networks import images, narrow


def tape_scores(logits):
    """Each score (S, N), or (N,) of all draws, by plain formulas."""
    probs = tf.nn.softmax(logits)
    mean = tf.reduce_mean(probs, axis=0)
    total = -tf.reduce_sum(mean * tf.math.log(mean), axis=-1)
    each = -tf.reduce_sum(probs * tf.math.log(probs), axis=-1)
    return {
        "logit": logits[..., 2],
        "contrast": logits[..., 3] - logits[..., 1],
        "probability": probs[..., 1],
        "log_odds": tf.math.log(probs[..., 0] / (1 - probs[..., 0])),
        "predictive_entropy": total,
        "mutual_information": total - tf.reduce_mean(each, axis=0),
    }


CLASSES = {"logit": (2,), "contrast": (3, 1), "probability": (1,), "log_odds": (0,)}


@pytest.mark.parametrize("kind", [*CLASSES, "predictive_entropy", "mutual_information"])
def test_scores_and_slopes_are_the_formula_and_its_gradient_draw_by_draw(kind):
    logits = tf.constant(np.random.default_rng(0).normal(0, 1.5, (5, 3, 4)), tf.float32)
    target = Target(kind, CLASSES.get(kind, ()), kind)
    log_mean = tf.math.log(tf.reduce_mean(tf.nn.softmax(logits), axis=0))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        score = tape_scores(logits)[kind]
    share = 5 if target.is_of_all_draws else 1  # the mean over the draws is the gradient
    expected = share * tape.gradient(score, logits)
    found = score_slopes([target], logits, log_mean)[:, :, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    values = score_values([target], logits)[:, :, 0]
    np.testing.assert_allclose(values, np.broadcast_to(score, (5, 3)), rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "kind", "classes"),
    [
        ("b", "logit", (1,)),
        ("b - a", "contrast", (1, 0)),
        ("a - b", "logit", (2,)),  # the name of a class comes first
        ("a - b - b", "contrast", (2, 1)),
        ("b - a - b", "contrast", (1, 2)),
        ("probability(a - b)", "probability", (2,)),
        ("log_odds(a)", "log_odds", (0,)),
        ("mutual_information", "mutual_information", ()),
    ],
)
def test_a_text_names_a_score(text, kind, classes):
    assert parse_target(text, ["a", "b", "a - b"]) == Target(kind, classes, text)


@pytest.mark.parametrize(
    "text", ["c", "a - a", "a-b", "probability(c)", "probability(a", "entropy"]
)
def test_a_text_that_names_no_score_is_refused(text):
    with pytest.raises(InputError, match=r"`targets` must be classes of the model \(a, b\)"):
        parse_target(text, ["a", "b"])


SCORES = {
    "contrast": (Target("contrast", (2, 0), "c - a"), lambda z: z[..., 2] - z[..., 0]),
    "probability": (Target("probability", (1,), "p"), lambda z: np.exp(log_softmax(z))[..., 1]),
    "log_odds": (
        Target("log_odds", (1,), "o"),
        lambda z: log_softmax(z)[..., 1] - np.log1p(-np.exp(log_softmax(z)[..., 1])),
    ),
}


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def entropy(probs):
    return -(probs * np.log(probs)).sum(axis=-1)


def wiggle(draws, maps_key, x, direction, step):
    """Logits (S, N, K) of all draws when the maps move by `step` times `direction`."""
    split = draws.split
    (maps,) = split.prefix(maps_key)(tf.constant(x))
    features = split.above(maps_key)([maps + step * direction])
    return run_suffix(split, features, draws.weights()).numpy().astype(np.float64)


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_scores_beyond_logits_have_the_slope_of_finite_differences(hidden):
    """HiResCAM summed over cells is the derivative along the maps themselves."""
    model = narrow(hidden_units=hidden, seed=2)
    layer = model.get_layer("standardization")
    layer.set_statistics(np.zeros(layer.mean.shape), np.full(layer.mean.shape, 2.0))  # unsure
    draws = draw_posterior(model, 4, seed=1)
    kinds = [target for target, _ in SCORES.values()]
    uncertain = [Target(kind, (), kind) for kind in ("predictive_entropy", "mutual_information")]
    explainer = CamExplainer(
        draws, targets=[*kinds, *uncertain], target_layer="block5_conv2", method="hirescam"
    )
    x = images(2)
    cams = explainer(x).cams.sum(axis=(-2, -1))
    key = draws.split.target_key("block5_conv2")
    (maps,) = draws.split.prefix(key)(tf.constant(x))
    step = 1e-3
    up, down = (wiggle(draws, key, x, maps, sign * step) for sign in (1, -1))
    for t, (_, score) in enumerate(SCORES.values()):
        slope = (score(up) - score(down)) / (2 * step)
        np.testing.assert_allclose(cams[:, :, t], slope, rtol=2e-2, atol=2e-3 * np.abs(slope).max())
    for place, target in enumerate(uncertain, start=len(kinds)):
        high, low = (uncertainty(target.kind, logits) for logits in (up, down))
        slope = (high - low) / (2 * step)
        together = cams[:, :, place].mean(axis=0)
        np.testing.assert_allclose(together, slope, rtol=2e-2, atol=2e-3 * np.abs(slope).max())


def test_an_uncertainty_is_explained_by_all_draws_however_they_are_split_into_blocks(monkeypatch):
    """The mean probabilities are those of all draws, not of the block."""
    target = Target("mutual_information", (), "mutual_information")
    draws = draw_posterior(narrow(hidden_units=(6,), seed=2), 6, seed=1)
    whole = CamExplainer(draws, targets=[target])(images(2)).cams
    monkeypatch.setattr(type(draws), "blocks", lambda self, size=0: [(0, 4), (4, 6)])
    parts = CamExplainer(draws, targets=[target])(images(2)).cams
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-6 * np.abs(whole).max())


def uncertainty(kind, logits):
    probs = np.exp(log_softmax(logits))
    total = entropy(probs.mean(axis=0))
    return total if kind == "predictive_entropy" else total - entropy(probs).mean(axis=0)
