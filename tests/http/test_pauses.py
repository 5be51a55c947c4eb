"""Pausing and resuming over HTTP."""

import httpx
import pytest

from tests.http.conftest import Make, Worker

pytestmark = pytest.mark.anyio

HELLO = {"messages": [{"role": "user", "content": "Hello."}]}


async def test_an_agent_tells_since_when_it_is_paused(client: httpx.AsyncClient, make_agent: Make) -> None:
    path = f"/v1/agents/{(await make_agent())['id']}"
    paused = (await client.post(f"{path}/pause")).json()
    assert paused["paused_at"] is not None
    assert (await client.get(path)).json()["paused_at"] == paused["paused_at"]
    assert [one["paused_at"] for one in (await client.get("/v1/agents/")).json()] == [paused["paused_at"]]
    assert (await client.post(f"{path}/resume")).json()["paused_at"] is None


async def test_a_message_to_a_paused_agent_is_accepted_and_waits(
    client: httpx.AsyncClient, make_agent: Make, worker: Worker
) -> None:
    agent = (await make_agent())["id"]
    await client.post(f"/v1/agents/{agent}/pause")
    run = (await client.post(f"/v1/agents/{agent}/messages/async", json=HELLO)).json()
    assert run["status"] == "created"
    await client.post(f"/v1/agents/{agent}/resume")
    await worker.answer(agent, [{"role": "assistant", "content": "Hi."}])
    assert (await client.get(f"/v1/runs/{run['id']}")).json()["status"] == "completed"


@pytest.mark.parametrize("act", ["pause", "resume"])
async def test_an_unknown_agent_is_a_404(client: httpx.AsyncClient, act: str) -> None:
    answer = await client.post(f"/v1/agents/agent-123e4567-e89b-42d3-8456-426614174000/{act}")
    assert answer.status_code == 404
