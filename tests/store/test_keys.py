"""Keys: all that the code writes is named in keys.py, and nothing stays behind what it belonged to."""

import re

import pytest

from service.bootstrap import Service
from service.errors import NotFound
from service.records.agents import AgentQuery
from service.records.base import Page
from service.records.blocks import Author, BlockFields, BlockQuery, Edit
from service.records.budgets import Budget
from service.records.identities import IdentityFields, IdentityQuery
from service.records.messages import Message, NewMessage
from service.records.open_runs import Opening
from service.records.questions import Question
from service.records.runs import RunOptions, Step, Usage, When
from service.records.tools import ToolFields, ToolRequest
from service.records.webhooks import NewDelivery, Verdict, WebhookFields
from service.store.keys import (
    KEYS,
    SCHEMA_KEY,
    TOKENS_KEY,
    WORKSPACES_KEY,
    key,
    rate_key,
    workspace_prefix,
)
from service.store.leases import LeaseStore
from service.store.questions import QuestionStore
from service.store.tool_runs import ToolRunStore
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio

STAYS = {"meta", "changes", "dispatched", "edits"}
"""What a workspace keeps when all in it was deleted; the rest of what is left runs out by itself."""


def entry_of(name: str) -> str | None:
    """The entry of keys.py that a key belongs to; the longest, as `agent:x:blocks` is no `agent:`."""
    found = []
    for kind, entry in KEYS.items():
        id = ".*" if entry.has_id else ""
        if re.fullmatch(re.escape(entry.before) + id + re.escape(entry.after), name):
            found.append((len(entry.before) + len(entry.after), kind))
    return max(found)[1] if found else None


async def one_of_everything(team: Team) -> set[str]:
    """Does all that the product can do, once; the names of all keys that there were on the way."""
    service = team.service
    block = await team.block("one", label="a", tags=["t"])
    agent = await team.agent(block, name="Ada", tags=["x"], memory_blocks=[BlockFields(label="own")])
    other = await team.agent(block)
    await team.subscribe(other, block_id=block.id, debounce_ms=60_000)
    await team.subscribe(agent, label_glob="*")
    await team.edit(block, "append", "!", edit_id="e1")
    lease, open_run = await team.working(agent)
    run = open_run.run
    message = (await service.messages.context(WS, agent.id))[0]
    await service.leases.open_run(lease, Opening(run, "prompt", {block.id: 1}, message))
    author = Author(agent_id=agent.id, run_id=run.id)
    await service.blocks.edit(WS, block.id, Edit(operation="append", text="?", edit_id="r:0"), author, lease)
    step = Step(id="step-1", run_id=run.id, agent_id=agent.id, index=0, created_at=0)
    await service.leases.store_answer(lease, step)
    note = Message(id="message-n", agent_id=agent.id, role="system", created_at=0, step_id=step.id)
    await service.leases.add_note(lease, run.id, note, {block.id: 3})
    answer = Message(id="message-1", agent_id=agent.id, role="assistant", created_at=0)
    await service.leases.store_step(
        lease, run, step, [answer], usage=Usage(), context_tokens=1, seen={}, stop_reason=None
    )
    await service.asks.ask(lease, run, other.id, "Hello.", "run-asked", waits=True)
    await service.asks.wait(lease, run, {}, {})
    heard = await service.messages.send(WS, agent.id, [NewMessage(content="x")], RunOptions(output="steps"))
    await service.runs.cancel(WS, heard.id)
    await service.retries.named(WS, "key", "asked", "run")
    await service.retries.remember(WS, "asked", "run-1")
    told = [NewMessage(content="x")]
    called = await service.messages.send(WS, agent.id, told, callback_url="https://example.com")
    await service.runs.cancel(WS, called.id)
    await service.messages.send(WS, agent.id, told, when=When(delay_ms=60_000))
    await QuestionStore(service.store).put(WS, "question-1", Question(model="m", prompt="p"), 60)
    await team.send(agent)
    lease, open_run = await team.working(await team.agent())
    await service.leases.start_call(lease, open_run.run.id, "r:1")
    await service.leases.store_trace(lease, step.id, "{}")
    tool = await service.tools.create(WS, ToolFields(json_schema={"name": "roll"}), ALICE)
    await ToolRunStore(service.store).ask(WS, ToolRequest(id="toolrun-1", tool=tool), 60)
    cursor = await service.subscriptions.cursor(WS)
    changes = await service.changes.after(WS, cursor, 100)
    wake = await team.wake(other, "run-wake", changes)
    poor = await team.agent(budget=Budget(steps_per_hour=1))
    lease, open_run = await team.working(poor)
    last = step.model_copy(update={"id": "step-p", "run_id": open_run.run.id, "agent_id": poor.id})
    await service.leases.store_step(
        lease, open_run.run, last, [], usage=Usage(), context_tokens=1, seen={}, stop_reason="end_turn"
    )
    later = await team.wake(poor, "run-later", changes)
    await service.subscriptions.wake(WS, cursor, changes[-1].id, [wake, later])
    assert await service.leases.next_run(lease) is None
    await team.send(dead := await team.agent())
    lease = await team.lease(dead)
    hopeless = await LeaseStore(service.store, 60, run_tries=0).next_run(lease)
    assert hopeless is not None
    await team.asked("a")
    await service.leases.finish(lease, hopeless.run.id, "error")
    fields = IdentityFields(identifier_key="k", name="n", identity_type="user", agent_ids=[agent.id])
    await service.identities.create(WS, fields)
    await service.agents.find(WS, AgentQuery(order_by="updated_at"), Page())
    await service.shrinking.histories(WS)
    await service.blocks.delete(WS, (await team.block()).id, ALICE)
    await one_webhook(service)
    return await team.names()


async def one_webhook(service: Service) -> None:
    """One that has told something, has given something up, and is to be told something again."""
    (webhook, _), _ = await service.webhooks.create(WS, WebhookFields(url="https://example.com"))
    for outcome in ("delivered", "dead", "dead"):
        [claimed] = (await service.deliveries.claim(WS, 1))[1]
        new = NewDelivery(id=f"delivery-{claimed.number}", kind="changes", body="{}")
        assert await service.deliveries.begin(WS, claimed, "0-0", new) == "begun"
        await service.deliveries.settle(WS, claimed, new.id, Verdict.model_validate({"outcome": outcome}))
    await service.deliveries.redeliver(WS, webhook.id, new.id)


async def test_every_key_that_is_written_is_in_the_table_with_its_type(team: Team) -> None:
    names = await one_of_everything(team)
    for name in names:
        kind = entry_of(name)
        assert kind is not None, f"{name} is not named in keys.py"
        said = re.split("[:,]", KEYS[kind].type)[0]
        assert said == await team.redis.type(workspace_prefix(WS) + name), name
    written = {kind for name in names if (kind := entry_of(name))}
    channels = {kind for kind, entry in KEYS.items() if entry.type.startswith("channel")}
    assert written | channels == set(KEYS)


async def test_outside_of_workspaces_there_are_the_schema_and_their_list(team: Team) -> None:
    await one_of_everything(team)
    outside = {name for name in await team.redis.keys("*") if not name.startswith(workspace_prefix(WS))}
    assert outside == {SCHEMA_KEY, WORKSPACES_KEY}


async def test_tokens_stand_outside_too_and_what_they_spend_ends_by_itself(team: Team) -> None:
    token, _ = await team.service.tokens.create("team-a", "read", rate=1)
    await team.service.tokens.count(token)
    names = set(await team.redis.keys("*"))
    assert names == {SCHEMA_KEY, WORKSPACES_KEY, TOKENS_KEY, rate_key(token.id)}
    assert await team.redis.ttl(rate_key(token.id)) > 0
    await team.service.tokens.revoke(token.id, even_last=True)
    assert not await team.redis.exists(TOKENS_KEY)


async def test_nothing_is_left_behind_when_all_is_deleted(team: Team) -> None:
    await one_of_everything(team)
    service = team.service
    assert await service.callbacks.take(WS)
    for agent in await service.agents.find(WS, AgentQuery(), Page(limit=None)):
        await service.agents.delete(WS, agent.id, ALICE)
    for block in await service.blocks.find(WS, BlockQuery(), Page(limit=None)):
        await service.blocks.delete(WS, block.id, ALICE)
    for tool in await service.tools.find(WS, Page(limit=None), lambda tool: tool.tool_type == "custom"):
        await service.tools.delete(WS, tool.id)
    for identity in await service.identities.find(WS, IdentityQuery(), Page(limit=None)):
        await service.identities.delete(WS, identity.id)
    for webhook, _ in await service.webhooks.find(WS):
        await service.webhooks.delete(WS, webhook.id)
    for name in await team.names():
        if name not in STAYS:
            assert await team.redis.ttl(workspace_prefix(WS) + name) > 0, f"{name} never ends"


async def test_an_ended_run_ends_with_all_its_parts(team: Team) -> None:
    agent = await team.agent(await team.block())
    await one_of_everything(team)
    lease, open_run = await team.working(agent)
    step = Step(id="step-2", run_id=open_run.run.id, agent_id=agent.id, index=0, created_at=0)
    await team.leases.store_answer(lease, step)
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    parts = {name for name in await team.names() if open_run.run.id in name or name == "step:step-2"}
    assert len(parts) == 3
    for name in parts:
        assert await team.redis.ttl(workspace_prefix(WS) + name) > 0, f"{name} never ends"


def test_every_key_lies_in_the_slot_of_its_workspace() -> None:
    for name in KEYS:
        assert key("a b", name, "id").startswith("bw:{a b}:")


def test_two_kinds_of_keys_never_share_a_name() -> None:
    names = [key(WS, name, "id") for name in KEYS]
    assert len(names) == len(set(names))


def test_a_key_that_is_not_in_the_table_cannot_be_named() -> None:
    with pytest.raises(KeyError):
        key(WS, "nonsense")


def test_an_id_with_a_colon_names_no_other_key() -> None:
    for name, of in (
        ("run", "run-1:messages"),
        ("agent", "agent-1:state"),
        ("block", "block-1:history"),
        ("webhook", "webhook-1:dead"),
    ):
        with pytest.raises(NotFound):
            key("default", name, of)
    assert key("default", "blocks_filed", "label:a:b").endswith(":blocks:by:label:a:b")
