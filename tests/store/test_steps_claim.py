"""steps_claim: from a queue that is in the store steps are claimed with their agents' leases."""

from collections.abc import AsyncIterator
from typing import Any

import fakeredis
import pytest
from redis.asyncio import Redis

from service.bootstrap import prepare
from service.queue import PREFIXES, QUEUE, Queue
from service.records.agents import Agent, NewAgent
from service.records.ids import new_id
from service.records.messages import NewMessage
from service.records.open_runs import Following
from service.records.runs import Lease, Ready, Run, Step, Usage
from service.store.client import StoreClient
from service.store.connections import pool_of
from service.store.keys import key
from service.store.queue import ClaimedJob, QueueStore
from tests.store.team import ALICE, WS, Team, raw

pytestmark = pytest.mark.anyio

WORKER = "worker-1"
LEASES_AT_ONCE = 8


@pytest.fixture
async def queue(request: pytest.FixtureRequest, store: StoreClient, team: Team) -> AsyncIterator[QueueStore]:
    """The queue of a worker that takes leases along, in the store that the agents are in."""
    await prepare(store)
    kwargs = raw(store).connection_pool.connection_kwargs
    if "server" in kwargs:
        redis: Redis = fakeredis.FakeAsyncRedis(server=kwargs["server"])
    else:
        redis = Redis(connection_pool=pool_of(request.getfixturevalue("redis_server"), 8, texts=False))
    yield QueueStore(redis, PREFIXES, team.service.leases.terms(WORKER))
    await redis.aclose()
    await redis.connection_pool.disconnect()


async def told(team: Team, queue: QueueStore, ws: str = WS) -> Agent:
    """An agent that has a message, and a job in the queue."""
    new = NewAgent(model="offline/extractive", system="ñ")
    agent = await team.service.agents.create(ws, new, ALICE)
    await team.service.messages.send(ws, agent.id, [NewMessage(content="ñ 😀")])
    await Queue(queue).put_step(ws, Ready(agent_id=agent.id, generation=1, pool="default"))
    return agent


async def claimed(queue: QueueStore, most: int = 100) -> list[ClaimedJob]:
    return (await queue.claim(QUEUE, most)).jobs


@pytest.mark.parametrize("ws", [WS, "other"])
async def test_a_step_is_claimed_with_its_lease_and_its_run(team: Team, queue: QueueStore, ws: str) -> None:
    agent = await told(team, queue, ws)
    (job,) = await claimed(queue)
    assert (job.id, job.tries) == (f"step:{ws}:{agent.id}:1", 1)
    begun = await team.service.leases.begin(ws, agent.id, 1, WORKER, job.taken)
    assert begun is not None
    lease, open_run = begun
    assert lease == Lease(workspace=ws, agent_id=agent.id, generation=1, worker_id=WORKER)
    assert open_run.material.agent == await team.service.agents.read(ws, agent.id)
    assert [message.content for message in open_run.run.messages] == ["ñ 😀"]
    assert open_run.material.context[0].plain_text().startswith("ñ")
    state = await team.store.hash(key(ws, "agent_state", agent.id))
    assert (state["status"], state["worker"]) == ("leased", WORKER)
    assert await team.service.leases.renew([lease]) == []


async def test_a_job_is_done_with_its_agents_last_run_and_not_before(team: Team, queue: QueueStore) -> None:
    agent = await told(team, queue)
    await team.service.messages.send(WS, agent.id, [NewMessage(content="second")])
    (job,) = await claimed(queue)
    begun = await team.service.leases.begin(WS, agent.id, 1, WORKER, job.taken, job.done_by)
    assert begun is not None
    lease, open_run = begun
    whole: dict[str, Any] = {"usage": Usage(), "context_tokens": 0, "seen": {}, "stop_reason": "end_turn"}

    async def stored(run: Run, *, hand_on: bool = True) -> Following | None:
        step = Step(id=new_id("step"), run_id=run.id, agent_id=agent.id, index=0, created_at=0)
        return await team.service.leases.store_step(lease, run, step, [], hand_on=hand_on, **whole)

    async def left() -> set[str]:
        found = [await queue._redis.keys(name) for name in (f"arq:*{agent.id}*", QUEUE)]
        return {name.decode() for names in found for name in names}

    following = await stored(open_run.run)
    assert following is not None
    assert following.run is not None
    assert len(await left()) == 4  # its text, its tries, its claim, and its place in the queue
    assert await stored(following.run.run) == Following(None)
    assert await left() == set()


async def test_the_same_as_a_worker_takes_it_by_himself(team: Team, queue: QueueStore) -> None:
    along, alone = await told(team, queue), await told(team, queue)
    jobs = {job.id: job.taken for job in await claimed(queue, 1)}
    with_claim = await team.service.leases.begin(WS, along.id, 1, WORKER, jobs[f"step:{WS}:{along.id}:1"])
    by_itself = await team.service.leases.begin(WS, alone.id, 1, WORKER)
    assert with_claim is not None
    assert by_itself is not None
    assert set(with_claim[1].model_fields_set) == set(by_itself[1].model_fields_set)
    assert with_claim[1].run.tries == by_itself[1].run.tries == 1
    assert with_claim[1].run.status == by_itself[1].run.status == "running"


async def test_of_a_crowd_the_first_few_come_with_their_leases(team: Team, queue: QueueStore) -> None:
    agents = [await told(team, queue) for _ in range(LEASES_AT_ONCE + 3)]
    jobs = await claimed(queue)
    assert len(jobs) == len(agents)
    assert [job.taken is not None for job in jobs] == [True] * LEASES_AT_ONCE + [False] * 3
    ready = [agent for agent in agents if (await team.state(agent))["status"] == "ready"]
    assert len(ready) == 3


async def test_a_generation_that_is_not_due_gives_nothing(team: Team, queue: QueueStore) -> None:
    agent = await told(team, queue)
    await Queue(queue).put_step(WS, Ready(agent_id=agent.id, generation=7, pool="default"))
    await Queue(queue).put_step(WS, Ready(agent_id="agent-gone", generation=1, pool="default"))
    jobs = {job.id: job for job in await claimed(queue)}
    assert len(jobs) == 3
    for id, generation in ((agent.id, 7), ("agent-gone", 1)):
        taken = jobs[f"step:{WS}:{id}:{generation}"].taken
        assert taken == ["stale"]
        assert await team.service.leases.begin(WS, id, generation, WORKER, taken) is None


async def test_other_jobs_and_one_whose_text_is_gone_come_without(team: Team, queue: QueueStore) -> None:
    agent = await told(team, queue)
    await queue.put(QUEUE, "mine", b'{"t":null,"f":"x","a":[],"k":{},"et":1}', expires_ms=60_000)
    await queue._redis.delete(f"{PREFIXES.job}step:{WS}:{agent.id}:1")
    jobs = await claimed(queue)
    assert {job.id: (bool(job.text), job.taken) for job in jobs} == {
        "mine": (True, None),
        f"step:{WS}:{agent.id}:1": (False, None),
    }
    assert (await team.state(agent))["status"] == "ready"


async def test_an_agent_whose_lease_cannot_be_taken_keeps_no_other_job_back(
    team: Team, queue: QueueStore
) -> None:
    broken, whole = await told(team, queue), await told(team, queue)
    await team.redis.delete(key(WS, "agent_inbox", broken.id))
    await team.redis.set(key(WS, "agent_inbox", broken.id), "no list")
    jobs = {job.id: job for job in await claimed(queue)}
    failed = jobs[f"step:{WS}:{broken.id}:1"].taken
    with pytest.raises(RuntimeError, match="WRONGTYPE"):
        await team.service.leases.begin(WS, broken.id, 1, WORKER, failed)
    taken = jobs[f"step:{WS}:{whole.id}:1"].taken
    assert taken is not None
    assert taken[0] == "ok"
