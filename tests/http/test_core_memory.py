"""An agent's blocks over HTTP: by label, and attaching and detaching."""

from typing import Any

import httpx
import pytest

from tests.http.conftest import Make


@pytest.fixture
async def agent(make_agent: Make) -> dict[str, Any]:
    return await make_agent(
        memory_blocks=[{"label": label, "value": label} for label in ("persona", "team/plans", "attach/x")]
    )


def path(agent: dict[str, Any], rest: str = "") -> str:
    return f"/v1/agents/{agent['id']}/core-memory{rest}"


async def test_memory_holds_the_blocks(client: httpx.AsyncClient, agent: dict[str, Any]) -> None:
    memory = (await client.get(path(agent))).json()
    assert memory["agent_type"] == "letta_v1_agent"
    assert {block["label"] for block in memory["blocks"]} == {"persona", "team/plans", "attach/x"}


async def test_blocks_are_listed_by_id_in_pages_last_first(
    client: httpx.AsyncClient, agent: dict[str, Any]
) -> None:
    expected = sorted((block["id"] for block in agent["blocks"]), reverse=True)
    listed = (await client.get(path(agent, "/blocks"))).json()
    assert [block["id"] for block in listed] == expected
    rest = (await client.get(path(agent, "/blocks"), params={"after": expected[0], "limit": 1})).json()
    assert [block["id"] for block in rest] == expected[1:2]
    assert (await client.get(path(agent, "/blocks"), params={"after": expected[-1]})).json() == []
    ascending = (await client.get(path(agent, "/blocks"), params={"order": "asc"})).json()
    assert [block["id"] for block in ascending] == expected[::-1]


async def test_an_agent_without_blocks_has_an_empty_list(client: httpx.AsyncClient, make_agent: Make) -> None:
    answer = await client.get(path(await make_agent(), "/blocks"))
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize(
    ("spelled", "label"),
    [
        ("persona", "persona"),
        ("team/plans", "team/plans"),
        ("team%2Fplans", "team/plans"),
        ("attach%2Fx", "attach/x"),
    ],
)
async def test_a_block_is_found_by_its_label(
    client: httpx.AsyncClient, agent: dict[str, Any], spelled: str, label: str
) -> None:
    answer = await client.get(path(agent, f"/blocks/{spelled}"))
    assert (answer.status_code, answer.json()["label"], answer.headers["etag"]) == (200, label, '"1"')
    changed = await client.patch(path(agent, f"/blocks/{spelled}"), json={"value": "new"})
    assert (changed.json()["value"], changed.json()["version"]) == ("new", 2)
    edited = await client.post(
        path(agent, f"/blocks/{spelled}/edits"), json={"operation": "append", "text": "er"}
    )
    assert (edited.json()["value"], edited.json()["edit"]["changed"]) == ("newer", True)


async def test_a_label_that_is_not_attached_is_404(client: httpx.AsyncClient, agent: dict[str, Any]) -> None:
    answer = await client.get(path(agent, "/blocks/nothing"))
    assert answer.status_code == 404
    assert "'nothing' is not attached" in answer.json()["detail"]


async def test_a_change_by_label_may_name_its_version(
    client: httpx.AsyncClient, agent: dict[str, Any]
) -> None:
    persona = path(agent, "/blocks/persona")
    await client.patch(persona, json={"value": "new"})
    assert (await client.patch(persona, json={"value": "x", "expected_version": 1})).status_code == 409
    stale = await client.patch(persona, json={"value": "x"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert (await client.get(persona)).json()["value"] == "new"


async def test_a_shared_block_changes_for_everybody_at_once(
    client: httpx.AsyncClient, make_block: Make, make_agent: Make
) -> None:
    block = await make_block("shared", "x")
    ann, bob = [await make_agent(block_ids=[block["id"]]) for _ in range(2)]
    await client.post(path(ann, "/blocks/shared/edits"), json={"operation": "append", "text": "y"})
    assert (await client.get(path(bob, "/blocks/shared"))).json()["value"] == "xy"


async def test_attaching_and_detaching_answer_with_the_whole_agent(
    client: httpx.AsyncClient, agent: dict[str, Any], make_block: Make
) -> None:
    block = await make_block("shared")
    for _ in range(2):
        attached = await client.patch(path(agent, f"/blocks/attach/{block['id']}"))
        assert attached.status_code == 200
        assert sorted(one["label"] for one in attached.json()["blocks"])[2] == "shared"
        assert attached.json()["tools"]
    detached = await client.patch(path(agent, f"/blocks/detach/{block['id']}"))
    assert "shared" not in {one["label"] for one in detached.json()["blocks"]}
    assert (await client.patch(path(agent, f"/blocks/detach/{block['id']}"))).status_code == 404
    assert (await client.get(f"/v1/blocks/{block['id']}")).status_code == 200


async def test_a_second_block_with_a_label_of_the_agent_is_409(
    client: httpx.AsyncClient, agent: dict[str, Any], make_block: Make
) -> None:
    other = await make_block("persona")
    answer = await client.patch(path(agent, f"/blocks/attach/{other['id']}"))
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("CONFLICT: label: ")
    assert answer.headers["x-should-retry"] == "false"
