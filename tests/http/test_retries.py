"""Retries over HTTP: a request that comes twice makes what it makes once."""

import asyncio

import httpx
import pytest

from service.bootstrap import Service
from tests.http.conftest import Make
from tests.workers.bench import Bench, wait_until

pytestmark = pytest.mark.anyio
FIRST = {"X-Stainless-Retry-Count": "0"}
AGAIN = {"X-Stainless-Retry-Count": "1"}
KEY = {"Idempotency-Key": "ticket-17"}
HELLO = {"messages": [{"role": "user", "content": "Hello."}]}


async def runs_of(client: httpx.AsyncClient, agent_id: str) -> list[str]:
    return [run["id"] for run in (await client.get("/v1/runs/", params={"agent_id": agent_id})).json()]


@pytest.mark.parametrize("headers", [(FIRST, AGAIN), (KEY, KEY), (KEY | FIRST, KEY | AGAIN)])
async def test_a_send_that_is_repeated_leaves_one_run(
    client: httpx.AsyncClient, make_agent: Make, headers: tuple[dict[str, str], dict[str, str]]
) -> None:
    agent = (await make_agent())["id"]
    path = f"/v1/agents/{agent}/messages/async"
    first, second = [await client.post(path, json=HELLO, headers=sent) for sent in headers]
    assert first.json() == second.json()
    assert await runs_of(client, agent) == [first.json()["id"]]


async def test_many_at_once_with_one_key_leave_one_run(client: httpx.AsyncClient, make_agent: Make) -> None:
    agent = (await make_agent())["id"]
    path = f"/v1/agents/{agent}/messages/async"
    answers = await asyncio.gather(*(client.post(path, json=HELLO, headers=KEY) for _ in range(10)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await runs_of(client, agent)) == 1


async def test_requests_that_are_no_retries_are_new_ones(client: httpx.AsyncClient, make_agent: Make) -> None:
    agent = (await make_agent())["id"]
    path = f"/v1/agents/{agent}/messages/async"
    for headers in ({}, {}, FIRST, FIRST):
        await client.post(path, json=HELLO, headers=headers)
    other = {"messages": [{"role": "user", "content": "Another."}]}
    await client.post(path, json=other, headers=AGAIN)
    assert len(set(await runs_of(client, agent))) == 5


async def test_the_senders_own_ids_name_a_send(client: httpx.AsyncClient, make_agent: Make) -> None:
    agent, other = (await make_agent())["id"], (await make_agent())["id"]
    body = {"messages": [{"role": "user", "content": "Hello.", "otid": "mine-1"}]}
    first = await client.post(f"/v1/agents/{agent}/messages/async", json=body)
    second = await client.post(f"/v1/agents/{agent}/messages/async", json=body)
    assert first.json() == second.json()
    elsewhere = await client.post(f"/v1/agents/{other}/messages/async", json=body)
    assert elsewhere.json()["id"] != first.json()["id"]
    body["messages"][0]["content"] = "Something else."
    refused = await client.post(f"/v1/agents/{agent}/messages/async", json=body)
    assert refused.status_code == 409
    assert "mine-1" in refused.json()["detail"]


async def test_a_send_that_comes_again_another_way_is_a_conflict(
    client: httpx.AsyncClient, service: Service
) -> None:
    """A stream that attached to a run sent without one would have nothing to show of it."""
    bench = Bench(service)
    agent = await bench.agent()
    path = f"/v1/agents/{agent.id}/messages"
    blocking = asyncio.create_task(client.post(path, json=HELLO, headers=KEY))

    async def sent() -> bool:
        return bool(await runs_of(client, agent.id))

    await wait_until("the message is sent", sent)
    await bench.carry(agent)
    assert (await blocking).status_code == 200
    for way in ("stream", "async"):
        assert (await client.post(f"{path}/{way}", json=HELLO, headers=KEY)).status_code == 409
    assert len(await runs_of(client, agent.id)) == 1


async def test_a_key_used_for_something_else_is_a_conflict_and_nothing_is_made(
    client: httpx.AsyncClient,
) -> None:
    made = await client.post("/v1/blocks/", json={"label": "a", "value": "1"}, headers=KEY)
    refused = await client.post("/v1/blocks/", json={"label": "a", "value": "2"}, headers=KEY)
    assert (made.status_code, refused.status_code) == (200, 409)
    assert refused.headers["x-should-retry"] == "false"
    assert len((await client.get("/v1/blocks/")).json()) == 1


@pytest.mark.parametrize("headers", [(FIRST, AGAIN), (KEY, KEY)])
async def test_blocks_and_agents_are_made_once(
    client: httpx.AsyncClient, headers: tuple[dict[str, str], dict[str, str]]
) -> None:
    block = {"label": "notes", "value": "x"}
    first, second = [await client.post("/v1/blocks/", json=block, headers=sent) for sent in headers]
    assert first.json() == second.json()
    headers = (headers[0] | {"Idempotency-Key": "a"}, headers[1] | {"Idempotency-Key": "a"})
    agent = {"model": "offline/extractive", "memory_blocks": [{"label": "own", "value": "y"}]}
    one, two = [await client.post("/v1/agents/", json=agent, headers=sent) for sent in headers]
    assert one.json() == two.json()
    assert len((await client.get("/v1/blocks/")).json()) == 2
    assert len((await client.get("/v1/agents/")).json()) == 1


@pytest.mark.parametrize("headers", [(FIRST, AGAIN), (KEY, KEY)])
async def test_subscriptions_and_webhooks_are_made_once(
    client: httpx.AsyncClient, make_agent: Make, headers: tuple[dict[str, str], dict[str, str]]
) -> None:
    """A webhook's secret is told to whoever did not hear it the first time."""
    path = f"/v1/agents/{(await make_agent())['id']}/subscriptions"
    first, second = [await client.post(path, json={"label": "a"}, headers=sent) for sent in headers]
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert (await client.get(path)).json() == [first.json()]
    headers = (headers[0] | {"Idempotency-Key": "hook"}, headers[1] | {"Idempotency-Key": "hook"})
    hook = {"url": "https://example.com/changes"}
    one, two = [await client.post("/v1/webhooks/", json=hook, headers=sent) for sent in headers]
    assert (one.status_code, two.status_code) == (200, 200)
    assert one.json() == two.json()
    assert one.json()["secret"].startswith("whsec_")
    assert len((await client.get("/v1/webhooks/")).json()) == 1


async def test_subscriptions_and_webhooks_of_one_key_at_once_are_one(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    path = f"/v1/agents/{(await make_agent())['id']}/subscriptions"
    asked = {path: {"label_glob": "a*"}, "/v1/webhooks/": {"url": "https://example.com/changes"}}
    for number, (path, body) in enumerate(asked.items()):
        headers = {"Idempotency-Key": f"at-once-{number}"}
        posts = [client.post(path, json=body, headers=headers) for _ in range(10)]
        answers = await asyncio.gather(*posts)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
        assert len((await client.get(path)).json()) == 1
        other = await client.post(path, json=body | {"active": False}, headers=headers)
        assert other.status_code == 409


async def test_a_repeated_subscription_is_given_back_as_it_is_though_its_block_is_gone(
    client: httpx.AsyncClient, make_agent: Make, make_block: Make
) -> None:
    path, block = f"/v1/agents/{(await make_agent())['id']}/subscriptions", (await make_block())["id"]
    first = (await client.post(path, json={"block_id": block}, headers=KEY)).json()
    await client.patch(f"{path}/{first['id']}", json={"active": False})
    await client.delete(f"/v1/blocks/{block}")
    second = (await client.post(path, json={"block_id": block}, headers=KEY)).json()
    assert second == first | {"active": False}


@pytest.mark.parametrize("name", ["", "two words", "x" * 201, "ü"])
async def test_a_key_that_cannot_be_one_is_refused(client: httpx.AsyncClient, name: str) -> None:
    headers = [(b"idempotency-key", name.encode("latin-1"))]
    answer = await client.post("/v1/blocks/", json={"label": "a"}, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("INVALID_ARGUMENT: Idempotency-Key:")
