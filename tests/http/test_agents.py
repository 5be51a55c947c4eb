"""Agents over HTTP."""

import httpx

from tests.http.conftest import MODERN, Make

UNKNOWN = "agent-123e4567-e89b-42d3-8456-426614174000"


async def test_the_seed_sample_runs(client: httpx.AsyncClient, make_block: Make, make_agent: Make) -> None:
    block = await make_block("organization", "We ship.", description="d")
    agents = [
        await make_agent(
            model="anthropic/claude-3-5-sonnet-20241022",
            embedding="openai/text-embedding-3-small",
            memory_blocks=[{"label": "persona", "value": f"I am a {role}"}],
            block_ids=[block["id"]],
        )
        for role in ("supervisor", "worker")
    ]
    assert agents[0]["model"] == "anthropic/claude-3-5-sonnet-20241022"
    assert agents[0]["llm_config"]["handle"] == "anthropic/claude-3-5-sonnet-20241022"
    assert agents[0]["embedding_config"]["embedding_dim"] == 1536
    for agent in agents:
        assert {one["label"] for one in agent["blocks"]} == {"organization", "persona"}
        assert agent["memory"]["blocks"] == agent["blocks"]
        assert agent["tools"]


async def test_a_modern_reader_sees_no_relationships_unless_it_asks(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    made = await make_agent(memory_blocks=[{"label": "persona", "value": "x"}], tags=["t"])
    path = f"/v1/agents/{made['id']}"
    bare = (await client.get(path, headers=MODERN)).json()
    assert bare["blocks"] == bare["tools"] == bare["tags"] == bare["memory"]["blocks"] == []
    asked = (
        await client.get(path, params={"include": ["agent.blocks", "agent.tags"]}, headers=MODERN)
    ).json()
    assert (asked["blocks"], asked["tags"], asked["tools"]) == (made["blocks"], ["t"], [])
    legacy = (await client.get(path)).json()
    assert legacy == made
    some = (await client.get(path, params={"include_relationships": "tags"})).json()
    assert (some["blocks"], some["tags"]) == ([], ["t"])


async def test_models_that_do_not_exist_are_refused_in_v1s_ways(client: httpx.AsyncClient) -> None:
    for body, status, opening in (
        ({"model": "anthropic/gpt-9"}, 404, "NOT_FOUND: model: "),
        ({"model": "no-slash"}, 400, "INVALID_ARGUMENT: model: "),
        ({}, 400, "INVALID_ARGUMENT: model: "),
        (
            {"model": "offline/extractive", "embedding": "openai/nothing"},
            400,
            "INVALID_ARGUMENT: embedding: ",
        ),
        ({"model": "offline/extractive", "tools": ["wings"]}, 400, "INVALID_ARGUMENT: tools: "),
        (
            {"model": "offline/extractive", "agent_type": "split_thread_agent"},
            400,
            "INVALID_ARGUMENT: agent_type: ",
        ),
    ):
        answer = await client.post("/v1/agents/", json=body)
        assert answer.status_code == status, answer.text
        assert answer.json()["detail"].startswith(opening)


async def test_an_update_answers_with_the_whole_agent(client: httpx.AsyncClient, make_agent: Make) -> None:
    made = await make_agent(memory_blocks=[{"label": "persona", "value": "x"}])
    changed = await client.patch(
        f"/v1/agents/{made['id']}", json={"name": "ann", "tags": ["t"]}, headers=MODERN
    )
    agent = changed.json()
    assert (agent["name"], agent["tags"], agent["blocks"]) == ("ann", ["t"], made["blocks"])


async def test_agents_are_listed_newest_first_and_counted(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    ids = [(await make_agent(tags=["t"] if n else []))["id"] for n in range(3)]
    listed = (await client.get("/v1/agents/")).json()
    assert [agent["id"] for agent in listed] == ids[::-1]
    assert listed[0]["tools"]
    assert (await client.get("/v1/agents/", headers=MODERN)).json()[0]["tools"] == []
    page = (await client.get("/v1/agents/", params={"limit": 1, "after": ids[1]})).json()
    assert [agent["id"] for agent in page] == ids[:1]
    assert (await client.get("/v1/agents/", params={"limit": 1, "after": ids[0]})).json() == []
    assert (await client.get("/v1/agents/count", params={"tags": "t"})).text == "2"


async def test_a_deleted_agent_is_gone_and_its_blocks_stay(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    made = await make_agent(memory_blocks=[{"label": "persona", "value": "x"}])
    path = f"/v1/agents/{made['id']}"
    deleted = await client.delete(path)
    assert deleted.json() == {"message": f"Agent id={made['id']} successfully deleted"}
    assert (await client.delete(path)).status_code == 404
    assert (await client.get(f"/v1/blocks/{made['blocks'][0]['id']}")).status_code == 200


async def test_recompile_shows_the_prompt_with_the_blocks_as_they_are(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    made = await make_agent(memory_blocks=[{"label": "persona", "value": "old text"}])
    await client.patch(f"/v1/blocks/{made['blocks'][0]['id']}", json={"value": "new text"})
    for spelling in ("recompile", "system-prompt/recompile"):
        prompt = (await client.post(f"/v1/agents/{made['id']}/{spelling}")).json()
        assert "new text" in prompt
        assert "old text" not in prompt


async def test_an_unknown_agent_is_404_on_every_route(client: httpx.AsyncClient, make_block: Make) -> None:
    path = f"/v1/agents/{UNKNOWN}"
    block = await make_block()
    send = {"messages": [{"role": "user", "content": "hi"}]}
    answers = [
        await client.get(path),
        await client.patch(path, json={"name": "x"}),
        await client.delete(path),
        await client.post(f"{path}/recompile"),
        await client.get(f"{path}/core-memory"),
        await client.get(f"{path}/core-memory/blocks"),
        await client.get(f"{path}/core-memory/blocks/persona"),
        await client.patch(f"{path}/core-memory/blocks/persona", json={"value": "x"}),
        await client.patch(f"{path}/core-memory/blocks/attach/{block['id']}"),
        await client.patch(f"{path}/core-memory/blocks/detach/{block['id']}"),
        await client.post(f"{path}/core-memory/blocks/persona/edits", json={"operation": "set", "text": "x"}),
        await client.get(f"{path}/tools"),
        await client.get(f"{path}/messages"),
        await client.post(f"{path}/messages", json=send),
        await client.post(f"{path}/messages/async", json=send),
        await client.get(f"{path}/subscriptions"),
        await client.post(f"{path}/subscriptions", json={"label": "x"}),
        await client.delete(f"{path}/subscriptions/subscription-1"),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)


async def test_an_odd_name_is_422(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/agents/", json={"model": "offline/extractive", "name": "a/b"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("body.name: ")
