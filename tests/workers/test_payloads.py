"""Payloads: what one delivery holds, and what is told where changes are gone."""

import json
from typing import Any

import pytest

from service.bootstrap import Service
from service.http.schemas.changes import ChangeEvent
from service.records.blocks import Block, BlockFields, Edit
from service.records.webhooks import NewDelivery, Webhook, WebhookFields
from service.settings import Settings
from service.store.client import StoreClient
from tests.workers.bench import PERSON, WS
from workers import payloads
from workers.payloads import CHANGES_MOST, next_part

pytestmark = pytest.mark.anyio

URL = "https://example.com"


@pytest.fixture
def store(real_store: StoreClient) -> StoreClient:
    """The real one: a fake trims streams otherwise."""
    return real_store


@pytest.fixture
def settings() -> Settings:
    return Settings(change_count=150)


async def hook(service: Service, **fields: Any) -> Webhook:
    (made, _), _ = await service.webhooks.create(WS, WebhookFields(url=URL, **fields))
    return made


async def block(service: Service, value: str = "", label: str = "notes") -> Block:
    return await service.blocks.create(WS, BlockFields(label=label, value=value), PERSON)


async def append(service: Service, to: Block, text: str) -> None:
    await service.blocks.edit(WS, to.id, Edit(operation="append", text=text), PERSON)


def told(delivery: NewDelivery | None) -> Any:
    assert delivery is not None
    return json.loads(delivery.body)


async def test_a_change_is_told_as_a_feed_tells_it(service: Service) -> None:
    webhook = await hook(service)
    await block(service, "text")
    body = told((await next_part(service, WS, webhook, webhook.since)).delivery)
    [change] = body["data"]["changes"]
    plain = ChangeEvent.model_validate(change).model_dump(exclude={"value", "value_version", "diff"})
    assert plain == change
    assert body["timestamp"] == change["at"]


async def test_what_comes_fast_is_told_together_up_to_so_many(service: Service) -> None:
    webhook = await hook(service)
    to = await block(service)
    for number in range(CHANGES_MOST + 20):
        await append(service, to, f"{number} ")
    position, found = webhook.since, []
    counts = []
    while (part := await next_part(service, WS, webhook, position)).delivery is not None:
        counts.append(part.delivery.changes)
        found += [change["added"] for change in told(part.delivery)["data"]["changes"]]
        assert (part.delivery.after, part.delivery.upto) == (position, part.upto)
        position = part.upto
    assert counts == [CHANGES_MOST, 21]
    assert found == ["", *(f"{number} " for number in range(CHANGES_MOST + 20))]
    assert position == await service.changes.last_id(WS)


async def test_a_delivery_is_bounded_in_bytes(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "BODY_MOST", 4000)
    webhook = await hook(service, include=["value"])
    to = await block(service, "x" * 1000)
    await append(service, to, "y" * 1000)
    await append(service, to, "z" * 2000)
    position, found = webhook.since, []
    while (part := await next_part(service, WS, webhook, position)).delivery is not None:
        found.append(told(part.delivery)["data"]["changes"])
        position = part.upto
    assert [len(changes) for changes in found] == [1, 1, 1]
    first, second, third = (changes[0] for changes in found)
    assert (first["value_version"], len(first["value"])) == (1, 1000)
    assert "left_out" not in first
    assert (second["value_version"], len(second["value"])) == (2, 2000)
    assert third["left_out"] == ["value"]
    assert "value" not in third
    assert third["version"] == 3


async def test_values_and_diffs_come_on_request(service: Service) -> None:
    webhook = await hook(service, include=["diff", "value"])
    to = await block(service, "one\n")
    await append(service, to, "two\n")
    _, second = told((await next_part(service, WS, webhook, webhook.since)).delivery)["data"]["changes"]
    assert (second["value"], second["value_version"]) == ("one\ntwo\n", 2)
    assert "+two" in second["diff"]


async def test_what_nobody_asked_for_is_passed_over(service: Service) -> None:
    webhook = await hook(service, labels=["other"])
    await block(service)
    part = await next_part(service, WS, webhook, webhook.since)
    assert (part.delivery, part.upto) == (None, await service.changes.last_id(WS))
    assert await next_part(service, WS, webhook, part.upto) == part


async def test_changes_that_are_gone_are_told_as_such_and_the_rest_follows(service: Service) -> None:
    webhook = await hook(service)
    to = await block(service)
    for number in range(400):
        await append(service, to, f"{number} ")
    kept = await service.changes.after(WS, "0-0")
    part = await next_part(service, WS, webhook, webhook.since)
    body = told(part.delivery)
    assert (body["type"], body["data"]["after"], body["data"]["upto"]) == ("resync", webhook.since, part.upto)
    assert "changes" not in body["data"]
    assert part.upto == kept[0].prev
    following = await next_part(service, WS, webhook, part.upto)
    body = told(following.delivery)
    assert body["type"] == "changes"
    assert body["data"]["changes"][0]["id"] == kept[0].id


async def test_a_new_epoch_is_gone_on_with_by_whoever_saw_the_last_of_the_old_one(
    service: Service, store: StoreClient
) -> None:
    webhook = await hook(service)
    await block(service, "old")
    last = await service.changes.last_id(WS)
    await store._redis.hset(f"bw:{{{WS}}}:meta", "lineage", "another")  # type: ignore[misc]
    await block(service, "new")
    assert (await service.changes.last_id(WS)).partition("-")[0] != last.partition("-")[0]
    body = told((await next_part(service, WS, webhook, last)).delivery)
    assert [change["added"] for change in body["data"]["changes"]] == ["new"]
    epoch, _, n = last.partition("-")
    lost = await next_part(service, WS, webhook, f"{epoch}-{int(n) + 5}")
    assert told(lost.delivery)["type"] == "resync"
    body = told((await next_part(service, WS, webhook, lost.upto)).delivery)
    assert [change["added"] for change in body["data"]["changes"]] == ["new"]
