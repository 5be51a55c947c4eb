"""Webhooks whose receivers refuse, or are away for too long, or gone: when what is given up."""

import pytest

from service.records.webhooks import Delivery
from service.settings import Settings
from service.store.deliveries import DEAD_IN_ROW
from tests.receiver import Receiver
from tests.workers.bench import WS, wait_until
from tests.workers.posting import Post
from workers import webhooks
from workers.posts import Outcome
from workers.webhooks import REFUSED_TRIES, judged, wait_s

pytestmark = pytest.mark.anyio


async def test_what_a_receiver_refuses_for_what_it_is_becomes_a_dead_letter_and_holds_up_nobody(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "wait_s", lambda tries, after="": 0.01)
    receiver.statuses = ["422 Unprocessable Content"] * REFUSED_TRIES
    await post.hook()
    block = await post.block("poison")
    await post.serve_until("it was given up", lambda: len(receiver.posts) == REFUSED_TRIES)
    await post.append(block, "fine")
    await post.serve()
    [dead] = await post.deliveries("dead")
    assert (dead.tries, dead.http_status, dead.changes) == (REFUSED_TRIES, 422, 1)
    standing = await post.standing()
    assert (standing.active, standing.dead_letters) == (True, 1)
    assert post.counted() == {"again": REFUSED_TRIES - 1, "dead": 1, "delivered": 1, "changes": 1}
    with_body = await post.service.deliveries.read(WS, post.id, dead.id)
    assert (with_body.body or "").encode() == receiver.posts[0].raw
    again = await post.service.deliveries.redeliver(WS, post.id, dead.id)
    assert (again.status, again.tries) == ("waiting", 0)
    await post.service.deliveries.redeliver(WS, post.id, dead.id)
    await post.serve()
    assert (receiver.posts[-1].headers["webhook-id"], receiver.posts[-1].raw) == (
        dead.id,
        receiver.posts[0].raw,
    )
    assert len(receiver.posts) == REFUSED_TRIES + 2
    assert (await post.standing()).dead_letters == 0
    assert (await post.deliveries("delivered"))[0].id == dead.id


async def test_a_receiver_that_refuses_one_after_the_other_is_left_alone(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "REFUSED_TRIES", 1)
    receiver.status = "400 Bad Request"
    await post.hook()
    block = await post.block("0")
    for number in range(DEAD_IN_ROW + 3):
        await post.serve()
        await post.append(block, str(number + 1))
    standing = await post.standing()
    assert standing.paused is not None
    assert (standing.active, standing.paused.reason) == (False, "refused")
    assert (standing.dead_letters, len(receiver.posts)) == (DEAD_IN_ROW, DEAD_IN_ROW)
    assert post.counted() == {"dead": DEAD_IN_ROW, "paused, refused": 1, "changes": 0}
    receiver.status = "200 OK"
    await post.resume()
    await post.serve()
    standing = await post.standing()
    assert (standing.active, standing.paused) == (True, None)
    assert post.told() == [str(number) for number in range(DEAD_IN_ROW + 4)]


class TestGivenUp:
    """A delivery is tried for so long; here for a second and a half."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(webhook_hours=1.5 / 3600)

    async def test_a_webhook_that_nothing_gets_through_to_is_paused_and_loses_nothing(
        self, post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhooks, "wait_s", lambda tries, after="": 0.05)
        receiver.status = "500 Internal Server Error"
        await post.hook()
        block = await post.block("0")

        async def paused() -> bool:
            await post.serve()
            return (await post.standing()).paused is not None

        await wait_until("the webhook was paused", paused, 20)
        standing, [dead] = await post.standing(), await post.deliveries("dead")
        assert standing.paused is not None
        assert (standing.paused.reason, standing.dead_letters) == ("failing", 1)
        assert dead.tries >= 2
        await post.append(block, "1")
        assert await post.claimed() == []
        receiver.status = "200 OK"
        await post.service.deliveries.redeliver(WS, post.id, dead.id)
        assert await post.claimed() == [], "it waits until the webhook is resumed"
        tried = len(receiver.posts)
        await post.resume()
        await post.serve()
        assert [sent.body["data"]["changes"][0]["added"] for sent in receiver.posts[tried:]] == ["0", "1"]


async def test_a_receiver_that_is_gone_is_told_nothing_more_until_it_is_resumed(
    post: Post, receiver: Receiver
) -> None:
    receiver.status = "410 Gone"
    await post.hook()
    block = await post.block("0")
    await post.serve()
    await post.append(block, "1")
    await post.serve()
    assert len(receiver.posts) == 1
    standing = await post.standing()
    assert standing.paused is not None
    assert (standing.active, standing.paused.reason, standing.dead_letters) == (False, "gone", 0)
    receiver.status = "200 OK"
    await post.resume()
    await post.serve()
    assert post.told() == ["0", "1"]
    assert receiver.posts[0].raw == receiver.posts[1].raw
    assert post.counted() == {"gone": 1, "paused, gone": 1, "delivered": 2, "changes": 2}


def test_waits_double_up_to_an_hour_and_are_scattered() -> None:
    for tries in range(40):
        plain = min(2**tries, 3600)
        assert 0.75 * plain <= wait_s(tries) <= 1.25 * plain
    assert len({wait_s(3) for _ in range(10)}) > 1


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("120", 120, 120),
        ("99999", 3600, 3600),
        ("soon", 0.75, 1.25),
        ("9" * 5000, 0.75, 1.25),
        ("²", 0.75, 1.25),
        ("", 0.75, 1.25),
    ],
)
def test_a_receiver_may_say_how_long_it_wants_to_be_left_alone(said: str, least: float, most: float) -> None:
    assert least <= wait_s(0, said) <= most


@pytest.mark.parametrize(
    ("status", "tries", "outcome"),
    [
        (200, 0, "delivered"),
        (299, 0, "delivered"),
        (301, 99, "again"),
        (400, 3, "again"),
        (400, 4, "dead"),
        (401, 99, "again"),
        (404, 99, "again"),
        (410, 0, "gone"),
        (429, 99, "again"),
        (500, 99, "again"),
        (None, 99, "again"),
    ],
)
def test_what_a_try_means(status: int | None, tries: int, outcome: str) -> None:
    delivery = Delivery(id="d", webhook_id="w", kind="changes", created_at=0, tries=tries)
    verdict = judged(delivery, Outcome(status, None if status else "no answer"))
    assert (verdict.outcome, verdict.http_status) == (outcome, status)
    assert (verdict.error is None) == (outcome == "delivered")
    if status == 301:
        assert "redirects are not followed" in (verdict.error or "")
