"""Races, as races: many clients of one real server at once, and nothing is lost or had twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from itertools import pairwise
from typing import TypeVar

import pytest

from service.blocks import Blocks
from service.errors import EditConflict, LabelTaken, LeaseLost, NotAttached
from service.records.blocks import Author, BlockFields, Edit
from service.records.messages import NewMessage
from service.records.runs import Run
from service.records.subscriptions import WakeUp
from service.settings import Settings
from service.store.agents import AgentStore
from service.store.client import StoreClient
from service.store.leases import LeaseStore
from service.store.messages import MessageStore
from service.store.wakeups import WakeUpStore
from tests.store.team import ALICE, RUN_SECONDS, WS, Team, causes

pytestmark = pytest.mark.anyio

Result = TypeVar("Result")


@pytest.fixture
def store(real_store: StoreClient) -> StoreClient:
    return real_store


@pytest.fixture
async def clients(redis_server: str, store: StoreClient) -> AsyncIterator[list[StoreClient]]:
    """Connections of their own, as processes have them."""
    clients = [StoreClient.connect(redis_server, connections=10) for _ in range(8)]
    yield clients
    for client in clients:
        await client.close()


async def outcomes(acts: Sequence[Awaitable[Result]]) -> tuple[list[Result], list[BaseException]]:
    """What succeeded, and what was refused."""
    found = await asyncio.gather(*acts, return_exceptions=True)
    return (
        [one for one in found if not isinstance(one, BaseException)],
        [one for one in found if isinstance(one, BaseException)],
    )


async def test_fifty_writers_append_and_every_line_is_there_once(
    team: Team, clients: list[StoreClient]
) -> None:
    block = await team.block("begin")
    rooms = [Blocks(client, Settings()) for client in clients]
    lines = [f"writer {number} ñ" for number in range(50)]
    versions = await asyncio.gather(
        *[
            rooms[number % len(rooms)].edit(
                WS, block.id, Edit(operation="append", text=f"\n{line}"), Author(name=str(number))
            )
            for number, line in enumerate(lines)
        ]
    )
    after = await team.service.blocks.read(WS, block.id)
    assert sorted(after.value.split("\n")[1:]) == sorted(lines)
    assert after.version == 51
    assert after.chars == len(after.value)
    assert sorted(outcome.version for outcome in versions) == list(range(2, 52))
    history = await team.history(block)
    assert [entry["id"] for entry in history] == [f"{version}-0" for version in range(1, 52)]
    assert "begin" + "".join(entry["added"] for entry in history) == after.value
    changes = await team.changes()
    assert [change.version for change in changes] == list(range(1, 52))
    assert all(b.prev == a.id for a, b in pairwise(changes))


async def test_of_many_writers_of_one_version_exactly_one_wins(
    team: Team, clients: list[StoreClient]
) -> None:
    block = await team.block("one")
    edits = [Edit(operation="set", text=str(number), expected_version=1) for number in range(40)]
    won, refused = await outcomes(
        [
            Blocks(clients[number % 8], Settings()).edit(WS, block.id, edit, ALICE)
            for number, edit in enumerate(edits)
        ]
    )
    assert len(won) == 1
    assert all(isinstance(refusal, EditConflict) and refusal.version == 2 for refusal in refused)
    assert {refusal.value for refusal in refused if isinstance(refusal, EditConflict)} == {won[0].block.value}
    assert await team.service.blocks.read(WS, block.id) == won[0].block


async def test_one_edit_sent_by_many_happens_once(team: Team, clients: list[StoreClient]) -> None:
    block = await team.block()
    edit = Edit(operation="append", text="x", edit_id="e1")
    done = await asyncio.gather(
        *[Blocks(clients[number % 8], Settings()).edit(WS, block.id, edit, ALICE) for number in range(40)]
    )
    assert (await team.service.blocks.read(WS, block.id)).value == "x"
    assert sorted(outcome.repeated for outcome in done) == [False] + [True] * 39
    assert {outcome.version for outcome in done} == {2}


async def test_renames_and_attachments_never_give_an_agent_two_blocks_of_a_label(
    team: Team, clients: list[StoreClient]
) -> None:
    blocks = [await team.block(label=f"label-{number}") for number in range(6)]
    agents = [await team.agent() for _ in range(4)]
    rooms = [Blocks(client, Settings()) for client in clients]

    def rename(number: int) -> Awaitable[object]:
        fields = BlockFields(label=f"label-{number % 5}")
        edit = Edit(operation="configure", fields=fields)
        return rooms[number % 8].edit(WS, blocks[number % 6].id, edit, ALICE)

    def move(number: int) -> Awaitable[object]:
        verb = rooms[number % 8].attach if number % 3 else rooms[number % 8].detach
        return verb(WS, agents[number % 4].id, blocks[number * 5 % 6].id, ALICE)

    acts = [act for number in range(150) for act in (rename(number), move(number))]
    _, refused = await outcomes(acts)
    assert {type(refusal) for refusal in refused} <= {LabelTaken, NotAttached}
    for agent in agents:
        labels = await team.service.blocks.labels(WS, agent.id)
        held = await team.service.blocks.of_agent(WS, agent.id)
        assert {block.label: block.id for block in held} == labels
        assert len(held) == len(labels)
    for block in blocks:
        holders = await team.store.range(f"bw:{{{WS}}}:block:{block.id}:agents")
        assert {id for id, _ in holders} == {
            agent.id
            for agent in agents
            if block.id in (await team.service.blocks.labels(WS, agent.id)).values()
        }


async def test_no_message_is_lost_between_giving_up_and_sending(
    team: Team, clients: list[StoreClient]
) -> None:
    """Senders and workers at full speed; an agent that is idle has an empty inbox, always."""
    agent = await team.agent()
    sent = [f"run-{number}" for number in range(200)]
    done: list[str] = []
    due: asyncio.Queue[int] = asyncio.Queue()

    async def sending(number: int) -> None:
        messages = MessageStore(clients[number % 4])
        for id in sent[number::10]:
            run = Run(id=id, agent_id=agent.id, messages=[NewMessage(content=id)], created_at=0)
            ready = (await messages.send(WS, run)).ready
            if ready is not None:
                due.put_nowait(ready.generation)

    async def working(number: int) -> None:
        leases = LeaseStore(clients[4 + number % 4], RUN_SECONDS)
        while True:
            generation = await due.get()
            lease = await leases.take(WS, agent.id, generation, f"worker-{number}", 60_000)
            assert lease is not None
            while (open_run := await leases.next_run(lease)) is not None:
                done.append(open_run.run.id)
                await leases.finish(lease, open_run.run.id, "end_turn", None)

    workers = [asyncio.create_task(working(number)) for number in range(4)]
    await asyncio.gather(*[sending(number) for number in range(10)])
    async with asyncio.timeout(20):
        while len(done) < len(sent) or (await team.state(agent))["status"] != "idle":
            await asyncio.wait(workers, timeout=0.01)
            for worker in workers:
                assert not worker.done()
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)
    assert sorted(done) == sorted(sent)
    assert [id for number in range(10) for id in done if int(id[4:]) % 10 == number] == [
        id for number in range(10) for id in sent[number::10]
    ]
    assert (await team.state(agent))["status"] == "idle"


async def test_of_many_workers_one_gets_the_lease(team: Team, clients: list[StoreClient]) -> None:
    agent = await team.agent()
    await team.send(agent)
    takes = [
        LeaseStore(clients[number % 8], RUN_SECONDS).take(WS, agent.id, 1, str(number), 60_000)
        for number in range(40)
    ]
    assert len([lease for lease in await asyncio.gather(*takes) if lease is not None]) == 1


async def test_a_fenced_write_and_its_takeover_never_both_happen(
    team: Team, clients: list[StoreClient]
) -> None:
    block = await team.block()
    agent = await team.agent(block)
    for round in range(20):
        lease = await team.lease(agent)
        edit = Edit(operation="append", text=f"{round},")
        taken = LeaseStore(clients[0], RUN_SECONDS).give_back(lease)
        writes = [
            Blocks(clients[number], Settings()).edit(WS, block.id, edit, ALICE, lease) for number in (1, 2)
        ]
        _, refused = await outcomes([writes[0], taken, writes[1]])
        assert all(isinstance(refusal, LeaseLost) for refusal in refused)
        with pytest.raises(LeaseLost):
            await team.service.blocks.edit(WS, block.id, edit, ALICE, lease)
    after = await team.service.blocks.read(WS, block.id)
    assert after.version == 1 + after.value.count(",")


async def test_of_many_dispatchers_each_change_is_told_by_one(team: Team, clients: list[StoreClient]) -> None:
    agent = await team.agent()
    block = await team.block()
    for _ in range(30):
        await team.edit(block, "append", "x")
    last = (await team.changes())[-1].id
    by = await team.subscribe(agent, label="notes")

    def run(number: int, cursor: str) -> Run:
        return Run(id=f"run-{number}-{cursor}", agent_id=agent.id, created_at=0)

    async def dispatching(number: int) -> None:
        wakeups = WakeUpStore(clients[number % 8])
        while (cursor := await wakeups.cursor(WS)) != last:
            changes = await team.service.changes.after(WS, cursor, 3)
            wake = WakeUp(run=run(number, cursor), causes=causes(changes, by), by=[by])
            await wakeups.move(WS, cursor, changes[-1].id, [wake])

    await asyncio.gather(*[dispatching(number) for number in range(16)])
    _, open_run = await team.working(agent)
    assert [change.id for change in open_run.causes] == [change.id for change in await team.changes()]


async def test_updates_and_deletion_of_an_agent_leave_no_trace(
    team: Team, clients: list[StoreClient]
) -> None:
    agent = await team.agent(name="Ada", tags=["a"])
    agents = [AgentStore(client, Settings().history_kept, 1000, RUN_SECONDS) for client in clients]

    async def rename(number: int) -> None:
        before, rev = await agents[number].read_with_rev(WS, agent.id)
        after = before.model_copy(update={"name": f"n{number}", "tags": [f"t{number}"]})
        await agents[number].update(WS, before, rev, after, None, None, ALICE)

    await outcomes([*[rename(number) for number in range(7)], agents[7].delete(WS, agent.id, ALICE)])
    await outcomes([team.service.agents.delete(WS, agent.id, ALICE)])
    assert {name for name in await team.names() if name.startswith("agent")} == set()
