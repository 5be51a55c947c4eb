"""A bare pop: the floor of every queue: one connection pushes, another one waits for it."""

from collections.abc import Awaitable
from typing import Any, cast

from redis.asyncio import Redis

from tests.bench.queues.clock import Clock
from tests.bench.queues.contender import Enqueue, main, say

LIST = "bench:popped"


async def work(url: str, slots: int, clock: Clock) -> None:
    redis: Redis = Redis.from_url(url)
    say("ready")
    while True:
        await cast(Awaitable[Any], redis.blpop([LIST], timeout=0))
        clock.note()


async def open_queue(url: str) -> Enqueue:
    redis: Redis = Redis.from_url(url)

    async def enqueue(job: str) -> object:
        return await cast(Awaitable[Any], redis.rpush(LIST, job))

    return enqueue


if __name__ == "__main__":
    main(work, open_queue)
