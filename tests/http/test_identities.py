"""Identities over HTTP: kept, put on agents and blocks, found by; and gone without a trace."""

from typing import Any

import httpx
import pytest

from tests.http.conftest import MODERN, Make

UNKNOWN = "identity-123e4567-e89b-42d3-8456-426614174000"
ADA = {
    "identifier_key": "ada",
    "name": "Ada",
    "identity_type": "user",
    "project_id": "p",
    "properties": [
        {"key": "plan", "value": "free", "type": "string"},
        {"key": "seats", "value": 3, "type": "number"},
        {"key": "more", "value": {"a": [1]}, "type": "json"},
        {"key": "on", "value": True, "type": "boolean"},
    ],
}


async def made(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    body = {"identifier_key": "k", "name": "n", "identity_type": "user", **fields}
    answer = await client.post("/v1/identities/", json=body)
    assert answer.status_code == 200, answer.text
    identity: dict[str, Any] = answer.json()
    return identity


async def ids(client: httpx.AsyncClient, path: str, **query: Any) -> list[str]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()]


async def test_an_identity_is_created_with_whom_it_is_on_and_read_back(
    client: httpx.AsyncClient, make_agent: Make, make_block: Make
) -> None:
    agent, block = await make_agent(hidden=True), await make_block(is_template=True)
    identity = await made(client, **ADA, agent_ids=[agent["id"]], block_ids=[block["id"]])
    kept = {**ADA, "agent_ids": [agent["id"]], "block_ids": [block["id"]], "organization_id": None}
    assert identity == kept | {"id": identity["id"]}
    assert (await client.get(f"/v1/identities/{identity['id']}")).json() == identity
    shown = (await client.get(f"/v1/agents/{agent['id']}")).json()
    assert (shown["identity_ids"], shown["identities"]) == ([identity["id"]], [identity])


async def test_an_identity_with_somebody_unknown_is_not_made(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    agent = await make_agent()
    someone = "123e4567-e89b-42d3-8456-426614174000"
    for field, kind in (("agent_ids", "agent"), ("block_ids", "block")):
        body = {"identifier_key": "k", "name": "n", "identity_type": "user", field: [f"{kind}-{someone}"]}
        answer = await client.post("/v1/identities/", json={"agent_ids": [agent["id"]]} | body)
        assert answer.status_code == 404
        assert f"{kind} {kind}-{someone}" in answer.json()["detail"]
    assert (await client.get("/v1/identities/count")).json() == 0


async def test_a_key_is_given_once_in_a_project(client: httpx.AsyncClient) -> None:
    first = await made(client)
    await made(client, project_id="p")
    again = await client.post("/v1/identities/", json=ADA | {"identifier_key": "k", "project_id": "p"})
    assert (again.status_code, again.headers["x-should-retry"]) == (409, "false")
    assert again.json()["detail"].startswith("CONFLICT: identifier_key: ")
    other = await made(client, identifier_key="l")
    moved = await client.patch(f"/v1/identities/{other['id']}", json={"identifier_key": "k"})
    assert (moved.status_code, first["id"] in moved.json()["detail"]) == (409, True)


async def test_an_upsert_makes_or_replaces(
    client: httpx.AsyncClient, make_agent: Make, make_block: Make
) -> None:
    one, other = (await make_agent())["id"], (await make_agent())["id"]
    block = (await make_block())["id"]
    first = (
        await client.put("/v1/identities/", json=ADA | {"agent_ids": [one], "block_ids": [block]})
    ).json()
    new = {"name": "Ada L.", "agent_ids": [other], "properties": ADA["properties"][:1]}
    after = (await client.put("/v1/identities/", json=ADA | new)).json()
    assert after == first | new
    assert after["block_ids"] == [block]
    bare = (await client.put("/v1/identities/", json=ADA | {"agent_ids": []})).json()
    assert bare["agent_ids"] == []


async def test_a_change_puts_properties_in_by_key_and_adds_agents(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    one, other = (await make_agent())["id"], (await make_agent())["id"]
    identity = await made(client, **ADA, agent_ids=[one])
    path = f"/v1/identities/{identity['id']}"
    plan = {"key": "plan", "value": "paid", "type": "string"}
    changed = (
        await client.patch(path, json={"name": "x", "agent_ids": [other], "properties": [plan]})
    ).json()
    assert (changed["name"], changed["agent_ids"], len(changed["properties"])) == ("x", [one, other], 4)
    assert changed["properties"][0] == plan
    new = {"key": "new", "value": 1.5, "type": "number"}
    put = await client.put(f"{path}/properties", json=[new])
    assert (put.status_code, put.json()) == (200, None)
    assert (await client.get(path)).json()["properties"][-1] == new
    wrong = await client.put(f"{path}/properties", json=[{"key": "x"}])
    assert wrong.status_code == 422


async def test_identities_are_found_by_what_they_are(client: httpx.AsyncClient) -> None:
    user = (await made(client, **ADA))["id"]
    org = (await made(client, identifier_key="o", name="Org", identity_type="org"))["id"]
    path = "/v1/identities/"
    assert await ids(client, path) == [org, user]
    assert await ids(client, path, order="asc", limit=1, after=user) == [org]
    for query, found in (
        ({"name": "Ada"}, [user]),
        ({"identifier_key": "o"}, [org]),
        ({"identity_type": "org"}, [org]),
        ({"project_id": "p"}, [user]),
        ({"project_id": "p", "identity_type": "org"}, []),
    ):
        assert await ids(client, path, **query) == found
        assert (await client.get("/v1/identities/count", params=query)).json() == len(found)
    assert (await client.get(path, params={"identity_type": "cat"})).status_code == 422


async def test_agents_and_blocks_are_found_by_an_identity_or_its_key(
    client: httpx.AsyncClient, make_agent: Make, make_block: Make
) -> None:
    identity, other = await made(client, **ADA), await made(client, identifier_key="o")
    agent, block = await make_agent(identity_ids=[identity["id"]] * 2), await make_block()
    await make_agent()
    attached = await client.patch(f"/v1/blocks/{block['id']}/identities/attach/{identity['id']}")
    assert attached.json() == block
    for path, row in (("/v1/agents/", agent), ("/v1/blocks/", block)):
        assert await ids(client, path, identity_id=identity["id"]) == [row["id"]]
        assert await ids(client, path, identifier_keys=["ada", "o"]) == [row["id"]]
        assert await ids(client, path, identifier_keys=["nobody"]) == []
        assert await ids(client, path, identity_id=other["id"]) == []
    assert (await client.get("/v1/agents/count", params={"identity_id": identity["id"]})).json() == 1
    assert await ids(client, f"/v1/identities/{identity['id']}/agents") == [agent["id"]]
    assert await ids(client, f"/v1/identities/{identity['id']}/blocks") == [block["id"]]
    assert agent["identities"][0]["id"] == identity["id"]


async def test_an_identity_is_put_on_and_taken_off(
    client: httpx.AsyncClient, make_agent: Make, make_block: Make
) -> None:
    identity = (await made(client))["id"]
    agent, block = (await make_agent(tags=["t"]))["id"], (await make_block())["id"]
    for verb, count in (("attach", 1), ("attach", 1), ("detach", 0), ("detach", 0)):
        on_agent = await client.patch(f"/v1/agents/{agent}/identities/{verb}/{identity}", headers=MODERN)
        on_block = await client.patch(f"/v1/blocks/{block}/identities/{verb}/{identity}")
        assert (on_agent.status_code, on_agent.json()) == (200, None)
        assert (on_block.json()["id"], on_block.json()["version"]) == (block, 1)
        shown = (await client.get(f"/v1/identities/{identity}")).json()
        assert (shown["agent_ids"], shown["block_ids"]) == ([agent] * count, [block] * count)
        query = {"include": "agent.identities"}
        state = (await client.get(f"/v1/agents/{agent}", params=query, headers=MODERN)).json()
        assert (len(state["identities"]), state["tags"]) == (count, [])


async def test_an_agents_identities_are_replaced_as_a_set_or_not_at_all(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    one, other = (await made(client))["id"], (await made(client, identifier_key="l"))["id"]
    agent = (await make_agent(identity_ids=[one]))["id"]
    path = f"/v1/agents/{agent}"
    assert (await client.patch(path, json={"identity_ids": [other]})).json()["identity_ids"] == [other]
    assert (await client.patch(path, json={"name": "x"})).json()["identity_ids"] == [other]
    refused = await client.patch(path, json={"identity_ids": [UNKNOWN], "name": "y"})
    assert (refused.status_code, UNKNOWN in refused.json()["detail"]) == (404, True)
    assert (await client.get(path)).json()["name"] == "x"
    body = {"model": "offline/extractive", "identity_ids": [UNKNOWN]}
    assert (await client.post("/v1/agents/", json=body)).status_code == 404


async def test_a_deleted_identity_is_on_nothing(
    client: httpx.AsyncClient, make_agent: Make, make_block: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.identities.AT_A_TIME", 2)
    agents = [(await make_agent())["id"] for _ in range(5)]
    block = (await make_block())["id"]
    identity = (await made(client, agent_ids=agents, block_ids=[block]))["id"]
    deleted = await client.delete(f"/v1/identities/{identity}")
    assert (deleted.status_code, deleted.json()) == (200, None)
    for agent in agents:
        assert (await client.get(f"/v1/agents/{agent}")).json()["identity_ids"] == []
    assert await ids(client, "/v1/blocks/", identity_id=identity) == []
    assert (await client.delete(f"/v1/identities/{identity}")).status_code == 404
    assert (await client.get("/v1/identities/count")).json() == 0


async def test_an_unknown_identity_is_404_on_every_route(
    client: httpx.AsyncClient, make_agent: Make, make_block: Make
) -> None:
    path, agent, block = f"/v1/identities/{UNKNOWN}", await make_agent(), await make_block()
    someone = agent["id"][:-1] + ("0" if agent["id"][-1] != "0" else "1")
    identity = (await made(client))["id"]
    answers = [
        await client.get(path),
        await client.patch(path, json={"name": "x"}),
        await client.put(f"{path}/properties", json=[]),
        await client.delete(path),
        await client.get(f"{path}/agents"),
        await client.get(f"{path}/blocks"),
        await client.get("/v1/identities/nonsense"),
        await client.patch(f"/v1/agents/{agent['id']}/identities/attach/{UNKNOWN}"),
        await client.patch(f"/v1/agents/{someone}/identities/attach/{identity}"),
        await client.patch(f"/v1/blocks/{block['id']}/identities/detach/{UNKNOWN}"),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)
