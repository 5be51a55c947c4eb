"""announce.lua: one change per edit, chained, clipped, on the channel as in the stream; epochs."""

from itertools import pairwise

import pytest

from service.records.blocks import Author, Change
from service.settings import Settings
from service.store.bell import Bell
from service.store.keys import key
from tests.store.team import ALICE, WS, Team, raw, wait_until

pytestmark = pytest.mark.anyio


def chained(changes: list[Change]) -> bool:
    return all(later.prev == earlier.id for earlier, later in pairwise(changes))


async def test_every_kind_of_write_is_announced_once_and_in_order(team: Team) -> None:
    block = await team.block("one", tags=["t"])
    await team.edit(block, "append", "!")
    agent = await team.agent(block)
    await team.configure(block, label="renamed")
    await team.service.blocks.detach(WS, agent.id, block.id, ALICE)
    await team.service.blocks.attach(WS, agent.id, block.id, ALICE)
    await team.service.blocks.delete(WS, block.id, ALICE)
    changes = await team.changes()
    assert [(change.kind, change.label, change.version) for change in changes] == [
        ("created", "notes", 1),
        ("edited", "notes", 2),
        ("attached", "notes", 2),
        ("configured", "renamed", 3),
        ("detached", "renamed", 3),
        ("attached", "renamed", 3),
        ("deleted", "renamed", 3),
    ]
    assert {change.block_id for change in changes} == {block.id}
    assert [change.agent_id for change in changes] == [None, None, agent.id, None, agent.id, agent.id, None]
    assert all(change.tags == ["t"] for change in changes)
    assert changes[0].prev == "0-0"
    assert chained(changes)


async def test_a_change_says_what_was_done_by_whom(team: Team) -> None:
    block = await team.block('say "hi"/\n')
    author = Author(
        name="bob ñ", agent_id="agent-1", run_id="run-1", step_id="s", tool="memory", call=0, depth=3
    )
    after = (await team.edit(block, "replace", 'ño"\x7f', by=author, old='"hi"')).block
    change = (await team.changes())[-1]
    assert (change.operation, change.removed, change.added) == ("replace", '"hi"', 'ño"\x7f')
    assert (change.author, change.chars, change.cut) == (author, after.chars, False)
    assert change.at == after.updated_at


async def test_a_new_block_is_announced_with_its_text(team: Team) -> None:
    await team.block("one\ntwo")
    change = (await team.changes())[0]
    assert (change.operation, change.added, change.chars) == ("create", "one\ntwo", 7)


@pytest.mark.parametrize("lead", ["", "a", "ab", "abc"])
async def test_texts_are_clipped_between_characters(team: Team, lead: str) -> None:
    """However the four bytes of 😀 lie across the limit, a change ends before it."""
    block = await team.block()
    await team.edit(block, "set", lead + "😀" * 600)
    change = (await team.changes())[-1]
    assert change.cut
    assert change.added == lead + "😀" * ((2048 - len(lead)) // 4)
    await team.edit(block, "set", "")
    change = (await team.changes())[-1]
    assert change.cut
    assert change.removed == lead + "😀" * ((2048 - len(lead)) // 4)


async def test_a_text_of_just_the_limit_is_whole(team: Team) -> None:
    block = await team.block()
    await team.edit(block, "set", "x" * 2048)
    change = (await team.changes())[-1]
    assert (len(change.added), change.cut) == (2048, False)


async def test_the_channel_carries_what_the_stream_keeps(team: Team) -> None:
    bell = Bell(team.store)
    async with bell.listen(key(WS, "changed")) as rings:
        block = await team.block("one")
        await team.edit(block, "append", "😀")
        heard = [text for text in [await rings.get() for _ in range(3)] if text is not None]
    await bell.close()
    entries = await team.store.entries(key(WS, "changes"))
    assert heard == [fields["change"] for _, fields in entries]
    assert [Change.model_validate_json(text).id for text in heard] == [id for id, _ in entries]


@pytest.mark.parametrize("lost", ["lowered", "gone", "counter gone"])
async def test_a_counter_found_behind_begins_a_new_epoch(team: Team, lost: str) -> None:
    """As after a restore or a failover; what is announced then is later than all before."""
    block = await team.block()
    for _ in range(5):
        await team.edit(block, "append", "x")
    before = await team.changes()
    meta = key(WS, "meta")
    if lost == "lowered":
        await raw(team.store).hset(meta, "n", "2")  # type: ignore[misc]
    elif lost == "gone":
        await raw(team.store).hdel(meta, "n", "epoch")  # type: ignore[misc]
    else:
        await raw(team.store).hdel(meta, "n")  # type: ignore[misc]
    await team.edit(block, "append", "y")
    await team.edit(block, "append", "z")
    changes = await team.changes()
    first, second = changes[6:]
    assert changes[:6] == before
    assert int(first.id.split("-")[0]) > int(before[-1].id.split("-")[0])
    assert (first.id.split("-")[1], first.prev, first.added) == ("1", "0-0", "y")
    assert (second.prev, second.added) == (first.id, "z")


async def test_a_new_epoch_begins_though_the_clock_went_back(team: Team) -> None:
    block = await team.block()
    stream = key(WS, "changes")
    ahead = "99999999999-7"
    await raw(team.store).xadd(stream, {"change": "{}"}, id=ahead)
    await raw(team.store).delete(key(WS, "meta"))
    await team.edit(block, "append", "x")
    assert await team.store.newest(stream) == "100000000000-1"


async def test_an_edit_is_whole_where_a_new_epoch_begins(team: Team) -> None:
    block = await team.block()
    await raw(team.store).hset(key(WS, "meta"), "n", "0")  # type: ignore[misc]
    outcome = await team.edit(block, "append", "x")
    assert (outcome.version, outcome.block.value) == (2, "x")
    assert len(await team.history(block)) == 2
    assert (await team.changes())[-1].version == 2


class TestWithLittleRoom:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(change_count=10)

    async def test_only_so_many_changes_are_kept(self, team: Team) -> None:
        block = await team.block()
        for _ in range(300):
            await team.edit(block, "append", "x")
        kept = await team.changes()
        assert 10 <= len(kept) < 200
        assert kept[0].prev != "0-0"
        assert chained(kept)


async def test_workspaces_do_not_hear_of_each_other(team: Team) -> None:
    bell = Bell(team.store)
    async with bell.listen(key("other", "changed")) as rings:
        assert await rings.get() is None
        await team.block()
        async with bell.listen(key(WS, "changed")) as own:
            await team.block()

            async def heard() -> bool:
                return own.qsize() == 2

            await wait_until("the change is heard", heard)
        assert rings.empty()
    await bell.close()
    assert await team.service.changes.after("other", "0-0") == []
