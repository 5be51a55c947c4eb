"""queue_put, queue_claim: arq's own keys and format, with a doorbell; on a fake and on a real server."""

import asyncio
import time
from collections.abc import AsyncIterator

import fakeredis
import pytest
from arq.connections import ArqRedis
from arq.jobs import deserialize_job
from redis.asyncio import ConnectionPool, Redis

from service.errors import StoreUnreachable
from service.queue import PREFIXES, QUEUE, dumps, loads
from service.store.connections import pool_of
from service.store.queue import WAKER_MS, QueueStore, bell_of
from tests.store.team import wait_until

pytestmark = pytest.mark.anyio

DAY_MS = 86_400_000
WAKER = "waker-1"


@pytest.fixture(params=["fake", "real"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator["Redis"]:
    if request.param == "fake":
        client: Redis = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    else:
        client = Redis(connection_pool=pool_of(request.getfixturevalue("redis_server"), 8, texts=False))
        await client.flushall()
    yield client
    await client.aclose()
    await client.connection_pool.disconnect()


@pytest.fixture
def queue(redis: "Redis") -> QueueStore:
    return QueueStore(redis, PREFIXES)


async def put(queue: QueueStore, id: str, delay_ms: int = 0) -> bool:
    return await queue.put(QUEUE, id, b"{}", delay_ms=delay_ms, expires_ms=DAY_MS)


async def rings(redis: "Redis") -> int:
    return int(await redis.llen(bell_of(QUEUE)))  # type: ignore[misc]


async def claimed(queue: QueueStore, most: int) -> list[str]:
    return [job.id for job in (await queue.claim(QUEUE, most)).jobs]


async def test_a_job_is_queued_once_and_rings_once(queue: QueueStore, redis: "Redis") -> None:
    assert await put(queue, "job-1")
    assert not await put(queue, "job-1")
    assert await put(queue, "job-2")
    assert await redis.zcard(QUEUE) == 2
    assert await rings(redis) == 1
    assert await redis.get("arq:job:job-1") == b"{}"
    assert 0 < await redis.pttl("arq:job:job-1") <= DAY_MS


async def test_a_result_that_arq_left_refuses_no_job(queue: QueueStore, redis: "Redis") -> None:
    """arq keeps one of a job whose text was gone; its agent would wait for as long as that is kept."""
    await redis.set("arq:result:job-1", b"{}")
    assert await put(queue, "job-1")
    assert await redis.zcard(QUEUE) == 1
    assert await rings(redis) == 1


async def test_a_job_that_lost_its_place_is_queued_again(queue: QueueStore, redis: "Redis") -> None:
    """Its text alone would keep its agent waiting until it ends by itself, a day later."""
    await put(queue, "job-1")
    await redis.delete(QUEUE, bell_of(QUEUE))
    assert await put(queue, "job-1")
    assert await claimed(queue, 10) == ["job-1"]
    assert not await put(queue, "job-1")
    assert await redis.zcard(QUEUE) == 1


async def test_a_job_is_due_by_the_stores_clock(queue: QueueStore, redis: "Redis") -> None:
    await put(queue, "job-1")
    seconds, micros = await redis.time()
    score = await redis.zscore(QUEUE, "job-1")
    assert score is not None
    assert 0 <= seconds * 1000 + micros / 1000 - score < 5_000


async def test_due_jobs_are_claimed_in_order_and_by_one_alone(queue: QueueStore, redis: "Redis") -> None:
    for number in range(3):
        await put(queue, f"job-{number}", delay_ms=number - 5)
    first = await queue.claim(QUEUE, 10)
    assert [job.id for job in first.jobs] == ["job-0", "job-1", "job-2"]
    assert [job.score for job in first.jobs] == [
        int(await redis.zscore(QUEUE, job.id) or 0) for job in first.jobs
    ]
    assert first.next_due_ms is None
    assert await claimed(queue, 10) == []
    assert 0 < await redis.pttl("arq:in-progress:job-0") <= 60_000


async def test_no_more_are_claimed_than_asked_and_the_bell_rings_for_the_rest(
    queue: QueueStore, redis: "Redis"
) -> None:
    for number in range(5):
        await put(queue, f"job-{number}", delay_ms=number - 10)
    await redis.delete(bell_of(QUEUE))
    assert await claimed(queue, 2) == ["job-0", "job-1"]
    assert await rings(redis) == 1
    assert await claimed(queue, 2) == ["job-2", "job-3"]
    assert await rings(redis) == 1
    await redis.delete(bell_of(QUEUE))
    assert await claimed(queue, 2) == ["job-4"]
    assert await rings(redis) == 0


async def test_jobs_under_way_do_not_hide_those_behind(queue: QueueStore, redis: "Redis") -> None:
    for number in range(250):
        await put(queue, f"job-{number:03}", delay_ms=number - 1000)
    assert len(await claimed(queue, 240)) == 240
    await redis.delete(bell_of(QUEUE))
    assert await claimed(queue, 4) == [f"job-{number}" for number in range(240, 244)]
    assert await rings(redis) == 1


async def test_jobs_all_under_way_ring_nobody(queue: QueueStore, redis: "Redis") -> None:
    await put(queue, "job-0", delay_ms=-2)
    await put(queue, "job-1", delay_ms=-1)
    await redis.set("arq:in-progress:job-1", "1")
    await redis.delete(bell_of(QUEUE))
    assert await claimed(queue, 1) == ["job-0"]
    assert await rings(redis) == 0


async def test_a_deferred_job_is_left_and_told_of(queue: QueueStore) -> None:
    await put(queue, "late", delay_ms=5_000)
    await put(queue, "later", delay_ms=9_000)
    found = await queue.claim(QUEUE, 10)
    assert found.jobs == []
    assert found.next_due_ms is not None
    assert 4_000 < found.next_due_ms <= 5_000


async def test_a_claim_that_ran_out_can_be_made_again(queue: QueueStore, redis: "Redis") -> None:
    await put(queue, "job-1")
    assert await claimed(queue, 1) == ["job-1"]
    await redis.delete("arq:in-progress:job-1")
    assert await claimed(queue, 1) == ["job-1"]


async def test_many_claim_each_job_once(queue: QueueStore) -> None:
    ids = [f"job-{number}" for number in range(40)]
    for id in ids:
        await put(queue, id)
    found = await asyncio.gather(*[claimed(queue, 3) for _ in range(20)])
    assert sorted(id for part in found for id in part) == sorted(ids)


async def test_a_wait_ends_with_a_ring_or_its_time_and_gives_what_is_due(
    queue: QueueStore, redis: "Redis"
) -> None:
    began = time.monotonic()
    assert (await queue.claim_at_ring(QUEUE, 5, 0.05, WAKER)).jobs == []
    assert time.monotonic() - began >= 0.04
    waiting = asyncio.create_task(queue.claim_at_ring(QUEUE, 5, 20, WAKER))
    await asyncio.sleep(0.05)
    await put(queue, "job-1")
    found = await asyncio.wait_for(waiting, 10)
    assert [(job.id, job.text) for job in found.jobs] == [("job-1", b"{}")]
    assert await rings(redis) == 0


async def test_a_wait_is_none_while_the_bell_has_rung(queue: QueueStore, redis: "Redis") -> None:
    for number in range(3):
        await put(queue, f"job-{number}", delay_ms=number - 5)
    found = await asyncio.wait_for(queue.claim_at_ring(QUEUE, 2, 20, WAKER), 10)
    assert [job.id for job in found.jobs] == ["job-0", "job-1"]
    assert await rings(redis) == 1
    await redis.delete("arq:in-progress:job-0")
    await redis.script_flush()
    found = await asyncio.wait_for(queue.claim_at_ring(QUEUE, 5, 20, WAKER), 10)
    assert [job.id for job in found.jobs] == ["job-0", "job-2"]


async def test_whoever_cannot_be_woken_is_not_said_to_be(queue: QueueStore, redis: "Redis") -> None:
    await redis.set(WAKER, "no list")
    with pytest.raises(StoreUnreachable):
        await queue.wake(WAKER)


@pytest.mark.parametrize("early", [True, False], ids=["before he waits", "while he waits"])
async def test_who_waits_is_woken_with_what_is_due(queue: QueueStore, redis: "Redis", early: bool) -> None:
    await put(queue, "job-1")
    await redis.delete(bell_of(QUEUE))
    if early:
        await queue.wake(WAKER)
        assert 0 < await redis.pttl(WAKER) <= WAKER_MS
    waiting = asyncio.create_task(queue.claim_at_ring(QUEUE, 5, 20, WAKER))
    if not early:
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await queue.wake(WAKER)
    found = await asyncio.wait_for(waiting, 10)
    assert [job.id for job in found.jobs] == ["job-1"]
    assert await redis.exists(WAKER) == 0


async def test_a_job_that_is_put_back_for_now_rings(queue: QueueStore, redis: "Redis") -> None:
    await put(queue, "job-1")
    assert await claimed(queue, 1) == ["job-1"]
    await redis.delete(bell_of(QUEUE))
    await queue.put_back(QUEUE, "job-1")
    assert await rings(redis) == 1
    assert await claimed(queue, 1) == ["job-1"]


@pytest.fixture
async def stock(redis_server: str) -> AsyncIterator[ArqRedis]:
    """A producer as other services have it."""
    pool = ConnectionPool.from_url(redis_server)
    arq = ArqRedis(pool, job_serializer=dumps, job_deserializer=loads, default_queue_name=QUEUE)
    await arq.flushall()
    yield arq
    await arq.aclose()
    await pool.disconnect()


async def test_a_stock_producers_job_is_claimed(stock: ArqRedis, redis_server: str) -> None:
    ours: Redis = Redis(connection_pool=pool_of(redis_server, 1, texts=False))
    queue = QueueStore(ours, PREFIXES)
    await stock.enqueue_job("send_message", "agent-1", "text ñ", workspace="default", _job_id="mine")

    async def is_due() -> bool:
        return bool(await stock.zrangebyscore(QUEUE, "-inf", time.time() * 1000))

    await wait_until("the job is due", is_due)
    assert await claimed(queue, 5) == ["mine"]
    job = deserialize_job(await stock.get("arq:job:mine") or b"", deserializer=loads)
    assert (job.function, list(job.args)) == ("send_message", ["agent-1", "text ñ"])
    assert job.kwargs == {"workspace": "default"}
    await ours.aclose()
    await ours.connection_pool.disconnect()


async def test_a_queue_that_is_away_is_said_to_be() -> None:
    away = Redis(connection_pool=pool_of("unix:///nowhere/at/all", 1))
    queue = QueueStore(away, PREFIXES)
    with pytest.raises(StoreUnreachable, match="queue"):
        await put(queue, "job-1")
    with pytest.raises(StoreUnreachable):
        await queue.claim(QUEUE, 1)
    with pytest.raises(StoreUnreachable):
        await queue.claim_at_ring(QUEUE, 1, 0.1, WAKER)
    with pytest.raises(StoreUnreachable):
        await queue.wake(WAKER)
    await away.aclose()
