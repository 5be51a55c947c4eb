"""webhook_put, webhook_drop, webhook_rotate and the marking in dispatch.lua: who has something to be told."""

import asyncio

import pytest

from service.errors import Invalid
from service.records.webhooks import Claimed, Webhook
from service.store import webhooks
from service.store.deliveries import DeliveryStore
from service.store.keys import key
from service.store.wakeups import WakeUpStore
from service.store.webhooks import WebhookStore
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio


class Hooks:
    """Webhooks of a workspace, and the dispatch that marks them."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.store = WebhookStore(team.store)
        self.deliveries = DeliveryStore(team.store, 60_000)
        self.wakeups = WakeUpStore(team.store)

    async def put(self, id: str = "webhook-1", **fields: object) -> Webhook:
        made = Webhook.model_validate({"id": id, "url": "https://example.com", "created_at": 1, **fields})
        assert await self.store.put(WS, made, secret="whsec_x", active=True)
        return made

    async def claim(self) -> list[Claimed]:
        return (await self.deliveries.claim(WS, 20))[1]

    async def rest(self) -> None:
        """Everybody was told all there is."""
        for one in await self.claim():
            upto = await self.team.service.changes.last_id(WS)
            assert await self.deliveries.begin(WS, one, upto, None) == "idle"

    async def mark(self, *ids: str) -> tuple[str, str]:
        """A change, dispatched with those marked; the cursor before and after."""
        before = await self.wakeups.cursor(WS)
        await self.team.block()
        after = await self.team.service.changes.last_id(WS)
        assert await self.wakeups.move(WS, before, after, [], ids) == []
        return before, after

    async def due(self) -> list[str]:
        return [id for id, _ in await self.team.store.range(key(WS, "webhooks_due"))]

    async def position(self, id: str = "webhook-1") -> str | None:
        return await self.team.store.field(key(WS, "webhook", id), "position")


@pytest.fixture
def hooks(team: Team) -> Hooks:
    return Hooks(team)


async def test_a_webhook_is_read_back_as_it_was_put_without_its_secret(hooks: Hooks) -> None:
    made = await hooks.put(labels=["a", "ñ"], private=True)
    text = await hooks.store.text(WS, made.id)
    assert text is not None
    assert (webhooks.webhook_of(text), await hooks.store.all(WS)) == (made, [made])
    assert "whsec" not in text
    [standing] = await hooks.store.standings(WS, [made.id])
    assert (standing.active, standing.secret_ends_with, standing.position) == (True, "ec_x", "0-0")


async def test_an_update_of_what_has_changed_meanwhile_changes_nothing(hooks: Hooks) -> None:
    made = await hooks.put()
    before = await hooks.store.text(WS, made.id) or ""
    other = made.model_copy(update={"description": "other"})
    assert await hooks.store.put(WS, other, before)
    kept = await hooks.team.everything()
    assert not await hooks.store.put(WS, made, before, active=False)
    assert await hooks.team.everything() == kept
    assert await hooks.store.drop(WS, made.id)
    assert not await hooks.store.put(WS, made, before)


async def test_there_are_so_many_and_no_more(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST", 2)
    await hooks.put("webhook-1")
    await hooks.put("webhook-2")
    with pytest.raises(Invalid, match="at most 2 webhooks"):
        await hooks.put("webhook-3")
    assert len(await hooks.store.all(WS)) == 2


async def test_a_dispatch_marks_who_rests_and_moves_him_up_to_where_it_began(hooks: Hooks) -> None:
    await hooks.put("webhook-1")
    await hooks.put("webhook-2")
    await hooks.rest()
    assert await hooks.due() == []
    await hooks.mark()
    await hooks.mark()
    before, _ = await hooks.mark("webhook-1", "webhook-unknown")
    assert await hooks.due() == ["webhook-1"]
    assert (await hooks.position(), await hooks.position("webhook-2")) == (before, "0-0")
    await hooks.mark("webhook-1")
    assert await hooks.position() == before, "it has not been told what it was marked for first"


async def test_a_mark_never_takes_anybody_back(hooks: Hooks) -> None:
    await hooks.put()
    await hooks.mark()
    await hooks.team.block()
    ahead = await hooks.team.service.changes.last_id(WS)
    [claimed] = await hooks.claim()
    assert await hooks.deliveries.begin(WS, claimed, ahead, None) == "idle"
    await hooks.wakeups.move(WS, await hooks.wakeups.cursor(WS), ahead, [], ["webhook-1"])
    assert (await hooks.position(), await hooks.due()) == (ahead, ["webhook-1"])


async def test_nobody_rests_while_a_dispatched_change_lies_before_him(hooks: Hooks) -> None:
    await hooks.put()
    [claimed] = await hooks.claim()
    _, first = await hooks.mark("webhook-1")
    _, second = await hooks.mark("webhook-1")
    assert await hooks.deliveries.begin(WS, claimed, first, None) == "more"
    assert await hooks.deliveries.begin(WS, claimed, second, None) == "idle"
    assert await hooks.due() == []


async def test_one_that_is_off_is_not_marked_and_keeps_its_place(hooks: Hooks) -> None:
    made = await hooks.put()
    await hooks.rest()
    _, told = await hooks.mark()
    text = await hooks.store.text(WS, made.id) or ""
    assert await hooks.store.put(WS, made, text, active=False)
    assert await hooks.position() == told
    await hooks.mark("webhook-1")
    assert (await hooks.due(), await hooks.position()) == ([], told)
    assert await hooks.store.put(WS, made, text, active=True)
    [claimed] = await hooks.claim()
    assert claimed.position == told


async def test_a_cursor_that_has_moved_marks_nobody(hooks: Hooks) -> None:
    await hooks.put()
    await hooks.rest()
    await hooks.mark()
    before = await hooks.team.everything()
    assert await hooks.wakeups.move(WS, "0-0", "9-9", [], ["webhook-1"]) is None
    assert await hooks.team.everything() == before


async def test_the_secret_before_signs_for_a_while(hooks: Hooks) -> None:
    await hooks.put()
    assert await hooks.store.rotate(WS, "webhook-1", "whsec_y", 60_000)
    [claimed] = await hooks.claim()
    assert claimed.secrets == ["whsec_y", "whsec_x"]
    assert await hooks.store.rotate(WS, "webhook-1", "whsec_z", 0)
    await hooks.team.redis.zadd(key(WS, "webhooks_due"), {"webhook-1": 0})
    [claimed] = await hooks.claim()
    assert claimed.secrets == ["whsec_z"]
    assert not await hooks.store.rotate(WS, "webhook-2", "whsec_z", 0)


async def test_whoever_delivers_is_rung_when_there_is_something(hooks: Hooks) -> None:
    await hooks.put()
    await hooks.rest()
    async with hooks.team.service.deliveries.rings(WS) as rings:
        while not rings.empty():
            rings.get_nowait()
        await hooks.mark()
        await hooks.mark("webhook-1")
        async with asyncio.timeout(5):
            assert await rings.get() == "webhooks due"
        assert rings.empty()


async def test_nothing_is_left_of_one_that_is_dropped(hooks: Hooks) -> None:
    await hooks.mark()
    before = await hooks.team.names()
    await hooks.put()
    [claimed] = await hooks.claim()
    assert claimed.webhook.id == "webhook-1"
    assert await hooks.store.drop(WS, "webhook-1")
    assert not await hooks.store.drop(WS, "webhook-1")
    assert await hooks.team.names() == before
    assert await hooks.deliveries.begin(WS, claimed, "9-9", None) == "lost"
