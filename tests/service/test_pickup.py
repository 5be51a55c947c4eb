"""Pickup: arq itself, against a real server, with the doorbell in place of polling."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import Retry, func
from structlog.testing import capture_logs

from service import pickup
from service.errors import StoreUnreachable
from service.pickup import DoorbellWorker
from service.queue import PREFIXES, QUEUE, Queue, connect
from service.records.runs import Ready
from service.settings import Settings
from service.store.connections import pool_of
from service.store.queue import Claimed, QueueStore, bell_of
from tests.store.team import wait_until

pytestmark = pytest.mark.anyio

Job = Callable[..., Any]


@pytest.fixture
async def pool(redis_server: str) -> AsyncIterator[ArqRedis]:
    pool = await connect(Settings(redis_url=redis_server))
    await pool.flushall()
    yield pool
    await pool.aclose()


@pytest.fixture
def queue(pool: ArqRedis) -> QueueStore:
    return QueueStore(pool, PREFIXES)


class Work:
    """Jobs that say when they begin, and end when they are told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.go_on = asyncio.Event()

    async def quick(self, ctx: dict[str, Any], *args: object) -> str:
        self.begun.append(ctx["job_id"])
        return f"done {ctx['word']}"

    async def slow(self, ctx: dict[str, Any], *args: object) -> None:
        self.begun.append(ctx["job_id"])
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.append(ctx["job_id"])
            raise
        self.ended.append(ctx["job_id"])

    async def again(self, ctx: dict[str, Any]) -> None:
        self.begun.append(ctx["job_id"])
        if ctx["job_try"] < 3:
            raise Retry(defer=0.01)

    async def broken(self, ctx: dict[str, Any]) -> None:
        self.begun.append(ctx["job_id"])
        raise RuntimeError("broken")

    async def has_begun(self, count: int) -> None:
        async def begun() -> bool:
            return len(self.begun) >= count

        await wait_until(f"{count} jobs have begun", begun)


@pytest.fixture
def work() -> Work:
    return Work()


def a_worker(
    pool: ArqRedis, queue: QueueStore, work: Work, slots: int = 4, name: str = "default"
) -> DoorbellWorker:
    functions = [
        func(job, name=job.__name__, keep_result=60)
        for job in (work.quick, work.slow, work.again, work.broken)
    ]
    functions.append(func(work.quick, name="step", keep_result=0))
    return DoorbellWorker(functions, pool, queue, worker_pool=name, slots=slots, ctx={"word": "ñ"})


@asynccontextmanager
async def at_work(worker: DoorbellWorker) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(worker.main())
    try:
        yield task
    finally:
        worker.ask_to_stop()
        await asyncio.wait_for(task, 10)
        await worker.finish_jobs(5)


async def test_a_ring_starts_a_job(
    pool: ArqRedis, queue: QueueStore, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks by himself within the test's time."""
    monkeypatch.setattr(pickup, "FALLBACK_S", 60.0)
    worker = a_worker(pool, queue, work)
    async with at_work(worker):
        for number in range(5):
            await Queue(queue).put_step("ws", Ready(agent_id="a", generation=number, pool="default"))
            await work.has_begun(number + 1)
    assert work.begun == [f"step:ws:a:{number}" for number in range(5)]
    assert worker.jobs_complete == 5
    assert await pool.zcard(QUEUE) == 0
    assert set(await pool.keys("arq:*")) == set()


async def test_a_job_that_ended_itself_in_the_queue_is_left_alone(
    pool: ArqRedis, queue: QueueStore, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    async def end(queue_name: str, job_id: str, *_: object) -> None:
        ended.append(job_id)

    async def step(ctx: dict[str, Any], _: str, agent: str, generation: int) -> None:
        work.begun.append(ctx["job_id"])
        ctx["is_ended"] = agent == "itself"

    monkeypatch.setattr(queue, "end", end)
    worker = a_worker(pool, queue, work)
    worker.functions["step"] = func(step, name="step", keep_result=0)
    async with at_work(worker):
        for agent in ("itself", "not"):
            await Queue(queue).put_step("ws", Ready(agent_id=agent, generation=1, pool="default"))
        await work.has_begun(2)
    assert ended == ["step:ws:not:1"]
    assert worker.jobs_complete == 2


async def test_stock_jobs_that_do_not_ring_are_found(pool: ArqRedis, queue: QueueStore, work: Work) -> None:
    async with at_work(a_worker(pool, queue, work)):
        job = await pool.enqueue_job("quick", "x", _job_id="mine")
        assert job is not None
        assert await job.result(timeout=10, poll_delay=0.01) == "done ñ"
        assert await pool.enqueue_job("quick", _job_id="mine") is None


async def test_a_pools_worker_takes_its_own_jobs_only(pool: ArqRedis, queue: QueueStore, work: Work) -> None:
    await Queue(queue).put_step("ws", Ready(agent_id="other", generation=1, pool="default"))
    await Queue(queue).put_step("ws", Ready(agent_id="mine", generation=1, pool="big"))
    async with at_work(a_worker(pool, queue, work, name="big")):
        await work.has_begun(1)
    assert work.begun == ["step:ws:mine:1"]
    assert await pool.zcard(QUEUE) == 1


async def test_a_deferred_job_waits_for_its_time(pool: ArqRedis, queue: QueueStore, work: Work) -> None:
    await pool.enqueue_job("quick", _job_id="late", _defer_by=0.3)
    async with at_work(a_worker(pool, queue, work)):
        await pool.enqueue_job("quick", _job_id="now")
        await work.has_begun(2)
    assert work.begun == ["now", "late"]


async def test_no_more_jobs_run_at_once_than_there_are_slots(
    pool: ArqRedis, queue: QueueStore, work: Work
) -> None:
    for number in range(5):
        await pool.enqueue_job("slow", _job_id=f"slow-{number}")
    worker = a_worker(pool, queue, work, slots=2)
    async with at_work(worker):
        await work.has_begun(2)
        assert len(await pool.keys("arq:in-progress:*")) == 2
        assert work.begun == ["slow-0", "slow-1"]
        work.go_on.set()
        await work.has_begun(5)
    assert sorted(work.ended) == [f"slow-{number}" for number in range(5)]
    assert worker.tasks == {} or all(task.done() for task in worker.tasks.values())


async def test_two_workers_share_the_work(pool: ArqRedis, queue: QueueStore, work: Work) -> None:
    for number in range(6):
        await pool.enqueue_job("slow", _job_id=f"slow-{number}")
    async with at_work(a_worker(pool, queue, work, slots=3)), at_work(a_worker(pool, queue, work, slots=3)):
        await work.has_begun(6)
        work.go_on.set()
    assert sorted(work.begun) == [f"slow-{number}" for number in range(6)]


async def test_a_job_that_is_tried_again_ends_well(pool: ArqRedis, queue: QueueStore, work: Work) -> None:
    async with at_work(a_worker(pool, queue, work)):
        job = await pool.enqueue_job("again", _job_id="again")
        assert job is not None
        assert await job.result(timeout=10, poll_delay=0.01) is None
    assert work.begun == ["again"] * 3


async def test_a_job_that_breaks_or_is_unknown_stops_nobody(
    pool: ArqRedis, queue: QueueStore, work: Work
) -> None:
    async with at_work(a_worker(pool, queue, work)) as task:
        broken, unknown = await pool.enqueue_job("broken"), await pool.enqueue_job("nothing")
        await pool.zadd(QUEUE, {"expired": 1})
        assert broken is not None
        assert unknown is not None
        with pytest.raises(BaseException, match="broken"):
            await broken.result(timeout=10, poll_delay=0.01)
        with pytest.raises(BaseException, match="not found"):
            await unknown.result(timeout=10, poll_delay=0.01)
        await pool.enqueue_job("quick", _job_id="after")
        await work.has_begun(2)
        assert not task.done()
    assert work.begun[-1] == "after"
    assert await pool.zcard(QUEUE) == 0


async def test_a_job_longer_than_its_claim_is_not_begun_twice_by_its_worker(
    pool: ArqRedis, queue: QueueStore, work: Work
) -> None:
    worker = a_worker(pool, queue, work)
    async with at_work(worker):
        await pool.enqueue_job("slow", _job_id="long")
        await work.has_begun(1)
        running = worker.tasks["long"]
        await pool.delete("arq:in-progress:long")
        await pool.rpush(bell_of(QUEUE), 1)  # type: ignore[misc]

        async def claimed_again() -> bool:
            return bool(await pool.exists("arq:in-progress:long"))

        await wait_until("the job is claimed again", claimed_again)
        await pool.enqueue_job("quick", _job_id="next")
        await work.has_begun(2)
        assert worker.tasks["long"] is running
        work.go_on.set()
    assert (work.begun, work.ended) == (["long", "next"], ["long"])
    assert worker.jobs_failed == 0


async def test_a_worker_that_stops_takes_nothing_new_and_ends_what_it_has(
    pool: ArqRedis, queue: QueueStore, work: Work
) -> None:
    worker = a_worker(pool, queue, work)
    task = asyncio.create_task(worker.main())
    await pool.enqueue_job("slow", _job_id="slow")
    await work.has_begun(1)
    worker.ask_to_stop()
    await asyncio.wait_for(task, 10)
    await pool.enqueue_job("quick", _job_id="later")
    ending = asyncio.create_task(worker.finish_jobs(30))
    work.go_on.set()
    await asyncio.wait_for(ending, 10)
    assert (work.begun, work.ended, work.cancelled) == (["slow"], ["slow"], [])
    async with at_work(a_worker(pool, queue, work)):
        await work.has_begun(2)
    assert work.begun == ["slow", "later"]


async def test_a_job_that_comes_while_its_worker_stops_is_anothers_at_once(
    pool: ArqRedis, queue: QueueStore, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that is carried out for a worker that waits no more would hold it for three seconds."""
    monkeypatch.setattr(pickup, "FALLBACK_S", 60.0)
    for number in range(20):
        stopping = a_worker(pool, queue, work)
        task = asyncio.create_task(stopping.main())

        async def waits() -> bool:
            return bool((await pool.info("clients"))["blocked_clients"])

        await wait_until("the worker waits for the bell", waits)
        putting = asyncio.create_task(
            Queue(queue).put_step("ws", Ready(agent_id="a", generation=number, pool="default"))
        )
        for _ in range(number % 5):
            await asyncio.sleep(0)
        stopping.ask_to_stop()
        await asyncio.wait_for(asyncio.gather(task, putting), 10)
        await stopping.finish_jobs(5)
        async with asyncio.timeout(2), at_work(a_worker(pool, queue, work)):
            await work.has_begun(number + 1)
    assert work.begun == [f"step:ws:a:{number}" for number in range(20)]


async def test_one_job_that_cannot_be_left_keeps_no_other_from_being_left(
    pool: ArqRedis, queue: QueueStore, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = a_worker(pool, queue, work)
    claim, put_back = queue.claim, queue.put_back

    async def stops_meanwhile(name: str, most: int) -> Claimed:
        for number in range(3):
            await Queue(queue).put_step("ws", Ready(agent_id="a", generation=number, pool="default"))
        claimed = await claim(name, most)
        worker.ask_to_stop()
        return claimed

    async def breaks_once(name: str, job_id: str, delay_ms: int = 0) -> None:
        if job_id.endswith(":0"):
            raise StoreUnreachable("away")
        await put_back(name, job_id, delay_ms)

    monkeypatch.setattr(queue, "claim", stops_meanwhile)
    monkeypatch.setattr(queue, "put_back", breaks_once)
    with capture_logs() as logs:
        await asyncio.wait_for(worker.main(), 10)
    assert [line["job_id"] for line in logs if line["event"] == "job.left"] == ["step:ws:a:0"]
    assert work.begun == []
    assert sorted(job.id for job in (await claim(QUEUE, 9)).jobs) == ["step:ws:a:1", "step:ws:a:2"]


async def test_after_the_grace_jobs_are_cancelled_and_stay_in_the_queue(
    pool: ArqRedis, queue: QueueStore, work: Work
) -> None:
    worker = a_worker(pool, queue, work, slots=1)
    task = asyncio.create_task(worker.main())
    await pool.enqueue_job("slow", _job_id="slow")
    await work.has_begun(1)
    worker.ask_to_stop()
    await asyncio.wait_for(task, 10)
    await worker.finish_jobs(0.05)
    assert work.cancelled == ["slow"]
    assert await pool.zscore(QUEUE, "slow") is not None
    assert await pool.exists("arq:in-progress:slow") == 0
    await a_worker(pool, queue, work).finish_jobs(5)


async def test_a_lost_connection_is_survived(pool: ArqRedis, queue: QueueStore, work: Work) -> None:
    async with at_work(a_worker(pool, queue, work)) as task:
        await pool.enqueue_job("quick", _job_id="before")
        await work.has_begun(1)
        for number in range(3):
            await pool.client_kill_filter(_type="normal", skipme=True)
            await Queue(queue).put_step("ws", Ready(agent_id="a", generation=number, pool="default"))
            await work.has_begun(number + 2)
        assert not task.done()
    assert len(work.begun) == 4


async def test_while_the_queue_is_away_it_is_asked_again_and_stopping_is_heard(
    pool: ArqRedis, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = ArqRedis(pool_of("unix:///nowhere/at/all", 1, texts=False))
    monkeypatch.setattr(pickup, "LONGEST_PAUSE_S", 0.2)
    worker = a_worker(pool, QueueStore(away, PREFIXES), work)
    with capture_logs() as logs:
        async with at_work(worker):

            async def asked_thrice() -> bool:
                return len(logs) >= 3

            await wait_until("the queue was asked three times", asked_thrice)
    assert [line["event"] for line in logs[:3]] == ["queue.lost"] * 3
    assert [line["retry_s"] for line in logs[:3]] == [0.1, 0.2, 0.2]
    await away.aclose()


async def test_a_job_whose_end_could_not_be_stored_is_told_of(
    pool: ArqRedis, queue: QueueStore, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = a_worker(pool, queue, work)

    async def lost(*args: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(queue, "end", lost)
    with capture_logs() as logs:
        async with at_work(worker):
            await pool.enqueue_job("quick", _job_id="quick")
            await work.has_begun(1)

            async def told() -> bool:
                return any(line["event"] == "job.lost" for line in logs)

            await wait_until("the loss is told", told)
    assert next(line for line in logs if line["event"] == "job.lost")["job_id"] == "quick"


async def test_a_job_whose_body_is_gone_can_be_queued_again(
    pool: ArqRedis, queue: QueueStore, work: Work
) -> None:
    """Whoever empties the queue does so at any moment, also between a claim and the reading of its job."""
    ready = Ready(agent_id="agent-1", generation=1, pool="default")
    await Queue(queue).put_step("default", ready)
    (job,) = await pool.keys("arq:job:*")
    await pool.delete(job)
    async with at_work(a_worker(pool, queue, work)):

        async def is_forgotten() -> bool:
            return bool(await pool.zcard(QUEUE) == 0)

        await wait_until("the job without a body was given up", is_forgotten)
        await Queue(queue).put_step("default", ready)
        await work.has_begun(1)
