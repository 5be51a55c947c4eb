"""Steps over HTTP: their list and its filters, one with its metrics and messages, and feedback."""

from typing import Any

import httpx
import pytest

from service.bootstrap import Service
from service.records.runs import ModelReply, Step, Usage
from tests.http.conftest import Make, Worker
from tests.store.team import taken

HI = [{"role": "assistant", "content": "Hi!"}]


@pytest.fixture
async def agent(make_agent: Make) -> str:
    return str((await make_agent())["id"])


async def _step(client: httpx.AsyncClient, worker: Worker, agent_id: str) -> str:
    """The step of a run that was carried to its end."""
    run = (await client.post(f"/v1/agents/{agent_id}/messages/async", json={"input": "hello"})).json()
    await worker.answer(agent_id, HI)
    (step,) = (await client.get(f"/v1/runs/{run['id']}/steps")).json()
    return str(step["id"])


async def _listed(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get("/v1/steps/", params=query)
    assert answer.status_code == 200, answer.text
    return [step["id"] for step in answer.json()]


async def _feedback(client: httpx.AsyncClient, step_id: str, **body: Any) -> httpx.Response:
    return await client.patch(f"/v1/steps/{step_id}/feedback", json=body)


async def _answered(client: httpx.AsyncClient, service: Service, agent_id: str, done: bool = True) -> str:
    """A step with an answer and times, its run ended or not."""
    await client.post(f"/v1/agents/{agent_id}/messages/async", json={"input": "hello"})
    lease = await taken(service, agent_id, 1)
    assert lease is not None
    opened = await service.leases.next_run(lease)
    assert opened is not None
    usage = Usage(prompt_tokens=3, completion_tokens=2)
    reply = ModelReply(text="Hi.", usage=usage, model="m-1")
    made = {"id": "step-1", "run_id": opened.run.id, "agent_id": agent_id, "index": 0, "created_at": 0}
    step = Step.model_validate({**made, "reply": reply, "model_handle": "p/m-1", "model_ns": 7})
    await service.leases.store_answer(lease, step)
    if done:
        step = step.model_copy(update={"tools_ns": 5, "status": "success", "stop_reason": "end_turn"})
        await service.leases.store_step(
            lease, opened.run, step, [], usage=usage, context_tokens=5, seen={}, stop_reason="end_turn"
        )
    return step.id


async def test_steps_are_listed_newest_first_of_all_agents_or_of_one(
    client: httpx.AsyncClient, worker: Worker, agent: str, make_agent: Make
) -> None:
    other = (await make_agent())["id"]
    one, two, three = [await _step(client, worker, of) for of in (agent, other, agent)]
    assert await _listed(client) == [three, two, one]
    assert await _listed(client, order="asc", limit=2) == [one, two]
    assert await _listed(client, agent_id=agent) == [three, one]
    assert await _listed(client, after=two) == [one]
    await client.delete(f"/v1/agents/{other}")
    assert await _listed(client) == [three, one]


async def test_steps_are_found_by_feedback_and_tags(
    client: httpx.AsyncClient, worker: Worker, agent: str
) -> None:
    good, bad, neither = [await _step(client, worker, agent) for _ in range(3)]
    await _feedback(client, good, feedback="positive", tags=["a", "b"])
    await _feedback(client, bad, feedback="negative")
    assert await _listed(client, feedback="positive") == [good]
    assert await _listed(client, has_feedback=True) == [bad, good]
    assert await _listed(client, has_feedback=False) == [neither]
    assert await _listed(client, tags=["b", "c"]) == [good]
    assert await _listed(client, trace_ids="t") == await _listed(client, project_id="p") == []


async def test_steps_are_found_by_model_and_time_which_is_utc_unless_said(
    client: httpx.AsyncClient, service: Service, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = await _answered(client, service, agent)
    run = (await client.get("/v1/runs/")).json()[0]
    made = run["completed_at"]
    naive = made.removesuffix("Z")
    assert await _listed(client, model="m-1") == [step]
    assert await _listed(client, model="m-2") == []
    assert await _listed(client, end_date=made) == await _listed(client, end_date=naive) == [step]
    assert await _listed(client, start_date=run["created_at"]) == [step]
    assert await _listed(client, start_date="2999-01-01T00:00:00") == []
    assert await _listed(client, end_date="2001-01-01") == []
    later = made.removesuffix("Z") + "-01:00"
    assert await _listed(client, start_date=later) == []


async def test_a_step_is_read_with_what_its_model_used(
    client: httpx.AsyncClient, service: Service, agent: str
) -> None:
    step = (await client.get(f"/v1/steps/{await _answered(client, service, agent)}")).json()
    assert (step["model"], step["model_handle"], step["status"]) == ("m-1", "p/m-1", "success")
    tokens = [step[f"{kind}_tokens"] for kind in ("prompt", "completion", "total")]
    assert tokens == [3, 2, 5]
    assert (step["stop_reason"], step["feedback"], step["tags"]) == ("end_turn", None, [])
    metrics = (await client.get("/v1/steps/step-1/metrics")).json()
    assert [metrics[f"{what}_ns"] for what in ("llm_request", "tool_execution", "step")] == [7, 5, 12]
    assert metrics["step_start_ns"] == metrics["llm_request_start_ns"] > 1e18


async def test_no_trace_is_kept(client: httpx.AsyncClient, worker: Worker, agent: str) -> None:
    step = await _step(client, worker, agent)
    for path in (f"/v1/steps/{step}/trace", f"/v1/telemetry/{step}"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (200, None)


async def test_a_steps_messages_are_its_own_oldest_first(
    client: httpx.AsyncClient, worker: Worker, agent: str
) -> None:
    await _step(client, worker, agent)
    step = await _step(client, worker, agent)
    path = f"/v1/steps/{step}/messages"
    assert [one["content"] for one in (await client.get(path)).json()] == ["hello", "Hi!"]
    newest = (await client.get(path, params={"order": "desc", "limit": 1})).json()
    assert [one["content"] for one in newest] == ["Hi!"]


async def test_feedback_is_given_and_taken_back_while_tags_stay(
    client: httpx.AsyncClient, worker: Worker, agent: str
) -> None:
    step = await _step(client, worker, agent)
    given = (await _feedback(client, step, feedback="negative", tags=["wrong"])).json()
    assert (given["feedback"], given["tags"]) == ("negative", ["wrong"])
    back = (await _feedback(client, step, feedback=None)).json()
    assert (back["feedback"], back["tags"]) == (None, ["wrong"])
    assert (await client.get(f"/v1/steps/{step}")).json() == back
    assert (await _feedback(client, step, feedback="meh")).status_code == 422


async def test_feedback_may_come_in_the_query(client: httpx.AsyncClient, worker: Worker, agent: str) -> None:
    """So TypeScript 0.1.211 sends it."""
    step = await _step(client, worker, agent)
    json_type = {"content-type": "application/json"}
    answer = await client.patch(f"/v1/steps/{step}/feedback?feedback=positive", headers=json_type)
    assert (answer.status_code, answer.json()["feedback"]) == (200, "positive")


async def test_a_step_under_way_is_not_judged_yet(
    client: httpx.AsyncClient, service: Service, agent: str
) -> None:
    step = await _answered(client, service, agent, done=False)
    assert (await client.get(f"/v1/steps/{step}")).json()["status"] == "pending"
    answer = await _feedback(client, step, feedback="positive")
    assert (answer.status_code, "under way" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize("rest", ["", "/metrics", "/trace", "/messages"])
async def test_an_unknown_step_is_404(client: httpx.AsyncClient, rest: str) -> None:
    assert (await client.get(f"/v1/steps/step-x{rest}")).status_code == 404
    assert (await _feedback(client, "step-x", feedback="positive")).status_code == 404
