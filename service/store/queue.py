"""The queue in the store: arq's own keys and job format, with a doorbell in place of polling.

One script queues a job and rings, one claims what is due; in between a worker
sleeps in a blocking pop. The claim is sent along with the pop, behind it: the store carries it
out when the bell has rung, and the worker is woken with its jobs. Where the agents are in the same
store it is woken with the leases of the first of them, too. Stock arq producers, which do not
ring, are found by the pop's time-out. Elsewhere: what jobs there are (service/queue.py).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from service.errors import StoreUnreachable
from service.store.client import Reply
from service.store.connections import ask, asked
from service.store.scripts import Script, load

WAKER_MS = 10_000
"""How long a waker that nobody waits for stays."""
_BELL = ":@bell"
"""No pool is called so: its queue would be the bell of another."""
CLAIM_MS = 3_000
"""How long a claim keeps others away. A longer job is claimed again, and finds its generation taken."""


class ArqNames(NamedTuple):
    """How arq calls its keys: what stands in front of a job's id, and the set of those to be aborted."""

    job: str
    result: str
    in_progress: str
    tries: str
    aborts: str


class PreparedJob(NamedTuple):
    """A step that a script of the store queues itself (message_send.lua); % stands for the generation."""

    queue: str
    """The default pool's."""
    key_prefix: str
    id: str
    text: str
    expires_ms: int
    bell: str
    """What stands behind a queue's name in that of its bell."""


@dataclass(frozen=True)
class ClaimedJob:
    """A job that is one worker's for CLAIM_MS."""

    id: str
    score: int
    """When it was due, in ms since the epoch."""
    text: bytes
    """As its producer put it in; empty if it is gone."""
    tries: int
    """Which try this is, from 1."""
    taken: Reply | None = None
    """What taking its agent's lease gave (LeaseStore.begun), where that was tried along with the claim."""
    done_by: tuple[str, ...] = ()
    """What a script of the store that this queue is in ends it by (job_done.lua)."""


@dataclass(frozen=True)
class Claimed:
    jobs: list[ClaimedJob]
    next_due_ms: int | None
    """Until the nearest deferred job, if there is one."""


class QueueStore:
    """Scripts on arq's queues. `names` are arq's own keys.

    `terms`: on which leases are taken along with claims (LeaseStore.terms); none where agents are elsewhere.
    """

    def __init__(self, redis: "Redis", names: ArqNames, terms: Sequence[str | int] = ()) -> None:
        self._redis = redis
        self._pool = redis.connection_pool
        self._names = names
        self._terms = terms
        self._put = load("queue_put")
        self._claim = load("steps_claim" if terms else "queue_claim")
        self._end = load("queue_end")
        self._waits = load("queue_waits")

    def on_terms(self, terms: Sequence[str | int]) -> "QueueStore":
        """The same queue for a worker that takes leases along with claims."""
        return QueueStore(self._redis, self._names, terms)

    async def put(self, queue: str, job_id: str, job: bytes, *, delay_ms: int = 0, expires_ms: int) -> bool:
        """False when the id is queued or running."""
        keys = [queue, self._names.job + job_id, bell_of(queue)]
        return bool(await self._run(self._put, keys, [job_id, job, delay_ms, expires_ms]))

    def prepared(self, queue: str, job_id: str, job: bytes, *, expires_ms: int) -> PreparedJob:
        """A job that is put by a script of the store that this queue is in."""
        return PreparedJob(queue, self._names.job, job_id, job.decode(), expires_ms, _BELL)

    async def claim(self, queue: str, most: int) -> Claimed:
        """What is due now."""
        keys, args = self._claiming(queue, most)
        return self._claimed(queue, await self._run(self._claim, keys, args))

    async def claim_at_ring(self, queue: str, most: int, seconds: float, waker: str) -> Claimed:
        """What is due when the bell rings, when the time is over, or when `waker` is woken. One round trip.

        Whoever is cancelled here may have claims, and leases, that nobody knows of until they run out; he is
        to be woken.
        """
        keys, args = self._claiming(queue, most)
        claiming = ("EVALSHA", self._claim.sha, len(keys), *keys, *args)
        with answering():
            rung, reply = await ask(self._pool, [("BLPOP", waker, bell_of(queue), seconds), claiming])
            if isinstance(reply, NoScriptError):
                return await self.claim(queue, most)
            for found in (rung, reply):
                if isinstance(found, Exception):
                    raise found
        return self._claimed(queue, reply)

    async def wake(self, waker: str) -> None:
        """Ends the waiting of whoever waits with this waker, or will within WAKER_MS."""
        with answering():
            await asked(self._pool, [("RPUSH", waker, "1"), ("PEXPIRE", waker, WAKER_MS)])

    def _claiming(self, queue: str, most: int) -> tuple[list[str], list[Any]]:
        prefixes = [self._names.in_progress, self._names.job, self._names.tries]
        return [queue, bell_of(queue)], [most, CLAIM_MS, *prefixes, *self._terms]

    def _claimed(self, queue: str, reply: Any) -> Claimed:
        each = 5 if self._terms else 4
        jobs = [
            ClaimedJob(
                reply[i].decode(),
                int(float(reply[i + 1])),
                reply[i + 2],
                reply[i + 3],
                _texts(reply[i + 4] or ()) or None if self._terms else None,
                self._done_by(queue, reply[i].decode()) if self._terms else (),
            )
            for i in range(1, len(reply), each)
        ]
        return Claimed(jobs, reply[0] if reply[0] >= 0 else None)

    async def end(self, queue: str, job_id: str, result: bytes | None = None, keep_ms: int = 0) -> None:
        """A job is done; its result, if it has one, is kept for so long."""
        await self._run(self._end, self._keys_of(queue, job_id), [job_id, "", result or b"", keep_ms])

    async def put_back(self, queue: str, job_id: str, delay_ms: int = 0) -> None:
        """A job is to be tried again, after a while or as soon as a worker has a slot."""
        await self._run(self._end, self._keys_of(queue, job_id), [job_id, delay_ms, b"", 0])

    def _done_by(self, queue: str, job_id: str) -> tuple[str, ...]:
        of = self._names
        return (queue, job_id, of.job + job_id, of.tries + job_id, of.in_progress + job_id, of.aborts)

    def _keys_of(self, queue: str, job_id: str) -> list[str]:
        of = self._names
        parts = (prefix + job_id for prefix in (of.job, of.tries, of.in_progress, of.result))
        return [queue, *parts, of.aborts, bell_of(queue)]

    async def waiting(self, queue: str) -> tuple[int, int]:
        """How many jobs besides steps wait for a worker, and for how many ms the first has."""
        count, ms = await self._run(self._waits, [queue], [self._names.in_progress])
        return int(count), int(ms)

    async def _run(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        with answering():
            try:
                return (await asked(self._pool, [("EVALSHA", script.sha, len(keys), *keys, *args)]))[0]
            except NoScriptError:
                return (await asked(self._pool, [("EVAL", script.source, len(keys), *keys, *args)]))[0]


@contextmanager
def answering() -> Iterator[None]:
    """What redis and arq raise while a queue is away becomes StoreUnreachable."""
    try:
        yield
    except (RedisError, OSError) as failure:
        raise StoreUnreachable(f"the queue does not answer: {type(failure).__name__}") from failure


def _texts(reply: Sequence[Any]) -> list[Any]:
    """A reply with its bytes as texts, as connections that decode give it."""
    return [
        one.decode("utf-8", "surrogateescape")
        if isinstance(one, bytes)
        else _texts(one)
        if isinstance(one, list)
        else one
        for one in reply
    ]


def bell_of(queue: str) -> str:
    return queue + _BELL


def waker_of(queue: str, worker: str) -> str:
    """What one waiting worker is woken by."""
    return f"{queue}:@waker:{worker}"
