"""Output: what a run says while it goes on, from the worker that carries it to whoever listens.

A run whose sender asked for it keeps its events in a stream of its own, until
three hours after its end. A listener reads it from any seq on and is rung for
more; the ring of the end brings the last of it to a sender who has listened so
far. One that leaves does not stop the run, and one that comes back goes on
where it was.

Elsewhere: who writes it (leases.py, workers/voice.py).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from service.errors import Expired, Invalid
from service.records.messages import Message
from service.records.runs import OutputEvent
from service.runs import LOOK_AGAIN_S, Runs, is_over
from service.store.bell import Bell
from service.store.client import StoreClient
from service.store.keys import key

READ_MOST = 500


class Output:
    """Reading and following; Leases alone writes."""

    def __init__(self, store: StoreClient, bell: Bell, runs: Runs) -> None:
        self._store = store
        self._bell = bell
        self._runs = runs

    async def check(self, ws: str, run_id: str) -> None:
        """Whether one can come back to a run's output.

        Raises NotFound, Invalid for a run that its sender did not put into the background, Expired for
        one whose output is gone.
        """
        run = await self._runs.read(ws, run_id)
        if run.options.output == "none" or not run.background:
            raise Invalid("run_id", "not a background run; send with background or async to have its stream")
        ended = run.status not in ("created", "running")
        if ended and await self._store.newest(key(ws, "run_output", run_id)) is None:
            raise Expired(f"the stream of run {run_id} is no longer kept; read its messages instead")

    async def follow(self, ws: str, run_id: str, after: int = 0) -> AsyncIterator[list[OutputEvent]]:
        """Every event after a seq, once and in order, `end` last, those together that are there together.

        An empty list: nothing happened for a while.
        """
        stream, ended = key(ws, "run_output", run_id), False
        async with self._bell.listen(key(ws, "output"), run_id) as rings:
            while True:
                found, run = await self._runs.output(ws, run_id, after, READ_MOST, ended=ended)
                if found:
                    after = found[-1].seq
                    if found[-1].kind == "end":
                        yield [*found[:-1], found[-1].model_copy(update={"run": run})]
                        return
                    yield found
                if len(found) == READ_MOST:
                    continue
                heard = await _rung(rings)
                if last := self._last(heard, after):
                    yield last
                    return
                ended = any(ring is not None and is_over(ring) for ring in heard)
                if heard:
                    continue
                run = await self._runs.read(ws, run_id)
                if run.status in ("created", "running"):
                    yield []
                elif not await self._store.entries(stream, after=f"({after}-0", limit=1):
                    yield [OutputEvent(seq=after + 1, kind="end", run=run)]
                    return

    def _last(self, heard: list[str | None], after: int) -> list[OutputEvent]:
        """What is left to be told, the end behind it, if all of it came with a ring."""
        for ring in heard:
            if ring is not None and (said := self._runs.said_with(ring)) is not None:
                events, run = said
                if events[0].seq <= after + 1:
                    end = events[-1].model_copy(update={"run": run})
                    return [*(event for event in events[:-1] if event.seq > after), end]
        return []


async def _rung(rings: "asyncio.Queue[str | None]") -> list[str | None]:
    """The rings before it is time to look for oneself; none if it is.

    Not by `wait_for`: a ring may cost it a cancellation that comes just then.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_AGAIN_S):
            heard = [await rings.get()]
        while not rings.empty():
            heard.append(rings.get_nowait())
        return heard
    return []


def piece_of(message_id: str, step_id: str, run_id: str, agent_id: str, at: int) -> Message:
    """What is known of a message while its pieces arrive."""
    return Message(
        id=message_id, agent_id=agent_id, role="assistant", created_at=at, step_id=step_id, run_id=run_id
    )
