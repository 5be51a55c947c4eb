"""Budgets over HTTP: set on an agent, shown with it, and told to whoever is refused."""

from typing import Any

import anyio
import httpx
import pytest

from service.records.runs import RunError
from tests.http.conftest import Make, Worker

pytestmark = pytest.mark.anyio


async def test_a_budget_is_shown_changed_and_taken_away(client: httpx.AsyncClient, make_agent: Make) -> None:
    made = await make_agent(budget={"steps_per_hour": 10})
    assert made["budget"] == {"tokens_per_hour": None, "steps_per_hour": 10}
    path = f"/v1/agents/{made['id']}"
    changed = await client.patch(path, json={"budget": {"tokens_per_hour": 5}})
    assert changed.json()["budget"] == {"tokens_per_hour": 5, "steps_per_hour": None}
    assert (await client.patch(path, json={"description": "x"})).json()["budget"] is not None
    assert (await client.patch(path, json={"budget": {}})).json()["budget"] is None
    assert (await client.get(path)).json()["budget"] is None


@pytest.mark.parametrize(
    "budget", [{"steps_per_hour": 0}, {"tokens_per_hour": -1}, {"steps_per_hour": "x"}, 5]
)
async def test_a_budget_that_cannot_be_one_is_refused(client: httpx.AsyncClient, budget: Any) -> None:
    answer = await client.post("/v1/agents/", json={"model": "offline/extractive", "budget": budget})
    assert answer.status_code == 422
    assert "budget" in answer.json()["detail"]


async def test_a_sender_who_waits_is_told_402_and_not_to_repeat(
    client: httpx.AsyncClient, make_agent: Make, worker: Worker
) -> None:
    agent = (await make_agent(budget={"steps_per_hour": 1}))["id"]
    error = RunError(type="llm_insufficient_credits", message="the budget is used up")
    sent = {"messages": [{"role": "user", "content": "Hello."}]}
    async with anyio.create_task_group() as group:
        group.start_soon(worker.answer, agent, [], "insufficient_credits", error)
        answer = await client.post(f"/v1/agents/{agent}/messages", json=sent)
    assert answer.status_code == 402
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["message"] == "the budget is used up"
