"""Messages of all agents, by their words."""

from typing import Any

import httpx
import pytest

from service.bootstrap import Service
from service.records.messages import NewMessage
from tests.workers.bench import WS, Bench, call, calls, says

PATH = "/v1/agents/messages/search"


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)


async def found(client: httpx.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    answer = await client.post(PATH, json=asked)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()
    return results


async def test_they_are_found_by_all_of_the_words_newest_first(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    one, other = await bench.agent(), await bench.agent()
    await bench.tell(one, says("The heron stands in the reeds."))
    await bench.tell(other, says("A Heron flies."))
    results = await found(client, query="HERON", roles=["assistant"], search_mode="fts")
    assert [one["embedded_text"] for one in results] == ["A Heron flies.", "The heron stands in the reeds."]
    assert [one["fts_rank"] for one in results] == [1, 2]
    assert results[0]["rrf_score"] > results[1]["rrf_score"]
    assert results[0]["vector_rank"] is None
    [reeds] = await found(client, query="reeds heron", roles=["assistant"])
    assert reeds["message"]["agent_id"] == one.id
    assert reeds["message"]["content"] == [{"type": "text", "text": "The heron stands in the reeds."}]
    assert await found(client, query="heron", agent_id=other.id, roles=["assistant"]) == results[:1]
    assert await found(client, query="no such word") == []
    newest, older = await found(client, query="heron", roles=["assistant"], limit=1), results[1]
    assert newest == results[:1]
    [next_one] = await found(client, query="heron", roles=["assistant"], after=newest[0]["message"]["id"])
    assert next_one["message"] == older["message"]


async def test_a_time_bounds_them(client: httpx.AsyncClient, bench: Bench) -> None:
    agent = await bench.agent()
    await bench.tell(agent, says("Hello."))
    assert await found(client, query="hello", start_date="2000-01-01T00:00:00")
    assert await found(client, query="hello", end_date="2000-01-01T00:00:00Z") == []
    assert await found(client, start_date="2100-01-01T00:00:00Z") == []


async def test_calls_results_and_words_on_a_request_are_in_it(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    rule = {"type": "requires_approval", "tool_name": "memory_insert"}
    agent = await bench.agent({"notes": ""}, tool_rules=[rule])
    await bench.tell(agent, calls(call("memory_insert", label="notes", new_string="a bittern")))
    [request] = await found(client, roles=["approval"])
    assert request["message"]["tool_calls"][0]["function"]["name"] == "memory_insert"
    told = {"type": "approval", "approve": False, "reason": "not now"}
    await client.post(f"/v1/agents/{agent.id}/messages/async", json={"messages": [told]})
    await bench.carry(agent)
    word = (await found(client, roles=["approval"]))[0]["message"]
    assert (word["approve"], word["approval_request_id"]) == (False, request["message"]["id"])
    [result] = await found(client, query="denied", roles=["tool"])
    assert result["message"]["tool_returns"][0]["status"] == "error"
    assert result["message"]["tool_call_id"] == "call_0"


async def test_parts_stay_parts(client: httpx.AsyncClient, bench: Bench) -> None:
    agent = await bench.agent()
    parts = [{"type": "text", "text": "a grebe"}]
    await bench.service.messages.send(WS, agent.id, [NewMessage(content=parts)])
    await bench.carry(agent)
    [shown] = await found(client, query="grebe")
    assert shown["message"]["content"] == parts


@pytest.mark.parametrize(
    ("asked", "status"),
    [({"limit": 101}, 422), ({"roles": ["king"]}, 422), ({"search_mode": "x"}, 422), ({"after": "x"}, 404)],
)
async def test_what_cannot_be_looked_for_is_refused(
    client: httpx.AsyncClient, asked: dict[str, Any], status: int
) -> None:
    assert (await client.post(PATH, json=asked)).status_code == status


async def test_the_form_of_1_x_shows_what_was_said_and_by_which_agent(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    one, other = await bench.agent({"notes": "heron"}), await bench.agent()
    insert = call("memory_insert", label="notes", new_string="heron")
    await bench.tell(one, calls(insert), says("The heron stands in the reeds."))
    await bench.tell(other, says("A Heron flies."))
    answer = await client.post("/v1/messages/search", json={"query": "heron", "search_mode": "fts"})
    assert answer.status_code == 200, answer.text
    hits = [hit for hit in answer.json() if hit["message_type"] == "assistant_message"]
    assert [(hit["content"], hit["agent_id"]) for hit in hits if hit["content"]] == [
        ("A Heron flies.", other.id),
        ("The heron stands in the reeds.", one.id),
    ]
    assert all(hit["message_id"].startswith("message-") and hit["created_at"] for hit in hits)
    own = await client.post("/v1/messages/search", json={"query": "flies", "agent_id": one.id})
    assert own.json() == []
    assert (await client.post("/v1/messages/search", json={})).status_code == 422
