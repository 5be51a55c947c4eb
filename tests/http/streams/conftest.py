"""Fixtures of the tests of streams: an app, a worker at hand, and people who listen."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette

from service.bootstrap import Service
from service.http.app import create_app
from service.records.agents import Agent
from service.settings import Settings
from tests.http.listening import Listener, Sent, listening
from tests.http.streams.scenes import (
    LOCAL,
    Back,
    Hear,
    Listen,
    until_sent,
)
from tests.workers.bench import Bench, Entry


@pytest.fixture
def settings() -> Settings:
    """Nobody renews leases here, and a machine may be slow."""
    return Settings(lease_ms=60_000)


@pytest.fixture
def ending() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def app(service: Service, settings: Settings, ending: asyncio.Event) -> Starlette:
    return create_app(settings, service, ending)


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)


@pytest.fixture
def listen(app: Starlette) -> Listen:
    """Sends a script to an agent and listens to what it says; `to` is the rest of the path."""

    @asynccontextmanager
    async def listen(
        agent: Agent, *script: Entry, to: str = "/stream", headers: dict[str, str] | None = None, **body: Any
    ) -> AsyncIterator[Listener]:
        sent = {"messages": [{"role": "user", "content": json.dumps({"script": script})}], **body}
        path = f"/v1/agents/{agent.id}/messages{to}"
        async with listening(app, path, sent, LOCAL | (headers or {})) as listener:
            yield listener

    return listen


@pytest.fixture
def hear(listen: Listen, bench: Bench) -> Hear:
    """All that an agent says to a script, from the first event to the end marker."""

    async def hear(agent: Agent, *script: Entry, **body: Any) -> list[Sent]:
        async with listen(agent, *script, **body) as listener:
            first = await listener.next() if body.get("include_pings", True) else None
            if first is None:
                await until_sent(bench, agent)
            await bench.carry(agent)
            rest = await listener.rest()
        return [*([first] if first else []), *rest]

    return hear


@pytest.fixture
def back(app: Starlette) -> Back:
    """What somebody who comes back to a run is told."""

    async def back(run_id: str, **body: Any) -> list[Sent]:
        async with listening(app, f"/v1/runs/{run_id}/stream", body or None, LOCAL) as listener:
            return await listener.rest()

    return back
