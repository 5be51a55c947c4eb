"""Metrics over HTTP: what Prometheus scrapes, by route and never by path."""

import asyncio

import anyio
import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from service.bootstrap import Service
from tests.http.conftest import Make, Worker, bearer
from tests.store.team import wait_until


async def scraped(client: httpx.AsyncClient, **asked: str) -> dict[str, Metric]:
    await asyncio.sleep(0)  # the last request is counted behind its answer
    answer = await client.get("/metrics", params=asked)
    assert answer.status_code == 200, answer.text
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def requests(found: dict[str, Metric]) -> dict[tuple[str, str, str], float]:
    return {
        (one.labels["method"], one.labels["route"], one.labels["status"]): one.value
        for one in found["blockwire_http_requests"].samples
    }


async def test_it_is_the_text_that_prometheus_reads(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert {"blockwire_queue_depth", "process_cpu_seconds"} <= set(await scraped(client))
    assert "blockwire_queue_depth" not in await scraped(client, own="true")


async def test_requests_are_counted_by_route_and_status_whatever_the_path(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    for label in ("a", "b"):
        block = await make_block(label)
        await client.get(f"/v1/blocks/{block['id']}")
    await client.get("/v1/blocks/block-x")
    await client.get("/v1/nowhere/at/all")
    await client.request("BREW", "/v1/blocks/")
    found = await scraped(client)
    assert requests(found) == {
        ("POST", "/v1/blocks/", "200"): 2,
        ("GET", "/v1/blocks/{block_id}", "200"): 2,
        ("GET", "/v1/blocks/{block_id}", "422"): 1,
        ("GET", "unknown", "404"): 1,
        ("other", "unknown", "405"): 1,
    }
    timed = {
        one.labels["route"]: one.value
        for one in found["blockwire_http_request_seconds"].samples
        if one.name.endswith("_count") and one.labels["method"] == "GET"
    }
    assert timed == {"/v1/blocks/{block_id}": 3, "unknown": 1}


async def test_edits_are_counted_by_operation_and_what_came_of_them(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    block = await make_block(value="one")
    path = f"/v1/blocks/{block['id']}/edits"
    edit = {"operation": "append", "text": "x", "edit_id": "e1"}
    await client.post(path, json=edit)
    await client.post(path, json=edit)
    await client.post(path, json={"operation": "set", "text": "y", "expected_version": 1})
    await client.post(path, json={"operation": "set", "text": "onex"})
    await client.post(path, json={"operation": "replace", "old": "nothing", "text": "y"})
    edits = {
        (one.labels["operation"], one.labels["outcome"]): one.value
        for one in (await scraped(client))["blockwire_edits"].samples
    }
    assert edits == {
        ("append", "applied"): 1,
        ("append", "repeated"): 1,
        ("set", "conflict"): 1,
        ("set", "unchanged"): 1,
        ("replace", "refused"): 1,
    }


async def test_a_message_that_is_sent_again_under_its_key_is_counted_once(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    path = f"/v1/agents/{(await make_agent())['id']}/messages/async"
    for _ in range(3):
        await client.post(path, json={"input": "Hi."}, headers={"Idempotency-Key": "one"})
    found = (await scraped(client))["blockwire_messages"].samples
    assert [(one.labels["kind"], one.value) for one in found] == [("send_message_async", 1)]


async def test_the_store_is_timed(client: httpx.AsyncClient, make_block: Make) -> None:
    await make_block()
    found = {one.name: one.value for one in (await scraped(client))["blockwire_store_seconds"].samples}
    assert found["blockwire_store_seconds_count"] >= 1
    assert found["blockwire_store_seconds_sum"] > 0


async def test_a_stream_is_counted_while_it_lasts_and_is_no_slow_request(
    client: httpx.AsyncClient, service: Service, make_agent: Make, worker: Worker
) -> None:
    agent = await make_agent()
    route = "/v1/agents/{agent_id}/messages/stream"

    def open_streams() -> dict[str, float]:
        return {labels["route"]: value for _, labels, value in service.metrics.streams.family().samples}

    async def is_open() -> bool:
        return open_streams() == {route: 1}

    async def follow() -> None:
        body = {"input": "hello"}
        assert (await client.post(f"/v1/agents/{agent['id']}/messages/stream", json=body)).status_code == 200

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await wait_until("the stream was open", is_open)
        await worker.answer(agent["id"], [{"role": "assistant", "content": "Hi!"}])
    assert open_streams() == {route: 0}
    found = await scraped(client)
    assert requests(found)["POST", route, "200"] == 1
    assert route not in {one.labels["route"] for one in found["blockwire_http_request_seconds"].samples}


@pytest.mark.parametrize("scope", ["read", "write", "admin"])
async def test_with_tokens_any_of_them_may_scrape_and_nobody_else(
    client: httpx.AsyncClient, service: Service, scope: str
) -> None:
    _, secret = await service.tokens.create("monitoring", scope)  # type: ignore[arg-type]
    assert (await client.get("/metrics")).status_code == 401
    assert (await client.get("/metrics", headers=bearer(secret))).status_code == 200
