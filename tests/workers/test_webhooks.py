"""Webhooks: whoever asks for changes is posted them, signed, in order, whatever fails on the way."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from service.bootstrap import Service
from service.errors import StoreUnreachable
from service.records.agents import NewAgent
from service.records.blocks import Author, Block, BlockFields, Edit
from service.records.webhooks import Claimed, Delivery, Standing, Webhook, WebhookFields
from service.settings import Settings
from service.signatures import headers_of
from service.store.deliveries import DEAD_IN_ROW
from service.store.keys import key
from tests.receiver import Receiver, receiving
from tests.store.team import raw
from tests.workers.bench import PERSON, WS, WorkerKilled, wait_until
from workers import webhooks
from workers.posts import Outcome, Poster
from workers.wakeups import Dispatcher
from workers.webhooks import REFUSED_TRIES, Deliverer, judged, wait_s

pytestmark = pytest.mark.anyio

FAILED = "503 Service Unavailable"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


@pytest.fixture
async def poster() -> AsyncIterator[Poster]:
    found = Poster()
    yield found
    await found.aclose()


class Post:
    """A workspace with a webhook in it, and a worker that serves it when it is told to."""

    def __init__(self, service: Service, poster: Poster, receiver: Receiver) -> None:
        self.service = service
        self.receiver = receiver
        self.deliverer = Deliverer(service, poster)
        self.id = ""
        self.secret = ""

    async def hook(self, **fields: Any) -> Webhook:
        asked = WebhookFields(**{"url": f"{self.receiver.url}/hook?x=1", **fields})
        (webhook, _), self.secret = await self.service.webhooks.create(WS, asked)
        self.id = webhook.id
        return webhook

    async def block(self, value: str = "", label: str = "notes", **fields: Any) -> Block:
        made = BlockFields(label=label, value=value, **fields)
        return await self.service.blocks.create(WS, made, PERSON)

    async def append(self, block: Block, text: str, by: Author = PERSON) -> None:
        await self.service.blocks.edit(WS, block.id, Edit(operation="append", text=text), by)

    async def claimed(self) -> list[Claimed]:
        """Whoever has something to be told, once subscribers and webhooks were told of all changes."""
        while await Dispatcher(self.service).dispatch(WS):
            pass
        return (await self.service.deliveries.claim(WS, 20))[1]

    async def serve(self) -> None:
        """Until nobody has anything to be told at this moment."""
        while found := await self.claimed():
            await asyncio.gather(*(self.deliverer.serve(WS, one) for one in found))

    async def serve_until(self, fact: str, holds: Callable[[], bool]) -> None:
        """As time passes, until it holds."""

        async def served() -> bool:
            await self.serve()
            return holds()

        await wait_until(fact, served)

    async def turn_is_over(self) -> None:
        """As if whoever has claimed the webhook had let its time pass."""
        redis = raw(self.service.store)
        await redis.zadd(key(WS, "webhooks_due"), {self.id: 0})

    async def resume(self) -> None:
        """Everything that waits for a later try is due."""
        await self.service.webhooks.update(WS, self.id, WebhookFields(active=True))

    async def standing(self) -> Standing:
        return (await self.service.webhooks.read(WS, self.id))[1]

    async def deliveries(self, status: str) -> list[Delivery]:
        found = await self.service.deliveries.find(WS, self.id)
        return [one for one in found if one.status == status]

    def told(self) -> list[str]:
        """What was added by the changes that were told, in order; a delivery sent again counts once."""
        bodies = {post.headers["webhook-id"]: post.body for post in self.receiver.posts}
        return [change["added"] for body in bodies.values() for change in body["data"].get("changes", [])]


@pytest.fixture
def post(service: Service, poster: Poster, receiver: Receiver) -> Post:
    return Post(service, poster, receiver)


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


async def test_tries_are_repeated_by_themselves(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "wait_s", lambda tries, after="": 0.01)
    receiver.statuses = [FAILED] * 3
    await post.hook()
    await post.block("0")
    await post.serve_until("it got through", lambda: len(receiver.posts) == 4)
    [kept] = await post.deliveries("delivered")
    assert (kept.tries, len(receiver.posts)) == (4, 4)
    assert len({sent.headers["webhook-id"] for sent in receiver.posts}) == 1


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


async def test_a_slow_receiver_delays_no_other(
    service: Service, poster: Poster, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.silent = True
    async with receiving() as quick:
        slow, fast = Post(service, poster, receiver), Post(service, poster, quick)
        await slow.hook()
        await fast.hook()
        task = asyncio.create_task(Deliverer(service, poster).run())
        dispatcher = asyncio.create_task(Dispatcher(service).run())
        try:
            block = await fast.block("0")

            async def both() -> bool:
                return bool(receiver.posts) and bool(quick.posts)

            await wait_until("both were posted the first", both, 20)
            for number in range(1, 4):
                await fast.append(block, str(number))
                await wait_until("the fast one was told", _has(fast, number + 1))
            assert len(receiver.posts) == 1
        finally:
            for one in (task, dispatcher):
                one.cancel()
            await asyncio.wait({task, dispatcher})


async def test_a_worker_serves_so_many_at_once_and_the_rest_in_their_turn(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "AT_ONCE", 2)
    monkeypatch.setattr(webhooks, "LOOK_AGAIN_S", 0.05)
    receiver.slow_s = 0.1
    now, most = 0, 0
    sending = post.deliverer._poster.post

    async def counted(*args: Any, **more: Any) -> Outcome:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            return await sending(*args, **more)
        finally:
            now -= 1

    monkeypatch.setattr(post.deliverer._poster, "post", counted)
    for _ in range(5):
        await post.hook()
    task = asyncio.create_task(post.deliverer.run())
    dispatcher = asyncio.create_task(Dispatcher(post.service).run())
    try:
        await post.block("0")
        await wait_until("all were told", _has(post, 5), 20)
        assert most == 2
    finally:
        for one in (task, dispatcher):
            one.cancel()
        await asyncio.wait({task, dispatcher})


async def test_a_deliverer_outlives_the_store(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.workspaces.PAUSE_S", 0.01)
    monkeypatch.setattr(webhooks, "LOOK_AGAIN_S", 0.01)
    monkeypatch.setattr("service.store.deliveries.CLAIM_MS", 50)
    away = {"claim": 1, "begin": 1}
    for name in away:
        _fails_first(monkeypatch, post.service, name, away)
    await post.hook()
    task = asyncio.create_task(post.deliverer.run())
    dispatcher = asyncio.create_task(Dispatcher(post.service).run())
    try:
        await post.block("0")
        await wait_until("the receiver was told", _has(post, 1), 20)
        assert away == {"claim": 0, "begin": 0}
    finally:
        for one in (task, dispatcher):
            one.cancel()
        await asyncio.wait({task, dispatcher})


def _has(post: Post, count: int) -> Callable[[], Awaitable[bool]]:
    async def has() -> bool:
        return len(post.told()) == count

    return has


def _resolves_to(address: str, port: int) -> Callable[..., Any]:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return resolve


def _fails_first(monkeypatch: pytest.MonkeyPatch, service: Service, name: str, away: dict[str, int]) -> None:
    works = getattr(service.deliveries, name)

    async def sometimes(*args: Any) -> Any:
        if away[name]:
            away[name] -= 1
            raise StoreUnreachable("the store does not answer")
        return await works(*args)

    monkeypatch.setattr(service.deliveries, name, sometimes)


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
