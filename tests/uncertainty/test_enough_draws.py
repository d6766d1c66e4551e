from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy.special import expit

from bayescam.types import InputError
from bayescam.uncertainty import (
    TOLERANCES,
    MonteCarloError,
    check_draws,
    decompose,
    draws_needed,
    monte_carlo_error,
)

NAMES = list(MonteCarloError.__dataclass_fields__)


def dirichlet(num_samples: int, num_images: int = 300, seed: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet([2.0, 2.0, 1.0], size=(num_samples, num_images))


def narrow(num_samples: int, scale: float, num_images: int = 200) -> np.ndarray:
    """Draws of a sigmoid around 0.5 that hardly differ."""
    logits = scale * np.random.default_rng(1).normal(size=(num_samples, num_images))
    return np.stack([expit(logits), expit(-logits)], axis=2)


def test_every_measure_has_a_tolerance() -> None:
    assert set(NAMES) == TOLERANCES.keys() - {"1 - confidence"}


def test_the_line_names_measure_draws_error_and_what_would_be_enough() -> None:
    probs = dirichlet(16)
    line = check_draws(
        probs, tolerances={"mean_probs": 0.03}, measures=["variation_ratio", "mean_probs"]
    )
    errors = monte_carlo_error(probs)
    # 0.95 of the images and classes
    reached, other = np.quantile(errors.mean_probs, 0.95), np.quantile(errors.variation_ratio, 0.95)
    assert reached / 0.03 < other / 0.05
    share = 100 * (errors.variation_ratio > 0.05).mean()
    assert line == (
        f"S = 16 draws are too few for variation_ratio: its Monte Carlo standard error is "
        f"{other:.3g}, and above 0.05 in {share:.0f} % of the images; S = "
        f"{math.ceil(16 * (other / 0.05) ** 2)} would be enough."
    )


def test_the_error_of_a_spread_is_a_share_of_the_image_or_of_the_mean_if_that_is_larger() -> None:
    probs = dirichlet(16)
    value, error = decompose(probs).mutual_information, monte_carlo_error(probs).mutual_information
    relative = [e / max(v, value.mean()) for v, e in zip(value, error, strict=True)]
    reached, share = np.quantile(relative, 0.9), 100 * np.mean(np.array(relative) > 0.1)
    line = check_draws(
        probs,
        tolerances={"mutual_information": 0.1},
        measures=["mutual_information"],
        image_share=0.9,
    )
    assert line == (
        f"S = 16 draws are too few for mutual_information: its Monte Carlo standard error is "
        f"{100 * reached:.3g} % of its value, and above 10 % of its value in {share:.0f} % of the "
        f"images; S = {math.ceil(16 * (reached / 0.1) ** 2)} would be enough."
    )


def test_small_mutual_information_is_judged_by_its_own_size() -> None:
    """Errors of a few thousandths of a nat, and no better known than that of large ones."""
    few = narrow(10, 0.15)
    assert monte_carlo_error(few).mutual_information.max() < 0.01
    assert "% of its value" in str(check_draws(few, measures=["mutual_information"]))
    assert check_draws(narrow(600, 0.15), measures=["mutual_information"]) is None
    # probabilities of such images are as sure as they are printed
    assert check_draws(few, measures=["mean_probs", "interval_lower", "interval_upper"]) is None


def test_what_is_printed_as_nothing_needs_no_draws() -> None:
    same = np.tile([[0.5, 0.3, 0.2]], (60, 4, 1))
    assert check_draws(same) is None
    nearly = narrow(10, 0.001)
    assert decompose(nearly).mutual_information.max() < 1e-5
    assert check_draws(nearly, measures=["mutual_information", "epistemic_variance"]) is None


@pytest.mark.parametrize("measure", NAMES)
def test_what_is_said_to_be_enough_is_enough(measure: str) -> None:
    """The errors of some thirty draws are estimates, and the share of 95 % of 100 images too."""

    def needed(limit: float) -> int:
        tolerances = {measure: limit}
        line = check_draws(dirichlet(30, 100, 7), tolerances=tolerances, measures=[measure])
        return int(str(line).split("S = ")[2].split()[0])

    reached = 1e-4 * math.sqrt(needed(1e-4) / 30)
    limit = reached / 1.6
    enough = needed(limit)
    assert enough == pytest.approx(30 * 1.6**2, abs=1)
    many = check_draws(
        dirichlet(enough, 100), tolerances={measure: 1.3 * limit}, measures=[measure]
    )
    assert many is None
    half = check_draws(
        dirichlet(enough // 2, 100), tolerances={measure: limit / 1.1}, measures=[measure]
    )
    assert re.match(rf"S = {enough // 2} draws are too few for {measure}", str(half))


def test_the_line_speaks_of_members_where_draws_are_members() -> None:
    probs = dirichlet(5)
    draws, members = check_draws(probs), check_draws(probs, unit="members")
    assert members == str(draws).replace("S = ", "M = ").replace(" draws ", " members ")
    one = np.full((1, 3, 2), 0.5)
    assert check_draws(one, measures=["mutual_information"], unit="members") == (
        "M = 1 member is too few for mutual_information: one member has no Monte Carlo standard "
        "error and says nothing of epistemic uncertainty; take at least M = 2."
    )


def test_one_draw_is_named() -> None:
    line = check_draws(np.full((1, 3, 2), 0.5), measures=["mutual_information", "sd_probs"])
    assert str(line).startswith("S = 1 draw is too few for mutual_information, sd_probs: one draw")
    assert "\n" not in str(line)


def test_no_images_need_no_draws() -> None:
    assert check_draws(np.zeros((2, 0, 3))) is None
    assert draws_needed({"mean_probs": np.zeros((0, 3))}, {}, 2) is None
    assert draws_needed({}, {}, 2) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerances": {"mean_probs": 0.0}}, "`tolerances` must be positive.*0.0 for 'mean_pr"),
        ({"tolerances": {"mean_probs": math.nan}}, "`tolerances` must be positive.*got nan"),
        ({"tolerances": {"mean_probs": "1"}}, "`tolerances` must be positive.*got '1'"),
        ({"tolerances": {"mean_prob": 0.1}}, "`tolerances`.*'mean_prob'. Did you mean 'mean_probs"),
        ({"image_share": 95}, "`image_share`.*got 95. Is it a percentage?"),
        ({"measures": ["bald"]}, "`measures` must be some of .*got 'bald'"),
        ({"measures": ["mutual_info"]}, "Did you mean 'mutual_information'"),
        ({"measures": "sd_probs"}, "`measures` must be a list of measures.*got 'sd_probs'"),
        ({"measures": []}, "`measures` must be a list of measures, not empty"),
        ({"unit": "passes"}, "`unit` must be one of .*got 'passes'"),
    ],
)
def test_bad_input_is_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_draws(dirichlet(5, 2), **options)
