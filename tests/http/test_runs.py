"""Runs over HTTP: their list and its filters, cancelling, what they used, and forgetting them."""

from typing import Any

import httpx
import pytest

from service.bootstrap import Service
from tests.http.conftest import Make, Worker
from tests.store.team import taken

HI = [
    {
        "role": "assistant",
        "content": "Hi!",
        "tool_calls": [{"id": "c", "name": "memory_insert", "arguments": "{}"}],
    }
]


async def _send(client: httpx.AsyncClient, agent_id: str) -> str:
    body = {"messages": [{"role": "user", "content": "Go on."}]}
    answer = await client.post(f"/v1/agents/{agent_id}/messages/async", json=body)
    run_id: str = answer.json()["id"]
    return run_id


async def _ended(client: httpx.AsyncClient, worker: Worker, agent_id: str, *how: Any) -> str:
    run_id = await _send(client, agent_id)
    await worker.answer(agent_id, HI, *how)
    return run_id


async def _cancel(client: httpx.AsyncClient, agent_id: str, **body: Any) -> httpx.Response:
    return await client.post(f"/v1/agents/{agent_id}/messages/cancel", json=body)


async def _listed(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get("/v1/runs/", params=query)
    assert answer.status_code == 200, answer.text
    return [run["id"] for run in answer.json()]


async def _status(client: httpx.AsyncClient, run_id: str) -> str:
    return str((await client.get(f"/v1/runs/{run_id}")).json()["status"])


async def test_runs_are_listed_newest_first_of_all_agents_or_of_one(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    one, other = (await make_agent())["id"], (await make_agent())["id"]
    first, second, third = await _send(client, one), await _send(client, other), await _send(client, one)
    assert await _listed(client) == [third, second, first]
    assert await _listed(client, order="asc") == [first, second, third]
    assert await _listed(client, ascending=True) == [first, second, third]
    assert await _listed(client, ascending=True, order="desc") == [third, second, first]
    assert await _listed(client, agent_id=one) == [third, first]
    assert await _listed(client, agent_ids=other) == [second]
    assert await _listed(client, agent_ids=[one, other]) == [third, second, first]
    assert await _listed(client, agent_id=one, agent_ids=other) == []
    assert await _listed(client, agent_id=one, limit=1) == [third]
    assert await _listed(client, after=second) == [first]
    assert await _listed(client, before=second) == [third]
    run = (await client.get("/v1/runs/", params={"limit": 1})).json()[0]
    assert run == (await client.get(f"/v1/runs/{third}")).json()


async def test_runs_are_listed_by_what_has_become_of_them(
    client: httpx.AsyncClient, worker: Worker, make_agent: Make
) -> None:
    agent = (await make_agent())["id"]
    done = await _ended(client, worker, agent)
    cut = await _ended(client, worker, agent, "max_steps")
    open_run = await _send(client, agent)
    assert await _listed(client, statuses="completed") == [cut, done]
    assert await _listed(client, statuses=["created", "running"]) == [open_run]
    assert await _listed(client, statuses="completed", limit=1, after=cut) == [done]
    assert await _listed(client, active=True) == [open_run]
    assert await _listed(client, stop_reason="max_steps") == [cut]
    assert await _listed(client, background=True) == [open_run, cut, done]
    assert await _listed(client, background=False) == []
    assert await _listed(client, conversation_id="conv-1") == []
    active = await client.get("/v1/runs/active")
    assert [run["id"] for run in active.json()] == [open_run]


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"statuses": "gone"}])
async def test_a_list_of_runs_has_bounds(client: httpx.AsyncClient, query: dict[str, Any]) -> None:
    assert (await client.get("/v1/runs/", params=query)).status_code == 422


async def test_all_open_runs_of_an_agent_are_cancelled_and_no_others(
    client: httpx.AsyncClient, worker: Worker, make_agent: Make
) -> None:
    agent, other = (await make_agent())["id"], (await make_agent())["id"]
    done = await _ended(client, worker, agent)
    runs = [await _send(client, agent) for _ in range(2)]
    theirs = await _send(client, other)
    answer = await client.post(f"/v1/agents/{agent}/messages/cancel")
    assert (answer.status_code, answer.json()) == (200, dict.fromkeys(runs, "cancelled"))
    assert [await _status(client, run) for run in (*runs, done, theirs)] == [
        *("cancelled", "cancelled"),
        *("completed", "created"),
    ]


async def test_named_runs_are_cancelled_alone(client: httpx.AsyncClient, make_agent: Make) -> None:
    agent, other = (await make_agent())["id"], (await make_agent())["id"]
    first, second, theirs = await _send(client, agent), await _send(client, agent), await _send(client, other)
    answer = await _cancel(client, agent, run_ids=[second, theirs, "run-x", second])
    assert answer.json() == {second: "cancelled", theirs: "failed", "run-x": "failed"}
    assert [await _status(client, run) for run in (first, theirs)] == ["created", "created"]
    again = await _cancel(client, agent, run_ids=[second])
    assert (again.status_code, again.json()) == (200, {second: "failed"})
    assert (await _cancel(client, agent, run_ids=[])).json() == {first: "cancelled"}


async def test_a_misspelt_list_of_runs_cancels_nothing(client: httpx.AsyncClient, make_agent: Make) -> None:
    agent = (await make_agent())["id"]
    first, second = await _send(client, agent), await _send(client, agent)
    answer = await _cancel(client, agent, run_id=first)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "body.run_id: is not known here; there are run_ids"
    assert [await _status(client, run) for run in (first, second)] == ["created", "created"]


async def test_a_run_under_way_is_asked_to_stop(
    client: httpx.AsyncClient, service: Service, make_agent: Make
) -> None:
    agent = (await make_agent())["id"]
    run_id = await _send(client, agent)
    lease = await taken(service, agent, 1)
    assert lease is not None
    await service.leases.next_run(lease)
    assert (await _cancel(client, agent)).json() == {run_id: "cancelled"}
    again = await service.leases.next_run(lease)
    assert again is not None
    assert again.cancelled


async def test_nothing_to_cancel_is_a_conflict_that_is_not_repeated(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    answer = await _cancel(client, (await make_agent())["id"])
    assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")
    assert answer.json()["detail"].startswith("CONFLICT: ")
    unknown = await _cancel(client, "agent-123e4567-e89b-42d3-8456-426614174000")
    assert unknown.status_code == 404


async def test_usage_and_metrics_tell_what_a_run_cost(
    client: httpx.AsyncClient, worker: Worker, make_agent: Make
) -> None:
    agent = (await make_agent())["id"]
    run_id = await _ended(client, worker, agent)
    usage = (await client.get(f"/v1/runs/{run_id}/usage")).json()
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (12, 5, 17)
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 0}
    assert set(usage["prompt_tokens_details"]) == {
        "cached_tokens",
        "cache_read_tokens",
        "cache_creation_tokens",
    }
    metrics = (await client.get(f"/v1/runs/{run_id}/metrics")).json()
    assert (metrics["id"], metrics["agent_id"], metrics["num_steps"]) == (run_id, agent, 1)
    assert metrics["run_ns"] >= 0
    assert metrics["run_start_ns"] > 1e18
    waiting = (await client.get(f"/v1/runs/{await _send(client, agent)}/metrics")).json()
    assert (waiting["run_ns"], waiting["num_steps"], waiting["tools_used"]) == (None, 0, [])


async def test_the_steps_of_a_run_are_listed_also_when_its_agent_is_gone(
    client: httpx.AsyncClient, worker: Worker, make_agent: Make
) -> None:
    agent = (await make_agent())["id"]
    run_id = await _ended(client, worker, agent)
    (step,) = (await client.get(f"/v1/runs/{run_id}/steps")).json()
    assert (step["run_id"], step["agent_id"], step["context_window_limit"] is None) == (run_id, agent, False)
    assert (await client.get(f"/v1/runs/{run_id}/steps", params={"after": step["id"]})).json() == []
    await client.delete(f"/v1/agents/{agent}")
    (left,) = (await client.get(f"/v1/runs/{run_id}/steps")).json()
    assert (left["id"], left["context_window_limit"]) == (step["id"], None)


async def test_a_run_that_ended_can_be_forgotten_and_its_messages_stay(
    client: httpx.AsyncClient, worker: Worker, make_agent: Make
) -> None:
    agent = (await make_agent())["id"]
    run_id = await _ended(client, worker, agent)
    history = (await client.get(f"/v1/agents/{agent}/messages")).json()
    run = (await client.get(f"/v1/runs/{run_id}")).json()
    answer = await client.delete(f"/v1/runs/{run_id}")
    assert (answer.status_code, answer.json()) == (200, run)
    assert (await client.get(f"/v1/runs/{run_id}")).status_code == 404
    assert (await client.get(f"/v1/agents/{agent}/messages")).json() == history
    waiting = await _send(client, agent)
    refused = await client.delete(f"/v1/runs/{waiting}")
    assert (refused.status_code, "cancel it first" in refused.json()["detail"]) == (400, True)


@pytest.mark.parametrize("rest", ["/usage", "/metrics", "/steps", "/messages", ""])
async def test_what_belongs_to_an_unknown_run_is_404(client: httpx.AsyncClient, rest: str) -> None:
    assert (await client.get(f"/v1/runs/run-x{rest}")).status_code == 404


async def test_an_unknown_run_cannot_be_deleted(client: httpx.AsyncClient) -> None:
    assert (await client.delete("/v1/runs/run-x")).status_code == 404
