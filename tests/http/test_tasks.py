"""Tasks over HTTP: messages with a time, a priority and a key, sent without waiting."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service.bootstrap import Service
from service.http.schemas.messages import LATEST_S
from tests.http.conftest import WS, Make


async def send(
    client: httpx.AsyncClient, agent: dict[str, Any], key: str = "", **sent: Any
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    sent = {"input": "Look at ticket 17."} | sent
    return await client.post(f"/v1/agents/{agent['id']}/messages/async", json=sent, headers=headers)


async def test_a_task_for_later_is_a_run_that_says_when(client: httpx.AsyncClient, make_agent: Make) -> None:
    agent = await make_agent()
    run = (await send(client, agent, delay_s=90, priority=3)).json()
    assert run["status"] == "created"
    assert run["metadata"]["priority"] == 3
    due = datetime.fromisoformat(run["metadata"]["not_before"])
    assert due - datetime.fromisoformat(run["created_at"]) == pytest.approx(
        timedelta(seconds=90), abs=timedelta(seconds=1)
    )
    assert (await client.get(f"/v1/runs/{run['id']}")).json() == run
    listed = (await client.get("/v1/runs/", params={"agent_id": agent["id"], "active": True})).json()
    assert listed == [run]


async def test_a_time_is_taken_with_any_zone(client: httpx.AsyncClient, make_agent: Make) -> None:
    due = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    zoned = (due + timedelta(hours=1)).replace(tzinfo=None).isoformat() + "+01:00"
    run = (await send(client, await make_agent(), not_before=zoned)).json()
    assert datetime.fromisoformat(run["metadata"]["not_before"]) == due


async def test_a_repeated_key_gives_the_first_run_back(client: httpx.AsyncClient, make_agent: Make) -> None:
    agent = await make_agent()
    first = (await send(client, agent, "ticket-17", delay_s=90)).json()
    assert (await send(client, agent, "ticket-17", delay_s=90)).json() == first
    other = await send(client, agent, "ticket-17", delay_s=91)
    assert other.status_code == 409
    assert len((await client.get("/v1/runs/", params={"agent_id": agent["id"]})).json()) == 1


async def test_the_agents_cancel_takes_tasks_for_later_along(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    agent = await make_agent()
    run = (await send(client, agent, delay_s=90)).json()
    cancelled = await client.post(f"/v1/agents/{agent['id']}/messages/cancel", json={})
    assert cancelled.json() == {run["id"]: "cancelled"}
    assert (await client.get(f"/v1/runs/{run['id']}")).json()["status"] == "cancelled"


async def test_a_blocking_send_has_a_priority_too(
    client: httpx.AsyncClient, make_agent: Make, service: Service
) -> None:
    agent = await make_agent()
    sent = {"input": "Now.", "priority": 10}
    answer = await client.post(f"/v1/agents/{agent['id']}/messages", json=sent)
    assert answer.status_code == 422
    assert "body.priority" in answer.json()["detail"]
    assert await service.runs.open_ids(WS, agent["id"]) == []


FAR = (datetime.now(UTC) + timedelta(seconds=LATEST_S, days=1)).isoformat()


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        ({"delay_s": -1}, 422, "body.delay_s"),
        ({"delay_s": LATEST_S + 1}, 422, "body.delay_s"),
        ({"not_before": "2027-01-01T00:00:00"}, 422, "timezone"),
        ({"not_before": FAR}, 400, "not_before: must lie within the next 366 days"),
        ({"not_before": FAR, "delay_s": 1}, 422, "delay_s, not_before: send one of them"),
        ({"priority": -1}, 422, "body.priority"),
        ({"priority": 2.5}, 422, "body.priority"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name(
    client: httpx.AsyncClient, make_agent: Make, sent: dict[str, Any], status: int, told: str
) -> None:
    agent = await make_agent()
    answer = await send(client, agent, **sent)
    assert answer.status_code == status
    assert told in answer.json()["detail"]
    assert (await client.get("/v1/runs/", params={"agent_id": agent["id"]})).json() == []


@pytest.mark.parametrize("path", ["", "/stream", "/preview-raw-payload"])
@pytest.mark.parametrize("later", [{"delay_s": 60}, {"not_before": FAR}])
async def test_who_waits_is_refused_a_message_for_later_and_told_where_to_send_it(
    client: httpx.AsyncClient, make_agent: Make, path: str, later: dict[str, Any]
) -> None:
    agent = await make_agent()
    answer = await client.post(f"/v1/agents/{agent['id']}/messages{path}", json={"input": "Later.", **later})
    assert answer.status_code == 422
    [name] = later
    assert answer.json()["detail"].startswith(
        f"body.{name}: a message for later is sent to POST …/messages/async"
    )
    assert (await client.get("/v1/runs/", params={"agent_id": agent["id"]})).json() == []
