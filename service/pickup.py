"""Pickup: arq's worker with a doorbell in place of polling.

Keys, job format and results are arq's own; the ways to a job and from it are ours:
one blocking pop waits, one script behind it claims what is due with all that a worker
needs to begin, one script ends a job, unless what it was for has ended it along
with itself. Stock producers, which do not ring, are found within a second.

The process outlives the queue: while it does not answer, the worker asks again
with growing pauses. A claim lasts three seconds and is not renewed: a longer job is
claimed once more; by its own worker that means nothing, at another it finds that
its generation is taken, and ends at once.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import structlog
from arq.connections import ArqRedis
from arq.jobs import DeserializationError, deserialize_job_raw, serialize_result
from arq.utils import timestamp_ms
from arq.worker import Function, JobExecutionFailed, Retry, Worker

from service.errors import StoreUnreachable
from service.queue import dumps, loads, queue_of
from service.records.ids import new_id
from service.store.queue import Claimed, ClaimedJob, QueueStore, waker_of

log = structlog.get_logger()

FALLBACK_S = 1.0
JOB_TIMEOUT_S = 86_400
"""A job ends by itself; time-outs belong to model calls and tools."""
LONGEST_PAUSE_S = 5.0
TURNS = 3
"""So often the event loop goes round before more is waited for: what was claimed goes first."""
WOKEN_S = 2.0
"""How long a worker that is told to stop waits for the answer to what it has asked of the queue."""


async def _nothing_to_give(_ctx: dict[Any, Any], _args: Sequence[Any]) -> None:
    pass


@dataclass
class _Begun:
    """A job as it was put, and its task, or why it has none."""

    keep_s: float
    name: str = "<unknown>"
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    queued_ms: int = 0
    began_ms: int = field(default_factory=timestamp_ms)
    ctx: dict[Any, Any] = field(default_factory=dict)
    """Its context; a job that ended itself in the queue says so there (`is_ended`)."""
    task: "asyncio.Task[Any] | None" = None
    failure: Exception | None = None


class DoorbellWorker(Worker):
    """Runs jobs of one pool, `slots` at a time."""

    def __init__(
        self,
        functions: Sequence[Function],
        pool: ArqRedis,
        store: QueueStore,
        *,
        worker_pool: str,
        slots: int,
        ctx: dict[Any, Any],
        give_back: Callable[[dict[Any, Any], Sequence[Any]], Awaitable[None]] = _nothing_to_give,
    ) -> None:
        """`give_back` is called with the context and arguments of a job that is not begun after all, where
        something was taken along with its claim (`taken` in the context)."""
        super().__init__(
            functions,
            queue_name=queue_of(worker_pool),
            redis_pool=pool,
            max_jobs=slots,
            job_timeout=JOB_TIMEOUT_S,
            max_tries=1_000_000,
            job_serializer=dumps,
            job_deserializer=loads,
            handle_signals=False,
            log_results=False,
            ctx=ctx,
        )
        self._queue_store = store
        self._give_back = give_back
        self._waker = waker_of(self.queue_name, new_id("waker"))
        self._stopping = asyncio.Event()
        self._freed = asyncio.Event()
        """A slot became free, or none is to be waited for."""
        self._waiting: asyncio.Future[Claimed] | None = None
        self._waking: asyncio.Task[None] | None = None
        self._wait_s = 0.0
        """How long to wait for the bell before the next look; 0 where there may be more than was claimed."""

    def ask_to_stop(self) -> None:
        """No new job is taken; `main` returns when it has noticed. Jobs under way go on."""
        self._stopping.set()
        self._freed.set()
        if self._waiting is not None and self._waking is None:
            self._waking = self.loop.create_task(self._wake(self._waiting))

    async def _wake(self, waiting: "asyncio.Future[Claimed]") -> None:
        """Ends the waiting by way of the store: cut off, nobody would know what it has claimed."""
        with contextlib.suppress(StoreUnreachable, TimeoutError):
            async with asyncio.timeout(WOKEN_S):
                await self._queue_store.wake(self._waker)
                await asyncio.wait({waiting})
        waiting.cancel()

    async def main(self) -> None:
        self.ctx["redis"] = self.pool
        pause = 0.1
        while not self._stopping.is_set():
            try:
                await self._turn()
                pause = 0.1
            except StoreUnreachable as failure:
                log.warning("queue.lost", error=str(failure), retry_s=pause)
                self._wait_s = 0.0
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._stopping.wait()
                pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _turn(self) -> None:
        """Starts what is due, once the bell has rung if nothing was left."""
        free = self.max_jobs - self.job_counter
        if free == 0:
            self._freed.clear()
            await self._freed.wait()
            return
        if self._wait_s:
            claimed = await self._claimed_at_ring(free)
            if claimed is None:
                return
        else:
            claimed = await self._queue_store.claim(self.queue_name, free)
        for job in claimed.jobs:
            if self._stopping.is_set() or job.id in self.tasks:
                await self._leave(job)
            else:
                await self._start(job)
        for _ in range(TURNS if claimed.jobs else 0):
            await asyncio.sleep(0)
        due_s = FALLBACK_S if claimed.next_due_ms is None else claimed.next_due_ms / 1000
        # Who took as many as he could looks at once for more; from here on whoever puts a job rings.
        self._wait_s = 0.0 if len(claimed.jobs) == free else min(FALLBACK_S, max(0.01, due_s))

    async def _claimed_at_ring(self, most: int) -> Claimed | None:
        """None when the worker is to stop."""
        self._waiting = asyncio.ensure_future(
            self._queue_store.claim_at_ring(self.queue_name, most, self._wait_s, self._waker)
        )
        try:
            return await self._waiting
        except asyncio.CancelledError:
            if cast("asyncio.Task[Any]", asyncio.current_task()).cancelling():
                raise
            return None
        finally:
            self._waiting = None

    async def _leave(self, job: ClaimedJob) -> None:
        """To others, one that was claimed and is not begun: this worker stops, or it carries it already."""
        try:
            if job.taken is not None:
                _, args, _, _, _ = deserialize_job_raw(job.text, deserializer=loads)
                await self._give_back({**self.ctx, "taken": job.taken}, args)
            if job.id in self.tasks:
                return
            if job.taken is None:
                await self._queue_store.put_back(self.queue_name, job.id)
            else:
                await self._queue_store.end(self.queue_name, job.id)
        except Exception as failure:  # noqa: BLE001, the others are to be left as well
            log.warning("job.left", job_id=job.id, error=f"{type(failure).__name__}: {failure}")

    async def _start(self, job: ClaimedJob) -> None:
        await self.sem.acquire()
        self.job_counter += 1
        task = self.loop.create_task(self._carry(job, self._begin(job)))
        self.tasks[job.id] = task
        task.add_done_callback(partial(self._ended, job.id))

    def _begin(self, job: ClaimedJob) -> _Begun:
        """Makes the job's task at once, so that it starts before anything else is done."""
        begun = _Begun(keep_s=self.keep_result_s)
        try:
            begun.name, begun.args, begun.kwargs, _, begun.queued_ms = deserialize_job_raw(
                job.text, deserializer=loads
            )
            function = self.functions.get(begun.name)
            if function is None:
                raise JobExecutionFailed(f"function {begun.name!r} not found")
            if function.keep_result_s is not None:
                begun.keep_s = function.keep_result_s
            begun.ctx = {
                **self.ctx,
                "job_id": job.id,
                "job_try": job.tries,
                "score": job.score,
                "taken": job.taken,
                "done_by": job.done_by,
            }
            work = function.coroutine(begun.ctx, *begun.args, **begun.kwargs)
            begun.task = self.job_tasks[job.id] = self.loop.create_task(work)
        except Exception as failure:  # noqa: BLE001, it must end neither the worker nor silently
            begun.failure = failure
        return begun

    async def _carry(self, job: ClaimedJob, begun: _Begun) -> None:
        """A job to its end. One whose text is gone is done: whoever emptied the queue may put it again."""
        if not job.text:
            log.warning("job.vanished", job_id=job.id)
            await self._queue_store.end(self.queue_name, job.id)
            return
        try:
            result = await self._result_of(job, begun)
        except asyncio.CancelledError:  # by finish_jobs: this worker stops, another one carries it
            self.jobs_retried += 1
            await self._queue_store.put_back(self.queue_name, job.id)
        except Retry as again:
            self.jobs_retried += 1
            await self._queue_store.put_back(self.queue_name, job.id, again.defer_score or 0)
        else:
            if result is not None or not begun.ctx.get("is_ended"):
                await self._queue_store.end(self.queue_name, job.id, result, int(begun.keep_s * 1000))

    async def _result_of(self, job: ClaimedJob, begun: _Begun) -> bytes | None:
        """What a job gave, as arq keeps it, if it does; what it raises is what it gave.

        Raises Retry, CancelledError.
        """
        failure, result = begun.failure, None
        if begun.task is not None:
            try:
                result = await begun.task
            except Retry:
                raise
            except Exception as raised:  # noqa: BLE001, it must end neither the worker nor silently
                failure = raised
            finally:
                del self.job_tasks[job.id]
        if failure is not None:
            told = failure.__cause__ if isinstance(failure, DeserializationError) else failure
            log.error(
                "job.failed", job_id=job.id, function=begun.name, error=f"{type(told).__name__}: {told}"
            )
        self.jobs_complete += failure is None
        self.jobs_failed += failure is not None
        if not begun.keep_s:
            return None
        what = (begun.name, begun.args, begun.kwargs, job.tries, begun.queued_ms, failure is None)
        times = (begun.began_ms, timestamp_ms())
        gave, ref = result if failure is None else failure, f"{job.id}:{begun.name}"
        return serialize_result(*what, gave, *times, ref, self.queue_name, job.id, serializer=dumps)

    def _ended(self, job_id: str, task: "asyncio.Task[None]") -> None:
        self._release_sem_dec_counter_on_complete()
        self._freed.set()
        del self.tasks[job_id]
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            log.warning("job.lost", job_id=job_id, error=type(failure).__name__)

    async def finish_jobs(self, grace_s: float) -> None:
        """Waits for the jobs under way; after the grace they are cancelled and hand back agents."""
        running = set(self.tasks.values())
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for task in self.job_tasks.values():
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=grace_s)
