"""The queue in the store: arq's own keys and job format, with a doorbell in place of polling.

One script queues a job and rings, one claims what is due; in between a worker
sleeps in a blocking pop. Stock arq producers, which do not ring, are found by
the pop's time-out. Elsewhere: what jobs there are (service/queue.py).
"""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from service.errors import StoreUnreachable
from service.store.scripts import Script, load

CLAIM_MS = 3_000
"""How long a claim keeps others away. A longer job is claimed again, and finds its generation taken."""


@dataclass(frozen=True)
class Claimed:
    jobs: list[tuple[str, int]]
    """Job id and score (ms since the epoch)."""
    next_due_ms: int | None
    """Until the nearest deferred job, if there is one."""


class QueueStore:
    """Scripts on one arq queue. `prefixes` are arq's: of jobs, results and jobs in progress."""

    def __init__(self, redis: "Redis", prefixes: tuple[str, str, str]) -> None:
        self._redis = redis
        self._job, _, self._running = prefixes
        self._put = load("queue_put")
        self._claim = load("queue_claim")

    async def put(self, queue: str, job_id: str, job: bytes, *, delay_ms: int = 0, expires_ms: int) -> bool:
        """False when the id is queued or running."""
        keys = [queue, self._job + job_id, bell_of(queue)]
        return bool(await self._run(self._put, keys, [job_id, job, delay_ms, expires_ms]))

    async def claim(self, queue: str, most: int) -> Claimed:
        reply = await self._run(self._claim, [queue, bell_of(queue)], [most, CLAIM_MS, self._running])
        jobs = [(reply[i].decode(), int(float(reply[i + 1]))) for i in range(1, len(reply), 2)]
        return Claimed(jobs, reply[0] if reply[0] >= 0 else None)

    async def wait(self, queue: str, seconds: float) -> None:
        """Until the bell rings, or the time is over."""
        with answering():
            await cast(Awaitable[Any], self._redis.blpop([bell_of(queue)], timeout=cast(int, seconds)))

    async def ring(self, queue: str) -> None:
        """For a worker that stops: its cancelled wait may have swallowed a ring."""
        with answering():
            await cast(Awaitable[Any], self._redis.rpush(bell_of(queue), b"1"))
            await cast(Awaitable[Any], self._redis.ltrim(bell_of(queue), 0, 0))

    async def _run(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        with answering():
            try:
                return await cast(Awaitable[Any], self._redis.evalsha(script.sha, len(keys), *keys, *args))
            except NoScriptError:
                return await cast(Awaitable[Any], self._redis.eval(script.source, len(keys), *keys, *args))


@contextmanager
def answering() -> Iterator[None]:
    """What redis and arq raise while a queue is away becomes StoreUnreachable."""
    try:
        yield
    except (RedisError, OSError) as failure:
        raise StoreUnreachable(f"the queue does not answer: {type(failure).__name__}") from failure


def bell_of(queue: str) -> str:
    return f"{queue}:bell"
