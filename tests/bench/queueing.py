"""Queueing: from putting a job to its start, and jobs per second, beside a bare pop and other queues."""

import asyncio
from collections.abc import AsyncIterator
from statistics import median

from tests.bench.figures import Figure, Missing, Outcome
from tests.bench.machine import Machine
from tests.bench.pace import Pace
from tests.bench.queues.contest import Contender, Kind, contest
from tests.bench.queues.neighbours import neighbours_python
from tests.bench.timing import medians
from tests.bench.watching import cpu_s

_QUEUES = "tests.bench.queues"
OURS = Kind("Blockwire", f"{_QUEUES}.blockwire")
POP = Kind("a blocking pop", f"{_QUEUES}.popping")
ARQ = Kind("stock arq", f"{_QUEUES}.stock_arq", least=0.2)
ARQ_POLL = Kind("stock arq, poll 10 ms", f"{_QUEUES}.stock_arq", environ={"BENCH_POLL": "0.01"})
_PICKUP_SLOTS = 100
_WATCHED_S = 1.0
_BY_POP = 3
_BY_ARQ = {(2, 10): 6, (2, 100): 2}


def _neighbours(pace: Pace) -> list[Kind]:
    python = neighbours_python(build=pace.neighbours)
    if python is None:
        return []
    return [
        Kind("taskiq, streams", f"{_QUEUES}.taskiq_streams", python),
        Kind("saq", f"{_QUEUES}.saq_queue", python),
    ]


def _missing(group: str, names: str) -> Missing:
    return Missing(group, names, "not installed: their environment could not be built")


async def pickup(machine: Machine, pace: Pace) -> AsyncIterator[Outcome]:
    """From just before a job is put until it begins, one worker: nothing else to do, or jobs in flight."""
    others = _neighbours(pace)[:1]
    if not others:
        yield _missing("pick-up", "beside taskiq")
    kinds = [OURS, POP, *others, ARQ_POLL, ARQ]
    async with contest(machine, kinds, workers=1, slots=_PICKUP_SLOTS) as contenders:
        for name in ("idle", f"{pace.in_flight} jobs in flight"):
            found: dict[str, list[list[float]]] = {kind.name: [] for kind in kinds}
            cpu: dict[str, list[float]] = {kind.name: [] for kind in kinds}
            if name != "idle":
                for one in contenders:
                    if one.kind is not POP:
                        await _hold(one, pace.in_flight)
            for _ in range(pace.rounds):
                for one in contenders:
                    one.wake()
                    found[one.kind.name].append(await one.probe(pace.samples))
                    cpu[one.kind.name].append(await _cpu_share(one, pace))
                    one.rest()
            ours = medians(found[OURS.name])
            for kind in kinds[1:]:
                target = _BY_POP if kind is POP else 1 if kind in others else None
                yield Figure(
                    "pick-up",
                    f"{name}, beside {kind.name}",
                    ours,
                    medians(found[kind.name]),
                    kind.name,
                    "s",
                    target=target,
                    beside={"CPU %": median(cpu[OURS.name]), "its %": median(cpu[kind.name])},
                )


async def _hold(one: Contender, count: int) -> None:
    one.wake()
    await one.hold(count)
    one.rest()


async def _cpu_share(one: Contender, pace: Pace) -> float:
    """Of one core, in percent, while nothing is put."""
    seconds = min(_WATCHED_S, 2 * pace.seconds)
    before = cpu_s(*one.pids)
    await asyncio.sleep(seconds)
    return (cpu_s(*one.pids) - before) / seconds * 100


async def throughput(machine: Machine, pace: Pace) -> AsyncIterator[Outcome]:
    """Jobs per second of a full queue, the same job that does nothing."""
    others = _neighbours(pace)
    if not others:
        yield _missing("jobs", "beside taskiq and saq")
    kinds = [OURS, ARQ, ARQ_POLL, *others]
    for workers, slots in pace.crews:
        found: dict[str, list[float]] = {kind.name: [] for kind in kinds}
        async with contest(machine, kinds, workers=workers, slots=slots) as contenders:
            for number in range(pace.rounds):
                for one in contenders if number % 2 == 0 else reversed(contenders):
                    one.wake()
                    found[one.kind.name].append(await one.jobs_per_second(pace.jobs))
                    one.rest()
        size = f"{workers} worker{'s' if workers > 1 else ''}, {slots} slots"
        ours = found[OURS.name]
        for kind in kinds[1:]:
            target = _BY_ARQ.get((workers, slots)) if kind is ARQ else None
            yield Figure("jobs", f"{size}, {kind.name}", ours, found[kind.name], kind.name, "/s", target)
        if workers == 2:
            rivals = [found[kind.name] for kind in (ARQ_POLL, *others)]
            best = [max(of_round) for of_round in zip(*rivals, strict=True)]
            yield Figure("jobs", f"{size}, the best of them", ours, best, "best other queue", "/s", 1)
