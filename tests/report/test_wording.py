from __future__ import annotations

import numpy as np

from bayescam.report import describe_draws, shown_text


def test_the_numbers_in_words_are_those_of_the_draws() -> None:
    probs = np.random.default_rng(0).dirichlet([4.0, 3.0, 1.0], size=200)
    first, votes = describe_draws(probs, ["melanoma", "nevus", "df"], level=0.9)
    lower, upper = np.quantile(probs[:, 0], [0.05, 0.95])
    assert first == f"melanoma {probs[:, 0].mean():.2f}, 90 % interval {lower:.2f}-{upper:.2f}"
    counts = np.bincount(probs.argmax(axis=1), minlength=3)
    assert votes == f"{counts[1]} of 200 draws say nevus, {counts[2]} df"


def test_draws_that_agree_and_a_single_one() -> None:
    agreed = describe_draws([[0.9, 0.1], [0.8, 0.2]], ["a", "b"], unit="members")
    assert agreed[1] == "all 2 members say a"
    assert describe_draws([[0.9, 0.1]], ["a", "b"]) == ["a 0.90, from one network: no interval"]


def test_what_cannot_be_seen_is_spelt_out_and_what_is_long_is_cut() -> None:
    assert shown_text("a\u202eb\x00\nc") == "a\\u202eb\\u0000\\u000ac"
    assert shown_text("\U000e0041") == "\\U000e0041"
    assert shown_text("Nävus – 12 %") == "Nävus – 12 %"
    assert len(shown_text("y" * 10_000)) == 200
    assert len(shown_text("\u202e" * 10_000)) == 200
