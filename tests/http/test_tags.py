"""Tags over HTTP: those of blocks and agents, by name, for as long as anything carries them."""

from typing import Any

import httpx
import pytest

from service.records import base
from service.store import tags as store_tags
from tests.http.conftest import Make


async def listed(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get("/v1/tags/", params=query)
    assert answer.status_code == 200, answer.text
    tags: list[str] = answer.json()
    return tags


async def test_tags_of_blocks_and_agents_are_listed_once_by_name(
    client: httpx.AsyncClient, make_block: Make, make_agent: Make
) -> None:
    await make_block(tags=["b", "ñ", "B"])
    await make_agent(tags=["a", "b", "c:d"], memory_blocks=[{"label": "x", "tags": ["own"]}])
    assert await listed(client) == ["B", "a", "b", "c:d", "own", "ñ"]
    assert await listed(client, order="desc", limit=2) == ["ñ", "own"]
    assert await listed(client, after="a", limit=2) == ["b", "c:d"]
    assert await listed(client, after="aaa", limit=1) == ["b"]
    assert await listed(client, before="c:d", limit=1) == ["b"]
    assert await listed(client, before="b", order="desc", limit=1) == ["c:d"]
    assert await listed(client, after="ñ") == []


async def test_tags_are_found_by_name_or_a_part_of_it(client: httpx.AsyncClient, make_block: Make) -> None:
    await make_block(tags=["Team-A", "team-b", "other"])
    assert await listed(client, query_text="TEAM") == ["Team-A", "team-b"]
    assert await listed(client, query_text="team", limit=1, after="Team-A") == ["team-b"]
    assert await listed(client, name="other") == ["other"]
    assert await listed(client, name="Other") == []
    assert await listed(client, name="other", query_text="team") == []
    assert await listed(client, name="other", after="other") == []
    assert await listed(client, name="other", after="a") == ["other"]
    assert await listed(client, name="other", after="a", order="desc") == []


async def test_a_tag_goes_with_its_last_use(
    client: httpx.AsyncClient, make_block: Make, make_agent: Make
) -> None:
    block, hidden = await make_block(tags=["t", "u"]), await make_block(tags=["h"], hidden=True)
    agent = await make_agent(tags=["t"])
    await client.patch(f"/v1/blocks/{block['id']}", json={"tags": ["v"]})
    assert await listed(client) == ["h", "t", "v"]
    await client.patch(f"/v1/agents/{agent['id']}", json={"tags": []})
    assert await listed(client) == ["h", "v"]
    await client.patch(f"/v1/blocks/{hidden['id']}", json={"hidden": False})
    assert await listed(client) == ["h", "v"]
    await client.patch(f"/v1/agents/{agent['id']}", json={"tags": ["w"]})
    await client.delete(f"/v1/agents/{agent['id']}")
    await client.delete(f"/v1/blocks/{block['id']}")
    assert await listed(client) == ["h"]


async def test_a_search_looks_at_a_bounded_number_of_names(
    client: httpx.AsyncClient, make_block: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert base.IDS_AT_MOST == 200_000
    monkeypatch.setattr(store_tags, "IDS_CHUNK", 10)
    monkeypatch.setattr(store_tags, "IDS_AT_MOST", 20)
    await make_block(tags=[f"t{number:02}" for number in range(45)])
    assert await listed(client, query_text="t0") == [f"t0{number}" for number in range(10)]
    refused = await client.get("/v1/tags/", params={"query_text": "t3"})
    assert refused.status_code == 400
    assert "after=t19" in refused.json()["detail"]
    assert await listed(client, query_text="t3", after="t19") == [f"t3{number}" for number in range(10)]
    assert await listed(client, query_text="t3", before="t40") == [f"t3{number}" for number in range(10)]
    assert await listed(client, query_text="t0", before="t05", limit=2) == ["t03", "t04"]
    back = await client.get("/v1/tags/", params={"query_text": "t0", "before": "t40"})
    assert "before=t20" in back.json()["detail"]
