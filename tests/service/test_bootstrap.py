"""Bootstrap: a store is marked as ours, or refused; everything that was opened is closed."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis

from service.bootstrap import now, open_service, open_tokens, prepare
from service.errors import StoreUnreachable, StoreUnreadable
from service.queue import connect
from service.records.blocks import BlockFields
from service.settings import Settings
from service.store.client import StoreClient
from service.store.keys import SCHEMA, SCHEMA_KEY
from tests.store.team import ALICE, WS, raw, wait_until

pytestmark = pytest.mark.anyio


async def connections(redis: "Redis") -> int:
    return len(await redis.client_list())


@pytest.fixture
def redis(real_store: StoreClient) -> "Redis":
    return raw(real_store)


async def test_a_new_store_is_marked(store: StoreClient) -> None:
    await prepare(store)
    await prepare(store)
    assert await store.get(SCHEMA_KEY) == str(SCHEMA)
    assert await store.members("bw:workspaces") == {"default"}


async def test_a_store_of_another_schema_is_refused_with_the_remedy(store: StoreClient) -> None:
    await raw(store).set(SCHEMA_KEY, "99")
    with pytest.raises(StoreUnreadable, match=r"schema 99.*reads schema 3.*REDIS_URL"):
        await prepare(store)
    assert await store.members("bw:workspaces") == set()


async def test_the_rooms_are_open_for_as_long_as_they_are_needed(redis_server: str, redis: "Redis") -> None:
    before = await connections(redis)
    async with open_service(Settings(redis_url=redis_server)) as service:
        block = await service.blocks.create(WS, BlockFields(label="a"), ALICE)
        assert await service.blocks.read(WS, block.id) == block
        async with service.changes.rings(WS):
            pass
        assert await connections(redis) > before

    async def closed() -> bool:
        return await connections(redis) == before

    await wait_until("all connections are closed", closed)


async def test_a_pool_that_was_given_stays_open(redis_server: str, redis: "Redis") -> None:
    settings = Settings(redis_url=redis_server)
    pool: ArqRedis = await connect(settings)
    async with open_service(settings, arq=pool) as service:
        assert service.settings == settings
    await pool.enqueue_job("step")
    await pool.aclose()


@pytest.mark.parametrize("opening", [open_service, open_tokens])
async def test_settings_without_a_store_are_refused(opening: Callable[[Settings], Any]) -> None:
    with pytest.raises(ValueError, match="name no store"):
        async with opening(Settings()):
            pytest.fail("it opened")


async def test_the_tokens_are_opened_alone_and_closed_again(redis_server: str, redis: "Redis") -> None:
    before = await connections(redis)
    async with open_tokens(Settings(redis_url=redis_server)) as tokens:
        assert not await tokens.exist()
        _, secret = await tokens.create("team-a", "read")
        assert (await tokens.admit(secret)).token is not None
    assert await StoreClient(redis).members("bw:workspaces") == {"default", "team-a"}

    async def closed() -> bool:
        return await connections(redis) == before

    await wait_until("all connections are closed", closed)


async def test_a_store_that_is_away_is_unreachable() -> None:
    with pytest.raises(StoreUnreachable):
        async with open_service(Settings(redis_url="unix:///nowhere/at/all")):
            pytest.fail("it opened")


async def test_a_queue_that_is_away_is_unreachable_too(
    redis_server: str, redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await connections(redis)
    settings = Settings(redis_url=redis_server, queue_url="unix:///nowhere/at/all")
    with pytest.raises(StoreUnreachable, match="queue"):
        async with open_service(settings):
            pytest.fail("it opened")
    assert await connections(redis) == before


def test_now_is_in_microseconds() -> None:
    assert abs(now() - time.time() * 1_000_000) < 5_000_000
