"""The app and its door: every request is answered, logged and told its id; the service opens with the app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from structlog.testing import capture_logs

from service.bootstrap import Service
from service.http import app as app_module
from service.http.app import create_app
from service.settings import Settings


async def test_an_unknown_path_and_a_wrong_verb_are_answered_as_v1_does(client: httpx.AsyncClient) -> None:
    unknown = await client.get("/v1/wings/")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not Found"})
    wrong = await client.put("/v1/blocks/")
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed"})
    assert wrong.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("path", ["/v1/blocks", "/v1/blocks/", "/latest/blocks", "/v1/blocks/count/"])
async def test_both_spellings_are_served_without_a_redirect(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200


async def test_every_answer_carries_a_request_id(client: httpx.AsyncClient) -> None:
    made = await client.get("/v1/health/")
    assert made.headers["x-request-id"].startswith("req-")
    kept = await client.get("/v1/nothing", headers={"X-Request-Id": "mine-7"})
    assert kept.headers["x-request-id"] == "mine-7"
    odd = await client.get("/v1/nothing", headers={"X-Request-Id": "a b"})
    assert odd.headers["x-request-id"].startswith("req-")


async def test_one_event_is_logged_per_request_without_what_was_sent(client: httpx.AsyncClient) -> None:
    with capture_logs() as logs:
        await client.get("/v1/blocks/block-secret", headers={"X-Request-Id": "mine"})
        await asyncio.sleep(0)  # it is said behind the answer
    (event,) = logs
    assert event.pop("ms") >= 0
    assert event == {
        "event": "request.answered",
        "log_level": "info",
        "method": "GET",
        "route": "/v1/blocks/{block_id}",
        "status": 422,
        "request_id": "mine",
    }


async def test_an_unexpected_error_is_logged_and_not_told(
    client: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the secret of the store")

    monkeypatch.setattr(service.blocks, "count", broken)
    with capture_logs() as logs:
        answer = await client.get("/v1/blocks/count")
        await asyncio.sleep(0)
    assert (answer.status_code, answer.json()) == (500, {"detail": "An unknown error occurred"})
    assert [event["event"] for event in logs] == ["request.failed", "request.answered"]
    assert logs[0]["exc_info"] is True


async def test_a_bearer_is_ignored(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/blocks/", headers={"Authorization": "Bearer anything"})
    assert answer.status_code == 200


@pytest.mark.parametrize("header", ["Host", "Origin"])
async def test_a_loopback_server_refuses_requests_from_elsewhere(
    client: httpx.AsyncClient, header: str
) -> None:
    value = "evil.example" if header == "Host" else "https://evil.example"
    answer = await client.post("/v1/blocks/", json={"label": "a"}, headers={header: value})
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith(f"{header}: ")
    assert (await client.get("/v1/blocks/")).json() == []


@pytest.mark.parametrize(("insecure", "status"), [(True, 200), (False, 403)])
async def test_only_an_insecure_server_answers_to_any_name(
    service: Service, insecure: bool, status: int
) -> None:
    app = create_app(Settings(host="0.0.0.0", insecure=insecure), service)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://blocks.example") as client:
        answer = await client.get("/v1/blocks/", headers={"Origin": "https://other.example"})
        assert answer.status_code == status


async def test_a_head_request_is_answered_like_get(client: httpx.AsyncClient) -> None:
    assert (await client.head("/v1/health/")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/changes", "/v1/blocks/block-123e4567-e89b-42d3-8456-426614174000/changes"]
)
async def test_a_head_request_for_a_feed_is_answered_and_ends(client: httpx.AsyncClient, path: str) -> None:
    with anyio.fail_after(5):
        answer = await client.head(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_a_body_that_a_web_page_could_send_unasked_is_refused(client: httpx.AsyncClient) -> None:
    for sent in ({"Content-Type": "text/plain"}, {"Origin": "http://localhost"}):
        answer = await client.post("/v1/blocks/", content='{"label": "a"}', headers=sent)
        assert answer.status_code == 415
        assert answer.json() == {"detail": "Content-Type: the body must be sent as application/json"}
    assert (await client.get("/v1/blocks/")).json() == []
    assert (await client.post("/v1/blocks/", content='{"label": "a"}')).status_code == 200


async def test_before_the_service_is_open_the_answer_is_503(settings: Settings) -> None:
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/v1/blocks/")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_the_service_is_open_for_as_long_as_the_app_lives(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts: list[str] = []

    @asynccontextmanager
    async def opened(given: Settings) -> AsyncIterator[Service]:
        facts.append("opened")
        assert given is settings
        yield service
        facts.append("closed")

    monkeypatch.setattr(app_module, "open_service", opened)
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        async with app.router.lifespan_context(app):
            assert facts == ["opened"]
            assert (await client.get("/v1/blocks/")).status_code == 200
        assert facts == ["opened", "closed"]
        assert (await client.get("/v1/blocks/")).status_code == 503


async def test_a_service_that_was_given_stays_the_givers(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(app_module, "open_service")
    app = create_app(settings, service)
    async with app.router.lifespan_context(app):
        pass
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/v1/blocks/")).status_code == 200


def test_a_websocket_is_closed(settings: Settings) -> None:
    client = TestClient(create_app(settings))
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/blocks/"):
        pass
