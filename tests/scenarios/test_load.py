"""Two hundred streams at once, over two web processes and two workers on one store.

The provider holds every answer back half-said until all clients have heard the
beginning of theirs: that they overlap does not hang on how fast the machine is.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.scenarios.api import Api, wait_until
from tests.scenarios.team import Team
from tests.standin import Answer, Standin

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

STREAMS = 200
SAID = " ".join(f"word{n}" for n in range(24))
MODEL = "anthropic/claude-3-5-sonnet-20241022"
PER_PROCESS = 64 + 8
"""What a process may have open: StoreClient.connect's and queue.connect's pools."""


@dataclass
class Heard:
    """What a client got of one run."""

    events: list[dict[str, Any]] = field(default_factory=list)
    is_done: bool = False
    first_at: float = 0
    done_at: float = 0

    @property
    def run_id(self) -> str:
        return str(self.events[0]["run_id"])

    @property
    def seqs(self) -> list[int]:
        return [event["seq_id"] for event in self.events if event["message_type"] == "assistant_message"]

    @property
    def words(self) -> str:
        said = [event for event in self.events if event["message_type"] == "assistant_message"]
        return "".join(event["content"] for event in said)


async def test_every_client_of_many_hears_everything_once(
    team: Team, team_api: Api, report: Callable[[str], None]
) -> None:
    """Each stream has each piece once, in order, up to [DONE], and who comes back to the other web process
    hears the same. The store has no more connections than the processes' pools hold, however many listen."""
    gate = threading.Event()
    limits = httpx.Limits(max_connections=None)
    async with AsyncExitStack() as stack:
        standin = stack.enter_context(Standin())
        standin.otherwise = lambda asked: Answer(text=SAID, gap_s=0.2, gate=gate)
        team.start()
        other = team.start_web("web 2")
        for name in ("worker 1", "worker 2"):
            provider = {"anthropic_api_key": "secret", "anthropic_base_url": standin.url}
            team.start_worker(name, slots=STREAMS, **provider)
        webs = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, limits=limits)
            )
            for url in (team.url, other)
        ]
        agents = await asyncio.gather(*(team_api.agent(model=MODEL) for _ in range(STREAMS)))
        before = team.connections()
        told = [Heard() for _ in agents]
        sends = [hear(webs[n % 2], send_path(agent), send_body(), told[n]) for n, agent in enumerate(agents)]
        listening = asyncio.gather(*sends)
        opening = asyncio.create_task(open_when_all_hear(gate, told))
        most = await most_connections(team, listening)
        await asyncio.gather(listening, opening)
        again = [Heard() for _ in told]
        await asyncio.gather(
            *(
                hear(webs[1 - n % 2], f"/v1/runs/{one.run_id}/stream", {}, again[n])
                for n, one in enumerate(told)
            )
        )
    for one, repeated in zip(told, again, strict=True):
        assert one.is_done
        assert one.words == SAID
        assert one.seqs == sorted(set(one.seqs))
        assert len(one.seqs) > 2
        assert repeated.is_done
        assert (repeated.seqs, repeated.words) == (one.seqs, one.words)
    at_once = overlap(told)
    report(f"{at_once} streams at once; {before} connections to the store before, {most} at the most")
    assert at_once == STREAMS
    assert most <= 4 * PER_PROCESS


def send_path(agent_id: str) -> str:
    return f"/v1/agents/{agent_id}/messages/stream"


def send_body() -> dict[str, Any]:
    asked = [{"role": "user", "content": "Say it."}]
    return {"messages": asked, "stream_tokens": True, "background": True}


async def open_when_all_hear(gate: threading.Event, told: list[Heard]) -> None:
    """Lets the provider go on once every client has heard the beginning; also if one never does."""

    async def all_hear() -> bool:
        return all(one.first_at for one in told)

    try:
        await wait_until("every client hears its stream", all_hear, 60)
    finally:
        gate.set()


async def hear(web: httpx.AsyncClient, path: str, body: dict[str, Any], found: Heard) -> None:
    """A whole stream."""
    async with web.stream("POST", path, json=body) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for data in _data(answer):
            assert not found.is_done, f"after [DONE]: {data}"
            if data == "[DONE]":
                found.is_done, found.done_at = True, time.monotonic()
                continue
            found.events.append(json.loads(data))
            if not found.first_at and found.events[-1]["message_type"] == "assistant_message":
                found.first_at = time.monotonic()


async def _data(answer: httpx.Response) -> AsyncIterator[str]:
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield line.removeprefix("data: ")


async def most_connections(team: Team, until: "asyncio.Future[list[None]]") -> int:
    """The greatest number of the store's clients seen until something is done.

    In two looks one after the other: the store counts one that was closed until it has noticed.
    """
    most = last = 0
    while not until.done():
        seen = await asyncio.to_thread(team.connections)
        most, last = max(most, min(seen, last)), seen
        await asyncio.wait({until}, timeout=0.05)
    return most


def overlap(told: list[Heard]) -> int:
    """The most streams that were being told something at the same moment."""
    moments = sorted([(one.first_at, 1) for one in told] + [(one.done_at, -1) for one in told])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most
