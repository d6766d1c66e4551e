"""Score-CAM against Algorithm 1 of the paper: plain models, one draw and mask at a time."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayescam.explain import CamExplainer, Target, score_cam
from bayescam.inference import draw_posterior
from bayescam.models.graph import flatten_model
from bayescam.models.members import ModelEnsemble
from bayescam.types import InputError
from tests.explain.test_targets import entropy, log_softmax
from tests.networks import NAMES, images, narrow

SCORES = {
    "b": (Target.of_class(1, "b"), lambda z: z[:, 1]),
    "c - a": (Target("contrast", (2, 0), "c - a"), lambda z: z[:, 2] - z[:, 0]),
    "p": (Target("probability", (1,), "p"), lambda z: np.exp(log_softmax(z))[:, 1]),
    "o": (
        Target("log_odds", (2,), "o"),
        lambda z: log_softmax(z)[:, 2] - np.log1p(-np.exp(log_softmax(z)[:, 2])),
    ),
}
UNCERTAIN = tuple(Target(k, (), k) for k in ("predictive_entropy", "mutual_information"))


def unsure(**options):
    """A network whose draws are unsure of masked images, so that no weight is 1."""
    model = narrow(seed=2, **options)
    layer = model.get_layer("standardization")
    layer.set_statistics(np.zeros(layer.mean.shape), np.full(layer.mean.shape, 2.0))
    return model


def masked_images(model, x, layer):
    """Maps (h, w, C) of one image, the image under the mask of each, and the black image."""
    graph = flatten_model(model)
    network = graph.submodel(graph.input, graph.key_of(layer))
    maps = network(x[None]).numpy()[0].astype(np.float64)
    masked = []
    for k in range(maps.shape[-1]):
        large = tf.image.resize(maps[:, :, k, None], x.shape[:2]).numpy()[:, :, 0]
        mask = (large - large.min()) / (np.ptp(large) or 1.0)
        masked.append(mask[:, :, None] * x)
    return maps, np.array(masked, np.float32), np.zeros_like(x)[None]


def algorithm_1(maps, scores, baseline):
    increase = np.exp(scores - baseline)
    out = np.zeros(maps.shape[:2])
    for k in range(maps.shape[-1]):
        out += increase[k] / increase.sum() * maps[:, :, k]
    return out


@pytest.mark.parametrize(
    ("options", "layer"),
    [
        ({}, None),
        ({"hidden_units": (16,)}, "block4_conv1"),
        ({"pooling": "flatten", "hidden_units": (6,)}, None),
    ],
)
def test_a_draws_map_is_that_of_algorithm_1(options, layer):
    model, x = unsure(**options), images(2)
    draws = draw_posterior(model, 2, seed=3)
    targets = [target for target, _ in SCORES.values()]
    explainer = CamExplainer(draws, targets=targets, target_layer=layer, method="scorecam")
    cams = explainer(x).cams
    for s in range(2):
        plain = draws.as_model(s)
        for n in range(2):
            maps, masked, black = masked_images(plain, x[n], explainer.target_layer)
            logits, base = (plain(part).numpy().astype(np.float64) for part in (masked, black))
            for t, (_, score) in enumerate(SCORES.values()):
                expected = algorithm_1(maps, score(logits), score(base))
                scale = np.abs(expected).max()
                assert scale > 0
                np.testing.assert_allclose(cams[s, n, t] / scale, expected / scale, atol=1e-5)
    assert np.ptp(cams[:, :, 0], axis=0).max() > 1e-3 * np.abs(cams).max()


def test_an_uncertainty_is_one_score_of_all_draws():
    model, x = unsure(), images(1)
    draws = draw_posterior(model, 5, seed=1)
    explainer = CamExplainer(draws, targets=UNCERTAIN, method="scorecam")
    cams = explainer(x).cams
    assert np.ptp(cams, axis=0).max() <= 1e-6 * np.abs(cams).max()
    maps, masked, black = masked_images(model, x[0], explainer.target_layer)
    logits, base = (draws.logits(part).astype(np.float64) for part in (masked, black))
    for t in range(2):
        scores, baseline = (_uncertainty(part)[t] for part in (logits, base))
        expected = algorithm_1(maps, scores, baseline)
        np.testing.assert_allclose(cams[0, 0, t], expected, atol=1e-5 * np.abs(expected).max())


def _uncertainty(logits):
    probs = np.exp(log_softmax(logits))
    total = entropy(probs.mean(axis=0))
    return total, total - entropy(probs).mean(axis=0)


def test_neither_the_masks_at_a_time_nor_blocks_of_draws_change_maps_and_passes_are_told(
    monkeypatch,
):
    draws, x, told = draw_posterior(unsure(), 4, seed=1), images(2), []
    layers = ["block5_conv3", "block4_pool"]
    whole = CamExplainer(draws, target_layer=layers, method="scorecam")(
        x, report=lambda done, total: told.append((done, total))
    )
    channels = [flatten_model(draws.model).shapes[draws.split.target_key(n)][-1] for n in layers]
    total = 2 * sum(channels)
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    monkeypatch.setattr(score_cam, "_MASKS_AT_A_TIME", 5)
    monkeypatch.setattr(type(draws), "blocks", lambda self, size=0: [(0, 3), (3, 4)])
    parts = CamExplainer(draws, target_layer=layers, method="scorecam")(x)
    for layer in layers:
        alone = CamExplainer(draws, target_layer=layer, method="scorecam")(x[1:])
        scale = np.abs(whole.layers[layer]).max()
        for other, expected in (
            (parts.layers[layer], whole.layers[layer]),
            (alone.cams, whole.layers[layer][:, 1:]),
        ):
            np.testing.assert_allclose(other / scale, expected / scale, atol=1e-5)


def test_members_of_an_ensemble_have_masks_of_their_own():
    members = (unsure(head="dense"), narrow(seed=3, head="dense"))
    draws = draw_posterior(ModelEnsemble(members, ("one", "two")), 2)
    told: list[tuple[int, int]] = []
    together = CamExplainer(draws, method="scorecam")(images(1), report=lambda *at: told.append(at))
    for place, member in enumerate(members):
        alone = CamExplainer(draw_posterior(member, 1), method="scorecam")(images(1))
        np.testing.assert_array_equal(together.cams[place], alone.cams[0])
    assert told[-1][0] == told[-1][1]
    with pytest.raises(InputError, match="cannot explain an uncertainty of several whole models"):
        CamExplainer(draws, targets=UNCERTAIN, method="scorecam")


def test_a_constant_map_is_a_black_image():
    model = unsure(head="dense")
    layer = model.get_layer("block5_conv3")
    kernel, bias = layer.get_weights()
    kernel[..., 0], bias[0] = 0, 3.0
    layer.set_weights([kernel, bias])
    draws, x = draw_posterior(model, 1), images(1)
    cams = CamExplainer(draws, method="scorecam")(x).cams
    maps, masked, black = masked_images(model, x[0], "block5_conv3")
    assert np.abs(masked[0]).max() == 0
    assert np.ptp(maps[..., 0]) == 0
    logits, base = (draws.logits(part)[0].astype(np.float64) for part in (masked, black))
    for t in range(len(NAMES)):
        expected = algorithm_1(maps, logits[:, t], base[:, t])
        np.testing.assert_allclose(cams[0, 0, t], expected, atol=1e-5 * np.abs(expected).max())
