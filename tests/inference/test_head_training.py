from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import bayescam as bc
from bayescam.inference import TrainingSettings, fit_head
from bayescam.inference.features import FeatureCache
from bayescam.types import InputError

NAMES = ["a", "b", "c"]
FAST = TrainingSettings(head_epochs=3, batch_size=16, validation_samples=4)


def sample(num_images: int = 48, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, num_images)
    return 5 + 2 * np.eye(6)[labels] + rng.normal(size=(num_images, 6)), labels


def trained(features, labels, head="flipout") -> tuple[list[np.ndarray], list[dict]]:
    model = bc.build_head(6, class_names=NAMES, head=head, seed=1)
    history = bc.fit_head(model, features, labels, settings=FAST)
    return model.get_weights(), [{**row, "seconds": 0} for row in history]


def test_arrays_are_trained_on_as_caches_are() -> None:
    (x, y), (val_x, val_y) = sample(), sample(20, 1)
    caches = tuple(FeatureCache(part[None].astype(np.float32)) for part in (x, val_x))
    weights, history = trained(caches, (y, val_y))
    for features, labels in (
        ((x, val_x), (y, val_y)),
        ([x[None], val_x[None]], [y.tolist(), val_y.astype(np.uint8)]),
        ((x.tolist(), caches[1]), (y.astype(np.int32), val_y)),
    ):
        others, rows = trained(features, labels)
        assert rows == history
        for one, other in zip(weights, others, strict=True):
            np.testing.assert_array_equal(one, other)


def test_views_are_all_seen() -> None:
    """Statistics of the standardisation are those of two views, of which one is moved by 1."""
    (x, y), val = sample(), sample(20, 1)
    model = bc.build_head(6, class_names=NAMES, head="dense")
    fit_head(model, (np.stack([x, x + 1]), val[0]), (y, val[1]), settings=FAST)
    np.testing.assert_allclose(
        model.get_layer("standardization").mean.numpy(), x.mean(axis=0) + 0.5, rtol=1e-5
    )


def test_a_trained_head_is_a_logistic_regression() -> None:
    """The best epoch of training images is kept, so nothing stops it before the maximum."""
    x, y = sample(400)
    model = bc.build_head(6, class_names=NAMES, head="dense")
    settings = TrainingSettings(
        head_epochs=60, head_learning_rate=0.1, patience=60, class_weight_power=0
    )
    bc.fit_head(model, (x, x), (y, y), settings=settings)
    oracle = LogisticRegression(C=np.inf, max_iter=500).fit(x, y)
    probs = np.exp(model.predict(x, verbose=0))
    probs /= probs.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probs, oracle.predict_proba(x), atol=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((48, 6))}, "`features` must be a pair, of .*; got ndarray"),
        ({"features": (np.zeros((48, 6)),)}, "`features` must be a pair.*got 1 values"),
        ({"labels": np.zeros(48, int)}, "`labels` must be a pair, of .*; got ndarray"),
        (
            {"train": np.zeros((48, 5))},
            r"train must have shape \(48, 6\) or \(V, 48, 6\).*48, 5",
        ),
        ({"train": np.zeros((6, 48))}, r"of train must have shape .*; got \(6, 48\)"),
        ({"train": np.zeros((0, 48, 6))}, r"of train must have shape .*; got \(0, 48, 6\)"),
        ({"val": np.zeros((2, 20, 6))}, "of val must be of one view; got 2"),
        ({"val": np.zeros((19, 6))}, r"of val must have shape \(20, 6\).*as its labels"),
        ({"train": np.full((48, 6), np.nan)}, "of train must be finite; got NaN"),
        ({"val": np.full((20, 6), 1e300)}, "of val must be finite"),
        ({"train": [["a"] * 6] * 48}, "of train must be numbers"),
        ({"train": None}, "`features` of train must"),
        ({"train_labels": ["a"] * 48}, "`train` labels must be integers.*Are these class names?"),
        ({"train_labels": np.zeros(48)}, "`train` labels must be integers.*type float64"),
        ({"train_labels": np.full(48, 3)}, "`train` labels must be classes 0 to 2; got 3 to 3"),
        ({"val_labels": []}, "`val` has no images"),
        ({"val_labels": np.zeros((20, 3), int)}, r"`val` labels must have shape \(N,\).*20, 3"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_bad_input_is_refused(change: dict, message: str) -> None:
    (x, y), (val_x, val_y) = sample(), sample(20, 1)
    given = {"train": x, "val": val_x, "train_labels": y, "val_labels": val_y, **change}
    features = given.get("features", (given["train"], given["val"]))
    labels = given.get("labels", (given["train_labels"], given["val_labels"]))
    model = bc.build_head(6, class_names=NAMES, head="dense")
    with pytest.raises(InputError, match=message):
        fit_head(model, features, labels)
