"""message_send.lua, and messages as they are kept: inbox, history, context."""

import pytest

from service.errors import InboxFull, NotFound, StoreFilling
from service.records.base import Page
from service.records.messages import Answer, Message, NewMessage, Reasoning, ToolCall
from service.records.runs import Run
from service.store.keys import key
from service.store.messages import MessageStore, body_of
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio


@pytest.fixture
def messages(team: Team) -> MessageStore:
    return MessageStore(team.store)


def a_run(agent_id: str, id: str = "run-1") -> Run:
    return Run(id=id, agent_id=agent_id, messages=[NewMessage(content="Hello ñ")], created_at=0)


async def test_a_message_makes_an_idle_agent_ready(team: Team, messages: MessageStore) -> None:
    agent = await team.agent(pool="big")
    sent, ready, _ = await messages.send(WS, a_run(agent.id))
    assert ready is not None
    assert (ready.agent_id, ready.generation, ready.pool, ready.reason) == (agent.id, 1, "big", "sent")
    run = await team.service.runs.read(WS, "run-1")
    assert (run.status, run.created_at, run.messages[0].content) == ("created", sent.created_at, "Hello ñ")
    assert sent == run
    assert await team.store.items(key(WS, "agent_inbox", agent.id)) == ["run-1"]
    assert await team.store.score(key(WS, "ready"), agent.id) is not None


async def test_a_message_to_an_agent_that_is_not_idle_waits(team: Team, messages: MessageStore) -> None:
    agent = await team.agent()
    await messages.send(WS, a_run(agent.id))
    assert (await messages.send(WS, a_run(agent.id, "run-2")))[1] is None
    await team.lease(agent)
    assert (await messages.send(WS, a_run(agent.id, "run-3")))[1] is None
    assert await team.store.items(key(WS, "agent_inbox", agent.id)) == ["run-1", "run-2", "run-3"]
    assert (await team.state(agent))["generation"] == "1"


async def test_the_same_run_again_changes_nothing(team: Team, messages: MessageStore) -> None:
    agent = await team.agent()
    first, _, _ = await messages.send(WS, a_run(agent.id))
    before = await team.everything()
    assert await messages.send(WS, a_run(agent.id)) == (first, None, False)
    assert await team.everything() == before


async def test_an_inbox_takes_so_many_messages_and_the_next_when_one_was_read(
    team: Team, messages: MessageStore
) -> None:
    agent = await team.agent()
    for number in range(3):
        await messages.send(WS, a_run(agent.id, f"run-{number}"), most=3)
    before = await team.everything()
    with pytest.raises(InboxFull, match="3 messages wait in it"):
        await messages.send(WS, a_run(agent.id, "run-x"), most=3)
    assert (await messages.send(WS, a_run(agent.id, "run-1"), most=3))[0].id == "run-1"
    assert await team.everything() == before
    await team.working(agent)
    await messages.send(WS, a_run(agent.id, "run-x"), most=3)
    assert await team.store.items(key(WS, "agent_inbox", agent.id)) == ["run-1", "run-2", "run-x"]


async def test_a_store_that_fills_takes_nothing_new_and_knows_what_it_has(
    team: Team, messages: MessageStore
) -> None:
    agent = await team.agent()
    first, _, _ = await messages.send(WS, a_run(agent.id))
    before = await team.everything()
    with pytest.raises(StoreFilling, match="95 of 100 MB"):
        await messages.send(WS, a_run(agent.id, "run-2"), filling=StoreFilling(95_000_000, 100_000_000))
    assert await messages.send(WS, a_run(agent.id), filling=StoreFilling(95, 100)) == (first, None, False)
    assert await team.everything() == before


async def test_the_word_that_an_agent_waits_for_finds_its_way_into_a_full_inbox(
    team: Team, messages: MessageStore
) -> None:
    agent, request = await team.asked("call_0")
    await messages.send(WS, a_run(agent.id, "run-waits"), most=1)
    answer = NewMessage(role="approval", content="", answer=Answer(request_id=request.id, approve=True))
    run = a_run(agent.id, "run-word").model_copy(update={"messages": [answer]})
    await messages.send(WS, run, most=1, filling=StoreFilling(95, 100))
    assert await team.store.items(key(WS, "agent_inbox", agent.id)) == ["run-word", "run-waits"]


async def test_a_wake_up_finds_its_way_into_a_full_inbox_and_later_ones_join_it(team: Team) -> None:
    block = await team.block()
    agent = await team.agent()
    await team.subscribe(agent, block_id=block.id)
    messages = MessageStore(team.store)
    await messages.send(WS, a_run(agent.id), most=1)
    for number in range(3):
        cursor = await team.service.subscriptions.cursor(WS)
        await team.edit(block, "append", "!")
        changes = await team.service.changes.after(WS, cursor, 100)
        wake = await team.wake(agent, f"run-wake-{number}", changes)
        await team.service.subscriptions.wake(WS, cursor, changes[-1].id, [wake])
    assert await team.store.items(key(WS, "agent_inbox", agent.id)) == ["run-1", "run-wake-0"]


async def test_a_message_to_nobody_is_refused(team: Team, messages: MessageStore) -> None:
    before = await team.everything()
    with pytest.raises(NotFound) as refusal:
        await messages.send(WS, a_run("agent-x"))
    assert refusal.value.kind == "agent"
    assert await team.everything() == before


async def test_a_stored_message_comes_back_as_it_was(team: Team, messages: MessageStore) -> None:
    agent = await team.agent()
    _, open_run = await team.working(agent)
    call = ToolCall(id="c", name="memory", arguments='{"a": "ñ"}')
    said = Message(
        id="message-1",
        agent_id=agent.id,
        role="assistant",
        created_at=0,
        content=[{"type": "text", "text": "ñ"}],
        reasoning=[Reasoning(text="hm")],
        tool_calls=[call],
        run_id=open_run.run.id,
    )
    await team.redis.hset(key(WS, "agent_bodies", agent.id), said.id, body_of(said, stamped=True))  # type: ignore[misc]
    assert await messages.read_many(WS, agent.id, ["message-x", "message-1"]) == [said]
    assert "created_at" not in body_of(said)


async def test_an_unknown_cursor_is_refused(team: Team, messages: MessageStore) -> None:
    agent = await team.agent()
    for page in (Page(after="message-x"), Page(before="message-x")):
        with pytest.raises(NotFound) as refusal:
            await messages.page(WS, agent.id, page)
        assert (refusal.value.kind, refusal.value.id) == ("message", "message-x")


async def test_history_comes_in_pages_in_both_orders(team: Team, messages: MessageStore) -> None:
    agent = await team.agent(agent_type="memgpt_agent")
    ids = agent.message_ids
    assert [one.id for one in await messages.page(WS, agent.id, Page(limit=2))] == ids[:2]
    assert [one.id for one in await messages.page(WS, agent.id, Page(limit=2, after=ids[1]))] == ids[2:4]
    backward = await messages.page(WS, agent.id, Page(limit=2, descending=True, after=ids[2]))
    assert [one.id for one in backward] == [ids[1], ids[0]]
    assert [one.id for one in await messages.page(WS, agent.id, Page(limit=2, before=ids[3]))] == ids[1:3]
