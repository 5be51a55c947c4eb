"""Blocks: what the room refuses before the store is asked, and every way of finding a block."""

from typing import Any

import pytest

from service.errors import BlockFull, Invalid, NotAttached, NotFound
from service.records.base import Page
from service.records.blocks import BlockFields, BlockQuery, Edit
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio


async def found(team: Team, page: Page | None = None, **query: Any) -> list[str]:
    blocks = await team.service.blocks.find(WS, BlockQuery(**query), page or Page())
    assert await team.service.blocks.count(WS, BlockQuery(**query)) >= len(blocks)
    return [block.value for block in blocks]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "label"),
        ({"label": ""}, "label"),
        ({"label": "x" * 501}, "label"),
        ({"label": "x", "limit": -1}, "limit"),
    ],
)
async def test_a_new_block_that_cannot_be_is_refused_by_field(
    team: Team, fields: dict[str, Any], field: str
) -> None:
    before = await team.everything()
    with pytest.raises(Invalid) as refusal:
        await team.service.blocks.create(WS, BlockFields(**fields), ALICE)
    assert refusal.value.field == field
    assert await team.everything() == before


@pytest.mark.parametrize(("limit", "length"), [(3, 4), (0, 1), (None, 100_001)])
async def test_a_new_block_is_no_longer_than_its_limit(team: Team, limit: int | None, length: int) -> None:
    with pytest.raises(BlockFull) as refusal:
        await team.service.blocks.create(WS, BlockFields(label="a", value="ñ" * length, limit=limit), ALICE)
    assert (refusal.value.length, refusal.value.limit) == (length, 100_000 if limit is None else limit)
    full = BlockFields(label="a", value="ñ" * (length - 1), limit=limit)
    assert (await team.service.blocks.create(WS, full, ALICE)).chars == length - 1


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        ({"operation": "replace", "old": ""}, "old"),
        ({"operation": "configure"}, "fields"),
        ({"operation": "configure", "fields": {"label": ""}}, "label"),
        ({"operation": "configure", "fields": {"limit": -5}}, "limit"),
        ({"operation": "append", "edit_id": ""}, "edit_id"),
        ({"operation": "append", "edit_id": "x" * 201}, "edit_id"),
    ],
)
async def test_an_edit_that_cannot_be_is_refused_by_field(
    team: Team, edit: dict[str, Any], field: str
) -> None:
    block = await team.block("one")
    with pytest.raises(Invalid) as refusal:
        await team.service.blocks.edit(WS, block.id, Edit(**edit), ALICE)
    assert refusal.value.field == field


async def test_nul_characters_are_dropped_and_the_rest_is_counted(team: Team) -> None:
    block = await team.block("a\0b")
    assert (block.value, block.chars) == ("ab", 2)
    assert (await team.edit(block, "append", "\0c\0")).block.value == "abc"
    after = (await team.configure(block, value="\0x")).block
    assert (after.value, after.chars) == ("x", 1)


async def test_many_are_read_in_the_order_asked(team: Team) -> None:
    first, second = await team.block("1"), await team.block("2")
    blocks = team.service.blocks
    assert await blocks.read_many(WS, [second.id, first.id]) == [second, first]
    assert await blocks.read_many(WS, []) == []
    with pytest.raises(NotFound) as refusal:
        await blocks.read_many(WS, [first.id, "block-x", "block-y"])
    assert refusal.value.id == "block-x"
    assert await blocks.existing(WS, ["block-x", second.id]) == [second]


async def test_an_agents_blocks_come_by_label(team: Team) -> None:
    b, a = await team.block(label="b"), await team.block(label="a")
    agent = await team.agent(b, a)
    assert await team.service.blocks.of_agent(WS, agent.id) == [a, b]
    assert await team.service.blocks.labelled(WS, agent.id, "b") == b
    assert await team.service.blocks.labelled_id(WS, agent.id, "b") == b.id
    for find in (team.service.blocks.labelled, team.service.blocks.labelled_id):
        with pytest.raises(NotAttached) as refusal:
            await find(WS, agent.id, "c")
        assert (refusal.value.agent_id, refusal.value.block) == (agent.id, "c")


async def test_the_agents_of_a_block_come_in_pages(team: Team) -> None:
    block = await team.block()
    agents = [(await team.agent(block)).id for _ in range(5)]
    blocks = team.service.blocks
    assert await blocks.agents_of(WS, block.id, Page(limit=2)) == agents[:2]
    assert (
        await blocks.agents_of(WS, block.id, Page(limit=2, after=agents[1], descending=False)) == agents[2:4]
    )
    assert await blocks.agents_of(WS, block.id, Page(descending=True)) == agents[::-1]
    with pytest.raises(NotFound):
        await blocks.agents_of(WS, "block-x", Page())


async def some_blocks(team: Team) -> None:
    await team.block("1", label="Notes", tags=["a", "b"], description="About Ada")
    await team.block("2 ÑANDÚ", label="notes", tags=["b"], project_id="p")
    await team.block("3", label="other", hidden=True)
    await team.block("4", label="form", is_template=True, template_name="t")


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ({}, ["1", "2 ÑANDÚ"]),
        ({"show_hidden": True}, ["1", "2 ÑANDÚ", "3"]),
        ({"templates_only": True}, ["4"]),
        ({"templates_only": True, "name": "t"}, ["4"]),
        ({"templates_only": True, "name": "u"}, []),
        ({"label": "notes"}, ["2 ÑANDÚ"]),
        ({"label": "Note"}, []),
        ({"label_search": "NOTE"}, ["1", "2 ÑANDÚ"]),
        ({"label": "Notes", "label_search": "nothing"}, ["1"]),
        ({"description_search": "ada"}, ["1"]),
        ({"value_search": "ñandú"}, ["2 ÑANDÚ"]),
        ({"project_id": "p"}, ["2 ÑANDÚ"]),
        ({"tags": ["a"]}, ["1"]),
        ({"tags": ["b"]}, ["1", "2 ÑANDÚ"]),
        ({"tags": ["a", "x"]}, ["1"]),
        ({"tags": ["a", "b"], "match_all_tags": True}, ["1"]),
        ({"tags": ["a", "x"], "match_all_tags": True}, []),
        ({"tags": []}, ["1", "2 ÑANDÚ"]),
        ({"tags": ["b"], "label": "notes"}, ["2 ÑANDÚ"]),
        ({"tags": ["a"], "label": "notes"}, []),
        ({"identity_id": "i"}, []),
        ({"identifier_keys": ["i"]}, []),
    ],
)
async def test_blocks_are_found_by_what_is_asked(
    team: Team, query: dict[str, Any], values: list[str]
) -> None:
    await some_blocks(team)
    assert await found(team, **query) == values


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ({"agents_gt": 0}, ["1", "2"]),
        ({"agents_gt": 1}, ["2"]),
        ({"agents_lt": 2}, ["0", "1"]),
        ({"agents_gt": 0, "agents_lt": 2}, ["1"]),
        ({"agents_in": [0, 2]}, ["0", "2"]),
        ({"agents_in": []}, ["0", "1", "2"]),
    ],
)
async def test_blocks_are_found_by_how_many_agents_have_them(
    team: Team, query: dict[str, Any], values: list[str]
) -> None:
    blocks = [await team.block(str(number), label=f"l{number}") for number in range(3)]
    await team.agent(blocks[1], blocks[2])
    await team.agent(blocks[2])
    assert await found(team, **query) == values


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_of_a_search_show_each_block_once(team: Team, descending: bool) -> None:
    """Of 250 blocks every other is asked for; some go and some come between the pages."""
    blocks = [
        await team.block(f"{number:03}", tags=["even" if number % 2 == 0 else "odd"]) for number in range(250)
    ]
    query = BlockQuery(tags=["even", "more"])
    seen: list[str] = []
    after = None
    for number in range(100):
        page = Page(limit=10, after=after, descending=descending)
        part = await team.service.blocks.find(WS, query, page)
        if not part:
            break
        seen += [block.value for block in part]
        after = part[-1].id
        if number < 3:
            await team.service.blocks.delete(WS, part[0].id, ALICE)
            await team.block(f"new {number}", tags=["more"])
    assert len(seen) == len(set(seen))
    expected = [block.value for block in blocks if block.tags == ["even"]]
    news = [] if descending else ["new 0", "new 1", "new 2"]
    assert seen == (expected[::-1] if descending else expected + news)
