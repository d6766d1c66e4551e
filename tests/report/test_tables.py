from __future__ import annotations

import numpy as np
import pandas as pd

from bayescam.report import (
    format_interval,
    interval_table,
    merge_intervals,
    to_markdown,
    to_text,
)


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {"model": ["dense", "flip|out"], "ECE": [0.03456, np.nan], "images": [1502, 7]},
        index=pd.Index(["a", "b"], name="run"),
    )


def test_markdown() -> None:
    assert to_markdown(table()) == (
        "| run | model     |   ECE | images |\n"
        "| --- | --------- | ----: | -----: |\n"
        "| a   | dense     | 0.035 |   1502 |\n"
        "| b   | flip\\|out |     – |      7 |"
    )


def test_text() -> None:
    assert to_text(table(), digits=2) == (
        "run  model      ECE  images\n"
        "---------------------------\n"
        "a    dense     0.03    1502\n"
        "b    flip|out     –       7"
    )


def test_line_breaks_do_not_break_a_table() -> None:
    lines = to_markdown(pd.DataFrame({"reason": ["two\nlines"]})).splitlines()
    assert lines[2] == "| 0   | two lines |"


def test_intervals() -> None:
    assert format_interval(0.8124, 0.79, 0.8333) == "0.812 [0.790, 0.833]"
    assert format_interval(0.8124, 0.79, 0.8333, digits=1) == "0.8 [0.8, 0.8]"
    assert format_interval(np.nan, np.nan, np.nan) == "–"
    assert format_interval(0.5, np.nan, np.nan) == "0.500"


def test_small_numbers_are_not_hidden() -> None:
    information = pd.DataFrame({"mean": [0.0123, 0.00042, -0.0098, 0.0]})
    rows = [line.split()[1] for line in to_text(information).splitlines()[2:]]
    assert rows == ["0.012", "0.00042", "-0.0098", "0.000"]
    assert format_interval(0.004, 0.00071, 0.02) == "0.0040 [0.00071, 0.020]"


def test_interval_table_sets_models_side_by_side() -> None:
    scores = interval_table(
        {
            "dense": {"accuracy": (0.8, 0.7, 0.9), "AUC": (0.9, 0.85, 0.95)},
            "flipout": {"accuracy": (0.81, 0.72, 0.9)},
        },
        digits=2,
    )
    assert list(scores.columns) == ["dense", "flipout"]
    assert scores.loc["accuracy", "flipout"] == "0.81 [0.72, 0.90]"
    assert scores.loc["AUC", "flipout"] == "–"
    assert scores.index.name == "score"


def test_intervals_are_merged_into_the_column_they_belong_to() -> None:
    table = pd.DataFrame(
        {"n": [3], "a": [0.5], "a_lower": [0.25], "a_upper": [np.nan], "b_upper": [1.0]}
    )
    merged = merge_intervals(table, digits=2)
    assert merged.to_dict("list") == {"n": [3], "a": ["0.50"], "b_upper": [1.0]}
    table["a_upper"] = 0.75
    assert merge_intervals(table, digits=2)["a"].tolist() == ["0.50 [0.25, 0.75]"]
