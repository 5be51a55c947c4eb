"""Dead letters and retries over HTTP."""

from typing import Any

import httpx
import pytest

from service.bootstrap import Service
from service.records.runs import RunError
from service.store.keys import key
from service.store.leases import LeaseStore
from tests.http.conftest import WS, Make, Worker
from tests.store.team import taken

pytestmark = pytest.mark.anyio

HELLO = {"messages": [{"role": "user", "content": "Hello."}]}
UNKNOWN = "123e4567-e89b-42d3-8456-426614174000"


async def sent(client: httpx.AsyncClient, agent: str) -> dict[str, Any]:
    run: dict[str, Any] = (await client.post(f"/v1/agents/{agent}/messages/async", json=HELLO)).json()
    return run


async def test_a_dead_letter_shows_what_was_sent_and_why_it_was_given_up(
    client: httpx.AsyncClient, make_agent: Make, service: Service
) -> None:
    agent = (await make_agent())["id"]
    assert (await client.get(f"/v1/agents/{agent}/dead-letters")).json() == []
    run = await sent(client, agent)
    generation = int((await service.store.hash(key(WS, "agent_state", agent)))["generation"])
    lease = await taken(service, agent, generation)
    assert lease is not None
    leases = LeaseStore(service.store, 60, run_tries=1)
    for _ in range(3):
        await leases.next_run(lease)
    await service.leases.finish(
        lease, run["id"], "error", RunError(type="internal_error", message="given up")
    )
    [letter] = (await client.get(f"/v1/agents/{agent}/dead-letters")).json()
    assert (letter["id"], letter["status"], letter["stop_reason"]) == (run["id"], "failed", "error")
    assert letter["metadata"]["error"]["message"] == "given up"
    assert letter["tries"] == 2
    assert [one["content"] for one in letter["messages"]] == ["Hello."]
    new = (await client.post(f"/v1/runs/{run['id']}/retry")).json()
    assert (new["status"], new["metadata"]["retry_of"]) == ("created", run["id"])
    old = (await client.get(f"/v1/runs/{run['id']}")).json()
    assert old["metadata"]["retried_by"] == new["id"]
    assert (await client.get(f"/v1/agents/{agent}/dead-letters")).json() == []


async def test_a_run_that_has_not_failed_is_refused(
    client: httpx.AsyncClient, make_agent: Make, worker: Worker
) -> None:
    agent = (await make_agent())["id"]
    run = await sent(client, agent)
    await worker.answer(agent, [{"role": "assistant", "content": "Hi."}])
    answer = await client.post(f"/v1/runs/{run['id']}/retry")
    assert answer.status_code == 400
    assert "this one is completed" in answer.json()["detail"]


async def test_what_is_not_there_is_a_404(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/v1/agents/agent-{UNKNOWN}/dead-letters")).status_code == 404
    assert (await client.post(f"/v1/runs/run-{UNKNOWN}/retry")).status_code == 404
