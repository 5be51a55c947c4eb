"""Messages: sending makes a run and a job; the queue may be away, the message is not lost."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import fakeredis
import pytest
from arq.jobs import deserialize_job
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service.bootstrap import Service, assemble, prepare
from service.errors import Invalid, NotFound, StoreUnreachable, UnknownModel
from service.queue import EXPIRES_MS, PREFIXES, QUEUE, loads
from service.records.base import Page
from service.records.messages import NewMessage
from service.records.runs import RunOptions, When
from service.settings import Settings
from service.store.client import StoreClient
from service.store.connections import pool_of
from service.store.queue import QueueStore, bell_of
from tests.store.team import WS, Team, raw

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["its queue elsewhere", "its queue in the store"])
async def service(
    request: pytest.FixtureRequest, store: StoreClient, settings: Settings
) -> AsyncIterator[Service]:
    """All rooms on either kind of store, and on either kind of queue."""
    await prepare(store)
    if request.param == "its queue elsewhere":
        queue: Redis = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    else:
        kwargs = raw(store).connection_pool.connection_kwargs
        settings = settings.model_copy(update={"redis_url": "the store"})
        if "server" in kwargs:
            queue = fakeredis.FakeAsyncRedis(server=kwargs["server"])
        else:
            queue = Redis(connection_pool=pool_of(request.getfixturevalue("redis_server"), 8, texts=False))
    rooms = assemble(settings, store, QueueStore(queue, PREFIXES))
    yield rooms
    await rooms.bell.close()
    await queue.aclose()
    await queue.connection_pool.disconnect()


class Away(QueueStore):
    """A queue that does not answer."""

    async def put(self, *args: object, **more: object) -> bool:
        raise StoreUnreachable("the queue does not answer")


async def due(service: Service, queue: str = QUEUE) -> list[str]:
    return [job.id for job in (await service.queue.claim(queue, 100)).jobs]


async def test_a_message_becomes_a_run_and_a_job(team: Team) -> None:
    agent = await team.agent()
    options = RunOptions(max_steps=3)
    run = await team.service.messages.send(
        WS, agent.id, [NewMessage(content="Hi.")], options, background=True, callback_url="http://x", depth=2
    )
    assert run.created_at > 0
    stored = await team.service.runs.read(WS, run.id)
    assert stored == run
    assert (stored.kind, stored.background, stored.depth, stored.options) == (
        "send_message",
        True,
        2,
        options,
    )
    assert (stored.metadata, stored.callback_url) == ({"run_type": "send_message"}, "http://x")
    assert await due(team.service) == [f"step:{WS}:{agent.id}:1"]


async def test_the_job_is_one_that_arq_reads_and_it_rings(team: Team) -> None:
    agent = await team.agent()
    began = datetime.now(UTC)
    await team.send(agent)
    queue = team.service.queue._redis
    stored = await queue.get(f"{PREFIXES.job}step:{WS}:{agent.id}:1")
    assert stored is not None
    job = deserialize_job(stored, deserializer=loads)
    assert (job.function, list(job.args), job.kwargs) == ("step", [WS, agent.id, 1], {})
    assert abs((job.enqueue_time - began).total_seconds()) < 5
    assert EXPIRES_MS - 5000 < await queue.pttl(f"{PREFIXES.job}step:{WS}:{agent.id}:1") <= EXPIRES_MS
    due_at = await queue.zscore(QUEUE, f"step:{WS}:{agent.id}:1")
    assert due_at is not None
    assert abs(due_at / 1000 - began.timestamp()) < 5
    assert await queue.llen(bell_of(QUEUE)) == 1  # type: ignore[misc]


async def test_a_queue_that_is_broken_keeps_no_message_from_being_stored(team: Team) -> None:
    agent = await team.agent(pool="bell")
    await team.service.queue._redis.set(f"{QUEUE}:bell", "no queue")
    await team.send(agent)
    assert (await team.state(agent))["status"] == "ready"
    assert len(await team.service.runs.find(WS, agent.id, Page())) == 1


async def test_a_pool_may_be_called_bell(team: Team) -> None:
    bell, other = await team.agent(pool="bell"), await team.agent()
    await team.send(other)
    await team.send(bell)
    assert await due(team.service) == [f"step:{WS}:{other.id}:1"]
    assert await due(team.service, f"{QUEUE}:bell") == [f"step:{WS}:{bell.id}:1"]


async def test_a_message_that_is_to_come_later_queues_no_job(team: Team) -> None:
    agent = await team.agent()
    await team.send(agent, when=When(delay_ms=60_000))
    assert await due(team.service) == []


async def test_a_message_to_an_agent_at_work_queues_no_second_job(team: Team) -> None:
    agent = await team.agent()
    await team.lease(agent)
    assert len(await due(team.service)) == 1
    await team.send(agent)
    assert await due(team.service) == []


async def test_the_job_lies_in_the_queue_of_the_agents_pool(team: Team) -> None:
    agent = await team.agent(pool="big")
    await team.send(agent)
    assert await due(team.service) == []
    assert await due(team.service, f"{QUEUE}:big") == [f"step:{WS}:{agent.id}:1"]


async def test_the_same_run_id_is_the_same_message(team: Team) -> None:
    agent = await team.agent()
    ids = [await team.send(agent, "Hi.", run_id="run-1") for _ in range(3)]
    assert ids == ["run-1"] * 3
    assert len(await team.service.runs.find(WS, agent.id, Page())) == 1
    assert len(await due(team.service)) == 1


async def test_a_message_that_cannot_be_sent_leaves_nothing(team: Team) -> None:
    agent = await team.agent()
    before = await team.everything()
    with pytest.raises(Invalid) as refusal:
        await team.service.messages.send(WS, agent.id, [])
    assert refusal.value.field == "messages"
    with pytest.raises(NotFound):
        await team.service.messages.send(WS, "agent-x", [NewMessage(content="Hi.")])
    options = RunOptions(override_model="openai/nothing")
    with pytest.raises(UnknownModel):
        await team.service.messages.send(WS, agent.id, [NewMessage(content="Hi.")], options)
    assert await team.everything() == before
    assert await due(team.service) == []


async def test_another_model_may_be_asked_for_once(team: Team) -> None:
    agent = await team.agent()
    options = RunOptions(override_model="openai/gpt-4o")
    run = await team.service.messages.send(WS, agent.id, [NewMessage(content="Hi.")], options)
    assert (await team.service.runs.read(WS, run.id)).options.override_model == "openai/gpt-4o"


async def test_a_message_is_kept_though_the_queue_is_away(team: Team, settings: Settings) -> None:
    agent = await team.agent()
    service = assemble(settings, team.store, Away(team.redis, PREFIXES))
    with capture_logs() as logs:
        run = await service.messages.send(WS, agent.id, [NewMessage(content="Hi.")])
    assert [line["event"] for line in logs] == ["job.deferred", "message.sent"]
    (waiting,) = await team.leases.sweep(WS, 0)
    assert waiting.agent_id == agent.id
    _, open_run = await team.working(agent)
    assert open_run.run.id == run.id
    await service.bell.close()


async def test_history_and_context_are_read_by_page_and_whole(team: Team) -> None:
    agent = await team.agent(agent_type="memgpt_agent")
    ids = agent.message_ids
    messages = team.service.messages
    assert [one.id for one in await messages.find(WS, agent.id, Page(limit=2, descending=True))] == [
        ids[3],
        ids[2],
    ]
    assert [one.id for one in await messages.context(WS, agent.id)] == ids
    assert [one.id for one in await messages.read_many(WS, agent.id, [ids[2], "message-x", ids[0]])] == [
        ids[2],
        ids[0],
    ]
    with pytest.raises(NotFound):
        await messages.find(WS, agent.id, Page(after="message-x"))
