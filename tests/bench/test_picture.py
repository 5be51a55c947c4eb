"""Picture: a bar for each figure, and a mark for what is asked of it."""

from itertools import pairwise

from tests.bench.figures import Figure, Missing
from tests.bench.picture import as_svg


def bars(svg: str) -> list[float]:
    """How wide they are, from the top."""
    return [float(line.split('width="')[1].split('"')[0]) for line in svg.splitlines() if 'rx="2"' in line]


def test_the_costlier_the_longer_is_the_bar() -> None:
    figures = [Figure("g", f"{n} times", [n], [1], "floor", "s", target=2) for n in (2, 4, 8)]
    found = bars(as_svg([*figures, Missing("g", "other", "not installed")], {}))
    assert len(found) == 3
    assert all(one < other for one, other in pairwise(found))


def test_half_the_rate_is_as_long_a_bar_as_twice_the_time() -> None:
    rate = Figure("g", "rate", [50], [100], "floor", "/s", target=0.8)
    time = Figure("g", "time", [2], [1], "floor", "s", target=2)
    one, other = bars(as_svg([rate, time], {}))
    assert one == other


def test_what_nothing_is_asked_of_is_left_to_the_table() -> None:
    held = Figure("g", "held", [2], [1], "floor", "s", target=2)
    svg = as_svg([held, Figure("g", "only told", [2], [1], "floor", "s")], {})
    assert "only told" not in svg
    assert "1 of 1 targets reached" in svg
