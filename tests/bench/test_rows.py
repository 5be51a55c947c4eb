"""Each row of the bench can still be measured: once, as little as it can. What it shows is not looked at."""

import math

import pytest

from tests.bench.figures import Figure, Outcome
from tests.bench.machine import machine
from tests.bench.pace import SMOKE
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
