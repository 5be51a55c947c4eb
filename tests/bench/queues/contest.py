"""Contest: contenders started side by side on one store, each taking its turn while the others rest."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from tests.bench.machine import Machine
from tests.bench.queues.clock import Clock

_LOOK_S = 0.001
_LOST_S = 60.0


@dataclass(frozen=True)
class Kind:
    """A queue that takes part."""

    name: str
    module: str
    python: str = sys.executable
    environ: dict[str, str] = field(default_factory=dict)
    least: float = 1.0
    """The share of samples and jobs that is enough, for one that would take too long."""


class Contender:
    """One queue's worker processes and its producer."""

    def __init__(
        self,
        kind: Kind,
        clock: Clock,
        workers: Sequence["subprocess.Popen[bytes]"],
        producer: "subprocess.Popen[bytes]",
    ) -> None:
        self.kind = kind
        self.clock = clock
        self.pids = [worker.pid for worker in workers]
        self._workers = workers
        self._producer = producer

    async def ready(self) -> None:
        for process in (*self._workers, self._producer):
            await _line(process)
        await self.probe(1)

    async def probe(self, samples: int) -> list[float]:
        """How long jobs take from just before they are put until they begin, in seconds."""
        return cast("list[float]", await self._told({"probe": max(1, round(samples * self.kind.least))}))

    async def hold(self, count: int) -> None:
        """Jobs that keep their slots until the end."""
        before = self.clock.total()
        await self._told({"fill": count, "job": "hold"})
        await self._until(before + count)

    async def jobs_per_second(self, count: int) -> float:
        """What the workers make of a full queue. They sleep while it is filled."""
        count = max(1, round(count * self.kind.least))
        before = self.clock.total()
        self.rest()
        await self._told({"fill": count, "job": "noop"})
        began = time.monotonic_ns()
        self.wake()
        await self._until(before + count)
        return count / ((self.clock.last() - began) / 1e9)

    def rest(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def wake(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)

    async def _until(self, total: int) -> None:
        deadline = time.monotonic() + _LOST_S
        while self.clock.total() < total:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind.name}: {total - self.clock.total()} jobs did not begin")
            await asyncio.sleep(_LOOK_S)

    async def _told(self, command: dict[str, Any]) -> Any:
        pipe = self._producer.stdin
        assert pipe is not None
        pipe.write(json.dumps(command).encode() + b"\n")
        pipe.flush()
        return await _line(self._producer)


async def _line(process: "subprocess.Popen[bytes]") -> Any:
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    if not line:
        raise RuntimeError("a contender ended")
    return json.loads(line)


@contextlib.asynccontextmanager
async def contest(
    machine: Machine, kinds: Sequence[Kind], *, workers: int, slots: int
) -> AsyncIterator[list[Contender]]:
    """All of them, started and warm, resting."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for kind in kinds:
            file = machine.folder / f"{kind.name.replace(' ', '-')}-{workers}-{slots}.clock"
            clock = Clock.create(file)
            running = [
                stack.enter_context(
                    machine.process(
                        kind.module,
                        *("worker", str(slots), str(file), str(place)),
                        python=kind.python,
                        **kind.environ,
                    )
                )
                for place in range(workers)
            ]
            producer = stack.enter_context(
                machine.process(kind.module, "producer", str(file), python=kind.python, **kind.environ)
            )
            one = Contender(kind, clock, running, producer)
            stack.callback(_kill, running)
            found.append(one)
        for one in found:
            try:
                await one.ready()
            except RuntimeError as failure:
                log = machine.end_of_log(one.kind.module)
                raise RuntimeError(f"{one.kind.name}: {failure}\n{log}") from None
            one.rest()
        yield found


def _kill(workers: Sequence["subprocess.Popen[bytes]"]) -> None:
    """They may be stopped, or hold jobs: nobody waits for them."""
    for worker in workers:
        if worker.poll() is None:
            worker.kill()
