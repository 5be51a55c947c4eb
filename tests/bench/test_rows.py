"""Each row of the bench can still be measured: once, as little as it can. What it shows is not looked at."""

import math
from itertools import pairwise

import pytest

from tests.bench.figures import Figure, Missing, Outcome, as_json, bound
from tests.bench.machine import machine
from tests.bench.pace import SMOKE
from tests.bench.picture import as_svg
from tests.bench.rows import ROWS


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ROWS))
async def test_a_row_gives_figures_that_can_be_shown(name: str) -> None:
    outcomes: list[Outcome] = []
    async with machine() as ours:
        async for one in ROWS[name](ours, SMOKE):
            outcomes.append(one)
    figures = [one for one in outcomes if isinstance(one, Figure)]
    assert figures
    assert len({(one.group, one.name) for one in outcomes}) == len(outcomes), "two rows have one name"
    for one in figures:
        assert math.isfinite(one.ratio), one.name
        assert one.ratio > 0, one.name


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


def test_the_picture_has_a_bar_for_each_figure_the_costlier_the_longer() -> None:
    dear = [Figure("g", f"{n} times", [n], [1], "floor", "s") for n in (2, 4, 8)]
    lines = as_svg([*dear, Missing("g", "other", "not installed")], {}).splitlines()
    wide = [float(line.split('width="')[1].split('"')[0]) for line in lines if 'rx="2"' in line]
    assert len(wide) == 3
    assert all(one < other for one, other in pairwise(wide))


def test_the_json_has_ratio_and_verdict() -> None:
    text = as_json([RATE, Missing("g", "other", "not installed")], {"load": 0.1})
    assert '"ratio": 0.8' in text
    assert '"reached": true' in text
    assert '"reason": "not installed"' in text
