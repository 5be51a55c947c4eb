"""saq; runs in the neighbours' environment."""

from typing import Any

from saq import Worker
from saq.queue.redis import RedisQueue

from tests.bench.queues.clock import Clock
from tests.bench.queues.contender import Enqueue, hold, main, say


async def work(url: str, slots: int, clock: Clock) -> None:
    async def noop(_: Any) -> None:
        clock.note()

    async def held(_: Any) -> None:
        await hold(clock)

    worker = Worker(RedisQueue.from_url(url), [("noop", noop), ("hold", held)], concurrency=slots)
    say("ready")
    await worker.start()


async def open_queue(url: str) -> Enqueue:
    queue = RedisQueue.from_url(url)
    await queue.connect()

    async def enqueue(job: str) -> None:
        await queue.enqueue(job, timeout=0)

    return enqueue


if __name__ == "__main__":
    main(work, open_queue)
