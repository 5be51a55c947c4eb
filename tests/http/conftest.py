"""Fixtures for HTTP tests: the app in process, and a worker that answers what it is told to."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import anyio
import httpx
import pytest

from service.bootstrap import Service
from service.http.app import create_app
from service.records.base import DEFAULT_WORKSPACE, Page
from service.records.ids import new_id
from service.records.messages import Message
from service.records.runs import Run, RunError, Step, StopReason, Usage
from service.settings import Settings
from service.store.client import StoreClient
from service.store.leases import LeaseStore

WS = DEFAULT_WORKSPACE
MODERN = {"X-Stainless-Package-Version": "1.12.1"}
"""What makes a request one of an SDK of 1.x."""
USAGE = Usage(prompt_tokens=12, completion_tokens=5)

Make = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def store(fake_store: StoreClient) -> StoreClient:
    """The fake alone: that both kinds behave alike is shown where the store is tested."""
    return fake_store


@pytest.fixture
async def client(service: Service, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, service)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as open_client:
        yield open_client


def bearer(secret: str) -> dict[str, str]:
    """The header in which the SDKs send their key."""
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def make_block(client: httpx.AsyncClient) -> Make:
    async def make(label: str = "notes", value: str = "", **fields: Any) -> dict[str, Any]:
        answer = await client.post("/v1/blocks/", json={"label": label, "value": value, **fields})
        assert answer.status_code == 200, answer.text
        block: dict[str, Any] = answer.json()
        return block

    return make


@pytest.fixture
def make_agent(client: httpx.AsyncClient) -> Make:
    async def make(**fields: Any) -> dict[str, Any]:
        answer = await client.post("/v1/agents/", json={"model": "offline/extractive", **fields})
        assert answer.status_code == 200, answer.text
        agent: dict[str, Any] = answer.json()
        return agent

    return make


class Worker:
    """Carries an agent's next run the way a worker does, with the answer it was given."""

    def __init__(self, service: Service, workspace: str = WS) -> None:
        self._service = service
        self._ws = workspace

    async def answer(
        self,
        agent_id: str,
        produced: Sequence[dict[str, Any]],
        stop_reason: StopReason = "end_turn",
        error: RunError | None = None,
    ) -> Run:
        """Waits for a run, stores its input and what was produced in one step, and ends it."""
        run = await self._next_run(agent_id)
        leases = self._service.leases
        lease = None
        for generation in range(1, 20):
            lease = lease or await LeaseStore(self._service.store, 60).take(
                self._ws, agent_id, generation, "test", 60_000
            )
        assert lease is not None
        opened = await leases.next_run(lease)
        assert opened is not None
        made: dict[str, Any] = {"id": new_id("step"), "run_id": run.id, "agent_id": agent_id, "index": 0}
        step = Step(**made, created_at=0, status="success" if error is None else "failed")
        common = {"agent_id": agent_id, "run_id": run.id, "step_id": step.id, "created_at": 0}
        turns: list[dict[str, Any]] = [message.model_dump() for message in run.messages]
        messages = [
            Message.model_validate({**turn, "id": new_id("message"), **common})
            for turn in [*turns, *produced]
        ]
        if produced:
            await leases.store_step(
                lease,
                run,
                step,
                messages,
                usage=USAGE,
                context_tokens=17,
                seen={},
                stop_reason=stop_reason,
                error=error,
            )
        else:
            await leases.finish(lease, run.id, stop_reason, error)
        assert await leases.next_run(lease) is None
        return run

    async def _next_run(self, agent_id: str) -> Run:
        with anyio.fail_after(5):
            while True:
                for run in await self._service.runs.find(self._ws, agent_id, Page()):
                    if run.status == "created":
                        return run
                await anyio.sleep(0.005)


@pytest.fixture
def worker(service: Service) -> Worker:
    return Worker(service)
