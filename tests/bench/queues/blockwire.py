"""Blockwire's own worker and queue, with jobs that do nothing under the names of its real ones."""

from typing import Any

from arq.worker import func

from service.pickup import DoorbellWorker
from service.queue import PREFIXES, Queue, connect
from service.records.base import DEFAULT_POOL
from service.records.ids import new_id
from service.records.runs import Ready
from service.settings import Settings
from service.store.queue import QueueStore
from tests.bench.queues.clock import Clock
from tests.bench.queues.contender import Enqueue, hold, main, say


async def work(url: str, slots: int, clock: Clock) -> None:
    async def step(*_: object) -> None:
        clock.note()

    async def run_tool(*_: object) -> None:
        await hold(clock)

    pool = await connect(Settings.model_validate({"redis_url": url}))
    jobs: list[Any] = [step, run_tool]
    functions = [func(job, name=job.__name__, keep_result=0) for job in jobs]
    store = QueueStore(pool, PREFIXES)
    worker = DoorbellWorker(functions, pool, store, worker_pool=DEFAULT_POOL, slots=slots, ctx={})
    say("ready")
    await worker.main()


async def open_queue(url: str) -> Enqueue:
    pool = await connect(Settings.model_validate({"redis_url": url}))
    queue, count = Queue(QueueStore(pool, PREFIXES)), 0

    async def enqueue(job: str) -> None:
        nonlocal count
        count += 1
        if job == "hold":
            await queue.put_tool_run("default", new_id("toolrun"), DEFAULT_POOL)
        else:
            await queue.put_step(
                "default", Ready(agent_id="agent-bench", generation=count, pool=DEFAULT_POOL)
            )

    return enqueue


if __name__ == "__main__":
    main(work, open_queue)
