"""The deliverer as it runs by itself: many webhooks at once, tries that repeat, a store that is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.bootstrap import Service
from service.errors import StoreUnreachable
from tests.receiver import Receiver, receiving
from tests.workers.bench import wait_until
from tests.workers.posting import FAILED, Post
from workers import webhooks
from workers.posts import Outcome, Poster
from workers.wakeups import Dispatcher
from workers.webhooks import Deliverer

pytestmark = pytest.mark.anyio


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


def _fails_first(monkeypatch: pytest.MonkeyPatch, service: Service, name: str, away: dict[str, int]) -> None:
    works = getattr(service.deliveries, name)

    async def sometimes(*args: Any) -> Any:
        if away[name]:
            away[name] -= 1
            raise StoreUnreachable("the store does not answer")
        return await works(*args)

    monkeypatch.setattr(service.deliveries, name, sometimes)
