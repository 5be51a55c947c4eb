"""Silence: pings while nothing happens, and ends that are not the run's."""

import asyncio
from collections.abc import AsyncGenerator

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from service import output
from service.errors import NotFound, StoreUnreachable
from service.http import streams
from service.output import piece_of
from service.records.ids import new_id
from service.records.runs import OutputEvent, Piece, Run
from service.runs import LOOK_AGAIN_S
from tests.http.conftest import WS
from tests.http.listening import DEADLINE_S, DONE, outline
from tests.http.streams.scenes import (
    ENDED,
    Listen,
)
from tests.workers.bench import Bench, says, wait_until


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens for long at once."""
    monkeypatch.setattr(output, "LOOK_AGAIN_S", 0.01)
    monkeypatch.setattr(streams, "PING_S", 0.02)


@pytest.mark.usefixtures("quick")
async def test_pings_repeat_while_nothing_happens(listen: Listen, bench: Bench) -> None:
    agent = await bench.agent()
    async with listen(agent, says("Hello."), background=True) as listener:
        pings = [await listener.next() for _ in range(3)]
        await bench.carry(agent)
        rest = await listener.rest()
    assert outline(pings) == ["ping"] * 3
    assert len({one.data["id"] for one in pings}) == 3
    assert {one.data["seq_id"] for one in pings} == {1}
    assert outline([one for one in rest if one.data == DONE or one.data["message_type"] != "ping"]) == [
        "assistant: Hello.",
        *ENDED,
    ]


@pytest.mark.usefixtures("quick")
async def test_a_later_ping_has_the_number_of_the_object_before(listen: Listen, bench: Bench) -> None:
    agent = await bench.agent()
    async with listen(agent, background=True, stream_tokens=True) as listener:
        run_id = (await listener.next()).data["run_id"]
        lease = await bench.lease(agent)
        message = piece_of(new_id("message"), "step-1", run_id, agent.id, 0)
        hel = OutputEvent(kind="piece", message=message, piece=Piece(kind="text", text="Hel"))
        await bench.service.leases.tell(lease, run_id, [hel])
        told = await listener.next()
        while told.data["message_type"] == "ping":
            told = await listener.next()
        ping = await listener.next()
    assert told.data["content"] == "Hel"
    assert (ping.data["message_type"], ping.data["seq_id"]) == ("ping", told.data["seq_id"])


@pytest.mark.usefixtures("quick")
async def test_without_pings_nothing_is_sent_while_nothing_happens(
    listen: Listen, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent()
    looks = 0
    read = bench.service.runs.read

    async def counted(ws: str, run_id: str) -> Run:
        nonlocal looks
        looks += 1
        return await read(ws, run_id)

    monkeypatch.setattr(bench.service.runs, "read", counted)
    async with listen(agent, says("Hello."), include_pings=False) as listener:

        async def looked() -> bool:
            return looks > 5

        await wait_until("the run was looked at several times", looked)
        assert listener.raw == b""


@pytest.mark.usefixtures("quick")
async def test_a_stream_that_had_only_pings_for_half_an_hour_is_ended(
    listen: Listen, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (streams.PING_S, streams.SILENT_S) == (0.02, 1800)
    monkeypatch.setattr(streams, "SILENT_S", 0.05)
    agent = await bench.agent()
    with capture_logs() as logs:
        async with listen(agent, says("Hello.")) as listener:
            heard = await listener.rest()
    lines = outline([one for one in heard if one.data == DONE or one.data["message_type"] != "ping"])
    assert lines == ["stop_reason error", "event error: error stream_incomplete", DONE]
    assert "stream.silent" in [one["event"] for one in logs]
    await bench.carry(agent)
    run = await bench.service.runs.read(WS, heard[0].data["run_id"])
    assert run.status == "completed"


def test_pings_come_every_twenty_seconds_as_in_v1() -> None:
    assert streams.PING_S == 20
    assert streams.PING_S % LOOK_AGAIN_S == 0


Broken = AsyncGenerator[OutputEvent | None, None]


@pytest.mark.parametrize("failure", [StoreUnreachable("the store does not answer"), NotFound("run", "run-1")])
async def test_a_stream_whose_store_goes_says_that_it_is_incomplete(
    listen: Listen, bench: Bench, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async def broken(ws: str, run_id: str, after: int = 0) -> Broken:
        raise failure
        yield

    monkeypatch.setattr(bench.service.output, "follow", broken)
    agent = await bench.agent()
    with capture_logs() as logs:
        async with listen(agent, says("Hello.")) as listener:
            heard = await listener.rest()
    assert outline(heard) == ["ping", "stop_reason error", "event error: error stream_incomplete", DONE]
    run_id = heard[0].data["run_id"]
    error = heard[-2].data
    assert error["run_id"] == run_id
    assert run_id in error["message"]
    [told] = [one for one in logs if one["event"] == "stream.ended"]
    assert (told["run_id"], told["error"]) == (run_id, str(failure))


async def test_a_server_that_stops_ends_its_streams_and_says_so(
    listen: Listen, bench: Bench, ending: asyncio.Event
) -> None:
    agent = await bench.agent()
    async with listen(agent, says("Hello.")) as listener:
        ping = await listener.next()
        ending.set()
        heard = await listener.rest()
    assert outline(heard) == ["stop_reason error", "event error: error stream_incomplete", DONE]
    assert "is being stopped" in heard[1].data["message"]
    await bench.carry(agent)
    assert (await bench.service.runs.read(WS, ping.data["run_id"])).status == "completed"


async def test_a_server_that_stops_ends_feeds_of_changes_too(
    app: Starlette, bench: Bench, ending: asyncio.Event
) -> None:
    await bench.block("notes")
    ending.set()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        with anyio.fail_after(DEADLINE_S):
            assert (await client.get("/v1/changes")).status_code == 200
