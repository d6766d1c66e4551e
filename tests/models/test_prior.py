from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from bayescam.models import build_head, load_model, save_model
from bayescam.models.prior import GaussianPrior
from bayescam.types import InputError

NAMES = ["a", "b", "c"]


def test_it_is_the_negative_log_density_up_to_a_constant():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 4, 3)).astype(np.float32)
    prior = GaussianPrior(0.3, num_train=50)
    expected = (norm.logpdf(other, scale=0.3) - norm.logpdf(one, scale=0.3)).sum()
    assert float(prior.nats(one) - prior.nats(other)) == pytest.approx(expected, rel=1e-4)
    assert float(prior(one)) == pytest.approx(float(prior.nats(one)) / 50, rel=1e-5)


@pytest.mark.parametrize("head", ["dense", "dropout", "laplace"])
def test_plain_keras_training_adds_it_to_the_loss(head):
    x, y = np.random.default_rng(1).normal(size=(8, 5)).astype(np.float32), np.arange(8) % 3
    losses = {}
    for prior_sd in (None, 0.2):
        model = build_head(5, class_names=NAMES, head=head, prior_sd=prior_sd, num_train=8, seed=1)
        model.compile(loss=tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        losses[prior_sd] = model.evaluate(x, y, verbose=0)
    kernel = model.get_layer("logits").kernel.numpy()
    penalty = (kernel**2).sum() / (2 * 0.2**2) / 8
    assert losses[0.2] - losses[None] == pytest.approx(penalty, rel=1e-4)


def test_training_ends_at_the_penalised_logistic_regression():
    """scikit-learn's objective: `C * sum_n loss_n + |W|^2 / 2`, so `C = prior_sd^2`."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    y = np.argmax(x[:, :3] + rng.gumbel(size=(300, 3)), axis=1)
    model = build_head(4, class_names=NAMES, head="dense", prior_sd=0.3, num_train=300, seed=1)
    rate = tf_keras.optimizers.schedules.CosineDecay(0.05, 400)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(rate), loss)
    model.fit(x, y, batch_size=300, epochs=400, verbose=0)
    exact = LogisticRegression(C=0.09, tol=1e-8).fit(x, y)
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(kernel, exact.coef_.T, atol=2e-3)
    np.testing.assert_allclose(bias - bias.mean(), exact.intercept_, atol=2e-3)


def test_it_is_kept_in_files(tmp_path):
    model = build_head(5, class_names=NAMES, head="dense", prior_sd=0.2, num_train=8)
    save_model(model, tmp_path / "head.keras")
    prior = load_model(tmp_path / "head.keras").get_layer("logits").kernel_regularizer
    assert prior.get_config() == {"prior_sd": 0.2, "num_train": 8}


def test_bad_numbers_are_named():
    with pytest.raises(InputError, match="`prior_sd` must be a positive number; got -1"):
        build_head(5, class_names=NAMES, head="dense", prior_sd=-1)
    with pytest.raises(InputError, match="`num_train` must be a number of images"):
        GaussianPrior(1.0, num_train=0)
    with pytest.raises(ValueError, match="`num_train` must be set before training"):
        GaussianPrior(1.0)(tf.zeros((2, 2)))
