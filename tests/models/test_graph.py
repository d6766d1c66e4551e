from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from bayescam.models import flatten_model
from bayescam.models.graph import run_steps
from bayescam.types import InputError

layers = tf_keras.layers


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")


def nested_model():
    """Conv -> [inner functional -> [innermost Sequential]] -> pool -> dense, three models deep."""
    innermost = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 4)),
            layers.Conv2D(4, 3, name="deep"),
            layers.ReLU(name="deep_relu"),
        ],
        name="innermost",
    )
    inner_input = tf_keras.Input((8, 8, 4))
    inner = tf_keras.Model(inner_input, innermost(inner_input), name="inner")
    start = tf_keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="first")(start)
    x = layers.GlobalAveragePooling2D(name="pool")(inner(x))
    return tf_keras.Model(start, layers.Dense(2, name="last")(x), name="outer")


def residual_model():
    start = tf_keras.Input((8, 8, 3))
    stem = layers.Conv2D(3, 3, padding="same", name="stem")(start)
    branch = layers.Conv2D(3, 3, padding="same", name="branch")(stem)
    joined = layers.Add(name="join")([stem, branch])
    return tf_keras.Model(start, layers.GlobalAveragePooling2D(name="pool")(joined))


def replay(model, images):
    graph = flatten_model(model)
    values = {graph.input: images}
    run_steps(graph.steps, values)
    return values[graph.output]


def test_nested_models_are_opened_in_order_and_replay_to_the_same_values(images):
    model = nested_model()
    names = [step.layer.name for step in flatten_model(model).steps]
    assert names == ["first", "deep", "deep_relu", "pool", "last"]
    np.testing.assert_array_equal(replay(model, images), model(images))


def test_a_nested_model_inside_sequential_is_opened(images):
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), nested_model(), layers.Softmax()])
    assert [step.layer.name for step in flatten_model(model).steps][-2] == "last"
    np.testing.assert_array_equal(replay(model, images), model(images))


def test_a_layer_called_twice_makes_two_steps(images):
    start = tf_keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    model = tf_keras.Model(start, layers.Add()([shared(start), shared(shared(start))]))
    graph = flatten_model(model)
    calls = [step for step in graph.steps if step.layer is shared]
    assert len(calls) == 3
    assert len({step.outputs for step in calls}) == 3
    np.testing.assert_array_equal(replay(model, images), model(images))
    assert graph.key_of("shared") == calls[-1].outputs[0]


def test_a_nested_model_called_twice_is_opened_twice(images):
    inner = tf_keras.Sequential(
        [tf_keras.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same", name="c")]
    )
    start = tf_keras.Input((8, 8, 3))
    model = tf_keras.Model(start, inner(inner(start)))
    assert [step.layer.name for step in flatten_model(model).steps] == ["c", "c"]
    np.testing.assert_array_equal(replay(model, images), model(images))


def test_operations_with_keyword_tensors_and_constants_replay(images):
    start = tf_keras.Input((8, 8, 3))
    scaled = layers.Conv2D(3, 1)(start * 2.0 + 1.0)
    model = tf_keras.Model(start, layers.MultiHeadAttention(1, 2)(query=scaled, value=start))
    np.testing.assert_allclose(replay(model, images), model(images), rtol=1e-6)


def test_inception_branches_replay_and_mixed_layers_are_bottlenecks(inception):
    images = np.random.default_rng(0).uniform(0, 255, (1, 75, 75, 3)).astype("float32")
    graph = flatten_model(inception)
    values = {graph.input: images}
    run_steps(graph.steps, values)
    np.testing.assert_allclose(values[graph.output], inception(images), rtol=1e-5, atol=1e-6)
    names = [graph.name_of(key) for key in graph.bottlenecks()]
    mixed = [f"mixed{number}" for number in range(11)]
    assert [name for name in names if name.startswith("mixed")] == mixed
    assert names[0] == "input"
    last_blocks = graph.submodel(graph.key_of("mixed9"), graph.output)
    again = last_blocks(values[graph.key_of("mixed9")])
    np.testing.assert_allclose(again, values[graph.output], rtol=1e-5, atol=1e-6)


def test_bottlenecks_leave_out_what_a_skip_connection_goes_around():
    graph = flatten_model(residual_model())
    assert [graph.name_of(key) for key in graph.bottlenecks()] == ["input", "stem", "join", "pool"]


def test_a_source_with_a_way_around_it_is_refused():
    graph = flatten_model(residual_model())
    with pytest.raises(InputError, match="'branch' does not separate"):
        graph.between(graph.key_of("branch"), graph.output)


def test_what_stands_beside_a_branch_completes_the_cut(images):
    model = residual_model()
    graph = flatten_model(model)
    stem, branch, join = (graph.key_of(name) for name in ("stem", "branch", "join"))
    assert graph.beside(branch, graph.output) == (stem,)
    assert graph.beside(stem, graph.output) == graph.beside(join, graph.output) == ()
    assert graph.beside(graph.output, stem) is None
    values = graph.submodel(graph.input, [branch, stem])(images)
    again = graph.submodel([branch, stem], graph.output)(values)
    np.testing.assert_allclose(again, model(images), rtol=1e-5, atol=1e-6)


def test_a_submodel_shares_layers_and_gives_several_outputs(images):
    model = nested_model()
    graph = flatten_model(model)
    part = graph.submodel(graph.input, [graph.key_of("deep_relu"), graph.output])
    maps, logits = part(images)
    assert part.get_layer("first") is model.get_layer("first")
    np.testing.assert_array_equal(logits, model(images))
    pooled = np.mean(maps, axis=(1, 2))
    kernel, bias = model.get_layer("last").get_weights()
    np.testing.assert_allclose(pooled @ kernel + bias, logits, rtol=1e-5, atol=1e-6)


def test_a_submodel_can_substitute_a_layer(images):
    model = nested_model()
    graph = flatten_model(model)
    largest = layers.GlobalMaxPooling2D()
    part = graph.submodel(
        graph.input,
        graph.output,
        substitute=lambda step: largest if step.layer.name == "pool" else step.layer,
    )
    maps = graph.submodel(graph.input, graph.key_of("deep_relu"))(images)
    expected = model.get_layer("last")(np.max(maps, axis=(1, 2)))
    np.testing.assert_allclose(part(images), expected, rtol=1e-6)


def test_an_unknown_layer_is_refused_with_the_layers_that_have_maps():
    with pytest.raises(InputError, match="no layer 'conv9'.*first, deep, deep_relu"):
        flatten_model(nested_model()).key_of("conv9")


def test_subclassed_unbuilt_and_many_headed_models_are_refused():
    class Subclassed(tf_keras.Model):
        def call(self, inputs):
            return inputs

    start = tf_keras.Input((4,))
    with pytest.raises(InputError, match="functional or built Sequential"):
        flatten_model(Subclassed())
    with pytest.raises(InputError, match="functional or built Sequential"):
        flatten_model(tf_keras.Sequential([layers.Dense(2)]))
    with pytest.raises(InputError, match="one input and one output.* 1 and 2"):
        flatten_model(tf_keras.Model(start, [layers.Dense(1)(start), layers.Dense(1)(start)]))
