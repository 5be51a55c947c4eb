"""The queue contract: names, job ids, and JSON both ways with arq."""

import asyncio
import json

import pytest
from arq.jobs import deserialize_job, serialize_job

from service.queue import CONNECTIONS, QUEUE, Queue, connect, dumps, loads, queue_of
from service.records.runs import Ready
from service.settings import Settings
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio


def test_each_pool_has_a_queue_of_its_own() -> None:
    assert queue_of("default") == QUEUE == "blockwire:jobs"
    assert queue_of("big") == "blockwire:jobs:big"


async def test_a_step_names_workspace_agent_and_generation_and_is_queued_once(team: Team) -> None:
    queue = Queue(team.service.queue)
    ready = Ready(agent_id="agent-1", generation=7, pool="default")
    await queue.put_step(WS, ready)
    await queue.put_step(WS, ready)
    await queue.put_step(WS, ready.model_copy(update={"generation": 8}))
    jobs = (await team.service.queue.claim(QUEUE, 10)).jobs
    assert sorted(job.id for job in jobs) == ["step:default:agent-1:7", "step:default:agent-1:8"]


async def test_a_step_is_a_job_as_arq_reads_it(team: Team) -> None:
    await Queue(team.service.queue).put_step("ñ", Ready(agent_id="agent-1", generation=7, pool="big"))
    redis = team.service.queue._redis
    stored = await redis.get("arq:job:step:ñ:agent-1:7")
    job = deserialize_job(stored, deserializer=loads)
    assert (job.function, list(job.args), job.kwargs) == ("step", ["ñ", "agent-1", 7], {})
    assert 0 < await redis.pttl("arq:job:step:ñ:agent-1:7") <= 86_400_000


def test_jobs_are_json_and_keep_their_characters() -> None:
    job = {"t": None, "f": "send_message", "a": ["agent-1", "ñ😀"], "k": {"workspace": "default"}, "et": 1}
    assert json.loads(dumps(job)) == loads(dumps(job)) == job
    assert "ñ😀".encode() in dumps(job)


def test_an_exception_becomes_its_text() -> None:
    assert loads(dumps({"r": ValueError("no ñ")})) == {"r": "no ñ"}


def test_a_pickled_job_is_refused_with_the_remedy() -> None:
    pickled = serialize_job("send_message", ("agent-1",), {}, None, 1)
    with pytest.raises(ValueError, match="set job_serializer"):
        loads(pickled)


@pytest.mark.parametrize("job", [b"[]", b"1", b'"x"'])
def test_a_job_that_is_no_object_is_refused(job: bytes) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        loads(job)


@pytest.mark.parametrize("setting", ["redis_url", "queue_url"])
async def test_a_pool_speaks_to_the_queues_store(redis_server: str, setting: str) -> None:
    away = {"redis_url": "unix:///nowhere/at/all"} if setting == "queue_url" else {}
    pool = await connect(Settings.model_validate({**away, setting: redis_server}))
    await pool.flushall()
    job = await pool.enqueue_job("send_message", "agent-1", "ñ", _job_id="mine")
    assert job is not None
    assert await pool.zscore(QUEUE, "mine") is not None
    assert (await job.info()).args == ["agent-1", "ñ"]  # type: ignore[union-attr]
    await pool.aclose()


async def test_a_crowd_of_jobs_waits_for_a_few_connections(redis_server: str) -> None:
    pool = await connect(Settings(redis_url=redis_server))
    before = int((await pool.info("clients"))["connected_clients"])
    await asyncio.gather(*(pool.enqueue_job("send_message", "agent-1", str(n)) for n in range(100)))
    now = int((await pool.info("clients"))["connected_clients"])
    assert now - before < CONNECTIONS
    await pool.flushall()
    await pool.aclose()


async def test_settings_that_name_no_store_are_refused() -> None:
    with pytest.raises(ValueError, match="no store"):
        await connect(Settings())


async def test_a_url_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="QUEUE_URL must begin with"):
        await connect(Settings(queue_url="http://localhost"))
