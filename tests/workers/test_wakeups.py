"""Wake-ups: who is told of which change, when, how often, and in which words."""

import asyncio
from typing import Any

import pytest

from service.bootstrap import Service
from service.errors import StoreUnreachable
from service.records.agents import Agent
from service.records.blocks import Author, Edit
from service.settings import Settings
from service.store.keys import key
from service.store.wakeups import WakeUpStore
from tests.workers.bench import PERSON, WS, Bench, call, calls, told, wait_until
from workers.wakeups import READ_MOST, Dispatcher

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> Settings:
    return Settings(lease_ms=1000, wake_depth=3, change_count=10)


@pytest.fixture
def dispatcher(service: Service) -> Dispatcher:
    return Dispatcher(service)


async def dispatch(dispatcher: Dispatcher) -> None:
    while await dispatcher.dispatch(WS):
        pass


async def settle(bench: Bench, dispatcher: Dispatcher, agents: list[Agent]) -> None:
    """Tells and carries until nothing is left to do."""
    for _ in range(50):
        await dispatch(dispatcher)
        ready = [agent for agent in agents if (await bench.state(agent))["status"] == "ready"]
        if not ready:
            return
        for agent in ready:
            await bench.carry(agent)
    raise AssertionError("the agents keep waking each other")


async def test_a_subscriber_is_woken_by_an_edit_of_its_block(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor, other = await bench.agent({"board": "one", "quiet": ""}), await bench.agent()
    await bench.watch(supervisor, "board")
    await bench.watch(other, "quiet")
    await bench.edit("board", "append", text="\ntwo")
    await dispatch(dispatcher)
    [run] = await bench.wakeups(supervisor)
    assert (run.background, run.metadata, run.status) == (True, {"run_type": "wakeup"}, "created")
    assert await bench.wakeups(other) == []
    await bench.carry(supervisor)
    run = await bench.service.runs.read(WS, run.id)
    assert (run.status, run.depth) == ("completed", 1)


async def test_the_block_need_not_be_attached(bench: Bench, dispatcher: Dispatcher) -> None:
    await bench.block("board", "one")
    supervisor = await bench.agent()
    await bench.watch(supervisor, "board")
    await bench.edit("board", "append", text="\ntwo")
    await dispatch(dispatcher)
    text = await bench.woken_text(supervisor)
    assert text.endswith("`board` as it is now (version 2):\none\ntwo")


async def test_a_label_covers_every_block_that_bears_it(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent()
    await bench.watch_label(supervisor, "status")
    first = await bench.block("status", "a")
    await bench.block("status", "b")
    await bench.block("other", "c")
    await bench.service.blocks.delete(WS, first.id, PERSON)
    await dispatch(dispatcher)
    text = await bench.woken_text(supervisor)
    lines = [line for line in text.splitlines() if line.startswith("- `")]
    assert [line.split(" by ")[0] for line in lines] == [
        "- `status` version 1: create",
        "- `status` version 1: create",
        "- `status` version 1: delete",
    ]
    assert text.endswith("`status` as it is now (version 1):\nb")


async def test_an_agent_is_not_woken_by_its_own_edits(bench: Bench, dispatcher: Dispatcher) -> None:
    agent = await bench.agent({"board": ""})
    await bench.watch(agent, "board")
    await bench.tell(agent, calls(call("memory_insert", label="board", new_string="mine")))
    await dispatch(dispatcher)
    assert await bench.wakeups(agent) == []


async def test_attaching_and_detaching_wake_nobody(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor, other = await bench.agent({"board": ""}), await bench.agent()
    await bench.watch(supervisor, "board")
    await bench.service.blocks.attach(WS, other.id, bench.ids["board"], PERSON)
    await bench.service.blocks.detach(WS, other.id, bench.ids["board"], PERSON)
    await dispatch(dispatcher)
    assert await bench.wakeups(supervisor) == []


async def test_changes_older_than_the_subscription_are_not_told(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await bench.edit("board", "set", text="before")
    await bench.watch(supervisor, "board")
    await dispatch(dispatcher)
    assert await bench.wakeups(supervisor) == []
    await bench.edit("board", "set", text="after")
    await dispatch(dispatcher)
    text = await bench.woken_text(supervisor)
    assert "  + after" in text
    assert "version 2" not in text


async def test_a_subscription_that_was_ended_wakes_nobody(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await bench.watch(supervisor, "board")
    [one] = await bench.service.subscriptions.find(WS, supervisor.id)
    await bench.service.subscriptions.delete(WS, supervisor.id, one.id)
    await bench.edit("board", "set", text="x")
    await dispatch(dispatcher)
    assert await bench.wakeups(supervisor) == []


async def test_a_deleted_subscriber_holds_nobody_up(
    bench: Bench, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dispatcher has read its subscriptions when the agent goes away."""
    gone, kept = await bench.agent({"board": ""}), await bench.agent()
    await bench.watch(gone, "board")
    await bench.watch(kept, "board")
    await bench.edit("board", "set", text="x")
    wake = bench.service.subscriptions.wake

    async def deleted_before(*args: Any) -> bool:
        await bench.service.agents.delete(WS, gone.id, PERSON)
        return await wake(*args)

    monkeypatch.setattr(bench.service.subscriptions, "wake", deleted_before)
    await dispatcher.dispatch(WS)
    assert len(await bench.wakeups(kept)) == 1


async def test_changes_before_it_looked_become_one_wake_up(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await bench.watch(supervisor, "board")
    await bench.watch_label(supervisor, "board")
    for text in ("one", "two"):
        await bench.edit("board", "append", text=text)
        await dispatch(dispatcher)
    await bench.edit("board", "append", text="three")
    await dispatch(dispatcher)
    text = await bench.woken_text(supervisor)
    assert [text.count(f"  + {word}") for word in ("one", "two", "three")] == [1, 1, 1]
    counted = {one["outcome"]: n for _, one, n in bench.service.metrics.wakeups.family().samples}
    assert counted == {"recorded": 3, "begun": 1}


async def test_a_change_after_it_began_is_another_wake_up(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await bench.watch(supervisor, "board")
    await bench.edit("board", "append", text="one")
    await dispatch(dispatcher)

    async def another() -> None:
        await bench.edit("board", "append", text="two")
        await dispatch(dispatcher)

    bench.models.meanwhile[0] = another
    await bench.carry(supervisor)
    first, second = await bench.wakeups(supervisor)
    assert "+ one" in told(bench.requests[0])[0]
    assert "+ two" in told(bench.requests[1])[-1]
    assert (first.id != second.id, first.status, second.status) == (True, "completed", "completed")


async def test_a_wake_up_taken_over_before_it_was_opened_tells_the_same(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": ""})
    await bench.watch(supervisor, "board")
    await bench.edit("board", "append", text="one")
    await dispatch(dispatcher)
    await bench.service.leases.next_run(await bench.lease(supervisor))
    await bench.take_over(supervisor)
    assert "+ one" in told(bench.requests[0])[0]


def edits_board(reply: str) -> str:
    turn = {"calls": [{"name": "core_memory_append", "arguments": {"label": "board", "content": reply}}]}
    return f"<script>{[turn, {'text': 'Done.'}]}</script>".replace("'", '"')


async def test_two_agents_that_watch_each_others_block_come_to_rest(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    board = await bench.block("board")
    ping, pong = [
        await bench.agent(share=[board], tools=["core_memory_append"], system=edits_board(name), name=name)
        for name in ("ping", "pong")
    ]
    for agent in (ping, pong):
        await bench.watch(agent, "board")
    await bench.edit("board", "append", text="\nstart")
    await settle(bench, dispatcher, [ping, pong])
    runs = [*await bench.wakeups(ping), *await bench.wakeups(pong)]
    depths = [run.depth for run in runs]
    assert max(depths) == 3
    lines = (await bench.text("board")).splitlines()
    assert lines[:2] == ["", "start"]
    assert len(lines) == 2 + len(depths)


async def test_depth_is_the_greatest_of_its_causes_and_passes_to_its_edits(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": ""}, system=edits_board("me too"), tools=["core_memory_append"])
    await bench.watch(supervisor, "board")
    for depth in (0, 1):
        edit = Edit(operation="append", text="x")
        await bench.service.blocks.edit(WS, bench.ids["board"], edit, Author(name="deep", depth=depth))
    await dispatch(dispatcher)
    await bench.carry(supervisor)
    assert [run.depth for run in await bench.wakeups(supervisor)] == [2]
    assert (await bench.service.changes.after(WS, "0-0"))[-1].author.depth == 2


async def test_a_chain_that_is_too_long_wakes_nobody(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await bench.watch(supervisor, "board")
    edit = Edit(operation="append", text="x")
    await bench.service.blocks.edit(WS, bench.ids["board"], edit, Author(name="deep", depth=3))
    await dispatch(dispatcher)
    assert await bench.wakeups(supervisor) == []


async def test_more_changes_than_are_read_at_once_are_told_in_turn(
    bench: Bench, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.wakeups.READ_MOST", 3)
    supervisor = await bench.agent({"board": ""})
    await bench.watch(supervisor, "board")
    for n in range(7):
        await bench.edit("board", "set", text=str(n))
    assert await dispatcher.dispatch(WS)
    await dispatch(dispatcher)
    text = await bench.woken_text(supervisor)
    assert [text.count(f"  + {n}") for n in range(7)] == [1] * 7
    assert READ_MOST > 3


async def test_of_many_dispatchers_one_tells(bench: Bench) -> None:
    supervisor = await bench.agent({"board": ""})
    await bench.watch(supervisor, "board")
    for n in range(5):
        await bench.edit("board", "append", text=f"\nnumber {n}")
    await asyncio.gather(*(dispatch(Dispatcher(bench.service)) for _ in range(5)))
    text = await bench.woken_text(supervisor)
    assert [text.count(f"  + number {n}") for n in range(5)] == [1] * 5


async def test_a_dispatcher_that_comes_second_changes_nothing(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await bench.watch(supervisor, "board")
    cursor = await bench.service.subscriptions.cursor(WS)
    await bench.edit("board", "set", text="x")
    await dispatch(dispatcher)
    now = await bench.service.subscriptions.cursor(WS)
    assert await WakeUpStore(bench.service.store).move(WS, cursor, now, []) is None
    assert await bench.service.subscriptions.cursor(WS) == now


class TestRunning:
    """The dispatcher as a worker runs it, beside its jobs."""

    async def test_it_tells_while_it_runs(
        self, bench: Bench, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        supervisor = await bench.agent({"board": ""})
        await bench.watch(supervisor, "board")
        monkeypatch.setattr("workers.wakeups.PAUSE_S", 0.05)
        running = asyncio.create_task(dispatcher.run())
        try:
            for n in range(1, 4):
                await bench.edit("board", "set", text=str(n))

                async def woken(n: int = n) -> bool:
                    return str(n) in "".join(
                        await bench.service.store.items(key(WS, "agent_woken", supervisor.id))
                    )

                await wait_until("the change was recorded for its subscriber", woken)
            await self.rung_many_times(bench, dispatcher)
        finally:
            await end(running)

    @staticmethod
    async def rung_many_times(bench: Bench, dispatcher: Dispatcher) -> None:
        """What rings while changes are being told is looked at once more, and no more often."""
        await asyncio.gather(*(bench.edit("board", "append", text=str(n)) for n in range(20)))
        newest = await bench.service.changes.last_id(WS)

        async def all_told() -> bool:
            return await bench.service.subscriptions.cursor(WS) == newest

        await wait_until("all changes were told", all_told)

    async def test_a_store_that_is_away_for_a_while_ends_no_dispatcher(
        self, bench: Bench, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        supervisor = await bench.agent({"board": ""})
        await bench.watch(supervisor, "board")
        asked = list[str]()

        def fails_once(room: object, name: str) -> None:
            real = getattr(room, name)

            async def away(*args: Any) -> Any:
                asked.append(name)
                if asked.count(name) == 1:
                    raise StoreUnreachable("gone")
                return await real(*args)

            monkeypatch.setattr(room, name, away)

        monkeypatch.setattr("workers.wakeups.PAUSE_S", 0.05)
        monkeypatch.setattr("workers.workspaces.PAUSE_S", 0.05)
        fails_once(bench.service.workspaces, "all")
        fails_once(bench.service.subscriptions, "cursor")
        await bench.edit("board", "set", text="x")
        running = asyncio.create_task(dispatcher.run())

        async def woken() -> bool:
            return len(await bench.wakeups(supervisor)) == 1 and asked.count("all") > 2

        try:
            await wait_until("the change was told all the same", woken)
        finally:
            await end(running)
        assert asked[0] == "all"


async def end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
