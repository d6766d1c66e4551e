from __future__ import annotations

import json

import numpy as np
import pytest

from bayescam.report.packing import pack_positive, pack_signed, unpack
from bayescam.types import InputError


def test_packed_values_come_back_to_half_a_step() -> None:
    values = np.random.default_rng(0).normal(size=(5, 3, 4))
    packed = json.loads(json.dumps(pack_signed(values)))
    found = unpack(packed)
    assert found.shape == values.shape
    np.testing.assert_allclose(found, values, atol=np.abs(values).max() / 254 * 1.001)
    assert found.flat[np.abs(values).argmax()] == pytest.approx(
        values.flat[np.abs(values).argmax()], rel=1e-5
    )
    positive = unpack(pack_positive(np.abs(values)))
    np.testing.assert_allclose(positive, np.abs(values), atol=np.abs(values).max() / 510 * 1.001)


def test_zero_stays_zero_and_what_is_above_the_scale_is_cut() -> None:
    np.testing.assert_array_equal(unpack(pack_signed(np.zeros((2, 2)))), np.zeros((2, 2)))
    np.testing.assert_allclose(
        unpack(pack_positive([0.0, 0.5, 3.0], largest=1.0)), [0, 128 / 255, 1]
    )


def test_values_that_have_no_byte_are_refused() -> None:
    with pytest.raises(InputError, match="must be finite"):
        pack_signed([np.nan])
    with pytest.raises(InputError, match="must not be negative; got -1"):
        pack_positive([-1.0])
