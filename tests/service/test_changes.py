"""Changes: every one once and in order, and never silence where some cannot be told any more."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from service import changes as changes_module
from service.changes import Resync, StillHere
from service.records.blocks import Block, Change
from service.settings import Settings
from service.store.client import StoreClient
from service.store.keys import key
from tests.store.team import WS, Team, raw

pytestmark = pytest.mark.anyio

News = Change | Resync | StillHere
Follow = Callable[..., AsyncIterator[News]]


@pytest.fixture
async def follow(team: Team) -> AsyncIterator[Follow]:
    """Followers that are ended with the test."""
    open_feeds: list[AsyncIterator[News]] = []

    def follow(after: str | None = None) -> AsyncIterator[News]:
        open_feeds.append(team.service.changes.follow(WS, after))
        return open_feeds[-1]

    yield follow
    for feed in open_feeds:
        await feed.aclose()  # type: ignore[attr-defined]


async def next_of(feed: AsyncIterator[News], count: int = 1) -> list[News]:
    return [await asyncio.wait_for(anext(feed), 9) for _ in range(count)]


async def begun(team: Team, follow: Follow, block: Block) -> AsyncIterator[News]:
    """A follower in step: it has been told one change from the channel."""
    feed = follow()
    first = asyncio.ensure_future(anext(feed))
    while not first.done():
        await team.edit(block, "append", ".")
        await asyncio.wait({first}, timeout=0.02)
    last = (await team.changes())[-1].id
    found = first.result()
    while found.id != last:
        (found,) = await next_of(feed)
    return feed


def ids(news: list[News]) -> list[str]:
    assert all(isinstance(one, Change) for one in news)
    return [one.id for one in news]


async def test_an_empty_workspace_is_at_its_beginning(team: Team) -> None:
    assert await team.service.changes.last_id(WS) == "0-0"
    assert await team.service.changes.after(WS, "0-0") == []


async def test_changes_are_read_from_an_id_on(team: Team) -> None:
    block = await team.block()
    for _ in range(4):
        await team.edit(block, "append", "x")
    changes = await team.changes()
    assert await team.service.changes.last_id(WS) == changes[-1].id
    assert await team.service.changes.after(WS, changes[1].id) == changes[2:]
    assert await team.service.changes.after(WS, changes[1].id, limit=1) == [changes[2]]


async def test_a_follower_hears_what_happens_from_now_on(team: Team, follow: Follow) -> None:
    block = await team.block()
    feed = await begun(team, follow, block)
    outcome = await team.edit(block, "append", "ñ")
    (change,) = await next_of(feed)
    assert isinstance(change, Change)
    assert (change.version, change.added) == (outcome.version, "ñ")


async def test_a_follower_catches_up_before_it_goes_on(
    team: Team, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "READ_MOST", 3)
    block = await team.block()
    for _ in range(10):
        await team.edit(block, "append", "x")
    changes = [change.id for change in await team.changes()]
    feed = follow(changes[1])
    assert ids(await next_of(feed, 9)) == changes[2:]
    await team.edit(block, "append", "y")
    assert ids(await next_of(feed)) == [(await team.changes())[-1].id]


async def test_one_that_was_never_told_anything_can_begin_at_the_beginning(
    team: Team, follow: Follow
) -> None:
    await team.block()
    assert ids(await next_of(follow("0-0"))) == [(await team.changes())[0].id]


async def test_what_comes_by_channel_and_by_stream_is_told_once(team: Team, follow: Follow) -> None:
    """The channel says again what was read from the stream already, and leaves out some."""
    block = await team.block()
    feed = await begun(team, follow, block)
    before = await team.changes()
    channel = key(WS, "changed")
    for change in before[-3:]:
        await raw(team.store).publish(channel, change.model_dump_json())
    told: list[News] = []
    for number in range(50):
        await team.edit(block, "append", str(number))
        if number % 7 == 0:
            await raw(team.store).publish(channel, (await team.changes())[-1].model_dump_json())
    told = await next_of(feed, 50)
    assert ids(told) == [change.id for change in (await team.changes())[len(before) :]]


async def test_a_gap_in_the_channel_is_filled_from_the_stream(team: Team, follow: Follow) -> None:
    block = await team.block()
    feed = await begun(team, follow, block)
    last = (await team.changes())[-1]
    epoch, n = last.id.split("-")
    missed = [
        last.model_copy(update={"id": f"{epoch}-{int(n) + i}", "prev": f"{epoch}-{int(n) + i - 1}"})
        for i in (1, 2)
    ]
    for change in missed:
        await raw(team.store).xadd(key(WS, "changes"), {"change": change.model_dump_json()}, id=change.id)
    await raw(team.store).hset(key(WS, "meta"), "n", str(int(n) + 2))  # type: ignore[misc]
    await team.edit(block, "append", "x")
    assert ids(await next_of(feed, 3)) == [f"{epoch}-{int(n) + i}" for i in (1, 2, 3)]


@pytest.mark.parametrize(
    "unknown",
    ["nonsense", "", "5", "-", "0-1", "1-1", "99999999999-1", "9999999999999999999-0", "²-1", "1-1\n"],
)
async def test_an_id_that_was_never_given_gets_a_resync(team: Team, follow: Follow, unknown: str) -> None:
    block = await team.block()
    last = await team.service.changes.last_id(WS)
    feed = follow(unknown)
    assert await next_of(feed) == [Resync(last)]
    after = asyncio.ensure_future(anext(feed))
    await team.edit(block, "append", "x")
    change = await asyncio.wait_for(after, 9)
    assert isinstance(change, Change)
    assert change.prev == last


async def test_an_id_from_the_future_of_an_empty_workspace_gets_a_resync(team: Team, follow: Follow) -> None:
    assert await next_of(follow("5-5")) == [Resync("0-0")]


async def trimmed(team: Team, block: Block) -> None:
    for _ in range(250):
        await team.edit(block, "append", "x")


class TestWithLittleRoom:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(change_count=10)

    async def test_an_id_that_is_not_kept_any_more_gets_a_resync(self, team: Team, follow: Follow) -> None:
        block = await team.block()
        first = (await team.changes())[0].id
        await trimmed(team, block)
        kept = await team.changes()
        assert await next_of(follow(first)) == [Resync(kept[-1].id)]
        assert await next_of(follow(kept[0].prev)) == [kept[0]]
        assert await next_of(follow(kept[0].id)) == [kept[1]]

    async def test_a_follower_that_falls_behind_gets_a_resync(self, team: Team, follow: Follow) -> None:
        """It is told so in the midst of following, where it waits for its reader."""
        block = await team.block()
        feed = follow("0-0")
        first = (await team.changes())[0].id
        assert ids(await next_of(feed)) == [first]
        await trimmed(team, block)
        assert await next_of(feed) == [Resync((await team.changes())[-1].id)]


async def test_a_new_epoch_is_a_resync_for_followers_of_the_old(team: Team, follow: Follow) -> None:
    block = await team.block()
    feed = await begun(team, follow, block)
    await raw(team.store).delete(key(WS, "meta"))
    await raw(team.store).delete(key(WS, "changes"))
    await raw(team.store).hset(key(WS, "meta"), mapping={"epoch": "99999999999", "n": "0"})  # type: ignore[misc]
    await team.edit(block, "append", "x")
    assert await next_of(feed) == [Resync("99999999999-1")]
    await team.edit(block, "append", "y")
    assert ids(await next_of(feed)) == ["99999999999-2"]


async def test_a_quiet_follower_is_told_that_it_is_heard(
    team: Team, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "LOOK_AGAIN_S", 0.02)
    await team.block()
    last = await team.service.changes.last_id(WS)
    feed = follow()
    assert await next_of(feed, 2) == [StillHere(last), StillHere(last)]


async def test_a_change_whose_ring_was_lost_is_found(
    team: Team, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "LOOK_AGAIN_S", 0.02)
    block = await team.block()
    feed = follow()
    assert isinstance((await next_of(feed))[0], StillHere)
    last = (await team.changes())[-1]
    epoch, n = last.id.split("-")
    silent = last.model_copy(update={"id": f"{epoch}-{int(n) + 1}", "prev": last.id, "block_id": block.id})
    await raw(team.store).xadd(key(WS, "changes"), {"change": silent.model_dump_json()}, id=silent.id)
    news = await next_of(feed)
    while isinstance(news[-1], StillHere):
        news = await next_of(feed)
    assert news == [silent]


class TestOnARealServer:
    @pytest.fixture
    def store(self, real_store: StoreClient) -> StoreClient:
        return real_store

    async def test_a_broken_connection_costs_no_change(self, team: Team, follow: Follow) -> None:
        block = await team.block()
        feed = await begun(team, follow, block)
        before = len(await team.changes())
        for round in range(3):
            assert await raw(team.store).client_kill_filter(_type="pubsub") >= 1
            for number in range(5):
                await team.edit(block, "append", f"{round}{number}")
            told = await next_of(feed, 5)
            assert ids(told) == [change.id for change in (await team.changes())[before + 5 * round :]]

    async def test_a_store_set_back_is_a_resync_even_before_it_changes(
        self, team: Team, follow: Follow
    ) -> None:
        """As after a restore: the newest change lies before what the follower was told."""
        block = await team.block()
        feed = await begun(team, follow, block)
        kept = (await team.changes())[0]
        await raw(team.store).delete(key(WS, "changes"))
        await raw(team.store).xadd(key(WS, "changes"), {"change": kept.model_dump_json()}, id=kept.id)
        await raw(team.store).client_kill_filter(_type="pubsub")
        assert await next_of(feed) == [Resync(kept.id)]


async def test_many_followers_are_told_the_same(team: Team, follow: Follow) -> None:
    block = await team.block()
    feeds = [follow("0-0") for _ in range(30)]
    for _ in range(20):
        await team.edit(block, "append", "x")
    expected = [change.id for change in await team.changes()]
    for told in await asyncio.gather(*[next_of(feed, 21) for feed in feeds]):
        assert ids(told) == expected


async def test_the_bare_doorbell_rings_for_every_change(team: Team) -> None:
    async with team.service.changes.rings(WS) as rings:
        await team.block()
        while (ring := await asyncio.wait_for(rings.get(), 9)) is None:
            pass
        assert Change.model_validate_json(ring).kind == "created"
