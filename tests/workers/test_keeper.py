"""The keeper: leases are renewed, tasks that lost theirs stopped, agents nobody carries queued again."""

import asyncio

import pytest

from service.errors import StoreUnreachable
from service.settings import Settings
from service.store.keys import key
from tests.workers.bench import WS, Bench, says, wait_until
from workers.keeper import Keeper

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> Settings:
    """A lease short enough for a test to see it run out."""
    return Settings(lease_ms=300)


@pytest.fixture
def keeper(bench: Bench) -> Keeper:
    return Keeper(bench.service)


async def forever() -> None:
    await asyncio.Event().wait()


async def ends_at(bench: Bench, agent_id: str) -> float:
    leases = dict(await bench.service.store.range(key(WS, "leases")))
    return leases[agent_id]


async def test_a_lease_that_is_held_outlives_its_time(bench: Bench, keeper: Keeper) -> None:
    agent = await bench.agent()
    await bench.script(agent, says("x"))
    lease = await bench.lease(agent)
    began = await ends_at(bench, agent.id)
    task = asyncio.create_task(forever())
    keeper.hold(lease, task)
    running = asyncio.create_task(keeper.run())

    async def renewed_twice() -> bool:
        return await ends_at(bench, agent.id) >= began + 200

    try:
        await wait_until("the lease was renewed twice", renewed_twice)
    finally:
        running.cancel()
        task.cancel()
        await asyncio.wait({running, task})
    assert (await bench.state(agent))["generation"] == str(lease.generation)


async def test_a_task_whose_lease_is_lost_is_cancelled(bench: Bench, keeper: Keeper) -> None:
    agent, other = await bench.agent(), await bench.agent()
    for one in (agent, other):
        await bench.script(one, says("x"))
    lease, kept = await bench.lease(agent), await bench.lease(other)
    task, safe = asyncio.create_task(forever()), asyncio.create_task(forever())
    keeper.hold(lease, task)
    keeper.hold(kept, safe)
    await bench.lose(agent)
    await keeper.renew()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    assert keeper.has_lost(task)
    assert not keeper.has_lost(safe)
    safe.cancel()
    await asyncio.wait({safe})


async def test_what_was_dropped_is_renewed_no_more(bench: Bench, keeper: Keeper) -> None:
    agent = await bench.agent()
    await bench.script(agent, says("x"))
    lease = await bench.lease(agent)
    task = asyncio.create_task(forever())
    keeper.hold(lease, task)
    keeper.drop(lease, task)
    await bench.lose(agent)
    await keeper.renew()
    assert not task.done()
    assert not keeper.has_lost(task)
    task.cancel()
    await asyncio.wait({task})


async def test_dropping_an_old_lease_leaves_the_new_one_of_the_same_agent(
    bench: Bench, keeper: Keeper
) -> None:
    """A worker may win back the agent it lost before the task that lost it has ended."""
    agent = await bench.agent()
    await bench.script(agent, says("x"))
    old, old_task = await bench.lease(agent), asyncio.create_task(forever())
    keeper.hold(old, old_task)
    await bench.lose(agent)
    await keeper.renew()
    new, new_task = await bench.lease(agent), asyncio.create_task(forever())
    keeper.hold(new, new_task)
    assert keeper.has_lost(old_task)
    keeper.drop(old, old_task)
    assert not keeper.has_lost(old_task)
    await bench.lose(agent)
    await keeper.renew()
    await asyncio.wait({old_task, new_task}, timeout=5)
    assert keeper.has_lost(new_task)


async def test_an_agent_whose_worker_is_gone_is_queued_for_another(bench: Bench, keeper: Keeper) -> None:
    agent = await bench.agent()
    await bench.script(agent, says("x"))
    lease = await bench.lease(agent)

    async def swept() -> bool:
        await keeper.sweep()
        return (await bench.state(agent))["status"] == "ready"

    await wait_until("its lease ran out and was swept", swept)
    generation = await bench.generation(agent)
    assert generation == lease.generation + 1
    claimed = await bench.service.queue.claim("blockwire:jobs", 10)
    assert f"step:{WS}:{agent.id}:{generation}" in [job.id for job in claimed.jobs]


async def test_a_store_that_is_away_for_a_while_ends_no_keeper(
    bench: Bench, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent()
    await bench.script(agent, says("x"))
    await bench.lease(agent)
    sweep, failures = bench.service.leases.sweep, 0

    async def away() -> object:
        nonlocal failures
        failures += 1
        if failures < 3:
            raise StoreUnreachable("gone")
        return await sweep()

    monkeypatch.setattr(bench.service.leases, "sweep", away)
    running = asyncio.create_task(keeper.run())

    async def ready() -> bool:
        return (await bench.state(agent))["status"] == "ready"

    await wait_until("the agent was swept all the same", ready)
    running.cancel()
    await asyncio.wait({running})
    assert failures >= 3
