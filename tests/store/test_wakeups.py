"""dispatch.lua: wake-ups are recorded and the cursor moved in one act, by one of many."""

import asyncio
from collections.abc import Awaitable
from typing import cast

import pytest

from service.records.blocks import Change
from service.records.open_runs import OpenRun
from service.store.keys import key
from service.store.wakeups import WakeUpStore
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio


@pytest.fixture
def wakeups(team: Team) -> WakeUpStore:
    return WakeUpStore(team.store)


def told(open_run: OpenRun) -> list[Change]:
    """The causes of a run as the changes that they are."""
    return [Change(**vars(cause)) for cause in open_run.causes]


async def test_a_new_workspace_was_told_nothing(wakeups: WakeUpStore) -> None:
    assert await wakeups.cursor(WS) == "0-0"


async def test_a_wake_up_is_a_run_that_knows_its_causes(team: Team, wakeups: WakeUpStore) -> None:
    agent = await team.agent(pool="big")
    await team.block("ñ")
    changes = await team.changes()
    woken = await wakeups.move(WS, "0-0", changes[-1].id, [await team.wake(agent, "run-w", changes)])
    assert woken is not None
    (ready,) = woken
    assert (ready.agent_id, ready.generation, ready.pool, ready.reason) == (agent.id, 1, "big", "woken")
    assert await wakeups.cursor(WS) == changes[-1].id
    lease, open_run = await team.working(agent)
    assert (open_run.run.id, open_run.run.kind, told(open_run)) == ("run-w", "wakeup", changes)
    again = await team.leases.next_run(lease)
    assert again is not None
    assert told(again) == changes
    assert await team.store.items(key(WS, "agent_woken", agent.id)) == []


async def test_a_cursor_that_has_moved_records_nothing(team: Team, wakeups: WakeUpStore) -> None:
    agent = await team.agent()
    await team.block()
    changes = await team.changes()
    assert await wakeups.move(WS, "0-0", changes[0].id, []) == []
    late = await team.wake(agent, "run-w", changes)
    before = await team.everything()
    assert await wakeups.move(WS, "0-0", changes[0].id, [late]) is None
    assert await team.everything() == before


async def test_changes_join_a_wake_up_that_is_not_begun(team: Team, wakeups: WakeUpStore) -> None:
    agent = await team.agent()
    block = await team.block("1")
    await team.edit(block, "append", "2")
    first, second = await team.changes()
    await wakeups.move(WS, "0-0", first.id, [await team.wake(agent, "run-1", [first])])
    assert await wakeups.move(WS, first.id, second.id, [await team.wake(agent, "run-2", [second])]) == []
    lease, open_run = await team.working(agent)
    assert (open_run.run.id, told(open_run)) == ("run-1", [first, second])
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    assert await team.leases.next_run(lease) is None


async def test_a_wake_up_that_is_begun_is_not_joined(team: Team, wakeups: WakeUpStore) -> None:
    agent = await team.agent()
    block = await team.block("1")
    await team.edit(block, "append", "2")
    first, second = await team.changes()
    await wakeups.move(WS, "0-0", first.id, [await team.wake(agent, "run-1", [first])])
    lease, open_run = await team.working(agent)
    assert await wakeups.move(WS, first.id, second.id, [await team.wake(agent, "run-2", [second])]) == []
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    next_run = await team.leases.next_run(lease)
    assert next_run is not None
    assert (next_run.run.id, told(next_run)) == ("run-2", [second])


async def test_a_message_before_a_wake_up_is_not_given_its_causes(team: Team, wakeups: WakeUpStore) -> None:
    agent = await team.agent()
    sent = await team.send(agent)
    await team.block()
    changes: list[Change] = await team.changes()
    await wakeups.move(WS, "0-0", changes[-1].id, [await team.wake(agent, "run-w", changes)])
    lease, open_run = await team.working(agent)
    assert (open_run.run.id, told(open_run)) == (sent, [])
    await team.leases.finish(lease, sent, "end_turn", None)
    next_run = await team.leases.next_run(lease)
    assert next_run is not None
    assert (next_run.run.id, told(next_run)) == ("run-w", changes)


async def test_an_agent_that_is_gone_is_passed_over(team: Team, wakeups: WakeUpStore) -> None:
    gone, here = await team.agent(), await team.agent()
    await team.block()
    changes = await team.changes()
    wakes = [await team.wake(gone, "run-1", changes), await team.wake(here, "run-2", changes)]
    await team.service.agents.delete(WS, gone.id, ALICE)
    woken = await wakeups.move(WS, "0-0", changes[-1].id, wakes)
    assert woken is not None
    assert [ready.agent_id for ready in woken] == [here.id]
    ids = (gone.id, wakes[0].by[0].id, "run:run-1")
    assert [name for name in await team.names() for id in ids if id in name] == []


async def test_of_many_dispatchers_one_moves_the_cursor(team: Team, wakeups: WakeUpStore) -> None:
    agent = await team.agent()
    await team.block()
    changes = await team.changes()
    by = await team.subscribe(agent, label="notes")
    moves = [
        wakeups.move(WS, "0-0", changes[-1].id, [await team.wake(agent, f"run-{number}", changes)])
        for number in range(20)
    ]
    moved = [woken for woken in await asyncio.gather(*moves) if woken is not None]
    assert len(moved) == 1
    assert await team.store.items(key(WS, "agent_woken", agent.id)) == [
        change.model_dump_json(exclude_none=True)[:-1] + f',"by":"{by.id}"}}' for change in changes
    ]
    assert len(await team.store.items(key(WS, "agent_inbox", agent.id))) == 1


async def test_of_thousands_of_changes_the_oldest_are_told_as_ranges_of_versions(
    team: Team, wakeups: WakeUpStore
) -> None:
    """Each block's own, with what they say of depth and of having been held back; nothing is left out."""
    agent = await team.agent()
    block, other = await team.block(label='a "b"'), await team.block(label="other")
    for author in (ALICE, ALICE.model_copy(update={"depth": 2})):
        await team.edit(block, "append", "x", by=author)
    changes = await team.changes()
    of_block = [change for change in changes if change.block_id == block.id]
    [of_other] = [change for change in changes if change.block_id == other.id]
    cursor = "0-0"

    async def more(*told: Change) -> None:
        nonlocal cursor
        upto = f"{int(cursor.split('-')[0]) + 1}-1"
        assert await wakeups.move(WS, cursor, upto, [await team.wake(agent, "run-w", told)]) is not None
        cursor = upto

    await more(of_block[0], of_other, *of_block[1:])
    await more(*[of_block[-1]] * 1996)
    assert "wake_over" not in await team.state(agent)
    await more(*[of_block[-1]] * 4)
    await more(*[of_block[-1]] * 1000)
    _, open_run = await team.working(agent)
    ranges, kept = open_run.causes[:2], open_run.causes[2:]
    assert [(one.label, one.operation, one.missed_from, one.version) for one in ranges] == [
        ('a "b"', "missed", 1, 3),
        ("other", "missed", 1, 1),
    ]
    assert [(one.author.depth, one.held, one.at) for one in ranges] == [
        (2, None, of_block[-1].at),
        (0, None, of_other.at),
    ]
    assert {one.version for one in kept} == {3}
    assert len(kept) + open_run.over == 3004
    assert 1000 <= len(kept) <= 2000
    assert "wake_over" not in await team.state(agent)


async def test_a_wake_up_that_was_ended_unread_does_not_silence_its_agent(
    team: Team, wakeups: WakeUpStore
) -> None:
    agent = await team.agent()
    await team.block()
    (change,) = await team.changes()
    await wakeups.move(WS, "0-0", change.id, [await team.wake(agent, "run-w", [change])])
    await cast(Awaitable[int], team.redis.hset(key(WS, "run", "run-w"), "status", "cancelled"))
    assert await team.leases.next_run(await team.lease(agent)) is None
    woken = await wakeups.move(WS, change.id, "9999999999-1", [await team.wake(agent, "run-v", [change])])
    assert [ready.agent_id for ready in woken or []] == [agent.id]
    _, open_run = await team.working(agent)
    assert (open_run.run.id, told(open_run)) == ("run-v", [change, change])


async def test_what_a_cancelled_wake_up_left_out_is_not_counted_for_the_next(
    team: Team, wakeups: WakeUpStore
) -> None:
    agent = await team.agent()
    await team.block()
    (change,) = await team.changes()
    await wakeups.move(WS, "0-0", change.id, [await team.wake(agent, "run-w", [change] * 1001)])
    assert await team.service.runs.cancel(WS, "run-w")
    await wakeups.move(WS, change.id, "9999999999-1", [await team.wake(agent, "run-v", [change])])
    _, open_run = await team.working(agent)
    assert (open_run.run.id, told(open_run), open_run.over) == ("run-v", [change], 0)
