from __future__ import annotations

import json

import numpy as np
import pytest

from bayescam.report import case_content, case_row, mask_outline, unit_interval_density
from bayescam.report.case import DENSITY_GRID
from bayescam.report.packing import unpack
from bayescam.types import InputError
from tests.report.report_cases import NAMES, make_case


def test_the_content_holds_the_numbers_of_the_draws() -> None:
    case = make_case(level=0.8, label="nv")
    content = json.loads(json.dumps(case_content(case)))
    probs = case.probs
    for k, mean, lower, upper in content["classes"]:
        assert mean == pytest.approx(probs[:, k].mean(), abs=1e-4)
        assert lower == pytest.approx(np.quantile(probs[:, k], 0.1), abs=1e-4)
        assert upper == pytest.approx(np.quantile(probs[:, k], 0.9), abs=1e-4)
    assert [row[0] for row in content["classes"]] == np.argsort(-probs.mean(0)).tolist()
    np.testing.assert_allclose(unpack(content["probs"]), probs, atol=1 / 509)
    draws = unpack(content["maps"][1]["draws"])
    assert draws.shape == (40, 3, 4)
    np.testing.assert_allclose(draws, case.maps[1].draws, atol=np.abs(draws).max() / 253)
    found = unpack(content["contrast"]["mean"])
    expected = case.maps[0].mean - case.maps[1].mean
    np.testing.assert_allclose(found, expected, atol=np.abs(expected).max() / 253)
    assert content["facts"]["within draws"] == "0.600 nats"


def test_density_curves_are_those_of_the_figures_on_one_scale() -> None:
    case = make_case()
    found = case_content(case)["densities"]
    curves = unpack(found["curves"])
    top = found["curves"]["max"]
    order = np.argsort(-case.probs.mean(0))
    assert found["classes"] == order.tolist()
    first, second = (unit_interval_density(case.probs[:, k], DENSITY_GRID) for k in order[:2])
    assert top == pytest.approx(
        1.12 * max(first.max(), min(second.max(), 2.5 * first.max())), rel=1e-5
    )
    np.testing.assert_allclose(curves[0], np.minimum(first, top), atol=top / 509)
    sure = make_case(probs=np.tile([0.0, 1.0, 0.0], (5, 1)))
    assert case_content(sure)["densities"]["classes"] == []


@pytest.mark.parametrize(("label", "wrong"), [("nv", True), ("mel", False), (None, None)])
def test_wrong_only_when_a_known_label_differs(label: str | None, wrong: bool | None) -> None:
    row = case_row(make_case(label=label))
    assert (NAMES[row["predicted"]], row["wrong"]) == ("mel", wrong)


def test_the_outline_runs_around_the_mask() -> None:
    rows, columns = np.indices((90, 120))
    mask = (rows - 40) ** 2 + (columns - 70) ** 2 < 25**2
    (line,) = mask_outline(mask)
    radius = np.hypot(*(line * (120, 90) - (70.5, 40.5)).T)
    assert radius.min() > 23.3
    assert radius.max() < 25.0
    angle = np.sort(np.arctan2(*(line * (120, 90) - (70.5, 40.5)).T))
    assert np.diff(angle).max() < 0.6
    assert mask_outline(np.zeros((4, 4))) == ()


@pytest.mark.parametrize("name", ["path", "mask_path", "Patient_ID", "group"])
def test_private_columns_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="must not hold paths or patient identifiers"):
        make_case("x", details={name: "7"})


@pytest.mark.parametrize("value", ["/home/jane/x.jpg", r"C:\scans\x.png", "~/x.jpg", "a/b/c.jpg"])
def test_paths_are_refused_under_any_name(value: str) -> None:
    with pytest.raises(InputError, match="got 'file'"):
        make_case("x", details={"file": value})


def test_draws_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"`probs` must have shape \(S, 3\).*got \(3,\)"):
        make_case(probs=np.ones(3))
