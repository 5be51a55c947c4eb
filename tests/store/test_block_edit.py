"""block_edit.lua: each operation on a value, its refusals, and what an edit leaves alone."""

import pytest

from service.errors import (
    BlockFull,
    BlockReadOnly,
    EditConflict,
    Invalid,
    LeaseLost,
    LineOutOfRange,
    ManyMatches,
    NoMatch,
    NotAttached,
    NotFound,
)
from service.records.blocks import Author, Edit
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio

WIDE = "añ😀e\u0301"
"""One, two and four bytes, and a letter that is two characters."""


@pytest.mark.parametrize(
    ("before", "operation", "asked", "after"),
    [
        ("", "set", {"text": "one"}, "one"),
        ("one", "set", {"text": ""}, ""),
        (WIDE, "set", {"text": WIDE + "😀"}, WIDE + "😀"),
        ("", "append", {"text": "one"}, "one"),
        ("one", "append", {"text": "\ntwo"}, "one\ntwo"),
        (WIDE, "append", {"text": WIDE}, WIDE + WIDE),
        ("", "insert", {"text": "a", "line": -1}, "\na"),
        ("", "insert", {"text": "a", "line": 0}, "a\n"),
        ("", "insert", {"text": "a", "line": 1}, "\na"),
        ("1\n2\n3", "insert", {"text": "a", "line": 0}, "a\n1\n2\n3"),
        ("1\n2\n3", "insert", {"text": "a", "line": 1}, "1\na\n2\n3"),
        ("1\n2\n3", "insert", {"text": "a", "line": 2}, "1\n2\na\n3"),
        ("1\n2\n3", "insert", {"text": "a", "line": 3}, "1\n2\n3\na"),
        ("1\n2\n3", "insert", {"text": "a\nb", "line": -1}, "1\n2\n3\na\nb"),
        ("1\n2\n", "insert", {"text": "a", "line": 2}, "1\n2\na\n"),
        (f"{WIDE}\n{WIDE}", "insert", {"text": "ñ", "line": 1}, f"{WIDE}\nñ\n{WIDE}"),
        ("abc", "replace", {"old": "b", "text": "B"}, "aBc"),
        ("abc", "replace", {"old": "abc", "text": ""}, ""),
        ("a.b", "replace", {"old": ".", "text": "%1"}, "a%1b"),
        ("ñandú", "replace", {"old": "ñ", "text": "n"}, "nandú"),
        ("aXbXc", "replace", {"old": "X", "text": "--", "all": True}, "a--b--c"),
        ("😀é😀", "replace", {"old": "😀", "text": "", "all": True}, "é"),
        ("aaa", "replace", {"old": "aa", "text": "b", "all": True}, "ba"),
        ("one", "replace", {"old": "one", "text": "two", "all": True}, "two"),
        ("a", "replace", {"old": "a", "text": "aa", "all": True}, "aa"),
    ],
)
async def test_an_operation_is_applied_to_the_value_and_its_characters_are_counted(
    team: Team, before: str, operation: str, asked: dict[str, object], after: str
) -> None:
    block = await team.block(before)
    outcome = await team.edit(block, operation, **asked)  # type: ignore[arg-type]
    assert (outcome.block.value, outcome.block.chars) == (after, len(after))
    assert (outcome.version, outcome.changed, outcome.repeated) == (2, True, False)
    assert await team.service.blocks.read(WS, block.id) == outcome.block


@pytest.mark.parametrize(
    ("operation", "asked"),
    [
        ("set", {"text": "one\ntwo"}),
        ("append", {"text": ""}),
        ("replace", {"old": "one", "text": "one"}),
        ("configure", {"fields": {"label": "notes", "value": "one\ntwo", "limit": 100_000, "tags": []}}),
        ("configure", {"fields": {}}),
    ],
)
async def test_an_edit_that_leaves_all_as_it_is_succeeds_and_announces_nothing(
    team: Team, operation: str, asked: dict[str, object]
) -> None:
    block = await team.block("one\ntwo")
    before = await team.everything()
    outcome = await team.edit(block, operation, **asked)  # type: ignore[arg-type]
    assert (outcome.version, outcome.changed, outcome.block) == (1, False, block)
    assert await team.everything() == before


async def test_an_edit_says_who_made_it_and_when(team: Team) -> None:
    block = await team.block("one")
    after = (await team.edit(block, "append", "two", by=Author(name="bob"))).block
    assert (after.created_by, after.updated_by) == ("alice", "bob")
    assert after.created_at == block.created_at < after.updated_at
    agent_made = (await team.edit(block, "append", "!", by=Author(name="x", agent_id="agent-1"))).block
    assert agent_made.updated_by == "agent-1"


@pytest.mark.parametrize("line", [-2, 4, 1000])
async def test_a_line_that_is_not_there_is_refused_with_the_number_of_lines(team: Team, line: int) -> None:
    block = await team.block("1\n2\n3")
    before = await team.everything()
    with pytest.raises(LineOutOfRange) as refusal:
        await team.edit(block, "insert", "a", line=line)
    assert refusal.value.lines == 3
    assert await team.everything() == before


@pytest.mark.parametrize("all_of_them", [True, False])
async def test_a_text_that_does_not_occur_is_refused(team: Team, all_of_them: bool) -> None:
    block = await team.block("abc")
    with pytest.raises(NoMatch):
        await team.edit(block, "replace", "x", old="B", all=all_of_them)
    assert await team.service.blocks.read(WS, block.id) == block


async def test_a_text_that_occurs_more_than_once_is_refused_with_its_lines(team: Team) -> None:
    block = await team.block("x\nñ x x\n\nx")
    with pytest.raises(ManyMatches) as refusal:
        await team.edit(block, "replace", "y", old="x")
    assert refusal.value.lines == [1, 2, 2, 4]
    assert await team.service.blocks.read(WS, block.id) == block


async def test_of_many_lines_the_first_twenty_are_named(team: Team) -> None:
    block = await team.block("x\n" * 30)
    with pytest.raises(ManyMatches) as refusal:
        await team.edit(block, "replace", "y", old="x")
    assert refusal.value.lines == list(range(1, 21))


async def test_an_expected_version_that_is_present_lets_the_edit_through(team: Team) -> None:
    block = await team.block("one")
    assert (await team.edit(block, "append", "!", expected_version=1)).version == 2


@pytest.mark.parametrize("operation", ["set", "append", "insert", "replace", "configure"])
async def test_a_version_that_has_moved_is_a_conflict_with_the_present_version_and_value(
    team: Team, operation: str
) -> None:
    block = await team.block("one")
    await team.edit(block, "set", "two ñ")
    before = await team.everything()
    fields = {"label": "other"} if operation == "configure" else None
    with pytest.raises(EditConflict) as conflict:
        await team.edit(block, operation, "x", old="two", fields=fields, expected_version=1)
    assert (conflict.value.expected, conflict.value.version, conflict.value.value) == (1, 2, "two ñ")
    assert await team.everything() == before


async def test_a_block_that_does_not_exist_is_never_created_by_an_edit(team: Team) -> None:
    block = await team.block("one")
    await team.service.blocks.delete(WS, block.id, ALICE)
    before = await team.everything()
    for operation in ("set", "append"):
        with pytest.raises(NotFound):
            await team.edit(block, operation, "x")
    assert await team.everything() == before


async def test_the_limit_refuses_only_what_lengthens_a_value_past_it(team: Team) -> None:
    block = await team.block("12345", limit=5)
    with pytest.raises(BlockFull) as refusal:
        await team.edit(block, "append", "ñ")
    assert (refusal.value.length, refusal.value.limit) == (6, 5)
    await team.configure(block, limit=2)
    assert (await team.edit(block, "set", "abcde")).block.chars == 5
    assert (await team.edit(block, "set", "abcd")).block.chars == 4
    with pytest.raises(BlockFull):
        await team.edit(block, "set", "12345")


async def test_the_limit_counts_characters_not_bytes(team: Team) -> None:
    block = await team.block("", limit=4)
    assert (await team.edit(block, "set", "😀" * 4)).block.chars == 4
    with pytest.raises(BlockFull):
        await team.edit(block, "insert", "", line=-1)


async def test_a_new_limit_holds_for_the_value_that_comes_with_it(team: Team) -> None:
    block = await team.block("12345", limit=5)
    assert (await team.configure(block, limit=10, value="1234567890")).block.chars == 10
    before = await team.everything()
    with pytest.raises(BlockFull) as refusal:
        await team.configure(block, limit=3, value="x" * 11, label="other")
    assert refusal.value.limit == 3
    assert await team.everything() == before


async def test_read_only_refuses_agents_and_nobody_else(team: Team) -> None:
    block = await team.block("one", read_only=True)
    agent = await team.agent(block)
    lease = await team.lease(agent)
    edit = Edit(operation="append", text="!")
    with pytest.raises(BlockReadOnly):
        await team.service.blocks.edit(WS, block.id, edit, Author(agent_id=agent.id), lease)
    assert (await team.edit(block, "append", "!")).block.value == "one!"


async def test_an_agent_edits_only_what_is_attached_to_it(team: Team) -> None:
    attached, other = await team.block(label="a"), await team.block(label="b")
    agent = await team.agent(attached)
    lease = await team.lease(agent)
    edit = Edit(operation="append", text="!")
    assert (await team.service.blocks.edit(WS, attached.id, edit, ALICE, lease)).block.value == "!"
    with pytest.raises(NotAttached):
        await team.service.blocks.edit(WS, other.id, edit, ALICE, lease)


async def test_an_agent_without_its_lease_edits_nothing(team: Team) -> None:
    block = await team.block()
    agent = await team.agent(block)
    lease = await team.lease(agent)
    await team.leases.give_back(lease)
    before = await team.everything()
    with pytest.raises(LeaseLost) as refusal:
        await team.service.blocks.edit(WS, block.id, Edit(operation="append", text="!"), ALICE, lease)
    assert refusal.value.agent_id == agent.id
    assert await team.everything() == before


async def test_a_replacement_that_would_be_far_too_long_is_refused_before_it_is_made(team: Team) -> None:
    """4,000 places times half a megabyte would be two gigabytes in the store."""
    block = await team.block("x" * 4000)
    with pytest.raises(BlockFull) as refused:
        await team.edit(block, "replace", "y" * 500_000, old="x", all=True)
    assert refused.value.length == 4000 * 500_000
    assert (await team.service.blocks.read(WS, block.id)).version == 1


async def test_no_block_may_be_made_longer_than_a_million_characters(team: Team) -> None:
    with pytest.raises(Invalid, match="limit: must lie between 0 and 1000000 characters"):
        await team.block("x", limit=1_000_001)
    block = await team.block("x", limit=1_000_000)
    with pytest.raises(Invalid, match="limit"):
        await team.configure(block, limit=1_000_001)
