from __future__ import annotations

import pytest

from bayescam.models import build_classifier


@pytest.fixture(scope="session")
def inception():
    """One InceptionV3 classifier for the tests that need its branches; slow to build."""
    return build_classifier(
        "inceptionv3", class_names=["a", "b"], input_shape=(75, 75, 3), head="dense"
    )
