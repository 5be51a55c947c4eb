"""Beginning a conversation anew: what leaves the context, what stays listed, and when it is refused."""

import httpx
import pytest

from service.bootstrap import Service
from service.records.blocks import Block
from tests.http.conftest import MODERN, WS, Make
from tests.workers.bench import PERSON, Bench, says

NOBODY = "agent-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)


async def test_only_message_0_stays_in_context_and_all_stays_listed(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    agent = await bench.agent({"notes": "before"})
    await bench.tell(agent, says("Hello."))
    await bench.edit("notes", "set", text="after")
    state = (await client.patch(f"/v1/agents/{agent.id}/reset-messages", json={})).json()
    assert state["message_ids"] == agent.message_ids[:1]
    assert state["updated_at"] > (await _created(client, agent.id))
    listed = (await client.get(f"/v1/agents/{agent.id}/messages")).json()
    assert len(listed) == 3
    assert "after" in listed[0]["content"]
    await bench.tell(agent, says("Again."))
    assert len(bench.requests[-1].messages) == 1


async def _created(client: httpx.AsyncClient, agent_id: str) -> str:
    return str((await client.get(f"/v1/agents/{agent_id}")).json()["created_at"])


@pytest.mark.parametrize(
    ("agent_type", "roles"),
    [("memgpt_agent", ["system", "assistant", "tool", "user"]), ("letta_v1_agent", ["system"])],
)
async def test_the_first_messages_of_its_type_come_back_if_asked(
    client: httpx.AsyncClient, service: Service, make_agent: Make, agent_type: str, roles: list[str]
) -> None:
    agent = await make_agent(agent_type=agent_type)
    body = {"add_default_initial_messages": True}
    state = (await client.patch(f"/v1/agents/{agent['id']}/reset-messages", json=body)).json()
    context = await service.messages.context(WS, agent["id"])
    assert [one.role for one in context] == roles
    assert [one.id for one in context] == state["message_ids"]
    assert not set(state["message_ids"][1:]) & set(agent["message_ids"])


async def test_sdks_of_the_new_generation_are_answered_with_null(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    agent = await make_agent()
    answer = await client.patch(f"/v1/agents/{agent['id']}/reset-messages", json={}, headers=MODERN)
    assert (answer.status_code, answer.json()) == (200, None)


async def test_it_is_refused_while_a_run_is_under_way_and_not_while_one_waits(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    agent = await bench.agent()
    path = f"/v1/agents/{agent.id}/reset-messages"
    run = await bench.script(agent, says("Hello."))
    assert (await client.patch(path, json={})).status_code == 200
    lease = await bench.lease(agent)
    await bench.service.leases.next_run(lease)
    answer = await client.patch(path, json={})
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith(f"CONFLICT: agent {agent.id} is in the middle of run {run.id};")
    assert "x-should-retry" not in answer.headers


async def test_an_agent_that_is_not_there_cannot_be_reset(
    client: httpx.AsyncClient, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await client.patch(f"/v1/agents/{NOBODY}/reset-messages", json={})).status_code == 404
    agent = await bench.agent()
    of_agent = bench.service.blocks.of_agent

    async def while_it_is_deleted(ws: str, agent_id: str) -> list[Block]:
        found = await of_agent(ws, agent_id)
        await bench.service.agents.delete(ws, agent_id, PERSON)
        return found

    monkeypatch.setattr(bench.service.blocks, "of_agent", while_it_is_deleted)
    assert (await client.patch(f"/v1/agents/{agent.id}/reset-messages", json={})).status_code == 404
