"""Timing: rates and times of what is done again and again; both sides of a comparison in turn."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median, quantiles

Act = Callable[[], Awaitable[object]]
Timed = Callable[[], Awaitable[float]]
"""Does something once, and gives the seconds it took."""

WARM_S = 0.2
LONGEST_S = 8.0
"""One round of samples."""
_FEWEST = 10


async def per_second(act: Act, at_once: int, seconds: float) -> float:
    done, end = 0, time.perf_counter() + seconds

    async def run() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await act()
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(run() for _ in range(at_once)))
    return done / (time.perf_counter() - began)


def timed(act: Act) -> Timed:
    async def once() -> float:
        began = time.perf_counter()
        await act()
        return time.perf_counter() - began

    return once


async def gathered(act: Callable[[int], Awaitable[object]], times: int, at_once: int = 20) -> None:
    """What is needed first, quickly: the act with each number below `times`."""
    left = iter(range(times))

    async def some() -> None:
        for number in left:
            await act(number)

    await asyncio.gather(*(some() for _ in range(at_once)))


async def in_turn(rounds: int, *sides: Timed, longest_s: float = math.inf) -> list[list[float]]:
    """Each side once per round, the other way round in every second one; what each gave, by round.

    Fewer rounds where they take too long, as on a machine that is busy with something else.
    """
    found: list[list[float]] = [[] for _ in sides]
    end = time.monotonic() + longest_s
    for number in range(rounds):
        order = list(range(len(sides)))
        for place in order if number % 2 == 0 else reversed(order):
            found[place].append(await sides[place]())
        if time.monotonic() > end and number >= _FEWEST:
            break
    return found


async def sampled(rounds: int, samples: int, *sides: Timed) -> list[list[list[float]]]:
    """Of each side, by round, so many times; the sides alternate from one sample to the next."""
    found: list[list[list[float]]] = [[] for _ in sides]
    for _ in range(rounds):
        for of_side, times in zip(found, await in_turn(samples, *sides, longest_s=LONGEST_S), strict=True):
            of_side.append(times)
    return found


def medians(of_rounds: Sequence[Sequence[float]]) -> list[float]:
    return [median(one) for one in of_rounds]


def slowest(of_rounds: Sequence[Sequence[float]]) -> list[float]:
    """The 99th percentile of each round."""
    return [max(one) if len(one) < 10 else quantiles(one, n=100, method="inclusive")[98] for one in of_rounds]
