"""Edit ids: the same request again changes nothing more and is told what the first one did."""

import pytest

from service.errors import BlockFull, IdReused, NotFound
from service.records.blocks import Author, Edit
from service.store.keys import key
from tests.store.team import ALICE, WS, Team, raw

pytestmark = pytest.mark.anyio


async def test_the_same_id_again_gives_the_recorded_outcome(team: Team) -> None:
    block = await team.block("one")
    first = await team.edit(block, "append", "!", edit_id="e1")
    await team.edit(block, "append", "?")
    before = await team.everything()
    again = await team.edit(block, "append", "!", edit_id="e1")
    assert (first.version, first.changed, first.repeated) == (2, True, False)
    assert (again.version, again.changed, again.repeated) == (2, True, True)
    assert again.block.value == "one!?"
    assert await team.everything() == before


async def test_a_repeated_edit_is_not_refused_for_what_has_become_of_the_block(team: Team) -> None:
    block = await team.block("one", limit=4)
    await team.edit(block, "append", "!", edit_id="e1", expected_version=1)
    assert (await team.edit(block, "append", "!", edit_id="e1", expected_version=1)).version == 2


async def test_an_edit_that_changed_nothing_is_recorded_as_such(team: Team) -> None:
    block = await team.block("one")
    await team.edit(block, "set", "one", edit_id="e1")
    await team.edit(block, "set", "two")
    again = await team.edit(block, "set", "one", edit_id="e1")
    assert (again.version, again.changed, again.repeated, again.block.value) == (1, False, True, "two")


@pytest.mark.parametrize("other", [{"text": "?"}, {"operation": "set"}, {"expected_version": 1}])
async def test_the_same_id_for_another_request_is_refused(team: Team, other: dict[str, object]) -> None:
    block = await team.block("one")
    await team.edit(block, "append", "!", edit_id="e1")
    edit = Edit.model_validate({"operation": "append", "text": "!", "edit_id": "e1", **other})
    with pytest.raises(IdReused):
        await team.service.blocks.edit(WS, block.id, edit, ALICE)


async def test_the_same_id_for_another_block_is_refused(team: Team) -> None:
    await team.edit(await team.block(), "append", "!", edit_id="e1")
    with pytest.raises(IdReused):
        await team.edit(await team.block(), "append", "!", edit_id="e1")


async def test_a_refusal_is_not_recorded(team: Team) -> None:
    block = await team.block("one", limit=3)
    with pytest.raises(BlockFull):
        await team.edit(block, "append", "!", edit_id="e1")
    await team.configure(block, limit=10)
    outcome = await team.edit(block, "append", "!", edit_id="e1")
    assert (outcome.block.value, outcome.repeated) == ("one!", False)


async def test_a_repeated_edit_of_a_deleted_block_finds_it_gone(team: Team) -> None:
    block = await team.block("one")
    await team.edit(block, "append", "!", edit_id="e1")
    await team.service.blocks.delete(WS, block.id, ALICE)
    with pytest.raises(NotFound):
        await team.edit(block, "append", "!", edit_id="e1")


async def test_an_outcome_from_outside_is_kept_a_day(team: Team) -> None:
    await team.edit(await team.block(), "append", "!", edit_id="e1")
    left = await raw(team.store).pttl(key(WS, "edit", "e1"))
    assert 86_300_000 < left <= 86_400_000


async def test_past_ten_thousand_the_oldest_outcome_goes(team: Team) -> None:
    block = await team.block()
    await team.edit(block, "append", "!", edit_id="oldest")
    fill = {f"later-{number}": 4e12 for number in range(9_999)}
    await raw(team.store).zadd(key(WS, "edits"), fill)
    await team.edit(block, "append", "!", edit_id="newest")
    assert await team.store.count(key(WS, "edits")) == 10_000
    assert await team.store.get(key(WS, "edit", "oldest")) is None
    assert await team.store.get(key(WS, "edit", "newest")) is not None


async def test_an_agents_outcomes_belong_to_its_run_and_end_with_it(team: Team) -> None:
    block = await team.block("one")
    agent = await team.agent(block)
    lease, open_run = await team.working(agent)
    author = Author(agent_id=agent.id, run_id=open_run.run.id)
    edit = Edit(operation="append", text="!", edit_id="r:0:0:0")
    first = await team.service.blocks.edit(WS, block.id, edit, author, lease)
    again = await team.service.blocks.edit(WS, block.id, edit, author, lease)
    assert (first.version, again.version, again.repeated) == (2, 2, True)
    assert await team.service.blocks.effects(WS, open_run.run.id) == {"r:0:0:0": block.id}
    assert "edit:r:0:0:0" not in await team.names()
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    assert await raw(team.store).ttl(key(WS, "run_effects", open_run.run.id)) > 0


async def test_a_repeated_effect_holds_though_the_block_was_taken_from_the_agent(team: Team) -> None:
    block = await team.block("one")
    agent = await team.agent(block)
    lease, open_run = await team.working(agent)
    author = Author(agent_id=agent.id, run_id=open_run.run.id)
    edit = Edit(operation="append", text="!", edit_id="r:0:0:0")
    await team.service.blocks.edit(WS, block.id, edit, author, lease)
    await team.service.blocks.detach(WS, agent.id, block.id, ALICE)
    assert (await team.service.blocks.edit(WS, block.id, edit, author, lease)).repeated
