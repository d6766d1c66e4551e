from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Layers of a test start from the same weights in every run, those of its fixtures too."""
    keras = sys.modules.get("tf_keras")
    if keras is not None:
        keras.utils.set_random_seed(1)


@pytest.fixture(scope="module")
def eager() -> Iterator[None]:
    """Functions of TensorFlow run as they are written: for a few images, tracing takes longer."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session", autouse=True)
def dicom_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of the tests' own: none is made in the home folder of who runs them."""
    file = tmp_path_factory.mktemp("key") / "dicom.key"
    file.write_bytes(bytes(range(32)))
    os.environ["BAYESCAM_DICOM_KEY"] = str(file)
    return file
