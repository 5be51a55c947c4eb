"""The fence: whoever has lost the lease writes nothing, by any script, and learns it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import service.store
from service.errors import LeaseLost, NotFound
from service.records.blocks import Author, Block, BlockFields, Edit
from service.records.messages import Message
from service.records.open_runs import Opening
from service.records.runs import Lease, OutputEvent, Run, Step, Usage
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio

Act = Callable[[Team, Lease, Run, Block], Awaitable[object]]
STEP = Step(id="step-1", run_id="run-1", agent_id="agent-1", index=0, created_at=0)
SAID = OutputEvent(kind="end")
MESSAGE = Message(id="message-1", agent_id="agent-1", role="assistant", created_at=0)


def edit(team: Team, lease: Lease, run: Run, block: Block) -> Awaitable[object]:
    asked = Edit(operation="append", text="!", edit_id="r:0")
    return team.service.blocks.edit(WS, block.id, asked, Author(run_id=run.id), lease)


def create(team: Team, lease: Lease, run: Run, block: Block) -> Awaitable[object]:
    fields = BlockFields(label="new")
    return team.service.blocks.create(WS, fields, ALICE, attach_to=lease.agent_id, lease=lease)


def attach(team: Team, lease: Lease, run: Run, block: Block) -> Awaitable[object]:
    return team.service.blocks.attach(WS, lease.agent_id, block.id, ALICE, lease)


def detach(team: Team, lease: Lease, run: Run, block: Block) -> Awaitable[object]:
    return team.service.blocks.detach(WS, lease.agent_id, block.id, ALICE, lease, "r:1")


def store_step(team: Team, lease: Lease, run: Run, block: Block) -> Awaitable[object]:
    return team.leases.store_step(
        lease, STEP, [MESSAGE], usage=Usage(), context_tokens=1, step_count=1, seen={}, stop_reason="end_turn"
    )


def ask(team: Team, lease: Lease, run: Run, block: Block) -> Awaitable[object]:
    """The receiver is not there; the fence is looked at first."""
    return team.service.asks.ask(lease, run, "agent-x", "Hello.", "run-x", waits=True)


ACTS: dict[str, Act] = {
    "block_edit": edit,
    "block_create": create,
    "block_attach": attach,
    "block_attach (detach)": detach,
    "lease_return": lambda team, lease, run, block: team.leases.give_back(lease),
    "run_next": lambda team, lease, run, block: team.leases.next_run(lease),
    "run_open": lambda team, lease, run, block: team.leases.open_run(lease, Opening(run, "p", {}, MESSAGE)),
    "run_note": lambda team, lease, run, block: team.leases.add_note(lease, run.id, {}, {}),
    "step_answer": lambda team, lease, run, block: team.leases.store_answer(lease, STEP),
    "step_store": store_step,
    "output_tell": lambda team, lease, run, block: team.leases.tell(lease, run.id, [SAID]),
    "message_ask": ask,
    "call_decide": lambda team, lease, run, block: team.service.asks.decide(lease, run, 0, ["agent-x"]),
    "run_wait": lambda team, lease, run, block: team.service.asks.wait(lease, run, {}, {}),
    "call_start": lambda team, lease, run, block: team.leases.start_call(lease, run.id, "c1"),
    "call_end": lambda team, lease, run, block: team.leases.end_call(lease, run.id, "c1", "{}"),
    "context_compact": lambda team, lease, run, block: team.leases.compact(
        lease,
        run.id,
        ["message-1"],
        MESSAGE,
        MESSAGE,
        prompt="p",
        seen={},
        usage=Usage(),
        context_tokens=1,
    ),
    "trace_put": lambda team, lease, run, block: team.leases.store_trace(lease, STEP.id, "{}"),
    "run_finish": lambda team, lease, run, block: team.leases.finish(lease, run.id, "end_turn", None),
}


@pytest.mark.parametrize("how", ["returned", "swept", "idle", "taken by another", "deleted"])
@pytest.mark.parametrize("script", ACTS)
async def test_a_lost_lease_writes_nothing(team: Team, script: str, how: str) -> None:
    block = await team.block()
    agent = await team.agent(block)
    lease, open_run = await team.working(agent)
    if how == "returned":
        await team.leases.give_back(lease)
    elif how == "swept":
        await team.leases.renew(WS, [lease], -1)
        assert len(await team.leases.sweep(WS, 60_000)) == 1
    elif how == "idle":
        await team.leases.finish(lease, open_run.run.id, "end_turn", None)
        assert await team.leases.next_run(lease) is None
    elif how == "taken by another":
        await team.leases.give_back(lease)
        await team.lease(agent, worker="worker-2")
    else:
        await team.service.agents.delete(WS, agent.id, ALICE)
    before = await team.everything()
    with pytest.raises(LeaseLost) as lost:
        await ACTS[script](team, lease, open_run.run, block)
    assert lost.value.agent_id == agent.id
    assert await team.everything() == before


@pytest.mark.parametrize("script", ACTS)
async def test_a_lease_that_is_held_lets_the_same_through(team: Team, script: str) -> None:
    block = await team.block()
    agent = await team.agent(block)
    lease, open_run = await team.working(agent)
    if script == "message_ask":
        with pytest.raises(NotFound):
            await ACTS[script](team, lease, open_run.run, block)
        return
    await ACTS[script](team, lease, open_run.run, block)


def test_every_script_that_asks_for_the_fence_is_tried_here() -> None:
    lua = Path(service.store.__path__[0]) / "lua"
    fenced = {path.stem for path in lua.glob("*.lua") if "{'fence'}" in path.read_text("utf-8")}
    assert fenced == {name.split()[0] for name in ACTS}
