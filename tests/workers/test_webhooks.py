"""Webhooks: whoever asks for changes is posted them, signed, in order, whatever fails on the way."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from service.bootstrap import Service
from service.records.agents import NewAgent
from service.records.blocks import Author
from service.records.webhooks import Claimed, Delivery, Webhook, WebhookFields
from service.settings import Settings
from service.signatures import headers_of
from tests.receiver import Receiver
from tests.workers.bench import PERSON, WS, WorkerKilled, wait_until
from tests.workers.posting import FAILED, Post

pytestmark = pytest.mark.anyio


async def test_changes_are_posted_signed_in_order_and_once(post: Post, receiver: Receiver) -> None:
    await post.block("before the webhook")
    webhook = await post.hook()
    block = await post.block("one", tags=["t"])
    await post.append(block, " two")
    await post.serve()
    [sent] = receiver.posts
    assert sent.line == "POST /hook?x=1 HTTP/1.1"
    assert sent.headers["host"] == receiver.url.removeprefix("http://")
    assert sent.headers["content-type"] == "application/json"
    id, at = sent.headers["webhook-id"], int(sent.headers["webhook-timestamp"])
    assert abs(at - time.time()) < 60
    assert (
        headers_of(id, at, sent.raw, [post.secret])["webhook-signature"] == sent.headers["webhook-signature"]
    )
    data = sent.body["data"]
    assert (sent.body["type"], data["webhook_id"], data["workspace"]) == ("changes", webhook.id, WS)
    first, second = data["changes"]
    assert (first["operation"], first["block_id"], first["tags"]) == ("create", block.id, ["t"])
    assert (second["version"], second["added"], second["author"]["name"]) == (2, " two", PERSON.name)
    assert "prev" not in second
    assert data["upto"] == second["id"]
    [kept] = await post.deliveries("delivered")
    assert (kept.id, kept.changes, kept.tries, kept.http_status, kept.body) == (id, 2, 1, 200, None)
    standing = await post.standing()
    assert (standing.position, standing.under_way, standing.failing_since) == (second["id"], None, None)
    assert standing.delivered_at is not None
    await post.append(block, " three")
    await post.serve()
    assert post.told() == ["one", " two", " three"]
    assert post.counted() == {"delivered": 2, "changes": 3}


async def test_a_webhook_is_told_what_its_filters_let_through_and_wakes_nobody_for_the_rest(
    post: Post,
) -> None:
    mine, other = await post.block(label="team/a", tags=["x"]), await post.block(label="b")
    agent = Author(name="Ada", agent_id="agent-1")
    for fields in (
        {"block_ids": [mine.id]},
        {"labels": ["team/a", "c"]},
        {"label_globs": ["team/*"]},
        {"tags": ["x", "y"]},
        {"writers": ["agent-1"], "label_globs": ["*"]},
        {"except_writers": ["agent-2"], "labels": ["team/a"]},
        {"operations": ["append"], "kinds": ["edited"], "block_ids": [mine.id]},
    ):
        await post.hook(**fields)
    await post.serve()
    await post.append(mine, "yes", agent)
    await post.append(other, "no", Author(name="Bob", agent_id="agent-2"))
    await post.serve()
    assert post.told() == ["yes"] * 7
    await post.append(other, "no")
    assert await post.claimed() == []


async def test_blocks_are_found_by_a_tag_of_agents_that_have_them(post: Post, service: Service) -> None:
    mine, other = await post.block(label="a"), await post.block(label="b")
    from_agents = await service.agents.create(
        WS, NewAgent(model="offline/extractive", tags=["crew"], block_ids=[mine.id]), PERSON
    )
    await post.hook(agent_tags=["crew"], kinds=["edited", "deleted"])
    await post.append(mine, "yes")
    await post.append(other, "no")
    await post.serve()
    assert post.told() == ["yes"]
    await service.blocks.delete(WS, mine.id, PERSON)
    await post.serve()
    assert post.receiver.posts[-1].body["data"]["changes"][0]["kind"] == "deleted"
    await service.agents.delete(WS, from_agents.id, PERSON)


async def test_a_receiver_that_was_away_gets_the_same_delivery_later_and_all_behind_it_in_order(
    post: Post, receiver: Receiver
) -> None:
    await post.hook()
    block = await post.block("0")
    receiver.status = FAILED
    await post.serve()
    await post.append(block, "1")
    assert await post.claimed() == []
    standing, [waiting] = await post.standing(), await post.deliveries("waiting")
    assert (waiting.tries, waiting.http_status, waiting.error) == (1, 503, "the receiver answered 503")
    assert waiting.next_try_at is not None
    assert (standing.active, standing.under_way, standing.failing_since) == (
        True,
        waiting.id,
        waiting.tried_at,
    )
    await receiver.stop()
    await post.resume()
    await post.serve()
    [waiting] = await post.deliveries("waiting")
    assert (waiting.http_status, waiting.error) == (None, "could not be sent: ConnectError")
    await receiver.start()
    receiver.status = "204 No Content"
    await post.resume()
    await post.serve()
    assert len({sent.raw for sent in receiver.posts[:2]}) == 1
    assert post.told() == ["0", "1"]
    assert (await post.standing()).failing_since is None


async def test_a_worker_that_dies_while_it_posts_leaves_the_delivery_to_another(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post.hook()
    await post.block("0")
    [claimed] = await post.claimed()

    async def dies(*_: object, **__: object) -> tuple[str, str]:
        raise WorkerKilled

    with monkeypatch.context() as broken:
        broken.setattr(post.service.deliveries, "settle", dies)
        with pytest.raises(WorkerKilled):
            await post.deliverer.serve(WS, claimed)
    assert await post.claimed() == [], "its turn is not over yet"
    await post.turn_is_over()
    await post.serve()
    first, second = receiver.posts
    assert (first.headers["webhook-id"], first.raw) == (second.headers["webhook-id"], second.raw)


async def test_a_worker_that_is_stopped_while_it_posts_hands_the_delivery_over_at_once(
    post: Post, receiver: Receiver
) -> None:
    receiver.silent = True
    await post.hook()
    await post.block("0")
    [claimed] = await post.claimed()
    task = asyncio.create_task(post.deliverer.serve(WS, claimed))

    async def posted() -> bool:
        return bool(receiver.posts)

    await wait_until("it was posted", posted)
    receiver.silent = False
    async with post.service.deliveries.rings(WS) as rings:
        while not rings.empty():
            rings.get_nowait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        async with asyncio.timeout(5):
            await rings.get()
    [waiting] = await post.deliveries("waiting")
    assert (waiting.tries, waiting.next_try_at) == (1, None)
    await post.serve()
    first, second = receiver.posts
    assert (first.headers["webhook-id"], first.raw) == (second.headers["webhook-id"], second.raw)


async def test_a_worker_that_slept_past_its_turn_changes_nothing(post: Post, receiver: Receiver) -> None:
    await post.hook()
    await post.block("0")
    [claimed] = await post.claimed()
    await post.turn_is_over()
    receiver.status = FAILED
    await post.serve()
    [waiting] = await post.deliveries("waiting")
    receiver.status = "200 OK"
    await post.deliverer.serve(WS, claimed)
    late = claimed.model_copy(
        update={"delivery": await post.service.deliveries.read(WS, post.id, waiting.id)}
    )
    await post.deliverer.serve(WS, late)
    assert await post.deliveries("waiting") == [waiting]


async def test_what_happens_while_a_webhook_is_off_is_told_when_it_is_on_again(post: Post) -> None:
    await post.hook(labels=["notes"])
    block = await post.block("0")
    await post.serve()
    await post.service.webhooks.update(WS, post.id, WebhookFields(active=False))
    await post.append(block, "1")
    await post.serve()
    assert post.told() == ["0"]
    assert (await post.standing()).paused is None
    await post.resume()
    await post.serve()
    assert post.told() == ["0", "1"]


async def test_turned_off_in_the_middle_of_a_try_it_is_not_tried_again(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post.hook()
    await post.block("0")
    receiver.status = FAILED
    [claimed] = await post.claimed()
    begun: Any = post.service.deliveries.begin

    async def then_off(*args: Any) -> Any:
        done = await begun(*args)
        await post.service.webhooks.update(WS, post.id, WebhookFields(active=False))
        return done

    monkeypatch.setattr(post.service.deliveries, "begin", then_off)
    await post.deliverer.serve(WS, claimed)
    assert (await post.standing()).under_way is not None
    assert await post.claimed() == []


async def test_a_webhook_that_is_deleted_in_the_middle_of_a_try_leaves_nothing(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post.hook()
    await post.block("0")
    [claimed] = await post.claimed()
    begun: Any = post.service.deliveries.begin

    async def then_gone(*args: Any) -> Any:
        done = await begun(*args)
        await post.service.webhooks.delete(WS, post.id)
        return done

    monkeypatch.setattr(post.service.deliveries, "begin", then_gone)
    await post.deliverer.serve(WS, claimed)
    assert len(receiver.posts) == 1
    assert await post.service.webhooks.find(WS) == []


async def test_a_ping_is_sent_once_before_what_waits(post: Post, receiver: Receiver) -> None:
    await post.hook()
    receiver.status = FAILED
    await post.block("0")
    await post.serve()
    ping = await post.service.deliveries.ping(WS, post.id)
    assert (ping.kind, ping.status) == ("ping", "waiting")
    receiver.status = "200 OK"
    await post.serve()
    assert [sent.body["type"] for sent in receiver.posts] == ["changes", "changes", "ping"]
    assert receiver.posts[-1].body["data"] == {"workspace": WS, "webhook_id": post.id}
    receiver.status = "404 Not Found"
    ping = await post.service.deliveries.ping(WS, post.id)
    await post.serve()
    found = await post.service.deliveries.read(WS, post.id, ping.id)
    assert (found.status, found.http_status, found.tries) == ("failed", 404, 1)
    standing = await post.standing()
    assert (standing.active, standing.failing_since, standing.dead_letters) == (True, None, 0)


async def test_after_a_rotation_both_secrets_sign_for_a_while(post: Post, receiver: Receiver) -> None:
    await post.hook()
    old = post.secret
    _, new = await post.service.webhooks.rotate(WS, post.id, None, 60_000)
    await post.block("0")
    await post.serve()
    await post.service.webhooks.rotate(WS, post.id, old, 0)
    await post.block("1", label="b")
    await post.serve()
    for sent, secrets in zip(receiver.posts, ([new, old], [old]), strict=True):
        id, at = sent.headers["webhook-id"], int(sent.headers["webhook-timestamp"])
        expected = headers_of(id, at, sent.raw, secrets)["webhook-signature"]
        assert sent.headers["webhook-signature"] == expected


class TestGap:
    """More is written than is kept while no worker runs."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(change_count=100)

    async def test_whoever_missed_changes_for_good_is_told_so_and_then_the_rest(
        self, post: Post, receiver: Receiver
    ) -> None:
        """Whatever it filters by: nobody knows any more what was lost."""
        await post.hook(labels=["notes"])
        other = await post.block(label="other")
        await post.serve()
        begin = (await post.standing()).position
        for number in range(350):
            await post.append(other, str(number % 10))
        await post.block("last")
        await post.serve()
        gap, rest = receiver.posts
        assert (gap.body["type"], gap.body["data"]["after"]) == ("resync", begin)
        assert [change["added"] for change in rest.body["data"]["changes"]] == ["last"]
        assert rest.body["data"]["after"] == gap.body["data"]["upto"]


class TestPrivate:
    """Whatever the webhook was allowed when it was made: an operator may say no later."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(callbacks_private=False)

    async def test_a_private_address_is_not_called_though_its_name_looks_harmless(
        self, post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await post.hook(url="http://receiver.example/x")
        monkeypatch.setattr("socket.getaddrinfo", _resolves_to("127.0.0.1", receiver.port))
        await post.block("0")
        await post.serve()
        assert receiver.posts == []
        [waiting] = await post.deliveries("waiting")
        assert waiting.error == (
            "not sent: its address lies in a private network (BLOCKWIRE_CALLBACKS_PRIVATE=1 allows it)"
        )

    async def test_one_that_was_allowed_before_is_not_any_more(self, post: Post, receiver: Receiver) -> None:
        webhook = Webhook(id="webhook-1", url=receiver.url, private=True, created_at=0)
        delivery = Delivery(id="delivery-1", webhook_id="webhook-1", kind="changes", created_at=0, body="{}")
        claimed = Claimed(webhook=webhook, number="1", secrets=[], position="0-0", delivery=delivery)
        await post.deliverer.serve(WS, claimed)
        assert receiver.posts == []


def _resolves_to(address: str, port: int) -> Callable[..., Any]:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return resolve
