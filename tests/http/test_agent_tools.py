"""An agent's tools over HTTP, for both generations of SDKs."""

import asyncio
from typing import Any

import httpx
import pytest

from service import tool_runs
from service.bootstrap import Service
from service.records.tools import ToolOutcome, ToolRequest
from service.tools.built_in import BUILT_IN, by_name
from tests.http.conftest import MODERN, WS, Make
from tests.http.test_tools import UNKNOWN, make_tool

OLD = {"user-agent": "letta-client/0.1.324"}


async def bare(make_agent: Make, **fields: Any) -> dict[str, Any]:
    return await make_agent(include_base_tools=False, include_base_tool_rules=False, **fields)


async def test_an_agents_tools_are_listed_ten_at_a_time(client: httpx.AsyncClient, make_agent: Make) -> None:
    agent = await make_agent(tools=sorted(BUILT_IN)[:12])
    path = f"/v1/agents/{agent['id']}/tools"
    some = (await client.get(path)).json()
    assert len(some) == 10
    every = (await client.get(path, params={"limit": 0})).json()
    assert {tool["name"] for tool in every} == {tool["name"] for tool in agent["tools"]}
    rest = (await client.get(path, params={"after": some[-1]["id"]})).json()
    assert some + rest == every


async def test_an_agent_is_made_with_own_tools(client: httpx.AsyncClient, make_agent: Make) -> None:
    tool, other = await make_tool(client, "roll"), await make_tool(client, "throw")
    agent = await bare(make_agent, tools=["roll"], tool_ids=[other["id"]])
    assert [one["id"] for one in agent["tools"]] == [tool["id"], other["id"]]
    changed = await client.patch(f"/v1/agents/{agent['id']}", json={"tool_ids": [tool["id"]]})
    assert [one["name"] for one in changed.json()["tools"]] == ["roll"]
    new = {"model": "offline/extractive"}
    unknown_name = await client.post("/v1/agents/", json=new | {"tools": ["fly"]})
    unknown_id = await client.post("/v1/agents/", json=new | {"tool_ids": [UNKNOWN]})
    assert (unknown_name.status_code, unknown_id.status_code) == (400, 404)


async def test_a_deleted_tool_is_gone_from_the_agents_answer(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    tool = await make_tool(client, "roll")
    agent = await bare(make_agent, tools=["roll"])
    assert (await client.delete(f"/v1/tools/{tool['id']}")).json() is None
    path = f"/v1/agents/{agent['id']}"
    assert (await client.get(path)).json()["tools"] == []
    assert (await client.get(f"{path}/tools")).json() == []


@pytest.mark.parametrize("headers", [MODERN, OLD])
async def test_tools_are_attached_and_detached_as_each_generation_knows_it(
    client: httpx.AsyncClient, make_agent: Make, headers: dict[str, str]
) -> None:
    tool, agent = await make_tool(client, "roll"), await bare(make_agent)
    path = f"/v1/agents/{agent['id']}/tools"
    for verb, held in (("attach", ["roll"]), ("attach", ["roll"]), ("detach", []), ("detach", [])):
        answer = await client.patch(f"{path}/{verb}/{tool['id']}", headers=headers)
        assert answer.status_code == 200
        shown = answer.json()
        if headers is MODERN:
            assert shown is None
        else:
            assert [one["name"] for one in shown["tools"]] == held
        assert [one["name"] for one in (await client.get(path)).json()] == held
        assert (await client.patch(f"{path}/{verb}/{UNKNOWN}")).status_code == 404
        assert (await client.patch(f"{path}/{verb}/hammer")).status_code == 422


async def test_approval_is_set_in_the_body_or_in_the_query(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    await make_tool(client, "roll")
    agent = await bare(make_agent, tools=["roll"])
    path = f"/v1/agents/{agent['id']}/tools/approval/roll"
    rule = {"type": "requires_approval", "tool_name": "roll", "prompt_template": None}
    answer = await client.patch(path, json={"requires_approval": True}, headers=MODERN)
    assert (answer.status_code, answer.json()) == (200, None)
    assert (await client.get(f"/v1/agents/{agent['id']}")).json()["tool_rules"] == [rule]
    answer = await client.patch(path, params={"requires_approval": "false"}, headers=OLD)
    assert answer.json()["tool_rules"] is None
    answer = await client.patch(path, json={"body_requires_approval": True}, headers=MODERN)
    assert (answer.status_code, answer.json()) == (200, None)
    assert (await client.get(f"/v1/agents/{agent['id']}")).json()["tool_rules"] == [rule]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"requires_approval": None}, 422),
        ({"requires_approval": True, "more": 1}, 422),
        ({"requires_approval": True, "body_requires_approval": False}, 422),
    ],
)
async def test_approval_must_be_said_and_nothing_else(
    client: httpx.AsyncClient, make_agent: Make, body: dict[str, Any], status: int
) -> None:
    agent = await make_agent()
    path = f"/v1/agents/{agent['id']}/tools/approval/memory_insert"
    answer = await client.patch(path, json=body)
    assert answer.status_code == status
    assert (await client.patch(path)).status_code == 422


async def test_approval_of_a_tool_that_is_not_attached_is_404(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    agent = await make_agent()
    path = f"/v1/agents/{agent['id']}/tools/approval/archival_memory_insert"
    assert (await client.patch(path, json={"requires_approval": True})).status_code == 404


async def taken(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> "asyncio.Queue[tuple[ToolRequest, str]]":
    """What is asked of workers, with the pool, as it is asked."""
    asked: asyncio.Queue[tuple[ToolRequest, str]] = asyncio.Queue()
    real = service.tool_runs._queue.put_tool_run

    async def put(ws: str, id: str, pool: str) -> None:
        await real(ws, id, pool)
        request = await service.tool_runs.take(ws, id)
        assert request is not None
        asked.put_nowait((request, pool))

    monkeypatch.setattr(service.tool_runs._queue, "put_tool_run", put)
    return asked


@pytest.mark.parametrize(
    ("outcome", "func_return"),
    [
        (ToolOutcome(text="hi", stdout=["a"]), "hi"),
        (ToolOutcome(text='{"a": 1}', value={"a": 1}), {"a": 1}),
        (ToolOutcome(status="error", text="no", stderr=["no"]), None),
    ],
)
async def test_a_tool_of_an_agent_is_run_by_a_worker_of_its_pool(
    client: httpx.AsyncClient,
    make_agent: Make,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    outcome: ToolOutcome,
    func_return: Any,
) -> None:
    tool = await make_tool(client, "roll")
    agent = await bare(make_agent, tools=["roll"], secrets={"KEY": "v"}, pool="gpu")
    asked = await taken(service, monkeypatch)
    path = f"/v1/agents/{agent['id']}/tools/roll/run"
    answering = asyncio.create_task(client.post(path, json={"args": {"sides": 6}}))
    request, pool = await asked.get()
    await service.tool_runs.answer(WS, request.id, outcome)
    answer = await answering
    assert answer.status_code == 200
    assert answer.json() == {
        "status": outcome.status,
        "func_return": func_return,
        "agent_state": None,
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
        "sandbox_config_fingerprint": None,
    }
    assert (request.tool.id, request.arguments, request.agent_id) == (tool["id"], {"sides": 6}, agent["id"])
    assert (request.environ, pool) == ({"KEY": "v"}, "gpu")


async def test_what_is_not_attached_or_cannot_be_run_alone_is_refused(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    agent = await make_agent(tools=["archival_memory_insert"])
    path = f"/v1/agents/{agent['id']}/tools"
    assert (await client.post(f"{path}/fly/run", json={})).status_code == 404
    refused = await client.post(f"{path}/archival_memory_insert/run", json={})
    assert (refused.status_code, "agents only" in refused.json()["detail"]) == (400, True)
    assert by_name("archival_memory_insert").available is False


async def test_without_a_worker_the_answer_is_503_and_is_not_to_be_repeated(
    client: httpx.AsyncClient, make_agent: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_runs, "TAKEN_WITHIN_S", 0.05)
    agent = await make_agent()
    answer = await client.post(f"/v1/agents/{agent['id']}/tools/memory_insert/run", json={"args": {}})
    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
    assert "no worker" in answer.json()["detail"]


async def test_a_worker_that_does_not_answer_is_504(
    client: httpx.AsyncClient, make_agent: Make, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_runs, "TAKEN_WITHIN_S", 0.05)
    monkeypatch.setattr(tool_runs, "MARGIN_S", 0.05)
    monkeypatch.setattr(service.tool_runs, "_tool_s", 0.0)
    await taken(service, monkeypatch)
    agent = await make_agent()
    answer = await client.post(f"/v1/agents/{agent['id']}/tools/memory_insert/run", json={"args": {}})
    assert (answer.status_code, answer.headers["x-should-retry"]) == (504, "false")
