"""Draws and maps do not depend on the device that computes them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from bayescam.explain import CamExplainer
from bayescam.inference import draw_posterior
from tests.networks import images, narrow

TWO_DEVICES = """
import tensorflow as tf
processor = tf.config.list_physical_devices("CPU")[0]
halves = [tf.config.LogicalDeviceConfiguration(), tf.config.LogicalDeviceConfiguration()]
tf.config.set_logical_device_configuration(processor, halves)
from tests.explain.test_devices import compare
compare("/CPU:0", "/CPU:1")
"""


def compare(first: str, second: str) -> None:
    model = narrow(hidden_units=(8,), seed=2)
    results = []
    for device in (first, second):
        with tf.device(device):
            draws = draw_posterior(model, 5, seed=3)
            kernel = draws.weights()[0][0]
            assert kernel.device.endswith(device.lstrip("/")), kernel.device
            results.append((draws.weights(), CamExplainer(draws)(images(2))))
    (weights_a, a), (weights_b, b) = results
    for one, other in zip(tf.nest.flatten(weights_a), tf.nest.flatten(weights_b), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(a.logits, b.logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(a.cams, b.cams, rtol=1e-3, atol=1e-4 * np.abs(a.cams).max())
    assert np.abs(a.cams).max() > 0


def test_two_logical_devices_give_the_same_draws_and_maps():
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.gpu
@pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="no GPU")
def test_a_gpu_gives_the_draws_and_maps_of_the_processor():
    compare("/CPU:0", "/GPU:0")
