"""Webhooks over HTTP: made, shown without their secret, changed, tried out; deliveries and dead letters."""

from typing import Any

import httpx
import pytest

from service.bootstrap import Service
from service.http.app import create_app
from service.records.webhooks import Claimed, NewDelivery, Verdict
from service.settings import Settings
from tests.http.conftest import WS, Make

URL = "https://example.com/changes"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PRIVATE = [
    "http://localhost:9/x",
    "http://10.0.0.7/x",
    "http://169.254.169.254/",
    "http://[::ffff:127.0.0.1]/",
]


@pytest.fixture
def make_hook(client: httpx.AsyncClient) -> Make:
    async def make(**fields: Any) -> dict[str, Any]:
        answer = await client.post("/v1/webhooks/", json={"url": URL, **fields})
        assert answer.status_code == 200, answer.text
        hook: dict[str, Any] = answer.json()
        return hook

    return make


async def sent(service: Service, verdict: Verdict, id: str) -> Claimed:
    """A delivery that went so."""
    [claimed] = (await service.deliveries.claim(WS, 1))[1]
    new = NewDelivery(id=id, kind="changes", changes=3, after="0-0", upto="1-1", body='{"type":"changes"}')
    assert await service.deliveries.begin(WS, claimed, "1-1", new) == "begun"
    await service.deliveries.settle(WS, claimed, id, verdict)
    return claimed


def delivery(number: int) -> str:
    return f"delivery-123e4567-e89b-42d3-8456-42661417400{number}"


async def test_a_secret_is_told_once(client: httpx.AsyncClient, make_hook: Make) -> None:
    hook = await make_hook(description="mirror", labels=["a"], include=["diff"])
    assert hook["secret"].startswith("whsec_")
    shown = (await client.get(f"/v1/webhooks/{hook['id']}")).json()
    assert {**shown, "secret": hook["secret"]} == hook
    assert shown["secret_ends_with"] == hook["secret"][-4:]
    assert (shown["labels"], shown["tags"], shown["include"]) == (["a"], [], ["diff"])
    assert (shown["active"], shown["paused"], shown["failing_since"], shown["dead_letters"]) == (
        True,
        None,
        None,
        0,
    )
    other = await make_hook()
    listed = await client.get("/v1/webhooks/")
    assert [one["id"] for one in listed.json()] == [hook["id"], other["id"]]
    assert "whsec" not in listed.text


async def test_a_secret_may_be_given_and_rotated(client: httpx.AsyncClient, make_hook: Make) -> None:
    hook = await make_hook(secret=SECRET)
    assert hook["secret"] == SECRET
    rotated = (await client.post(f"/v1/webhooks/{hook['id']}/rotate", json={})).json()
    assert rotated["secret"] not in (SECRET, None)
    back = await client.post(f"/v1/webhooks/{hook['id']}/rotate", json={"secret": SECRET, "overlap_hours": 0})
    assert back.json()["secret_ends_with"] == SECRET[-4:]
    answer = await client.post("/v1/webhooks/", json={"url": URL, "secret": "1234"})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("INVALID_ARGUMENT: secret: must be `whsec_`")


async def test_a_webhook_is_changed_field_by_field(
    client: httpx.AsyncClient, make_hook: Make, make_block: Make
) -> None:
    block = await make_block()
    hook = await make_hook(block_ids=[block["id"]], operations=["append"])
    path = f"/v1/webhooks/{hook['id']}"
    changed = (await client.patch(path, json={"operations": [], "label_globs": ["a*"]})).json()
    assert (changed["operations"], changed["label_globs"]) == ([], ["a*"])
    assert (changed["block_ids"], changed["url"]) == ([block["id"]], URL)
    off = (await client.patch(path, json={"active": False})).json()
    assert (off["active"], off["label_globs"]) == (False, ["a*"])
    assert (await client.patch(path, json={"description": "x"})).json()["active"] is False
    assert (await client.patch(path, json={"active": True})).json()["active"] is True
    assert (await client.delete(path)).json() is None
    assert (await client.get(path)).status_code == 404
    assert (await client.delete(path)).status_code == 404


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"url": ""}, 422, "url"),
        ({"url": "example.com"}, 400, "url: is no complete URL"),
        ({"url": "ftp://example.com"}, 400, "url: is no complete URL"),
        ({"url": "https://"}, 400, "url: is no complete URL"),
        ({"url": "https://me:secret@example.com"}, 400, "url: must not hold a name or password"),
        ({"block_ids": ["block-1"]}, 422, "block_ids"),
        ({"block_ids": ["block-123e4567-e89b-42d3-8456-426614174000"]}, 404, "block block-123e4567"),
        ({"labels": ["a"] * 101}, 422, "labels"),
        ({"label_globs": ["a"] * 21}, 422, "label_globs"),
        ({"operations": ["nonsense"]}, 422, "operations"),
        ({"kinds": ["nonsense"]}, 422, "kinds"),
        ({"include": ["nonsense"]}, 422, "include"),
        ({"lables": ["a"]}, 422, "lables"),
        (
            {
                "writers": ["agent-123e4567-e89b-42d3-8456-426614174000"],
                "except_writers": ["agent-123e4567-e89b-42d3-8456-426614174000"],
            },
            400,
            "except_writers: give either",
        ),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(
    client: httpx.AsyncClient, make_hook: Make, fields: dict[str, Any], status: int, text: str
) -> None:
    hook = await make_hook()
    for method, path in (("POST", "/v1/webhooks/"), ("PATCH", f"/v1/webhooks/{hook['id']}")):
        answer = await client.request(method, path, json={"url": URL, **fields})
        assert (answer.status_code, text in answer.text) == (status, True), answer.text
    assert len((await client.get("/v1/webhooks/")).json()) == 1
    assert (await client.post("/v1/webhooks/", json={})).status_code == 422


@pytest.mark.parametrize("url", PRIVATE)
async def test_a_server_that_others_reach_posts_to_no_private_address(
    client: httpx.AsyncClient, service: Service, make_hook: Make, url: str
) -> None:
    hook = await make_hook(url=url)
    assert hook["url"] == url
    beyond = Settings(insecure=True)
    object.__setattr__(service.webhooks, "_settings", beyond)
    app = create_app(beyond, service)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://box") as other:
        for method, path in (("POST", "/v1/webhooks/"), ("PATCH", f"/v1/webhooks/{hook['id']}")):
            answer = await other.request(method, path, json={"url": url})
            assert answer.status_code == 400
            assert "url: names this machine or a private network" in answer.json()["detail"]


async def test_deliveries_are_listed_newest_first_and_by_status(
    client: httpx.AsyncClient, service: Service, make_hook: Make
) -> None:
    hook = await make_hook()
    path = f"/v1/webhooks/{hook['id']}/deliveries"
    assert (await client.get(path)).json() == []
    await sent(service, Verdict(outcome="delivered", http_status=200), delivery(1))
    await client.patch(f"/v1/webhooks/{hook['id']}", json={"active": True})
    await sent(
        service, Verdict(outcome="dead", http_status=422, error="the receiver answered 422"), delivery(2)
    )
    await client.patch(f"/v1/webhooks/{hook['id']}", json={"active": True})
    failed = Verdict(outcome="again", http_status=503, error="the receiver answered 503", wait_ms=60_000)
    await sent(service, failed, delivery(3))
    listed = (await client.get(path)).json()
    assert [(one["id"], one["status"]) for one in listed] == [
        (delivery(3), "waiting"),
        (delivery(2), "dead"),
        (delivery(1), "delivered"),
    ]
    assert [one["id"] for one in (await client.get(path, params={"limit": 1, "order": "asc"})).json()] == [
        delivery(1)
    ]
    assert [one["id"] for one in (await client.get(path, params={"after": delivery(3)})).json()] == [
        delivery(2),
        delivery(1),
    ]
    waiting, dead, through = listed
    assert (waiting["tries"], waiting["http_status"], waiting["ended_at"]) == (1, 503, None)
    assert waiting["next_try_at"] > waiting["tried_at"]
    assert (dead["error"], dead["next_try_at"], dead["changes"]) == ("the receiver answered 422", None, 3)
    assert (through["error"], through["after"], through["upto"]) == (None, "0-0", "1-1")
    assert (await client.get(path, params={"status": "dead"})).json() == [dead]
    assert (await client.get(path, params={"status": "lost"})).status_code == 422
    shown = (await client.get(f"{path}/{delivery(2)}")).json()
    assert shown == {**dead, "body": '{"type":"changes"}'}
    assert (await client.get(f"{path}/{delivery(1)}")).json()["body"] is None
    hook = (await client.get(f"/v1/webhooks/{hook['id']}")).json()
    assert (hook["dead_letters"], hook["under_way"], hook["position"]) == (1, delivery(3), "1-1")
    assert hook["failing_since"] is not None


async def test_a_dead_letter_is_sent_again(
    client: httpx.AsyncClient, service: Service, make_hook: Make
) -> None:
    hook = await make_hook()
    path = f"/v1/webhooks/{hook['id']}/deliveries"
    await sent(service, Verdict(outcome="dead", http_status=422), delivery(1))
    again = await client.post(f"{path}/{delivery(1)}/redeliver")
    assert (again.status_code, again.json()["status"]) == (200, "waiting")
    [claimed] = (await service.deliveries.claim(WS, 1))[1]
    await service.deliveries.settle(WS, claimed, delivery(1), Verdict(outcome="delivered"))
    refused = await client.post(f"{path}/{delivery(1)}/redeliver")
    assert refused.status_code == 400
    assert "only a dead letter" in refused.json()["detail"]
    for id in (delivery(2), "delivery-1", "x"):
        assert (await client.post(f"{path}/{id}/redeliver")).status_code == 404
    assert (
        await client.post(f"/v1/webhooks/webhook-1/deliveries/{delivery(1)}/redeliver")
    ).status_code == 404


async def test_a_paused_webhook_says_so_until_it_is_resumed(
    client: httpx.AsyncClient, service: Service, make_hook: Make
) -> None:
    hook = await make_hook()
    await sent(service, Verdict(outcome="gone", http_status=410), delivery(1))
    shown = (await client.get(f"/v1/webhooks/{hook['id']}")).json()
    assert (shown["active"], shown["paused"]["reason"]) == (False, "gone")
    assert shown["paused"]["at"].endswith("Z")
    resumed = (await client.patch(f"/v1/webhooks/{hook['id']}", json={"active": True})).json()
    assert (resumed["active"], resumed["paused"], resumed["under_way"]) == (True, None, delivery(1))


async def test_a_ping_is_a_delivery_of_its_own(
    client: httpx.AsyncClient, service: Service, make_hook: Make
) -> None:
    hook = await make_hook()
    ping = (await client.post(f"/v1/webhooks/{hook['id']}/ping")).json()
    assert (ping["kind"], ping["status"], ping["changes"]) == ("ping", "waiting", 0)
    [claimed] = (await service.deliveries.claim(WS, 1))[1]
    assert claimed.delivery is not None
    assert claimed.delivery.id == ping["id"]
    assert (await client.post("/v1/webhooks/webhook-1/ping")).status_code == 404
