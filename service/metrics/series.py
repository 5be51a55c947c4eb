"""Series: numbers by the values of their labels, bounded in number, counted without a lock.

One process counts in one thread, so counting is a look-up and an addition: the hot path
pays less than a microsecond for each.
"""

from bisect import bisect_left
from collections.abc import Sequence

from service.records.figures import Family, Labels

SERIES_MOST = 1000
OTHER = "other"


class Counter:
    """Numbers that only grow, or a gauge's, by the values of their labels."""

    def __init__(
        self, name: str, help: str, *labels: str, gauge: bool = False, most: int = SERIES_MOST
    ) -> None:
        self.name = name
        self._help = help
        self._labels = labels
        self._gauge = gauge
        self._most = most
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0}

    def add(self, *labels: str, by: float = 1) -> None:
        found = self._values.get(labels)
        if found is None:
            labels = _within(labels, len(self._values), self._most)
            found = self._values.get(labels, 0)
        self._values[labels] = found + by

    def family(self) -> Family:
        samples = [(self.name, _named(self._labels, of), value) for of, value in self._values.items()]
        return Family(
            name=self.name, help=self._help, kind="gauge" if self._gauge else "counter", samples=samples
        )


class Timer:
    """How long something took, as a histogram."""

    def __init__(
        self, name: str, help: str, *labels: str, bounds: Sequence[float], most: int = SERIES_MOST
    ) -> None:
        self.name = name
        self._help = help
        self._labels = labels
        self._bounds = bounds
        self._most = most
        self._cells: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def note(self, seconds: float, *labels: str) -> None:
        cell = self._cells.get(labels)
        if cell is None:
            labels = _within(labels, len(self._cells), self._most)
            cell = self._cells.setdefault(labels, ([0] * (len(self._bounds) + 1), [0.0]))
        cell[0][bisect_left(self._bounds, seconds)] += 1
        cell[1][0] += seconds

    def family(self) -> Family:
        samples: list[tuple[str, Labels, float]] = []
        for of, (counts, total) in self._cells.items():
            labels, sum = _named(self._labels, of), 0
            for bound, count in zip([*self._bounds, None], counts, strict=True):
                sum += count
                le = "+Inf" if bound is None else f"{bound:g}"
                samples.append((f"{self.name}_bucket", {**labels, "le": le}, sum))
            samples += [(f"{self.name}_sum", labels, total[0]), (f"{self.name}_count", labels, sum)]
        return Family(name=self.name, help=self._help, kind="histogram", samples=samples)


def _within(labels: tuple[str, ...], has: int, most: int) -> tuple[str, ...]:
    """The labels, or, past the bound, those of all others together."""
    return labels if has < most else (OTHER,) * len(labels)


def _named(names: Sequence[str], values: Sequence[str]) -> Labels:
    return dict(zip(names, values, strict=True))
