"""The list of runs over HTTP."""

import httpx
import pytest

from tests.http.conftest import Make


async def _send(client: httpx.AsyncClient, agent_id: str) -> str:
    body = {"messages": [{"role": "user", "content": "Go on."}]}
    answer = await client.post(f"/v1/agents/{agent_id}/messages/async", json=body)
    run_id: str = answer.json()["id"]
    return run_id


async def _listed(client: httpx.AsyncClient, **query: str | int) -> list[str]:
    answer = await client.get("/v1/runs/", params=query)
    assert answer.status_code == 200, answer.text
    return [run["id"] for run in answer.json()]


async def test_runs_are_listed_newest_first_of_all_agents_or_of_one(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    one, other = (await make_agent())["id"], (await make_agent())["id"]
    first, second, third = await _send(client, one), await _send(client, other), await _send(client, one)
    assert await _listed(client) == [third, second, first]
    assert await _listed(client, order="asc") == [first, second, third]
    assert await _listed(client, agent_id=one) == [third, first]
    assert await _listed(client, agent_id=one, limit=1) == [third]
    assert await _listed(client, after=second) == [first]
    assert await _listed(client, before=second) == [third]
    run = (await client.get("/v1/runs/", params={"limit": 1})).json()[0]
    assert run == (await client.get(f"/v1/runs/{third}")).json()


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_list_of_runs_has_a_bound(client: httpx.AsyncClient, limit: int) -> None:
    assert (await client.get("/v1/runs/", params={"limit": limit})).status_code == 422
