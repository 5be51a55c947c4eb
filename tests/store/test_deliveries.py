"""webhook_claim, _begin, _settle and _send: one worker at a time, one delivery at a time, none forgotten."""

import asyncio

import pytest

from service.errors import Invalid, NotFound
from service.records.webhooks import Claimed, NewDelivery, Verdict, Webhook
from service.store import deliveries
from service.store.deliveries import DeliveryStore
from service.store.keys import key
from service.store.webhooks import WebhookStore
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio

HOUR = 3_600_000
THROUGH = Verdict(outcome="delivered", http_status=200)


def again(wait_ms: int = HOUR) -> Verdict:
    return Verdict(outcome="again", http_status=503, error="busy", wait_ms=wait_ms)


class Post:
    """A webhook of its own, and its deliveries."""

    def __init__(self, team: Team, give_up_ms: int = HOUR) -> None:
        self.team = team
        self.store = DeliveryStore(team.store, give_up_ms)
        self.hooks = WebhookStore(team.store)

    async def put(self, id: str = "webhook-1") -> None:
        made = Webhook(id=id, url="https://example.com", created_at=1)
        assert await self.hooks.put(WS, made, secret="whsec_x", active=True)

    async def claim(self) -> Claimed:
        [one] = (await self.store.claim(WS, 20))[1]
        return one

    async def begun(self, id: str = "delivery-1", upto: str = "0-0") -> Claimed:
        """Claimed, with a delivery under way."""
        claimed = await self.claim()
        new = NewDelivery(id=id, kind="changes", changes=2, after="0-0", upto=upto, body='{"ñ":1}')
        assert await self.store.begin(WS, claimed, upto, new) == "begun"
        return claimed

    async def turn_is_over(self, id: str = "webhook-1") -> None:
        await self.team.redis.zadd(key(WS, "webhooks_due"), {id: 0})

    async def settle(self, claimed: Claimed, verdict: Verdict, id: str = "delivery-1") -> tuple[str, str]:
        return await self.store.settle(WS, claimed, id, verdict)

    async def statuses(self) -> dict[str, str]:
        return {one.id: one.status for one in await self.store.find(WS, "webhook-1")}


@pytest.fixture
async def post(team: Team) -> Post:
    found = Post(team)
    await found.put()
    return found


async def test_of_many_workers_one_gets_a_webhook_until_its_turn_is_over(post: Post) -> None:
    await post.put("webhook-2")
    found = await asyncio.gather(*(post.store.claim(WS, 1) for _ in range(10)))
    assert sorted(one.webhook.id for _, some in found for one in some) == ["webhook-1", "webhook-2"]
    soonest, none = await post.store.claim(WS, 1)
    assert none == []
    assert soonest is not None
    assert 0 < soonest <= deliveries.CLAIM_MS / 1000


async def test_a_delivery_is_stored_whole_and_given_to_whoever_comes_next(post: Post) -> None:
    first = await post.begun(upto="7-7")
    await post.turn_is_over()
    second = await post.claim()
    assert second.delivery is not None
    assert (second.position, second.delivery.id, second.delivery.body) == ("7-7", "delivery-1", '{"ñ":1}')
    assert second.delivery.changes == 2
    assert await post.store.begin(WS, second, "8-8", None) == "lost", "one is under way"
    assert await post.settle(first, THROUGH) == ("lost", "")
    assert await post.settle(second, THROUGH, "delivery-2") == ("lost", "")
    assert await post.settle(second, THROUGH) == ("delivered", "")
    assert await post.settle(second, THROUGH) == ("lost", "")


async def test_a_claim_that_is_over_moves_nothing(post: Post) -> None:
    first = await post.claim()
    await post.turn_is_over()
    await post.claim()
    before = await post.team.everything()
    assert await post.store.begin(WS, first, "9-9", None) == "lost"
    assert await post.team.everything() == before


async def test_what_did_not_get_through_is_given_out_again_when_it_is_due(post: Post) -> None:
    assert await post.settle(await post.begun(), again()) == ("waiting", "")
    soonest, none = await post.store.claim(WS, 1)
    assert none == []
    assert soonest is not None
    assert HOUR / 1000 - 60 < soonest <= HOUR / 1000
    await post.turn_is_over()
    claimed = await post.claim()
    assert claimed.delivery is not None
    assert (claimed.delivery.tries, claimed.delivery.error) == (1, "busy")
    assert claimed.delivery.next_try_at is not None
    assert await post.settle(claimed, again(0)) == ("waiting", "")
    assert (await post.claim()).delivery is not None


async def test_one_that_is_tried_for_too_long_is_dead_and_its_webhook_paused(team: Team) -> None:
    post = Post(team, give_up_ms=0)
    await post.put()
    assert await post.settle(await post.begun(), again()) == ("dead", "failing")
    assert (await post.store.claim(WS, 20)) == (None, [])
    [standing] = await post.hooks.standings(WS, ["webhook-1"])
    assert (standing.active, standing.dead_letters, standing.under_way) == (False, 1, None)
    assert await team.redis.pttl(key(WS, "delivery", "delivery-1")) > 29 * 86_400_000


async def test_only_so_many_are_kept_of_either_kind(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "RECENT_MOST", 2)
    monkeypatch.setattr(deliveries, "DEAD_MOST", 2)
    for number in range(8):
        verdict = THROUGH if number % 2 else Verdict(outcome="dead", http_status=400)
        claimed = await post.begun(f"delivery-{number}")
        await post.settle(claimed, verdict, f"delivery-{number}")
        await post.turn_is_over()
    assert await post.statuses() == {
        "delivery-4": "dead",
        "delivery-6": "dead",
        "delivery-5": "delivered",
        "delivery-7": "delivered",
    }
    [standing] = await post.hooks.standings(WS, ["webhook-1"])
    assert (standing.dead_letters, standing.dropped) == (2, 2)
    kept = {name for name in await post.team.names() if name.startswith("delivery:")}
    assert kept == {f"delivery:delivery-{number}" for number in range(4, 8)}


async def test_only_refusals_in_a_row_pause_a_webhook(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "DEAD_IN_ROW", 2)
    dead, found = Verdict(outcome="dead", http_status=400), []
    for number, verdict in enumerate([dead, THROUGH, dead, dead]):
        claimed = await post.begun(f"delivery-{number}")
        found.append(await post.settle(claimed, verdict, f"delivery-{number}"))
        await post.turn_is_over() if number < 3 else None
    assert found == [("dead", ""), ("delivered", ""), ("dead", ""), ("dead", "refused")]


async def test_a_dead_letter_is_sent_again_before_what_is_new_and_once(post: Post) -> None:
    await post.settle(await post.begun(), Verdict(outcome="dead", http_status=400))
    for _ in range(3):
        await post.store.send(WS, "webhook-1", "delivery-1")
    assert await post.statuses() == {"delivery-1": "waiting"}
    claimed = await post.claim()
    assert claimed.delivery is not None
    assert (claimed.delivery.id, claimed.delivery.tries, claimed.delivery.body) == (
        "delivery-1",
        0,
        '{"ñ":1}',
    )
    assert await post.team.redis.pttl(key(WS, "delivery", "delivery-1")) == -1
    await post.settle(claimed, THROUGH)
    assert (await post.store.claim(WS, 20)) == (None, [])
    with pytest.raises(Invalid, match="delivery_id: is delivered; only a dead letter"):
        await post.store.send(WS, "webhook-1", "delivery-1")


async def test_a_dead_letter_of_another_webhook_does_not_exist(post: Post) -> None:
    await post.settle(await post.begun(), Verdict(outcome="dead", http_status=400))
    await post.put("webhook-2")
    before = await post.team.everything()
    for webhook, delivery in (("webhook-2", "delivery-1"), ("webhook-1", "delivery-2"), ("webhook-3", "x")):
        with pytest.raises(NotFound):
            await post.store.send(WS, webhook, delivery)
        assert await post.store.read(WS, webhook, delivery) is None
    with pytest.raises(NotFound, match="webhook webhook-3"):
        await post.store.send(WS, "webhook-3", "delivery-3", "{}")
    assert await post.team.everything() == before


async def test_only_so_many_wait_to_be_sent_again(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "AGAIN_MOST", 2)
    for number in range(2):
        await post.store.send(WS, "webhook-1", f"delivery-{number}", "{}")
    with pytest.raises(Invalid, match="2 deliveries wait"):
        await post.store.send(WS, "webhook-1", "delivery-2", "{}")
    assert "delivery:delivery-2" not in await post.team.names()


async def test_a_ping_that_fails_is_neither_repeated_nor_a_dead_letter(post: Post) -> None:
    await post.store.send(WS, "webhook-1", "delivery-1", "{}")
    claimed = await post.claim()
    assert await post.settle(claimed, Verdict(outcome="failed", error="away")) == ("failed", "")
    found = await post.store.read(WS, "webhook-1", "delivery-1")
    assert found is not None
    assert (found.status, found.body, found.error) == ("failed", None, "away")
    [standing] = await post.hooks.standings(WS, ["webhook-1"])
    assert (standing.failing_since, standing.dead_letters) == (None, 0)


async def test_a_dead_letter_that_ran_out_while_it_waited_is_passed_over(post: Post) -> None:
    await post.store.send(WS, "webhook-1", "delivery-1", "{}")
    await post.team.redis.delete(key(WS, "delivery", "delivery-1"))
    claimed = await post.claim()
    assert claimed.delivery is None
    assert await post.store.find(WS, "webhook-1") == []
