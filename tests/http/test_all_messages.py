"""Messages of all agents: in one list, page by page, and each by its id."""

from typing import Any

import httpx
import pytest

from service.bootstrap import Service
from tests.workers.bench import PERSON, WS, Bench, call, calls, says

NOBODY = "message-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)


async def listed(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/messages/", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_they_are_in_one_list_the_newest_first(client: httpx.AsyncClient, bench: Bench) -> None:
    one, other = await bench.agent(), await bench.memgpt()
    await bench.tell(one, says("First."))
    await bench.tell(other, calls(call("send_message", message="Second."), text="A thought."))
    await bench.tell(one, says("Third."))
    said = [m["content"] for m in await listed(client) if m["message_type"] == "assistant_message"]
    assert said == ["Third.", "Second.", "First."]
    thoughts = await listed(client, include_return_message_types="reasoning_message")
    assert [m["reasoning"] for m in thoughts] == ["A thought."]
    every = await listed(client, order="asc")
    pages: list[dict[str, Any]] = []
    while part := await listed(client, order="asc", limit=3, **({"after": pages[-1]["id"]} if pages else {})):
        pages += part
    assert pages == every


async def test_each_can_be_read_by_its_id(client: httpx.AsyncClient, bench: Bench) -> None:
    agent = await bench.agent({"notes": ""})
    insert = call("memory_insert", label="notes", new_string="x")
    run = await bench.tell(agent, calls(insert, text="Noted."), says("Done."))
    answer = (await bench.messages(run))[1]
    shown = (await client.get(f"/v1/messages/{answer.id}")).json()
    assert [one["message_type"] for one in shown] == ["assistant_message", "tool_call_message"]
    assert {one["id"] for one in shown} == {answer.id}


async def test_they_go_with_their_agent(client: httpx.AsyncClient, bench: Bench) -> None:
    agent, other = await bench.agent(), await bench.agent()
    await bench.service.agents.delete(WS, agent.id, PERSON)
    assert [one["id"] for one in await listed(client)] == other.message_ids
    assert (await client.get(f"/v1/messages/{agent.message_ids[0]}")).status_code == 404


@pytest.mark.parametrize(
    ("query", "status"),
    [({"after": NOBODY}, 404), ({"group_id": "g"}, 400), ({"conversation_id": "conv-1"}, 400)],
)
async def test_what_cannot_be_listed_is_refused(
    client: httpx.AsyncClient, query: dict[str, str], status: int
) -> None:
    assert (await client.get("/v1/messages/", params=query)).status_code == status
    assert (await client.get(f"/v1/messages/{NOBODY}")).status_code == 404
