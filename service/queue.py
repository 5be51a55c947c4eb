"""Queue: the contract between those who ask for work and the workers, on arq.

Four jobs. `step` (workspace, agent, generation) carries an agent forward; its id
names the generation, so that the same nudge twice is one job. `run_tool` (workspace, tool
run) carries out one call of a tool that a person asked for (tool_runs.py). `answer` (workspace,
question) asks a model something for whoever waits (questions.py). `send_message`
(agent, text, workspace=…) is for services that speak arq and not HTTP: its
result is the run's id, and the same `_job_id` gives the same run.

Jobs are JSON, not pickle: unpickling would run the producer's code. Whoever can
write to the queue is trusted with every workspace.
"""

import json
from collections.abc import Iterable
from typing import Any

import structlog
from arq.connections import ArqRedis
from arq.constants import (
    abort_jobs_ss,
    in_progress_key_prefix,
    job_key_prefix,
    result_key_prefix,
    retry_key_prefix,
)
from arq.jobs import serialize_job
from arq.utils import timestamp_ms

from service.errors import StoreUnreachable
from service.records.base import DEFAULT_POOL
from service.records.runs import Ready
from service.settings import Settings
from service.store.connections import pool_of
from service.store.queue import ArqNames, PreparedJob, QueueStore, answering

log = structlog.get_logger()

QUEUE = "blockwire:jobs"
"""The default pool's queue; another pool's has its name behind a colon."""
PREFIXES = ArqNames(
    job_key_prefix, result_key_prefix, in_progress_key_prefix, retry_key_prefix, abort_jobs_ss
)
EXPIRES_MS = 86_400_000
NOT_JSON = (
    "set job_serializer=lambda job: json.dumps(job).encode() and job_deserializer=json.loads in the "
    "producer's create_pool (pickled jobs are not read: unpickling runs the producer's code)"
)
"""What a producer has to do whose job could not be read."""
CONNECTIONS = 8
"""To the queue's store, per process. arq's own pool has no bound: a crowd of sends would open one each."""


def queue_of(pool: str) -> str:
    return QUEUE if pool == DEFAULT_POOL else f"{QUEUE}:{pool}"


def dumps(job: dict[str, Any]) -> bytes:
    """arq's `job_serializer` for every producer of ours and others'. An exception becomes its text."""
    return json.dumps(job, default=str, ensure_ascii=False).encode()


def loads(job: bytes) -> dict[str, Any]:
    """arq's `job_deserializer`. A pickled job is refused with the remedy."""
    try:
        found = json.loads(job)
    except ValueError:
        raise ValueError(f"the job is not JSON; {NOT_JSON}") from None
    if not isinstance(found, dict):
        raise ValueError("the job is not a JSON object")
    return found


async def connect(settings: Settings) -> ArqRedis:
    """A pool on the queue's store (QUEUE_URL, else REDIS_URL), of at most CONNECTIONS.

    Raises StoreUnreachable, ValueError for a URL of something else.
    """
    url = settings.queue_url or settings.redis_url
    if url is None:
        raise ValueError("settings name no store; open one first")
    try:
        connections = pool_of(url, CONNECTIONS, texts=False)
    except ValueError:
        raise ValueError(
            "QUEUE_URL must begin with redis://, rediss://, unix:// or redis+sentinel://"
        ) from None
    pool = ArqRedis(connections, dumps, loads, QUEUE)
    pool.auto_close_connection_pool = True
    with answering():
        await pool.ping()
    return pool


class Queue:
    """Puts jobs into the queue of the pool they belong to."""

    def __init__(self, store: QueueStore, *, in_store: bool = False) -> None:
        """`in_store`: the queue lies beside the agents, whose scripts may put jobs into it."""
        self._store = store
        self._in_store = in_store

    def step_to_be(self, ws: str, agent_id: str) -> PreparedJob | None:
        """The job for an agent, if a message makes it ready; None where only `nudge` can put it."""
        if not self._in_store:
            return None
        job = _serialized("step", (ws, agent_id, "%")).replace(b'"%"', b"%")
        return self._store.prepared(QUEUE, _step_id(ws, agent_id, "%"), job, expires_ms=EXPIRES_MS)

    async def nudge(self, ws: str, ready: Iterable[Ready]) -> None:
        """A job for each agent that became ready. Where the queue is away the sweeper makes up for it."""
        for one in ready:
            try:
                await self.put_step(ws, one)
            except StoreUnreachable as failure:
                log.warning("job.deferred", workspace=ws, agent_id=one.agent_id, reason=str(failure))

    async def put_step(self, ws: str, ready: Ready) -> None:
        """A job for an agent that became ready. Raises StoreUnreachable; the sweeper makes up for that."""
        job_id = _step_id(ws, ready.agent_id, ready.generation)
        await self._put(ready.pool, job_id, "step", (ws, ready.agent_id, ready.generation))

    async def put_tool_run(self, ws: str, id: str, pool: str) -> None:
        """A job for a call of a tool. Raises StoreUnreachable."""
        await self._put(pool, f"tool:{ws}:{id}", "run_tool", (ws, id))

    async def put_answer(self, ws: str, question_id: str, pool: str) -> None:
        """A job for a question that somebody waits for. Raises StoreUnreachable."""
        await self._put(pool, f"answer:{ws}:{question_id}", "answer", (ws, question_id))

    async def _put(self, pool: str, job_id: str, name: str, args: tuple[object, ...]) -> None:
        await self._store.put(queue_of(pool), job_id, _serialized(name, args), expires_ms=EXPIRES_MS)


def _step_id(ws: str, agent_id: str, generation: int | str) -> str:
    return f"step:{ws}:{agent_id}:{generation}"


def _serialized(name: str, args: tuple[object, ...]) -> bytes:
    return serialize_job(name, args, {}, None, timestamp_ms(), serializer=dumps)
