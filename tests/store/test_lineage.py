"""Lineage: a server that was started again or promoted is on another line of writes; less may be there."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import fakeredis
import pytest

from service.bootstrap import assemble, prepare
from service.changes import Resync
from service.errors import LeaseLost, StoreUnreachable
from service.queue import PREFIXES
from service.records.blocks import Change
from service.records.runs import OutputEvent
from service.settings import Settings
from service.store.client import StoreClient
from service.store.keys import key
from service.store.queue import QueueStore
from tests.fleet import Server, server, wait_for
from tests.store.team import WS, Team, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SAID = OutputEvent(kind="end")


@asynccontextmanager
async def team_of(one: Server) -> AsyncIterator[Team]:
    store = StoreClient.connect(one.url)
    await prepare(store)
    queue = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    rooms = assemble(Settings(), store, QueueStore(queue, PREFIXES))
    yield Team(rooms)
    await rooms.bell.close()
    await queue.aclose()
    await store.close()


@pytest.fixture
def old() -> Iterator[Server]:
    with server("--appendonly", "yes", "--appendfsync", "always") as found:
        yield found


@pytest.fixture
def heir(old: Server) -> Iterator[Server]:
    with server("--replicaof", f"127.0.0.1 {old.port}") as found:
        with old.redis() as client:
            client.set("first", "1")
            wait_for(lambda: client.wait(1, 100) == 1, "the replica follows")
        yield found


def fall_behind(old: Server, heir: Server) -> None:
    """The replica has all that was written so far, and nothing of what comes."""
    with old.redis() as client:
        client.set("last", "1")
        assert client.wait(1, 10_000) == 1
    with heir.redis() as client:
        client.replicaof("127.0.0.1", "1")


def promote(old: Server, heir: Server) -> None:
    old.kill()
    with heir.redis() as client:
        client.replicaof("NO", "ONE")


async def start_again(one: Server, team: Team) -> None:
    one.kill()
    one.start()

    async def answers() -> bool:
        with suppress(StoreUnreachable):
            await team.store.ping()
            return True
        return False

    await wait_until("the store answers", answers)


async def test_who_held_a_lease_before_a_restart_cannot_write_after_it(old: Server) -> None:
    async with team_of(old) as team:
        agent = await team.agent()
        lease, open_run = await team.working(agent)
        await start_again(old, team)
        with pytest.raises(LeaseLost):
            await team.leases.tell(lease, open_run.run.id, [SAID])
        assert await team.leases.renew(WS, [lease], 60_000) == {agent.id}
        await team.redis.zadd(key(WS, "leases"), {agent.id: 1})
        [ready] = await team.leases.sweep(WS, 60_000)
        assert (ready.agent_id, ready.reason) == (agent.id, "lost")
        again, resumed = await team.working(agent)
        assert resumed.run.id == open_run.run.id
        await team.leases.tell(again, resumed.run.id, [SAID])


async def test_an_agent_that_was_ready_goes_on_under_a_generation_of_the_new_line(old: Server) -> None:
    async with team_of(old) as team:
        agent = await team.agent()
        await team.send(agent)
        before = await team.ready(agent)
        await start_again(old, team)
        assert await team.leases.take(WS, agent.id, before.generation, "w", 60_000) is None
        [named] = await team.leases.sweep(WS, 0)
        assert named.generation > before.generation
        assert await team.leases.take(WS, agent.id, named.generation, "w", 60_000) is not None


async def test_a_generation_lost_with_the_old_primary_is_not_given_again(old: Server, heir: Server) -> None:
    async with team_of(old) as team:
        agent = await team.agent()
        first, open_run = await team.working(agent)
        fall_behind(old, heir)
        await team.leases.give_back(first)
        lost = await team.lease(agent, worker="of before")
        await team.leases.tell(lost, open_run.run.id, [SAID])
    promote(old, heir)
    async with team_of(heir) as team:
        await team.redis.zadd(key(WS, "leases"), {agent.id: 1})
        await team.leases.sweep(WS, 60_000)
        held = await team.lease(agent, worker="of after")
        assert await team.leases.renew(WS, [first, lost, held], 60_000) == {agent.id}
        for ghost in (first, lost):
            with pytest.raises(LeaseLost):
                await team.leases.tell(ghost, open_run.run.id, [SAID])
        await team.leases.tell(held, open_run.run.id, [SAID])


async def test_who_saw_changes_that_are_lost_begins_anew_and_nobody_else(old: Server, heir: Server) -> None:
    async with team_of(old) as team:
        block = await team.block()
        kept = (await team.changes())[-1]
        fall_behind(old, heir)
        for text in ("lost", "lost too"):
            await team.edit(block, "append", text)
        gone = (await team.changes())[-1]
    promote(old, heir)
    async with team_of(heir) as team:
        for text in ("new", "newer", "newest"):
            await team.edit(block, "append", text)
        epochs = {change.id.split("-")[0] for change in (await team.changes())[1:]}
        assert len(epochs) == 1
        assert epochs.pop() > kept.id.split("-")[0]
        follow = team.service.changes.follow
        told = await anext(follow(WS, kept.id))
        assert isinstance(told, Change)
        assert (told.added, told.prev) == ("new", kept.id)
        assert isinstance(await anext(follow(WS, gone.id)), Resync)


async def test_without_a_loss_followers_and_wake_ups_go_on_where_they_were(old: Server) -> None:
    async with team_of(old) as team:
        block = await team.block()
        await team.edit(block, "append", "a")
        before = await team.changes()
        await start_again(old, team)
        await team.edit(block, "append", "b")
        changes = await team.changes()
        assert changes[:-1] == before
        assert changes[-1].prev == before[-1].id
        told = await anext(team.service.changes.follow(WS, before[-1].id))
        assert isinstance(told, Change)
        assert told.id == changes[-1].id
