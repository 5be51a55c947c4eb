"""Growth: an agent that works and works; past what is kept of each kind the store holds no more of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from service.records.agents import Agent
from service.records.base import Page
from service.records.blocks import Author, Block, Edit
from service.records.messages import Message, NewMessage
from service.records.open_runs import Opening
from service.records.runs import ModelReply, RunOptions, Step, Usage
from service.settings import Settings
from service.store import scripts
from service.store.census import census
from service.store.client import StoreClient
from tests.store.team import WS, Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SHORT, WHOLE = 100, 1000
"""Runs that are kept of an agent: in a short test, and in earnest."""
FOR_THE_AGENTS_LIFE = {"agent:<id>:messages", "agent:<id>:bodies", "messages", "messages:agents"}
"""Messages are kept as long as their agent: they grow with the work, and nothing else does."""
PLACES, BYTES_PER_PLACE = 10_000, 200
"""Of deleted rows, for whoever pages on from them."""
BY_THE_CLOCK = {"request:<…>", "asked:<…>", "run:<id>:output", "agent:<id>:spent", "spent"}
"""What ends a while later by itself, whatever else happens."""


@pytest.fixture
def settings() -> Settings:
    return Settings(history_count=50, change_count=100, lease_ms=60_000)


@pytest.fixture
def store(real_store: StoreClient) -> StoreClient:
    return real_store


async def one_run(team: Team, agent: Agent, block: Block, number: int) -> None:
    """A message, a step that edits a shared block and answers, and the end; as a worker does it."""
    service = team.service
    sent = await service.messages.send(
        WS, agent.id, [NewMessage(content=f"Task {number}")], RunOptions(output="none")
    )
    ready = await team.ready(agent)
    lease = await team.leases.take(WS, agent.id, ready.generation, "worker-1", 60_000)
    assert lease is not None
    open_run = await service.leases.next_run(lease)
    assert open_run is not None
    run = open_run.run
    assert run.id == sent.id
    [message_0, *_] = await service.messages.context(WS, agent.id)
    await service.leases.open_run(lease, Opening(run, "A prompt. " * 50, {block.id: 1}, message_0))
    reply = ModelReply(text="It is done. " * 10, finish="stop")
    step = Step(id=f"step-{number}", run_id=run.id, agent_id=agent.id, index=0, created_at=0, reply=reply)
    await service.leases.store_answer(lease, step)
    author = Author(agent_id=agent.id, run_id=run.id, step_id=step.id)
    text = "x" * 30 if number % 2 else ""
    edit = Edit(operation="set", text=text, edit_id=f"{run.id}:0:0:0")
    await service.blocks.edit(WS, block.id, edit, author, lease)
    answer = Message(
        id=f"message-{number}",
        agent_id=agent.id,
        role="assistant",
        created_at=0,
        run_id=run.id,
        content="Done.",
    )
    await service.leases.store_step(
        lease, run, step, [answer], usage=Usage(), context_tokens=9, seen={}, stop_reason="end_turn"
    )
    assert await service.leases.next_run(lease) is None


async def weights(team: Team) -> dict[str, tuple[int, int]]:
    return {kind.pattern: (kind.keys, kind.bytes) for kind in await census(team.store)}


@asynccontextmanager
async def short_context(team: Team, agent: Agent) -> AsyncIterator[None]:
    """A context that does not grow, as compaction keeps it in earnest."""
    yield
    await team.service.agents.reset_messages(WS, agent.id, add_first=False)


@pytest.fixture
def keeping(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, int], None]:
    """Makes the scripts keep less of something than they do in earnest, so that its end is soon seen."""

    def keep(name: str, earnest: int, kept: int) -> None:
        read, line = scripts._read, f"local {name} = {earnest}\n"
        assert line in read("run_end") + read("effect")
        monkeypatch.setattr(
            scripts, "_read", lambda script: read(script).replace(line, f"local {name} = {kept}\n")
        )

    return keep


@pytest.mark.parametrize(("kept", "runs"), [(SHORT, 200), pytest.param(WHOLE, 4000, marks=pytest.mark.chaos)])
async def test_past_what_is_kept_the_store_grows_by_messages_alone(
    team: Team, keeping: Callable[[str, int, int], None], kept: int, runs: int
) -> None:
    keeping("RUNS_KEPT", WHOLE, kept)
    block = await team.block()
    agent = await team.agent(block)
    number = 0

    async def work(times: int) -> None:
        nonlocal number
        for _ in range(times // 50):
            async with short_context(team, agent):
                for _ in range(50):
                    await one_run(team, agent, block, number)
                    number += 1

    await work(kept + 100)
    before = await weights(team)
    assert before["run:<id>"][0] == before["step:<id>"][0] == kept
    await work(runs)
    after = await weights(team)
    assert after.keys() == before.keys()
    for pattern, (keys, bytes) in after.items():
        if pattern in FOR_THE_AGENTS_LIFE | BY_THE_CLOCK:
            continue
        if pattern.startswith("gone:"):
            assert bytes / keys < PLACES * BYTES_PER_PLACE, pattern
            continue
        keys_before, bytes_before = before[pattern]
        assert keys <= keys_before, pattern
        assert bytes <= bytes_before * 1.25 + 5_000, (pattern, bytes_before, bytes)
    assert len(await team.history(block)) <= 50 + 10
    messages = await team.service.messages.count(WS, agent.id)
    assert messages >= number
    kept = sum(bytes for pattern, (_, bytes) in after.items() if pattern in FOR_THE_AGENTS_LIFE)
    assert kept / messages < 1000


async def test_outcomes_of_edits_from_outside_are_kept_in_a_bounded_number(
    team: Team, keeping: Callable[[str, int, int], None]
) -> None:
    keeping("OUTCOMES_KEPT", 10_000, 100)
    block = await team.block()
    for number in range(250):
        await team.edit(block, "set", "y", edit_id=f"edit-{number}")
    found = await weights(team)
    assert found["edit:<id>"][0] == 100


async def test_messages_that_wait_push_nobodys_answer_out(
    team: Team, keeping: Callable[[str, int, int], None]
) -> None:
    """Only runs that ended are counted: the caller of the first of many can read how it went."""
    keeping("RUNS_KEPT", WHOLE, 3)
    agent = await team.agent()
    sent = [await team.send(agent, f"{number}") for number in range(8)]
    lease = await team.lease(agent)
    for run_id in sent:
        assert await team.leases.next_run(lease) is not None
        await team.leases.finish(lease, run_id, "end_turn", None)
        assert (await team.service.runs.read(WS, run_id)).status == "completed"
    kept = [run.id for run in await team.service.runs.find(WS, agent.id, Page())]
    assert kept == sent[-3:]
