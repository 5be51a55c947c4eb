"""history_shrink.lua and run_shed.lua: the past is given up bite by bite, the oldest and heaviest first."""

from collections.abc import Awaitable
from typing import cast
from unittest.mock import patch

import pytest

from service.records.agents import Agent
from service.records.base import Page
from service.records.blocks import Block
from service.records.shrinking import Bite
from service.settings import Settings
from service.store import shrinking as bites
from service.store.client import StoreClient
from service.store.keys import key
from service.store.shrinking import ShrinkingStore
from tests.store.team import WS, Team, raw

pytestmark = pytest.mark.anyio

KEPT = Settings(history_count=64).history_kept


@pytest.fixture
def shrinking(team: Team) -> ShrinkingStore:
    return ShrinkingStore(team.store, KEPT)


async def edited(team: Team, times: int, text: str = "x") -> Block:
    block = await team.block()
    for _ in range(times):
        await team.edit(block, "append", text)
    return block


async def until_done(shrinking: ShrinkingStore) -> list[Bite]:
    found = [await shrinking.histories(WS)]
    while not found[-1].done:
        assert len(found) < 200
        found.append(await shrinking.histories(WS))
    return found


async def versions(team: Team, block: Block) -> list[int]:
    return [int(entry["id"].partition("-")[0]) for entry in await team.history(block)]


async def test_each_time_around_histories_are_half_as_long(team: Team, shrinking: ShrinkingStore) -> None:
    long, short = await edited(team, 49), await edited(team, 9)
    assert await shrinking.histories(WS) == Bite(dropped=18, done=False, halvings=2)
    assert (len(await versions(team, long)), len(await versions(team, short))) == (32, 10)
    assert await shrinking.histories(WS) == Bite(dropped=16, done=False, halvings=3)
    assert (len(await versions(team, long)), len(await versions(team, short))) == (16, 10)
    await shrinking.histories(WS)
    assert await versions(team, long) == list(range(43, 51))
    assert await versions(team, short) == list(range(3, 11))


async def test_the_newest_edit_stays_and_how_far_back_it_goes_is_told(
    team: Team, shrinking: ShrinkingStore
) -> None:
    block = await edited(team, 20)
    *_, last = await until_done(shrinking)
    assert last.done
    history = await team.service.history.entries(WS, block.id, Page())
    assert [entry.version for entry in history.entries] == [21]
    assert (history.oldest, history.newest) == (21, 21)
    assert (await team.service.blocks.read(WS, block.id)).value == "x" * 20
    assert (await team.service.history.at(WS, block.id, 21)).block.value == "x" * 20
    await team.edit(block, "append", "y")
    assert (await team.service.history.at(WS, block.id, 21)).block.value == "x" * 20


async def test_a_heavy_history_gives_before_a_light_one(team: Team) -> None:
    heavy, light = await edited(team, 8, "x" * 10_000), await edited(team, 8)
    shrinking = ShrinkingStore(team.store, Settings(history_mb=1).history_kept.replace("1000000", "120000"))
    await shrinking.histories(WS)
    assert len(await versions(team, heavy)) < 9
    assert len(await versions(team, light)) == 9


async def test_a_bite_has_a_bound_and_the_next_goes_on_behind_it(
    team: Team, shrinking: ShrinkingStore
) -> None:
    blocks = [await edited(team, 39) for _ in range(3)]
    with patch.object(bites, "ENTRIES_DROPPED", 10), patch.object(bites, "BLOCKS_LOOKED_AT", 2):
        found = await until_done(shrinking)
    assert sum(bite.dropped for bite in found) == 3 * 39
    assert max(bite.dropped for bite in found) < 10 + 40
    for block in blocks:
        assert await versions(team, block) == [40]


async def test_what_bytes_are_counted_is_what_is_left(team: Team, shrinking: ShrinkingStore) -> None:
    block = await edited(team, 20, "abc")
    await until_done(shrinking)
    assert (await team.store.hash(key(WS, "block", block.id)))["history_bytes"] == "3"


async def test_with_nothing_to_give_nothing_is_written(team: Team, shrinking: ShrinkingStore) -> None:
    await team.block()
    await until_done(shrinking)
    await team.redis.delete(key(WS, "shrinking"))
    with patch.object(shrinking, "_history_kept", Settings(history_count=1).history_kept):
        before = await team.everything()
        assert (await shrinking.histories(WS)).done
        assert await team.everything() == before


class TestOnAFullStore:
    @pytest.fixture
    def store(self, real_store: StoreClient) -> StoreClient:
        return real_store

    async def test_bites_are_taken_all_the_same_and_free_memory(
        self, team: Team, shrinking: ShrinkingStore
    ) -> None:
        for _ in range(5):
            await edited(team, 60, "x" * 1000)
        ended = await an_ended_run(team)
        before, _ = await team.store.memory() or (0, 0)
        await raw(team.store).config_set("maxmemory", 1)
        try:
            await until_done(shrinking)
            assert (await shrinking.runs(WS, 0)).dropped == 1
        finally:
            await raw(team.store).config_set("maxmemory", 0)
        after, _ = await team.store.memory() or (0, 0)
        assert before - after > 250_000
        assert not await team.store.hash(key(WS, "run", ended))


async def an_ended_run(team: Team, agent: Agent | None = None) -> str:
    agent = agent or await team.agent()
    lease, open_run = await team.working(agent)
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    assert await team.leases.next_run(lease) is None
    return open_run.run.id


async def test_runs_that_ended_long_enough_ago_go_oldest_first(team: Team, shrinking: ShrinkingStore) -> None:
    agent = await team.agent()
    ended = [await an_ended_run(team, agent) for _ in range(3)]
    assert await shrinking.runs(WS, 3_600_000) == Bite(dropped=0, done=True)
    with patch.object(bites, "RUNS_LOOKED_AT", 2):
        assert await shrinking.runs(WS, 0) == Bite(dropped=2, done=False)
    assert not await team.store.hash(key(WS, "run", ended[1]))
    assert await team.store.hash(key(WS, "run", ended[2]))
    assert await shrinking.runs(WS, 0) == Bite(dropped=1, done=True)


async def test_open_runs_and_dead_letters_stay(team: Team, shrinking: ShrinkingStore) -> None:
    _, working = await team.working(await team.agent())
    waiting = await team.send(await team.agent())
    dead = await an_ended_run(team)
    await cast(Awaitable[int], team.redis.hset(key(WS, "run", dead), "parked", "1"))
    assert await shrinking.runs(WS, 0) == Bite(dropped=0, done=True)
    for run in (working.run.id, waiting, dead):
        assert await team.store.hash(key(WS, "run", run))
