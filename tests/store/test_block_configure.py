"""Configuring blocks: all or nothing, and the indexes and attached agents follow a new label and new tags."""

from typing import Any

import pytest

from service.errors import BlockFull, LabelTaken
from service.records.base import Page
from service.records.blocks import Block, BlockQuery
from service.store.keys import key
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio


async def found(team: Team, **query: Any) -> list[str]:
    blocks = await team.service.blocks.find(WS, BlockQuery(**query), Page())
    return [block.id for block in blocks]


async def test_every_field_can_be_configured_at_once_with_the_value(team: Team) -> None:
    block = await team.block("one")
    given = {
        "label": "other",
        "value": "two ñ",
        "description": "about",
        "limit": 9,
        "read_only": True,
        "tags": ["a", "b"],
        "metadata": {"deep": {"list": [1, None, "ñ"]}},
        "hidden": True,
        "project_id": "project-1",
        "is_template": True,
        "template_name": "t",
        "template_id": "template-1",
        "base_template_id": "base-1",
        "deployment_id": "deployment-1",
        "entity_id": "entity-1",
        "preserve_on_migration": True,
    }
    after = (await team.configure(block, **given)).block
    assert {name: getattr(after, name) for name in given} == given
    assert (after.version, after.chars) == (2, 5)
    assert (await team.changes())[-1].kind == "configured"


async def test_fields_not_given_stay(team: Team) -> None:
    block = await team.block("one", description="about", tags=["a"], metadata={"x": 1}, read_only=True)
    after = (await team.configure(block, limit=7)).block
    unlike = {"version": 2, "limit": 7, "updated_at": after.updated_at, "updated_by": "alice"}
    assert after == block.model_copy(update=unlike)


async def test_a_value_alone_is_told_as_an_edit(team: Team) -> None:
    block = await team.block("one")
    await team.configure(block, value="two")
    change = (await team.changes())[-1]
    assert (change.kind, change.operation, change.removed, change.added) == (
        "edited",
        "configure",
        "one",
        "two",
    )


async def test_a_refused_configuration_writes_nothing(team: Team) -> None:
    block = await team.block("one", limit=5)
    before = await team.everything()
    with pytest.raises(BlockFull):
        await team.configure(block, label="other", tags=["x"], description="new", value="123456")
    assert await team.everything() == before


async def test_a_rename_moves_the_index_of_labels(team: Team) -> None:
    block, same = await team.block(label="old"), await team.block(label="old")
    await team.configure(block, label="new ñ")
    assert await found(team, label="old") == [same.id]
    assert await found(team, label="new ñ") == [block.id]
    await team.configure(same, label="new ñ")
    assert await found(team, label="new ñ") == [block.id, same.id]
    assert "blocks:label:old" not in await team.names()


async def test_a_rename_reaches_every_attached_agent(team: Team) -> None:
    block, other = await team.block(label="old"), await team.block(label="stays")
    agents = [await team.agent(block, other) for _ in range(3)]
    await team.configure(block, label="new")
    for agent in agents:
        assert await team.service.blocks.labels(WS, agent.id) == {"new": block.id, "stays": other.id}


async def test_a_rename_is_refused_when_one_attached_agent_would_have_two_of_a_label(team: Team) -> None:
    block, other = await team.block(label="old"), await team.block(label="taken")
    await team.agent(block)
    holder = await team.agent(block, other)
    before = await team.everything()
    with pytest.raises(LabelTaken) as refusal:
        await team.configure(block, label="taken", description="new")
    assert (refusal.value.label, refusal.value.agent_id) == ("taken", holder.id)
    assert await team.everything() == before


async def test_a_rename_to_the_same_label_is_no_change(team: Team) -> None:
    block = await team.block(label="same")
    await team.agent(block)
    assert not (await team.configure(block, label="same")).changed


async def test_tags_are_an_index_too(team: Team) -> None:
    block: Block = await team.block(tags=["a", "b"])
    await team.configure(block, tags=["b", "ç"])
    assert await found(team, tags=["a"]) == []
    assert await found(team, tags=["b"]) == [block.id]
    assert await found(team, tags=["ç"]) == [block.id]
    await team.configure(block, tags=[])
    assert not {name for name in await team.names() if name.startswith("blocks:tag:")}


async def test_a_tag_given_twice_is_one_tag(team: Team) -> None:
    block = await team.block(tags=["a", "a"])
    assert block.tags == ["a"]
    assert (await team.configure(block, tags=["b", "a", "b"])).block.tags == ["b", "a"]


async def test_indexes_keep_the_order_of_creation(team: Team) -> None:
    first, second = await team.block(), await team.block()
    await team.configure(second, tags=["t"])
    await team.configure(first, tags=["t"])
    scores = await team.store.range(key(WS, "blocks_filed", "tag:t"))
    assert [id for id, _ in scores] == [first.id, second.id]
