"""Callbacks over HTTP: which addresses are taken, and what a run shows of the telling."""

import httpx
import pytest

from service.bootstrap import Service
from service.http.app import create_app
from service.settings import Settings
from tests.http.conftest import WS, Make, Worker

PRIVATE = [
    "http://localhost:9/x",
    "http://127.0.0.1/x",
    "http://[::1]/x",
    "http://10.0.0.7/x",
    "http://192.168.1.1/x",
    "http://169.254.169.254/latest/meta-data",
    "http://[::ffff:10.0.0.7]/x",
    "http://[fe80::1]/x",
    "http://0.0.0.0/x",
    "http://224.0.0.1/x",
]


async def test_a_run_shows_whom_it_will_tell_and_how_that_went(
    client: httpx.AsyncClient, service: Service, make_agent: Make, worker: Worker
) -> None:
    agent = await make_agent()
    sent = {"input": "hello", "callback_url": "https://example.com/runs"}
    run = (await client.post(f"/v1/agents/{agent['id']}/messages/async", json=sent)).json()
    assert run["callback_url"] == "https://example.com/runs"
    await worker.answer(agent["id"], [{"role": "assistant", "content": "Hi!"}])
    shown = (await client.get(f"/v1/runs/{run['id']}")).json()
    assert (shown["callback_sent_at"], shown["callback_error"]) == (None, None)
    assert [one.id for one in await service.callbacks.take(WS)] == [run["id"]]
    await service.callbacks.settle(WS, run["id"], 204, None)
    shown = (await client.get(f"/v1/runs/{run['id']}")).json()
    assert shown["callback_sent_at"].endswith("Z")
    assert (shown["callback_status_code"], shown["callback_error"]) == (204, None)


@pytest.mark.parametrize("url", PRIVATE)
async def test_a_server_that_others_reach_calls_no_private_address(
    service: Service, make_agent: Make, url: str
) -> None:
    agent = await make_agent()
    object.__setattr__(service, "settings", Settings(insecure=True))
    app = create_app(service.settings, service)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://box") as client:
        sent = {"input": "hello", "callback_url": url}
        answer = await client.post(f"/v1/agents/{agent['id']}/messages/async", json=sent)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(
        "INVALID_ARGUMENT: callback_url: names this machine or a private"
    )
    assert await service.runs.open_ids(WS, agent["id"]) == []


@pytest.mark.parametrize("url", ["http://", "http://[::1", "https://a:b:c/", "https://host:99999/"])
async def test_what_is_no_address_is_refused(client: httpx.AsyncClient, make_agent: Make, url: str) -> None:
    agent = await make_agent()
    sent = {"input": "hello", "callback_url": url}
    answer = await client.post(f"/v1/agents/{agent['id']}/messages/async", json=sent)
    assert answer.status_code == 400
    assert "callback_url: is no complete URL" in answer.json()["detail"]


async def test_a_server_of_this_machine_alone_takes_any_address(
    client: httpx.AsyncClient, make_agent: Make
) -> None:
    agent = await make_agent()
    sent = {"input": "hello", "callback_url": PRIVATE[0]}
    answer = await client.post(f"/v1/agents/{agent['id']}/messages/async", json=sent)
    assert answer.status_code == 200
