"""One contract for every kind of head: whole-function draws, maps, files, training."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from bayescam.explain import CamExplainer
from bayescam.inference import draw_posterior
from bayescam.inference.features import FeatureCache
from bayescam.inference.head_training import fit_head
from bayescam.inference.training import TrainingSettings, fit_classifier
from bayescam.models import build_classifier, build_head, load_model, save_model
from bayescam.models.heads import HeadKind
from tests.inference.test_training import coloured
from tests.networks import NAMES, SHAPE, images, plain_gradcam

HEADS = get_args(HeadKind)
RANDOM = [head for head in HEADS if head != "dense"]
SETTINGS = TrainingSettings(
    num_views=1, head_epochs=6, head_learning_rate=0.02, batch_size=16, cache="memory"
)


@pytest.fixture(scope="module")
def trained():
    """A trained model of every kind, one hidden layer, and its history."""
    made = {}
    for head in HEADS:
        model = build_classifier(
            "narrow_vgg",
            class_names=NAMES,
            input_shape=SHAPE,
            head=head,
            hidden_units=(6,),
            num_members=3 if head == "ensemble" else None,
            seed=3,
        )
        result = fit_classifier(model, coloured(90, 1), coloured(45, 2), settings=SETTINGS)
        made[head] = model, result
    return made


def draws_of(model, num: int = 3):
    return draw_posterior(model, num, seed=5)


@pytest.mark.parametrize("head", RANDOM)
def test_a_draw_is_one_function_for_every_batch_and_any_number_of_draws(trained, head):
    model, _ = trained[head]
    x = images(5)
    whole = draws_of(model, 3).logits(x)
    assert whole.shape == (3, 5, len(NAMES))
    np.testing.assert_allclose(draws_of(model, 2).logits(x), whole[:2], rtol=1e-4, atol=1e-5)
    for n in range(5):
        alone = draws_of(model, 3).logits(x[n : n + 1])[:, 0]
        np.testing.assert_allclose(alone, whole[:, n], rtol=1e-4, atol=1e-5)
    assert np.abs(whole[0] - whole[1]).max() > 1e-3
    other = draw_posterior(model, 3, seed=6).logits(x)
    assert np.array_equal(other, whole) == (head == "ensemble")  # members are no random numbers


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("layer", [None, "block4_pool"])
def test_the_map_of_a_draw_is_the_gradcam_of_its_plain_model(trained, head, layer):
    model, _ = trained[head]
    draws = draws_of(model, 1 if head == "dense" else 2)
    explainer = CamExplainer(draws, target_layer=layer)
    x = images(2)
    out = explainer(x)
    for s in range(len(draws)):
        for t in range(len(NAMES)):
            logits, cam = plain_gradcam(draws.as_model(s), x, t, explainer.target_layer)
            np.testing.assert_allclose(out.logits[s], logits, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(out.cams[s, :, t], cam, atol=1e-4 * np.abs(cam).max())


@pytest.mark.parametrize("head", HEADS)
def test_a_file_keeps_the_posterior(trained, head, tmp_path):
    model, _ = trained[head]
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    num = 1 if head == "dense" else 3
    np.testing.assert_allclose(
        draws_of(again, num).logits(images(2)),
        draws_of(model, num).logits(images(2)),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("head", HEADS)
def test_it_learns(trained, head):
    model, result = trained[head]
    assert result.history[-1]["validation_log_likelihood"] < 0
    val = coloured(45, 2)
    pixels = np.concatenate([batch for _, batch in val.batches(0, np.arange(45))])
    draws = draw_posterior(model, 1 if head == "dense" else 3, seed=0)
    probs = tf.reduce_mean(tf.nn.softmax(draws.logits(pixels)), axis=0).numpy()
    likelihood = np.log(probs[np.arange(45), val.labels]).mean()
    assert likelihood > np.log(1 / 3) + 0.05


def test_an_ensemble_has_as_many_draws_as_members(trained):
    model, result = trained["ensemble"]
    with pytest.warns(UserWarning, match="an ensemble of 3, so there are 3 draws, not 50"):
        assert len(draw_posterior(model, 50)) == 3
    stages = list(dict.fromkeys(row["stage"] for row in result.history))
    assert stages == ["head", "member 1", "member 2", "member 3"]
    kernels = model.get_layer("logits").members[0].numpy()
    np.testing.assert_allclose(
        model.get_layer("logits").kernel.numpy(), kernels.mean(axis=0), rtol=1e-5, atol=1e-6
    )
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


def test_three_estimators_start_from_one_posterior():
    kinds = ("flipout", "reparameterization", "local_reparameterization")
    logits = [
        draw_posterior(
            build_classifier("narrow_vgg", class_names=NAMES, input_shape=SHAPE, head=head, seed=3),
            4,
            seed=1,
        ).logits(images(2))
        for head in kinds
    ]
    np.testing.assert_array_equal(logits[0], logits[1])
    np.testing.assert_array_equal(logits[0], logits[2])


@pytest.mark.parametrize("head", ["dense", "laplace"])
def test_the_prior_of_point_weights_is_in_the_loss(head):
    """One step from the known start: weighted cross-entropy plus `-log p(W) / N`."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(1, 30, 4)).astype(np.float32)
    labels = np.arange(30) ** 2 % 5 % 3
    losses = {}
    for prior_sd in (None, 0.3):
        model = build_head(4, class_names=NAMES, head=head, prior_sd=prior_sd, seed=1)
        start = model.get_layer("logits").kernel.numpy()
        settings = TrainingSettings(batch_size=30, head_epochs=1)
        cache = FeatureCache(x)
        history = fit_head(model, (cache, cache), (labels, labels), settings=settings)
        losses[prior_sd] = history[0]["loss"]
    penalty = (start**2).sum() / (2 * 0.3**2) / 30
    assert losses[0.3] - losses[None] == pytest.approx(penalty, rel=1e-3)


def test_members_of_an_ensemble_are_trained_with_its_prior():
    rng = np.random.default_rng(8)
    cache, labels = FeatureCache(rng.normal(size=(1, 30, 4)).astype(np.float32)), np.arange(30) % 3
    norms = {}
    for prior_sd in (None, 0.01):
        model = build_head(4, class_names=NAMES, head="ensemble", prior_sd=prior_sd, num_members=2)
        settings = TrainingSettings(batch_size=30, head_epochs=40, head_learning_rate=0.05)
        told: list = []
        history = fit_head(
            model, (cache, cache), (labels, labels), settings=settings, on_epoch=told.append
        )
        assert told == history
        assert {row["stage"] for row in told} == {"member 1", "member 2"}
        norms[prior_sd] = np.linalg.norm(model.get_layer("logits").members[0], axis=(1, 2))
    assert (norms[0.01] < norms[None]).all()
