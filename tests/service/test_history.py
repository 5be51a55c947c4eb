"""History: every version can be read again, every edit taken back, and that is an edit too."""

import asyncio
import random

import pytest

from service.errors import BlockFull, CannotUndo, EditConflict, Invalid, NotFound, VersionGone
from service.records.base import Page
from service.records.blocks import Author, BlockFields, Edit
from service.records.history import HistoryEntry
from service.settings import Settings
from service.store.blocks import to_hash
from service.store.history import fields_from
from service.store.keys import key
from tests.store.team import ALICE, WS, Team
from tests.store.test_block_history import edited_at_random

pytestmark = pytest.mark.anyio

BOB = Author(name="bob")


async def versions(team: Team, block_id: str, **page: object) -> list[HistoryEntry]:
    return (await team.service.history.entries(WS, block_id, Page.model_validate(page))).entries


@pytest.mark.parametrize("seed", range(3))
async def test_a_block_can_be_read_as_of_every_version(team: Team, seed: int) -> None:
    rng = random.Random(seed)
    block = await team.block("start")
    values = await edited_at_random(team, block, rng, 130)
    for version, value in enumerate(values, start=1):
        then = await team.service.history.at(WS, block.id, version)
        assert (then.block.value, then.block.chars, then.block.version) == (value, len(value), version)
        assert then.entry.version == version


async def test_a_block_then_has_the_fields_of_then(team: Team) -> None:
    block = await team.block("one", description=None, tags=["a"], metadata={"k": 1})
    await team.configure(block, description="first", label="renamed", tags=[], limit=50, read_only=True)
    await team.configure(block, description="second", metadata={}, template_name="t")
    before, first, second = [
        (await team.service.history.at(WS, block.id, version)).block for version in (1, 2, 3)
    ]
    assert before == block
    assert (first.description, first.label, first.tags, first.limit, first.read_only) == (
        "first",
        "renamed",
        [],
        50,
        True,
    )
    assert (first.metadata, first.template_name) == ({"k": 1}, None)
    assert second == await team.service.blocks.read(WS, block.id)


async def test_entries_come_in_pages_and_say_how_far_back_they_go(team: Team) -> None:
    block = await team.block("0")
    for number in range(1, 10):
        await team.edit(block, "append", str(number))
    history = await team.service.history.entries(WS, block.id, Page(limit=3, descending=True))
    assert [entry.version for entry in history.entries] == [10, 9, 8]
    assert (history.oldest, history.newest) == (1, 10)
    older = await versions(team, block.id, limit=3, descending=True, after="8")
    newer = await versions(team, block.id, limit=2, after="8")
    between = await versions(team, block.id, limit=None, after="2", before="5")
    assert [[e.version for e in found] for found in (older, newer, between)] == [[7, 6, 5], [9, 10], [3, 4]]
    assert [(entry.operation, entry.added) for entry in newer] == [("append", "8"), ("append", "9")]


async def test_what_is_not_there_is_told_apart(team: Team) -> None:
    block = await team.block()
    with pytest.raises(NotFound):
        await team.service.history.entries(WS, "block-nowhere", Page())
    with pytest.raises(NotFound):
        await team.service.history.at(WS, "block-nowhere", 1)
    for version in (0, 2):
        with pytest.raises(Invalid, match="versions 1 to 1"):
            await team.service.history.at(WS, block.id, version)


async def test_a_diff_shows_what_came_between_two_versions(team: Team) -> None:
    block = await team.block("a\n")
    await team.edit(block, "append", "b\n")
    await team.edit(block, "append", "c\n")
    assert await team.service.history.diff(WS, block.id, 1, 3) == (
        "--- version 1\n+++ version 3\n@@ -1 +1,3 @@\n a\n+b\n+c\n"
    )


async def test_one_edit_is_undone_and_what_others_wrote_since_stays(team: Team) -> None:
    block = await team.block("top\n")
    await team.edit(block, "append", "wrong\n")
    await team.edit(block, "append", "later\n")
    outcome = await team.service.history.undo(WS, block.id, 2, BOB)
    assert (outcome.block.value, outcome.version) == ("top\nlater\n", 4)
    entry = (await team.service.history.at(WS, block.id, 4)).entry
    assert (entry.author.name, entry.author.undoes, entry.operation) == ("bob", 2, "replace")
    assert (await team.changes())[-1].version == 4


async def test_an_undo_can_be_undone(team: Team) -> None:
    block = await team.block("top\n")
    await team.edit(block, "append", "text\n")
    await team.service.history.undo(WS, block.id, 2, BOB)
    outcome = await team.service.history.undo(WS, block.id, 3, BOB)
    assert outcome.block.value == "top\ntext\n"


@pytest.mark.parametrize(
    ("then", "edited", "now", "undone"),
    [
        ("abc", "ac", "xacx", "xabcx"),
        ("gone", "", "", "gone"),
        ("ab\n", "ab", "ab", "ab\n"),
        ("aXb", "aYb", "aYb, Z", "aXb, Z"),
    ],
)
async def test_what_was_removed_comes_back_where_it_was(
    team: Team, then: str, edited: str, now: str, undone: str
) -> None:
    block = await team.block(then)
    await team.edit(block, "set", edited)
    await team.edit(block, "set", now)
    assert (await team.service.history.undo(WS, block.id, 2, BOB)).block.value == undone


@pytest.mark.parametrize(
    ("edited", "now", "why"),
    [
        ("wrong", "right", "no longer there"),
        ("twice", "twice twice", "more than once"),
        ("", "something else", "has changed"),
    ],
)
async def test_an_edit_that_cannot_be_told_apart_any_more_is_a_conflict_with_both_texts(
    team: Team, edited: str, now: str, why: str
) -> None:
    block = await team.block("-")
    await team.edit(block, "set", edited)
    await team.edit(block, "set", now)
    with pytest.raises(CannotUndo, match=why) as refused:
        await team.service.history.undo(WS, block.id, 2, BOB)
    told = refused.value
    assert (told.version, told.added, told.removed, told.value) == (2, edited, "-", now)
    assert (await team.service.blocks.read(WS, block.id)).version == told.current == 3


async def test_a_configuration_is_undone_unless_it_was_configured_again(team: Team) -> None:
    block = await team.block("one", description="old", tags=["a"])
    await team.configure(block, description="new", tags=["b"], value="two", hidden=True)
    await team.edit(block, "append", "!")
    outcome = await team.service.history.undo(WS, block.id, 2, BOB)
    after = outcome.block
    assert (after.value, after.description, after.tags, after.hidden) == ("one!", "old", ["a"], False)
    await team.configure(block, description="third")
    with pytest.raises(CannotUndo, match="description was changed again"):
        await team.service.history.undo(WS, block.id, 4, BOB)


async def test_a_configuration_whose_text_is_there_no_more_is_not_undone(team: Team) -> None:
    block = await team.block("one")
    await team.configure(block, description="new", value="two")
    await team.edit(block, "set", "two two")
    with pytest.raises(CannotUndo, match="stands there 2 times"):
        await team.service.history.undo(WS, block.id, 2, BOB)
    await team.edit(block, "set", "three")
    with pytest.raises(CannotUndo, match="no longer there"):
        await team.service.history.undo(WS, block.id, 2, BOB)


async def test_the_creation_is_not_undone(team: Team) -> None:
    block = await team.block("one")
    with pytest.raises(Invalid, match="delete the block"):
        await team.service.history.undo(WS, block.id, 1, BOB)


async def test_an_undo_may_name_the_version_it_was_made_from(team: Team) -> None:
    block = await team.block("a")
    await team.edit(block, "append", "b")
    await team.edit(block, "set", "b")
    for version in (2, 3):
        with pytest.raises(EditConflict):
            await team.service.history.undo(WS, block.id, version, BOB, expected_version=2)
    assert (await team.service.history.undo(WS, block.id, 3, BOB, expected_version=3)).block.value == "ab"


async def test_an_undo_of_a_deletion_goes_on_while_others_write(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = await team.block("abc")
    await team.edit(block, "set", "ac")
    read, rivals = team.service.blocks.read, iter([True, True, False])

    async def read_late(ws: str, block_id: str) -> object:
        found = await read(ws, block_id)
        if next(rivals, False):
            await team.edit(block, "append", "!")
        return found

    monkeypatch.setattr(team.service.blocks, "read", read_late)
    assert (await team.service.history.undo(WS, block.id, 2, BOB)).block.value == "abc!!"
    monkeypatch.setattr("service.history.TRIES", 1)
    rivals = iter([True])
    await team.edit(block, "set", "ac!!")
    with pytest.raises(EditConflict):
        await team.service.history.undo(WS, block.id, 6, BOB)


async def test_a_block_goes_back_to_what_it_was(team: Team) -> None:
    block = await team.block("one", tags=["a"], metadata={"k": 1})
    await team.configure(block, value="two", description="d", tags=["b"], label="other", limit=5)
    await team.edit(block, "append", "!")
    outcome = await team.service.history.restore(WS, block.id, 1, BOB)
    after = outcome.block
    assert (after.value, after.tags, after.label, after.limit, after.metadata) == (
        "one",
        ["a"],
        "notes",
        100_000,
        {"k": 1},
    )
    entry = (await team.service.history.at(WS, block.id, outcome.version)).entry
    assert entry.author.restores == 1
    again = await team.service.history.undo(WS, block.id, outcome.version, BOB)
    assert (again.block.value, again.block.label, again.block.limit) == ("two!", "other", 5)


@pytest.mark.parametrize("description", [None, "", "What it is for."])
async def test_going_back_to_where_a_block_stands_is_no_edit(team: Team, description: str | None) -> None:
    block = await team.block("one", description=description)
    outcome = await team.service.history.restore(WS, block.id, 1, BOB)
    assert (outcome.version, outcome.changed) == (1, False)
    assert outcome.block.description == description


async def test_a_block_goes_back_to_having_no_description(team: Team) -> None:
    """It is cleared, for nothing is made absent again."""
    block = await team.block("one")
    await team.configure(block, description="What it is for.")
    assert (await team.service.history.restore(WS, block.id, 1, BOB)).block.description == ""


async def test_an_undo_keeps_to_the_limit(team: Team) -> None:
    block = await team.block("0123456789")
    await team.edit(block, "set", "x")
    await team.configure(block, limit=5)
    with pytest.raises(BlockFull):
        await team.service.history.undo(WS, block.id, 2, BOB)


class TestWithLittleRoom:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(history_count=20, history_mb=1)

    async def test_what_was_dropped_is_said(self, team: Team) -> None:
        block = await team.block()
        for _ in range(60):
            await team.edit(block, "append", "x")
        history = await team.service.history.entries(WS, block.id, Page(limit=None))
        assert [entry.version for entry in history.entries] == list(range(history.oldest, 62))
        assert 20 <= len(history.entries) < 30
        with pytest.raises(VersionGone, match=f"begins at version {history.oldest}"):
            await team.service.history.at(WS, block.id, history.oldest - 1)
        then = await team.service.history.at(WS, block.id, history.oldest)
        assert then.block.value == "x" * (history.oldest - 1)

    async def test_heavy_entries_go_at_once_and_the_newest_stays(self, team: Team) -> None:
        block = await team.block(limit=1_000_000)
        for letter in "abcd":
            await team.edit(block, "set", letter * 200_000)
        kept = await versions(team, block.id)
        assert [entry.version for entry in kept] == [4, 5]
        await team.edit(block, "set", "e" * 900_000)
        assert [entry.version for entry in await versions(team, block.id)] == [6]
        assert (await team.service.history.at(WS, block.id, 6)).block.value == "e" * 900_000

    async def test_old_entries_go(self, team: Team) -> None:
        block = await team.block()
        history = f"bw:{{{WS}}}:block:{block.id}:history"
        old = {
            "operation": "append",
            "at": "1000000",
            "author": "{}",
            "before": "0",
            "after": "0",
            "position": "0",
            "removed": "",
            "added": "",
        }
        await team.redis.delete(history)
        await team.redis.xadd(history, {**old}, id="1-0")  # type: ignore[dict-item]
        for _ in range(9):
            await team.edit(block, "append", "x")
        assert [entry.version for entry in await versions(team, block.id, limit=None)] == list(range(2, 11))


async def test_undoing_and_appending_at_once_loses_nothing(team: Team) -> None:
    block = await team.block()
    for number in range(10):
        await team.edit(block, "append", f"<{number}>")
    edits = [
        team.service.blocks.edit(WS, block.id, Edit(operation="append", text=f"[{number}]"), ALICE)
        for number in range(20)
    ]
    undos = [team.service.history.undo(WS, block.id, version, BOB) for version in range(2, 12)]
    await asyncio.gather(*edits, *undos)
    value = (await team.service.blocks.read(WS, block.id)).value
    assert "<" not in value
    assert sorted(value.replace("]", "").split("[")[1:], key=int) == [str(number) for number in range(20)]


def test_the_fields_of_a_configuration_are_read_back() -> None:
    fields = BlockFields(label="l", limit=5, read_only=False, tags=["a"], metadata={"k": [1]}, hidden=True)
    assert fields_from(to_hash(fields)) == fields
    assert fields_from({"tags": "", "metadata": "", "hidden": ""}) == BlockFields(
        tags=[], metadata={}, hidden=False
    )


@pytest.mark.parametrize("operation", ["append", "replace", "configure"])
async def test_the_same_undo_many_times_at_once_is_done_once(team: Team, operation: str) -> None:
    block = await team.block("a b c")
    if operation == "configure":
        await team.configure(block, description="other", value="a c")
    elif operation == "replace":
        await team.edit(block, "replace", "", old="b ")
    else:
        await team.edit(block, "append", " d")
    acts = [team.service.history.undo(WS, block.id, 2, BOB, edit_id="once") for _ in range(8)]
    outcomes = await asyncio.gather(*acts)
    assert {outcome.version for outcome in outcomes} == {3}
    assert [outcome.repeated for outcome in outcomes].count(False) == 1
    now = await team.service.blocks.read(WS, block.id)
    assert (now.value, now.version) == ("a b c", 3)


async def test_what_was_done_is_told_even_where_the_history_is_gone(team: Team) -> None:
    block = await team.block("a")
    await team.edit(block, "append", "b")
    first = await team.service.history.restore(WS, block.id, 1, BOB, edit_id="once")
    await team.redis.xtrim(key(WS, "block_history", block.id), maxlen=1, approximate=False)
    again = await team.service.history.restore(WS, block.id, 1, BOB, edit_id="once")
    assert (again.version, again.repeated, first.repeated) == (3, True, False)
    with pytest.raises(VersionGone):
        await team.service.history.restore(WS, block.id, 1, BOB)


async def test_a_refused_undo_leaves_its_id_free(team: Team) -> None:
    block = await team.block("a")
    await team.edit(block, "append", "b")
    with pytest.raises(EditConflict):
        await team.service.history.undo(WS, block.id, 2, BOB, expected_version=1, edit_id="once")
    done = await team.service.history.undo(WS, block.id, 2, BOB, edit_id="once")
    assert (done.block.value, done.repeated) == ("a", False)
