from __future__ import annotations

import numpy as np
import pytest
import tf_keras
import xarray as xr
from scipy.special import softmax

from bayescam.explain import CamExplainer
from bayescam.inference import draw_posterior
from bayescam.models import adapt_model, build_classifier
from bayescam.types import InputError
from bayescam.uncertainty import credible_interval
from bayescam.workflows.analysis import analyze, summarize
from bayescam.workflows.arviz_groups import to_arviz


@pytest.fixture(scope="module")
def model():
    return build_classifier(
        "narrow_vgg", class_names=["nv", "mel", "bkl"], input_shape=(32, 32, 3), seed=1
    )


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def dataset(model, images):
    return analyze(model, images, num_samples=30, seed=2)


def test_values_are_those_of_the_draws(model, images, dataset) -> None:
    draws = draw_posterior(model, 30, seed=2)
    out = CamExplainer(draws)(images.astype(np.float32))
    np.testing.assert_array_equal(dataset["logits"], out.logits)
    np.testing.assert_array_equal(dataset["cam"], out.cams)
    np.testing.assert_allclose(dataset["logits"], draws.logits(images), rtol=1e-5, atol=1e-5)
    assert dataset["cam"].dtype == np.float32
    assert list(dataset["class"].values) == list(dataset["target"].values) == ["nv", "mel", "bkl"]
    assert dataset.attrs["layer"] == "block5_conv3"
    assert (dataset.attrs["seed"], dataset.attrs["num_samples"]) == (2, 30)
    assert dataset.attrs["version_tensorflow"].startswith("2.")


def test_draws_and_maps_go_to_arviz_as_they_are(dataset) -> None:
    pytest.importorskip("arviz", reason="needs the extra arviz")
    posterior = to_arviz(dataset, labels=["nv", None, 2, 0, 1]).posterior
    for name in ("logits", "cam"):
        np.testing.assert_array_equal(posterior[name].sel(chain=0), dataset[name])
    np.testing.assert_allclose(posterior["probs"].sum("class"), 1.0)
    assert posterior.attrs == dataset.attrs


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, 32])
def test_batches_do_not_matter(model, images, dataset, batch_size: int) -> None:
    other = analyze(model, images, num_samples=30, seed=2, batch_size=batch_size)
    np.testing.assert_allclose(other["logits"], dataset["logits"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other["cam"], dataset["cam"], rtol=1e-4, atol=1e-6)
    assert other.coords.equals(dataset.coords)


def test_targets_by_name_or_index(model, images, dataset) -> None:
    some = analyze(model, images, num_samples=30, seed=2, targets=["bkl", 0])
    assert list(some["target"].values) == ["bkl", "nv"]
    np.testing.assert_allclose(some["cam"], dataset["cam"].sel(target=["bkl", "nv"]), atol=1e-6)


def test_several_layers_have_maps_and_axes_of_their_own_without_slashes(images, tmp_path) -> None:
    """A slash in a name, as in SqueezeNet's, would be a folder that no store reads back."""
    layer = tf_keras.layers
    user = tf_keras.Sequential(
        [
            tf_keras.Input((32, 32, 3)),
            layer.Conv2D(4, 3, strides=4, activation="relu", name="fire/squeeze"),
            layer.Conv2D(3, 3, activation="relu", name="last"),
            layer.GlobalAveragePooling2D(),
            layer.Dense(2),
        ]
    )
    model = adapt_model(user, ["a", "b"])
    names = ["fire/squeeze", "last"]
    both = analyze(model, images, num_samples=1, target_layer=names)
    both.to_zarr(tmp_path / "both.zarr", zarr_format=2)
    stored = xr.open_zarr(tmp_path / "both.zarr")
    assert set(stored.data_vars) == {"logits", "cam_fire_squeeze", "cam_last"}
    assert stored["cam_last"].dims == ("draw", "image", "target", "row_last", "column_last")
    assert stored.attrs["layer"] == "fire/squeeze, last"
    for name in names:
        alone = analyze(model, images, num_samples=1, target_layer=name)["cam"]
        found = stored[f"cam_{name.replace('/', '_')}"]
        np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-7)


def test_summary_is_that_of_a_slow_loop(dataset) -> None:
    with pytest.warns(UserWarning, match="S = 30 draws are too few for "):
        table = summarize(dataset, level=0.9)
    probs = softmax(dataset["logits"].values.astype(float), axis=-1)
    for n in range(5):
        row, mean = table.iloc[n], probs[:, n].mean(axis=0)
        assert row["predicted"] == ["nv", "mel", "bkl"][int(mean.argmax())]
        assert row["confidence"] == pytest.approx(mean.max())
        assert row["p_mel_sd"] == pytest.approx(probs[:, n, 1].std())
        interval = credible_interval(probs[:, n, 1], level=0.9)
        assert (row["p_mel_lower"], row["p_mel_upper"]) == pytest.approx(
            (interval.lower, interval.upper)
        )
        total = -sum(p * np.log(p) for p in mean)
        expected = np.mean([-sum(p * np.log(p) for p in one) for one in probs[:, n]])
        assert row["predictive_entropy"] == pytest.approx(total)
        assert row["expected_entropy"] == pytest.approx(expected)
        assert row["mutual_information"] == pytest.approx(total - expected)


def test_a_dense_head_has_one_draw_and_says_so(images) -> None:
    model = build_classifier(
        "narrow_vgg", class_names=["a", "b"], head="dense", input_shape=(32, 32, 3)
    )
    with pytest.warns(UserWarning, match="1 draw, not 50"):
        dataset = analyze(model, images, num_samples=50)
    assert dataset.attrs["num_samples"] == dataset.sizes["draw"] == 1
    with pytest.warns(UserWarning, match="S = 1 draw is too few for predictive_entropy"):
        table = summarize(dataset)
    np.testing.assert_allclose(table["p_a_lower"], table["p_a_upper"])
    np.testing.assert_allclose(table["mutual_information"], 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": "mel"}, r"`targets` must be \"all\" .* Did you mean \['mel'\]"),
        ({"targets": ["melanoma"]}, r"`targets` must be classes .*nv, mel, bkl.*'melanoma'"),
        ({"targets": [3]}, "`targets`.*got 3"),
        ({"targets": [0.5]}, "`targets`.*got 0.5"),
        ({"targets": []}, "`targets`"),
        ({"method": "lime"}, "`method` must be one of gradcam, cam, .*; got .lime."),
        ({"batch_size": 0}, "`batch_size` must be a whole number, 1 or more; got 0"),
        ({"batch_size": "8"}, "`batch_size` must be a whole number.*got '8'"),
        ({"num_samples": "50"}, "`num_samples` must be a whole number.*got '50'"),
        ({"seed": "0"}, "`seed` must be a whole number; got '0'"),
        ({"num_samples": 0}, "`num_samples` must be a whole number, 1 or more; got 0"),
        ({"target_layer": "nowhere"}, "nowhere"),
        ({"target_layer": []}, "`target_layer` must name at least one layer; got none"),
    ],
)
def test_bad_arguments_are_named(model, images, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        analyze(model, images, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda images: images[0], r"got \(32, 32, 3\)\. Is the image axis missing\?"),
        (lambda images: images[:0], "N at least 1"),
        (
            lambda images: images[:, :16],
            r"must have shape \(N, 32, 32, 3\), .*; got \(5, 16, 32, 3\)",
        ),
        (lambda images: images.astype(str), "must be finite numbers"),
        (lambda images: np.full(images.shape, np.nan), "must be finite numbers"),
    ],
)
def test_bad_images_are_refused(model, images, make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        analyze(model, make(images))


def test_summarize_wants_logits(dataset) -> None:
    with pytest.raises(InputError, match=r"logits \(draw, image, class\)"):
        summarize(dataset.drop_vars("logits"))


def test_images_scaled_to_one_are_warned_of(model, images) -> None:
    with pytest.warns(UserWarning, match="were they scaled to 0..1"):
        analyze(model, images[:1].astype(np.float32) / 255, num_samples=2)
