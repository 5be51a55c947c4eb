"""Tools over HTTP."""

import httpx

from service.tools import BUILT_IN
from tests.http.conftest import Make


async def test_built_in_tools_are_listed_and_read(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/tools/", params={"limit": 0})).json()
    assert {tool["name"] for tool in listed} == set(BUILT_IN)
    (one,) = (await client.get("/v1/tools/", params={"name": "memory_insert"})).json()
    assert one["json_schema"]["name"] == "memory_insert"
    assert (await client.get(f"/v1/tools/{one['id']}")).json() == one


async def test_tools_are_listed_in_pages(client: httpx.AsyncClient) -> None:
    seen: list[str] = []
    page = {"limit": "7"}
    while found := (await client.get("/v1/tools/", params=page)).json():
        seen += [tool["id"] for tool in found]
        page["after"] = seen[-1]
    assert len(seen) == len(set(seen)) == len(BUILT_IN)


async def test_a_tool_type_that_does_not_exist_is_400(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/tools/", params={"tool_types": "wings"})
    assert answer.status_code == 400


async def test_an_unknown_tool_is_404_and_a_malformed_id_422(client: httpx.AsyncClient) -> None:
    unknown = await client.get("/v1/tools/tool-123e4567-e89b-42d3-8456-426614174000")
    assert unknown.status_code == 404
    assert (await client.get("/v1/tools/hammer")).status_code == 422


async def test_an_agents_tools_are_listed_ten_at_a_time(client: httpx.AsyncClient, make_agent: Make) -> None:
    agent = await make_agent(tools=sorted(BUILT_IN)[:12])
    path = f"/v1/agents/{agent['id']}/tools"
    some = (await client.get(path)).json()
    assert len(some) == 10
    every = (await client.get(path, params={"limit": 0})).json()
    assert {tool["name"] for tool in every} == {tool["name"] for tool in agent["tools"]}
    rest = (await client.get(path, params={"after": some[-1]["id"]})).json()
    assert some + rest == every
