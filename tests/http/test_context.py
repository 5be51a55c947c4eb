"""What fills a context: the overview's parts, their estimated tokens, and what it leaves alone."""

import httpx
import pytest

from service.bootstrap import Service
from service.estimates import IMAGE_TOKENS, estimate, estimate_message
from tests.http.conftest import WS
from tests.workers.bench import Bench, call, calls, says


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)


async def test_every_part_of_a_context_is_shown_and_counted(client: httpx.AsyncClient, bench: Bench) -> None:
    rules = [{"type": "max_count_per_step", "tool_name": "memory_insert", "max_count_limit": 2}]
    agent = await bench.agent({"notes": "Miso is a cat."}, system="Be kind.", tool_rules=rules)
    await bench.tell(agent, calls(call("memory_insert", label="notes", new_string="x")), says("Done."))
    await bench.edit("notes", "set", text="Miso is an office cat.")
    shown = (await client.get(f"/v1/agents/{agent.id}/context")).json()
    assert shown["system_prompt"] == "Be kind."
    assert "Miso is an office cat." in shown["core_memory"]
    assert shown["core_memory"].startswith("<memory_blocks>")
    assert shown["tool_usage_rules"].startswith("<tool_usage_rules>")
    assert shown["external_memory_summary"].startswith("<memory_metadata>")
    assert [one["role"] for one in shown["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert shown["messages"][1]["tool_calls"][0]["function"]["name"] == "memory_insert"
    assert shown["messages"][2]["tool_call_id"] == "call_0"
    assert shown["messages"][2]["approve"] is None
    assert shown["messages"][2]["name"] == "memory_insert"
    assert (shown["num_messages"], shown["num_recall_memory"], shown["num_archival_memory"]) == (5, 5, 0)
    assert len(shown["functions_definitions"]) == 3
    assert shown["context_window_size_max"] == 128_000
    parts = [value for name, value in shown.items() if name.startswith("num_tokens_")]
    assert sum(parts) == shown["context_window_size_current"]
    assert shown["num_tokens_core_memory"] == estimate(shown["core_memory"])
    assert (shown["summary_memory"], shown["num_tokens_summary_memory"]) == (None, 0)


async def test_a_summary_is_counted_on_its_own(client: httpx.AsyncClient, bench: Bench) -> None:
    agent = await bench.agent(include_base_tools=False)
    for _ in range(2):
        await bench.tell(agent, says("The office cat is called Miso."))
    await bench.service.messages.send(WS, agent.id, [], kind="compact", errand={"mode": "all"})
    await bench.carry(agent)
    shown = (await client.get(f"/v1/agents/{agent.id}/context")).json()
    assert (shown["num_messages"], shown["num_recall_memory"]) == (2, 6)
    assert "Miso" in shown["summary_memory"]
    assert shown["num_tokens_summary_memory"] > 0 == shown["num_tokens_messages"]
    assert (shown["functions_definitions"], shown["num_tokens_functions_definitions"]) == ([], 0)


async def test_a_context_without_message_0_is_shown_as_it_is(client: httpx.AsyncClient, bench: Bench) -> None:
    agent = await bench.agent()
    await bench.tell(agent, says("Hello."))
    ids = [one.id for one in (await bench.history(agent))[1:]]
    await client.patch(f"/v1/agents/{agent.id}", json={"message_ids": ids})
    shown = (await client.get(f"/v1/agents/{agent.id}/context")).json()
    assert [one["role"] for one in shown["messages"]] == ["user", "assistant"]


async def test_other_conversations_are_refused(client: httpx.AsyncClient, bench: Bench) -> None:
    agent = await bench.agent()
    path = f"/v1/agents/{agent.id}"
    for rest in ("/context", "/messages"):
        assert (await client.get(path + rest, params={"conversation_id": "default"})).status_code == 200
        answer = await client.get(path + rest, params={"conversation_id": "conv-1"})
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("INVALID_ARGUMENT: conversation_id: not available yet")


async def test_a_picture_counts_whatever_its_size(bench: Bench) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    agent = await bench.agent()
    [message_0] = await bench.history(agent)
    seen = message_0.model_copy(update={"content": [{"type": "text", "text": "look"}, image]})
    assert estimate_message(seen) == 1 + IMAGE_TOKENS
