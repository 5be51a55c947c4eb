"""taskiq with its stream broker, without a result backend; runs in the neighbours' environment."""

from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from tests.bench.queues.clock import Clock
from tests.bench.queues.contender import Enqueue, hold, main, say


async def work(url: str, slots: int, clock: Clock) -> None:
    broker = RedisStreamBroker(url)

    async def noop() -> None:
        clock.note()

    async def held() -> None:
        await hold(clock)

    broker.register_task(noop, task_name="noop")
    broker.register_task(held, task_name="hold")
    broker.is_worker_process = True
    await broker.startup()
    say("ready")
    await run_receiver_task(broker, max_async_tasks=slots)


async def open_queue(url: str) -> Enqueue:
    broker = RedisStreamBroker(url)

    async def job_of_a_worker() -> None: ...

    tasks = {name: broker.register_task(job_of_a_worker, task_name=name) for name in ("noop", "hold")}
    await broker.startup()

    async def enqueue(job: str) -> None:
        await tasks[job].kiq()

    return enqueue


if __name__ == "__main__":
    main(work, open_queue)
