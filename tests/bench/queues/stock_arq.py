"""arq as it stands: its worker, its pool, its defaults. BENCH_POLL sets another pause between polls."""

import os
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from tests.bench.queues.clock import Clock
from tests.bench.queues.contender import Enqueue, hold, main, say

POLL_S = float(os.environ.get("BENCH_POLL", "0.5"))
QUEUE = f"arq:bench:{POLL_S:g}"


async def work(url: str, slots: int, clock: Clock) -> None:
    async def noop(_: Any) -> None:
        clock.note()

    async def held(_: Any) -> None:
        await hold(clock)

    jobs: list[tuple[str, Any]] = [("noop", noop), ("hold", held)]
    worker = Worker(
        [func(job, name=name, timeout=3600) for name, job in jobs],
        queue_name=QUEUE,
        redis_settings=RedisSettings.from_dsn(url),
        max_jobs=slots,
        poll_delay=POLL_S,
    )
    say("ready")
    await worker.async_run()


async def open_queue(url: str) -> Enqueue:
    pool = await create_pool(RedisSettings.from_dsn(url), default_queue_name=QUEUE)
    return pool.enqueue_job


if __name__ == "__main__":
    main(work, open_queue, pause_s=POLL_S)
