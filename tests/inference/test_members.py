"""Ensembles of whole models: draw m is model m, in logits and in maps."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from scipy.special import softmax

import bayescam as bc
from bayescam.explain import CamExplainer
from bayescam.inference import draw_posterior
from bayescam.inference.posterior import draw_unit
from bayescam.models import ModelEnsemble, adapt_model, build_classifier, save_model
from bayescam.types import InputError
from tests.networks import NAMES, SHAPE, images, narrow, plain_gradcam


def small(layers: list[tf_keras.layers.Layer], names=NAMES, shape=SHAPE) -> tf_keras.Model:
    """A user's own network with other preprocessing and another place of its maps."""
    tf_keras.utils.set_random_seed(len(layers))
    head = [tf_keras.layers.GlobalAveragePooling2D(), tf_keras.layers.Dense(len(names))]
    scaled = tf_keras.layers.Rescaling(1 / 127.5, -1)
    user = tf_keras.Sequential([tf_keras.Input(shape), scaled, *layers, *head])
    return adapt_model(user, names, rescale=1.0)


def conv(strides: int = 16, name: str = "maps") -> tf_keras.layers.Layer:
    return tf_keras.layers.Conv2D(5, 3, strides, "same", activation="relu", name=name)


@pytest.fixture(scope="module")
def deterministic() -> ModelEnsemble:
    """Two seeds of one architecture, with the same layer names, and a model of another kind."""
    own = small([conv()])
    members = (
        narrow(seed=1, head="dense"),
        narrow(seed=2, head="dense", hidden_units=(8,), pooling="flatten"),
        own,
    )
    return ModelEnsemble(members, ("a.keras", "b.keras", "c.keras"))


@pytest.fixture(scope="module")
def random() -> ModelEnsemble:
    return ModelEnsemble((narrow(seed=1), narrow(seed=2)), ("a", "b"))


def test_draw_m_is_whole_model_m(deterministic):
    draws = draw_posterior(deterministic, 3)
    out = CamExplainer(draws)(images(2))
    layers = ("block5_conv3", "block5_conv3", "maps")
    for m, (member, layer) in enumerate(zip(deterministic.members, layers, strict=True)):
        for t in range(len(NAMES)):
            logits, cam = plain_gradcam(member, images(2), t, layer)
            np.testing.assert_allclose(out.logits[m], logits, rtol=1e-4, atol=1e-5)
            assert np.abs(cam).max() > 0
            np.testing.assert_allclose(out.cams[m, :, t], cam, atol=1e-4 * np.abs(cam).max())
        expected = member.predict(images(2), verbose=0)
        np.testing.assert_allclose(out.logits[m], expected, rtol=1e-4, atol=1e-5)
        plain = draws.as_model(m).predict(images(2), verbose=0)
        np.testing.assert_allclose(plain, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(draws.logits(images(2)), out.logits, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="`index` must be 0 to 2; got 3"):
        draws.as_model(3)


def test_there_are_exactly_as_many_draws_as_members(deterministic):
    with pytest.warns(UserWarning, match="a.keras has 1 draw .* there are 3 draws, not 100"):
        many = draw_posterior(deterministic, 100)
    assert len(many) == many.num_samples == 3
    two = draw_posterior(deterministic, 2)
    x = images(2)
    np.testing.assert_array_equal(two.logits(x), many.logits(x)[:2])
    np.testing.assert_array_equal(CamExplainer(two)(x).cams, CamExplainer(many)(x).cams[:2])


def test_images_do_not_change_each_other(random):
    explainer = CamExplainer(draw_posterior(random, 5, seed=3))
    x = images(3)
    whole = explainer(x)
    for n in range(3):
        alone = explainer(x[n : n + 1])
        np.testing.assert_allclose(alone.logits[:, 0], whole.logits[:, n], rtol=1e-4, atol=1e-5)
        scale = np.abs(whole.cams[:, n]).max()
        np.testing.assert_allclose(alone.cams[:, 0], whole.cams[:, n], atol=1e-4 * scale)
        np.testing.assert_allclose(alone.features[0], whole.features[n], rtol=1e-4, atol=1e-5)


def test_random_members_take_turns(random):
    x = images(2)
    draws = draw_posterior(random, 5, seed=3)
    assert [len(member) for member in draws.members] == [3, 2]
    out = CamExplainer(draws)(x)
    for m, member in enumerate(random.members):
        own = draw_posterior(member, 3 - m, seed=draws.members[m].seed)
        alone = CamExplainer(own)(x)
        np.testing.assert_array_equal(out.logits[m::2], alone.logits)
        np.testing.assert_array_equal(out.cams[m::2], alone.cams)
    for s in range(5):
        logits, cam = plain_gradcam(draws.as_model(s), x, 1, "block5_conv3")
        np.testing.assert_allclose(out.logits[s], logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(out.cams[s, :, 1], cam, atol=1e-4 * np.abs(cam).max())
    more = draw_posterior(random, 8, seed=3).logits(x)
    np.testing.assert_allclose(more[:5], draws.logits(x), rtol=1e-4, atol=1e-5)


def test_the_mean_is_that_of_the_mixture(random):
    """The members' exact predictive means, by many draws of each alone, averaged."""
    x, num = images(2), 4000
    mixed = softmax(draw_posterior(random, num, seed=1).logits(x), axis=-1)
    alone = [softmax(draw_posterior(m, num, seed=9).logits(x), axis=-1) for m in random.members]
    expected = np.mean([probs.mean(axis=0) for probs in alone], axis=0)
    spread = np.sqrt(np.mean([probs.var(axis=0) for probs in alone], axis=0))
    error = spread * np.sqrt(1 / num + 1 / (2 * num))
    assert (np.abs(mixed.mean(axis=0) - expected) < 5 * error).all()


def test_members_of_one_architecture_share_no_random_numbers():
    """The noise of two copies of one model is uncorrelated, draw by draw."""
    model = narrow()
    draws = draw_posterior(ModelEnsemble((model, model), ("a", "b")), 400, seed=0)
    kernels = [member.weights()[0][0].numpy() for member in draws.members]
    noise = [((kernel - kernel.mean(axis=0)) / kernel.std(axis=0)).ravel() for kernel in kernels]
    assert abs(np.mean(noise[0] * noise[1])) < 5 / np.sqrt(noise[0].size)


def test_the_member_with_the_fewest_draws_decides():
    few = build_classifier(
        "narrow_vgg", class_names=NAMES, input_shape=SHAPE, head="ensemble", num_members=3
    )
    ensemble = ModelEnsemble((narrow(), few), ("free", "few"))
    with pytest.warns(UserWarning, match="few has 3 draws .* there are 6 draws, not 7"):
        draws = draw_posterior(ensemble, 7)
    assert [len(member) for member in draws.members] == [3, 3]
    assert len(draw_posterior(ensemble, 5)) == 5


@tf_keras.utils.register_keras_serializable("tests")
class Counting(tf_keras.layers.Layer):
    """Counts the images that it sees."""

    def build(self, input_shape):
        self.count = self.add_weight("count", (), "int32", "zeros", trainable=False)

    def call(self, inputs):
        self.count.assign_add(tf.shape(inputs)[0])
        return tf.identity(inputs)


def test_every_backbone_runs_once_per_image():
    counters = [Counting(), Counting()]
    members = tuple(
        adapt_model(
            tf_keras.Sequential(
                [
                    tf_keras.Input(SHAPE),
                    counter,
                    conv(),
                    tf_keras.layers.GlobalAveragePooling2D(),
                    tf_keras.layers.Dropout(0.5),
                    tf_keras.layers.Dense(len(NAMES)),
                ]
            ),
            NAMES,
            sample_dropout=True,
        )
        for counter in counters
    )
    explainer = CamExplainer(draw_posterior(ModelEnsemble(members, ("a", "b")), 20))
    before = [int(counter.count) for counter in counters]
    explainer(images(4))
    assert [int(c.count) - b for c, b in zip(counters, before, strict=True)] == [4, 4]


def test_files_give_the_same_ensemble(random, tmp_path):
    paths = [tmp_path / f"{name}.keras" for name in random.names]
    for member, path in zip(random.members, paths, strict=True):
        save_model(member, path)
    ensemble = bc.load_ensemble(paths)
    assert ensemble.names == tuple(map(str, paths))
    expected, found = (bc.analyze(m, images(2), num_samples=5) for m in (random, ensemble))
    np.testing.assert_allclose(found["logits"], expected["logits"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["cam"], expected["cam"], rtol=1e-4, atol=1e-6)
    assert list(found["member"].values) == [str(paths[s % 2]) for s in range(5)]
    assert found["member"].dims == ("draw",)
    assert list(found["class"].values) == list(NAMES)
    with pytest.raises(InputError, match=r"a.keras: is given twice"):
        bc.load_ensemble([paths[0], tmp_path / "." / "a.keras"])
    with pytest.raises(InputError, match="`paths` must be a list of two or more files; got"):
        bc.load_ensemble(str(paths[0]))
    with pytest.raises(InputError, match="two or more `members`"):
        bc.load_ensemble(paths[:1])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: small([conv()], ("a", "c", "b")),
            r"one list of classes: first.keras has \(a, b, c\), second.keras has \(a, c, b\)",
        ),
        (
            lambda: small([conv()], shape=(48, 32, 3)),
            r"one input shape: first.keras has \(32, 32, 3\), second.keras has \(48, 32, 3\)",
        ),
        (
            lambda: tf_keras.Sequential([tf_keras.Input(SHAPE), tf_keras.layers.Flatten()]),
            "second.keras: `model` .* carries no class names",
        ),
    ],
)
def test_members_that_do_not_fit_are_refused(other, message):
    with pytest.raises(InputError, match=message):
        ModelEnsemble((narrow(), other()), ("first.keras", "second.keras"))


def test_maps_of_two_sizes_are_refused():
    ensemble = ModelEnsemble((narrow(), small([conv(8)])), ("first", "second"))
    draws = draw_posterior(ensemble, 2)
    with pytest.raises(
        InputError, match=r"first makes 2x2 \(block5_conv3\) and second makes 4x4 \(maps\)"
    ):
        CamExplainer(draws)
    with pytest.raises(InputError, match="second: the model has no layer 'block4_conv3'"):
        CamExplainer(draws, target_layer="block4_conv3")


def test_a_layer_is_found_in_each_member(deterministic):
    pair = ModelEnsemble(deterministic.members[:2], ("a", "b"))
    explainer = CamExplainer(draw_posterior(pair, 2), targets=(2,), target_layer="block4_conv2")
    assert (explainer.target_layer, explainer.map_shape) == ("block4_conv2", (4, 4))
    out = explainer(images(2))
    for m, member in enumerate(pair.members):
        _, cam = plain_gradcam(member, images(2), 2, "block4_conv2")
        np.testing.assert_allclose(out.cams[m, :, 0], cam, atol=1e-4 * np.abs(cam).max())
    assert explainer.num_features == out.features.shape[1]
    pooled = tf_keras.Model(pair.members[0].input, pair.members[0].get_layer("global_pool").output)
    first = pooled.predict(images(2), verbose=0)
    np.testing.assert_allclose(out.features[:, : first.shape[1]], first, rtol=1e-4, atol=1e-6)


def test_what_needs_one_network_says_so(random):
    from bayescam.explain import cam_moments

    with pytest.raises(InputError, match="'ensemble of 2' is a ModelEnsemble"):
        cam_moments(random, images(1))


def test_draws_are_members_where_there_are_no_more(deterministic, random):
    assert draw_unit(draw_posterior(deterministic, 2)) == "members"
    assert draw_unit(draw_posterior(random, 4)) == "draws"
    options = {"class_names": NAMES, "num_members": 3}
    heads = bc.build_head(4, head="ensemble", **options)
    assert draw_unit(draw_posterior(heads, 3)) == "members"
    assert draw_unit(draw_posterior(bc.build_head(4, class_names=NAMES), 3)) == "draws"
    dense = bc.build_head(4, class_names=NAMES, head="dense")
    assert draw_unit(draw_posterior(dense, 1)) == "draws"
