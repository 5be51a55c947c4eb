"""agent_create, agent_update, agent_delete: all or nothing; blocks, messages, indexes follow."""

import pytest

from service.errors import Invalid, LabelTaken, NotFound
from service.records.agents import NewAgent
from service.records.base import Page
from service.records.blocks import BlockFields
from service.settings import Settings
from service.store.agents import AgentStore
from service.store.keys import key
from tests.store.team import ALICE, RUN_SECONDS, WS, Team

pytestmark = pytest.mark.anyio


@pytest.fixture
def agents(team: Team) -> AgentStore:
    return AgentStore(team.store, Settings().history_kept, 1000, RUN_SECONDS)


async def test_an_agent_is_made_with_its_blocks_and_messages(team: Team) -> None:
    given = await team.block("x", label="given")
    agent = await team.agent(
        given, name="Ada", tags=["a", "b"], memory_blocks=[BlockFields(label="own", value="y", tags=["t"])]
    )
    labels = await team.service.blocks.labels(WS, agent.id)
    assert set(labels) == {"given", "own"}
    assert labels["given"] == given.id
    own = await team.service.blocks.read(WS, labels["own"])
    assert (own.value, own.version, own.tags, own.created_by) == ("y", 1, ["t"], "alice")
    messages = await team.service.messages.context(WS, agent.id)
    assert [message.id for message in messages] == agent.message_ids
    assert all(message.created_at == agent.created_at for message in messages)
    state = dict(await team.state(agent))
    assert len(state.pop("lineage")) in (0, 40)
    assert state == {"status": "idle", "generation": "0", "pool": "default"}
    kinds = [(change.kind, change.label) for change in await team.changes()]
    assert kinds == [
        ("created", "given"),
        ("attached", "given"),
        ("created", "own"),
        ("attached", "own"),
    ]


async def test_an_unknown_block_leaves_nothing_of_a_new_agent(team: Team, agents: AgentStore) -> None:
    """At the script: the room looks before, but a block may go in between."""
    present = await team.block()
    like = await team.agent()
    before = await team.everything()
    agent = like.model_copy(update={"id": "agent-new"})
    new = [("block-new", BlockFields(label="own"))]
    with pytest.raises(NotFound) as refusal:
        await agents.create(WS, agent, new, [present.id, "block-x"], [("message-new", '{"id":"m"}')], ALICE)
    assert (refusal.value.kind, refusal.value.id) == ("block", "block-x")
    assert await team.everything() == before


async def test_of_blocks_with_one_label_the_first_is_attached(team: Team) -> None:
    first, second = await team.block("1"), await team.block("2")
    agent = await team.agent(first, second, first, memory_blocks=[BlockFields(label="notes", value="3")])
    assert await team.service.blocks.labels(WS, agent.id) == {"notes": first.id}


async def test_an_update_replaces_the_set_of_blocks(team: Team) -> None:
    a, b, c = [await team.block(label=label) for label in "abc"]
    agent = await team.agent(a, b)
    told = len(await team.changes())
    await team.update(agent, block_ids=[b.id, c.id])
    assert await team.service.blocks.labels(WS, agent.id) == {"b": b.id, "c": c.id}
    news = [(change.kind, change.label) for change in (await team.changes())[told:]]
    assert news == [("detached", "a"), ("attached", "c")]
    await team.update(agent, block_ids=[])
    assert await team.service.blocks.labels(WS, agent.id) == {}
    assert await team.service.blocks.agents_of(WS, b.id, Page()) == []


async def test_an_update_exchanges_a_block_for_another_of_its_label(team: Team) -> None:
    before, after = await team.block(), await team.block()
    agent = await team.agent(before)
    await team.update(agent, block_ids=[after.id])
    assert await team.service.blocks.labels(WS, agent.id) == {"notes": after.id}


async def test_a_refused_update_changes_nothing(team: Team) -> None:
    first, second = await team.block(), await team.block()
    agent = await team.agent(first, name="Ada")
    before = await team.everything()
    with pytest.raises(LabelTaken) as label:
        await team.update(agent, name="Bob", block_ids=[first.id, second.id])
    assert label.value.agent_id == agent.id
    with pytest.raises(NotFound) as block:
        await team.update(agent, name="Bob", block_ids=[first.id, "block-x"])
    assert block.value.kind == "block"
    with pytest.raises(Invalid, match="message-x is not a message of this agent"):
        await team.update(agent, name="Bob", block_ids=[], message_ids=["message-x"])
    assert await team.everything() == before
    with pytest.raises(NotFound) as gone:
        await team.service.agents.configure(WS, "agent-x", NewAgent(), ALICE)
    assert gone.value.kind == "agent"


async def test_an_update_of_what_was_changed_meanwhile_is_not_made(team: Team, agents: AgentStore) -> None:
    agent = await team.agent(name="Ada")
    read, rev = await agents.read_with_rev(WS, agent.id)
    await team.update(agent, description="other")
    before = await team.everything()
    after = read.model_copy(update={"name": "Bob"})
    assert await agents.update(WS, read, rev, after, None, None, ALICE) is False
    assert await team.everything() == before
    await team.service.agents.delete(WS, agent.id, ALICE)
    with pytest.raises(NotFound):
        await agents.update(WS, read, rev, after, None, None, ALICE)


async def test_indexes_follow_name_and_tags(team: Team) -> None:
    agent = await team.agent(name="Ada", tags=["a", "b"])
    await team.update(agent, name="Bob", tags=["b", "c"])
    indexes = {name for name in await team.names() if name.startswith("agents:by:")}
    assert indexes == {f"agents:by:{place}" for place in ("all", "name:Bob", "tag:b", "tag:c")}


async def test_a_new_pool_holds_for_the_next_job(team: Team) -> None:
    agent = await team.agent()
    await team.update(agent, pool="big")
    await team.send(agent)
    assert (await team.ready(agent)).pool == "big"


async def test_message_ids_choose_the_context_from_the_history(team: Team) -> None:
    agent = await team.agent(agent_type="memgpt_agent")
    first, second, third, fourth = agent.message_ids
    after = await team.update(agent, message_ids=[fourth, first])
    assert after.message_ids == [first, fourth]
    assert len(await team.service.messages.find(WS, agent.id, Page())) == 4
    assert (await team.update(agent, message_ids=agent.message_ids)).message_ids == [
        first,
        second,
        third,
        fourth,
    ]


async def test_what_the_last_run_left_may_be_overwritten_and_the_next_run_wins(team: Team) -> None:
    agent = await team.agent()
    fields = {"last_run_completion": 5, "last_run_duration_ms": 7, "last_stop_reason": "error"}
    after = await team.update(agent, **fields)
    assert after.model_dump(include=set(fields)) == fields
    lease, open_run = await team.working(agent)
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    assert (await team.service.agents.read(WS, agent.id)).last_stop_reason == "end_turn"
    assert (await team.update(agent, name="Bob")).last_stop_reason == "end_turn"


async def test_a_deleted_agent_leaves_its_blocks_and_cancelled_runs(team: Team) -> None:
    block = await team.block()
    agent, other = await team.agent(block), await team.agent(block)
    _, open_run = await team.working(agent)
    waiting = await team.send(agent)
    await team.service.agents.delete(WS, agent.id, ALICE)
    for id in (open_run.run.id, waiting):
        run = await team.service.runs.read(WS, id)
        assert (run.status, run.stop_reason) == ("cancelled", "cancelled")
    assert await team.service.runs.find(WS, None, Page()) == []
    assert await team.service.blocks.agents_of(WS, block.id, Page()) == [other.id]
    assert (await team.changes())[-1].kind == "detached"
    with pytest.raises(NotFound):
        await team.service.agents.delete(WS, agent.id, ALICE)


async def test_a_deleted_agent_is_out_of_the_indexes_whatever_they_held(team: Team) -> None:
    agent = await team.agent(name="Ada", tags=["a"])
    await team.subscribe(agent, label="x")
    other = await team.agent(name="Ada", tags=["a"])
    kept = await team.subscribe(other, label="x")
    await team.lease(agent)
    await team.service.agents.delete(WS, agent.id, ALICE)
    places = [key(WS, "agents_filed", place) for place in ("all", "name:Ada", "tag:a")]
    for index in (*places, key(WS, "agents")):
        assert [id for id, _ in await team.store.range(index)] == [other.id]
    assert [one.id for one in await team.service.subscriptions.all(WS)] == [kept.id]
    assert await team.store.count(key(WS, "leases")) == 0


async def test_a_subscription_of_an_agent_that_is_gone_is_not_kept(team: Team) -> None:
    agent = await team.agent()
    await team.service.agents.delete(WS, agent.id, ALICE)
    before = await team.everything()
    with pytest.raises(NotFound) as refusal:
        await team.subscribe(agent, label="x")
    assert refusal.value.kind == "agent"
    assert await team.everything() == before
