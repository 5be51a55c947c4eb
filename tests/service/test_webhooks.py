"""Webhooks as a room: what may be asked, who is concerned, and updates that meet."""

import asyncio
from typing import Any

import pytest

from service.bootstrap import Service
from service.errors import Invalid, NotFound
from service.records.webhooks import Webhook, WebhookFields
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio


async def hook(service: Service, **fields: Any) -> Webhook:
    (made, _), _ = await service.webhooks.create(WS, WebhookFields(url="https://example.com", **fields))
    return made


async def test_a_webhook_needs_an_address(service: Service) -> None:
    with pytest.raises(Invalid, match=r"^url: is missing"):
        await service.webhooks.create(WS, WebhookFields(labels=["a"]))
    assert await service.webhooks.find(WS) == []


async def test_it_begins_with_the_next_change(team: Team) -> None:
    await team.block()
    made = await hook(team.service)
    assert made.since == (await team.changes())[-1].id
    await team.block()
    before, after = await team.changes()
    assert await team.service.webhooks.chosen(WS, made, [before, after]) == [after]


async def test_updates_that_meet_are_both_kept(service: Service) -> None:
    made = await hook(service)
    fields: list[dict[str, Any]] = [{"description": "x"}, {"labels": ["a"]}, {"kinds": ["edited"]}]
    await asyncio.gather(*(service.webhooks.update(WS, made.id, WebhookFields(**one)) for one in fields))
    found, _ = await service.webhooks.read(WS, made.id)
    assert (found.description, found.labels, found.kinds) == ("x", ["a"], ["edited"])


async def test_what_is_gone_is_not_found(service: Service) -> None:
    made = await hook(service)
    await service.webhooks.delete(WS, made.id)
    rooms = service.webhooks, service.deliveries
    for asked in (
        rooms[0].read(WS, made.id),
        rooms[0].update(WS, made.id, WebhookFields(active=True)),
        rooms[0].rotate(WS, made.id, None, 0),
        rooms[0].delete(WS, made.id),
        rooms[1].find(WS, made.id),
        rooms[1].ping(WS, made.id),
        rooms[1].read(WS, made.id, "delivery-1"),
        rooms[1].redeliver(WS, made.id, "delivery-1"),
    ):
        with pytest.raises(NotFound):
            await asked


async def test_only_those_whom_changes_concern_are_marked_and_all_where_some_are_gone(team: Team) -> None:
    labelled, patterned = (
        await hook(team.service, labels=["a"]),
        await hook(team.service, label_globs=["b*"]),
    )
    await team.block(label="bee")
    changes = await team.changes()
    concerned = team.service.webhooks.concerned
    assert await concerned(WS, changes, gap=False) == [patterned.id]
    assert set(await concerned(WS, changes, gap=True)) == {labelled.id, patterned.id}
    await team.service.webhooks.delete(WS, patterned.id)
    assert await concerned(WS, changes, gap=False) == []


async def test_another_workspace_has_webhooks_of_its_own(service: Service) -> None:
    made = await hook(service)
    assert await service.webhooks.find("others") == []
    with pytest.raises(NotFound):
        await service.webhooks.read("others", made.id)
