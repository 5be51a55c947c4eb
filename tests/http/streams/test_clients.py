"""Clients that leave, read slowly or do not read."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from service.http import streams
from tests.http.conftest import WS
from tests.http.listening import DEADLINE_S, listening, outline
from tests.http.streams.scenes import (
    ENDED,
    FIRST,
    LOCAL,
    V1_FIRST,
    Listen,
    listeners,
    slow,
)
from tests.workers.bench import Bench, says, wait_until


async def test_clients_that_leave_are_forgotten_and_their_run_goes_on(
    listen: Listen, app: Starlette, bench: Bench
) -> None:
    agent = await bench.agent()
    before = len(asyncio.all_tasks())
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(listen(agent, says("Hello."), background=True))
        run_id = (await first.next()).data["run_id"]
        for _ in range(20):
            await stack.enter_async_context(listening(app, f"/v1/runs/{run_id}/stream", None, LOCAL))

        async def listened() -> bool:
            return listeners(bench.service) == 21

        await wait_until("all of them listened", listened)
    assert listeners(bench.service) == 0
    assert len(asyncio.all_tasks()) <= before + 2  # the bell's own, and what the store's fake waits with
    await bench.carry(agent)
    assert (await bench.service.runs.read(WS, run_id)).status == "completed"


async def test_a_client_that_reads_slowly_holds_up_nobody_and_misses_nothing(
    listen: Listen, bench: Bench
) -> None:
    agent = await bench.agent({"notes": ""})
    async with listen(agent, slow(FIRST), says("Done."), stream_tokens=True) as listener:
        ping = await listener.next()
        listener.pause()
        await bench.carry(agent)
        assert (await bench.service.runs.read(WS, ping.data["run_id"])).status == "completed"
        assert listener.raw.count(b"data: ") == 1
        listener.go_on()
        assert outline(await listener.rest()) == [*V1_FIRST, "assistant: Done.", *ENDED]


async def test_a_client_that_takes_nothing_for_long_is_given_up(
    listen: Listen, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STUCK_S", 0.05)
    agent = await bench.agent()
    with capture_logs() as logs:
        async with listen(agent, says("Hello.")) as listener:
            await listener.next()
            listener.pause()
            await bench.carry(agent)
            await asyncio.wait_for(asyncio.shield(listener.task), DEADLINE_S)
    assert "stream.stuck" in [one["event"] for one in logs]
    assert listeners(bench.service) == 0
