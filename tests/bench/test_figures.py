"""Figures: the ratio, whether it was reached, and what becomes of it in JSON and in the README."""

import json

import pytest

from tests.bench.figures import Figure, Missing, as_json, bound
from tests.bench.readme import BEGIN, END, figures_of, markdown, put

RATE = Figure("g", "a rate", [50, 80, 90], [100, 100, 100], "floor", "/s", target=0.8)
TIME = Figure("g", "a time", [0.2, 0.4, 0.9], [0.1, 0.1, 0.1], "floor", "s", target=3)


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    assert RATE.ratio == pytest.approx(0.8)
    assert TIME.ratio == pytest.approx(4)


def test_a_rate_must_reach_its_target_and_a_time_must_not_pass_it() -> None:
    assert RATE.reached is True
    assert TIME.reached is False
    assert bound("g", "small enough", [150], 200, "MB").reached is True
    assert bound("g", "too large", [250], 200, "MB").reached is False


def test_the_json_has_ratio_and_verdict() -> None:
    text = as_json([RATE, Missing("g", "other", "not installed")], {"load": 0.1})
    assert '"ratio": 0.8' in text
    assert '"reached": true' in text
    assert '"reason": "not installed"' in text


def test_the_readmes_table_shows_the_main_rows_and_the_worst_growth() -> None:
    rows = [
        Figure("message", "blocking", [0.003], [0.001], "floor", "s", target=2),
        Figure("message", "of no great interest", [0.003], [0.001], "floor", "s"),
        Figure("growth", "get, blocks 100,000", [1.1], [1], "the same", "s", target=1.2),
        Figure("growth", "list, blocks 100,000", [1.3], [1], "the same", "s", target=1.2),
    ]
    about = {"taken": "today", "cores": 2, "load": 9.5, "busy": True}
    told = json.loads(as_json([*rows, Missing("g", "other", "not installed")], about))
    table = markdown(told["about"], figures_of(told["rows"]))
    assert "load 9.5" in table
    assert "1 of 3 targets reached" in table
    assert "| message: blocking | 3.00 ms | 1.00 ms | 3.00 | ≤ 2 | missed |" in table
    assert "the worst of 2 rows: list, blocks 100,000" in table
    assert "no great interest" not in table


def test_the_table_takes_the_place_of_the_one_before() -> None:
    text = put(f"before\n{BEGIN}\nold\n{END}\nafter", "new")
    assert text == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter"
