"""Contender: the two processes of a queue that is measured, the same for all of them.

    python -m tests.bench.queues.NAME worker SLOTS CLOCK PLACE    (REDIS_URL in the environment)
    python -m tests.bench.queues.NAME producer CLOCK

A worker says `ready` and works until it is killed. It knows two jobs: `noop` notes that it has begun, `hold`
does so and keeps its slot. A producer is told, a JSON line each: {"fill": N, "job": NAME} puts jobs into the
queue; {"probe": N} puts one at a time and gives how long each took to begin.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.bench.queues.clock import Clock

Enqueue = Callable[[str], Awaitable[object]]
Work = Callable[[str, int, Clock], Awaitable[object]]
Open = Callable[[str], Awaitable[Enqueue]]
HELD_S = 600
_AT_ONCE = 20
_LOOK_S = 0.0003
_LOST_S = 10.0


async def hold(clock: Clock) -> None:
    clock.note()
    await asyncio.sleep(HELD_S)


def say(word: Any) -> None:
    sys.stdout.write(json.dumps(word) + "\n")
    sys.stdout.flush()


def main(work: Work, open_queue: Open, *, pause_s: float = 0.02) -> None:
    """`pause_s`: at the most between two probes, at random, so that none keeps step with a poll."""
    url = os.environ["REDIS_URL"]
    if sys.argv[1] == "worker":
        slots, file, place = sys.argv[2:5]
        asyncio.run(work(url, int(slots), Clock(Path(file), int(place))))  # type: ignore[arg-type]
    else:
        asyncio.run(_produce(url, open_queue, Clock(Path(sys.argv[2])), pause_s))


async def _produce(url: str, open_queue: Open, clock: Clock, pause_s: float) -> None:
    enqueue = await open_queue(url)
    say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        told = json.loads(line)
        if "fill" in told:
            await _fill(enqueue, told["fill"], told["job"])
            say("filled")
        else:
            say([await _probe(enqueue, clock, pause_s) for _ in range(told["probe"])])


async def _fill(enqueue: Enqueue, count: int, job: str) -> None:
    left = iter(range(count))

    async def some() -> None:
        for _ in left:
            await enqueue(job)

    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))


async def _probe(enqueue: Enqueue, clock: Clock, pause_s: float) -> float:
    await asyncio.sleep(random.uniform(0, pause_s))
    before, began = clock.total(), time.monotonic_ns()
    await enqueue("noop")
    while clock.total() == before:
        await asyncio.sleep(_LOOK_S)
        if time.monotonic_ns() - began > _LOST_S * 1e9:
            raise SystemExit(f"a job did not begin within {_LOST_S:.0f} s")
    return (clock.last() - began) / 1e9
