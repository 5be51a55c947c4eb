"""Wake-ups: who is told of which change, when, how often, and in which words."""

import asyncio
from typing import Any

import pytest

from service.bootstrap import Service
from service.errors import StoreUnreachable
from service.records.agents import Agent
from service.records.base import Page
from service.records.blocks import Author, Edit
from service.records.runs import Run
from service.settings import Settings
from service.store.keys import key
from service.store.wakeups import WakeUpStore
from tests.workers.bench import PERSON, WS, Bench, call, calls, told, wait_until
from workers.wakeups import PRESENT_CHARS, READ_MOST, Dispatcher

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> Settings:
    return Settings(lease_ms=1000, wake_depth=3, change_count=10)


@pytest.fixture
def dispatcher(service: Service) -> Dispatcher:
    return Dispatcher(service)


async def watch(bench: Bench, agent: Agent, label: str | None = None, **by: str) -> None:
    """The agent subscribes: to a block of the bench, or by what else is given."""
    given = {"block_id": bench.ids[label]} if label else by
    await bench.service.subscriptions.create(WS, agent.id, **given)


async def dispatch(dispatcher: Dispatcher) -> None:
    while await dispatcher.dispatch(WS):
        pass


async def wakeups(bench: Bench, agent: Agent) -> list[Run]:
    runs = await bench.service.runs.find(WS, agent.id, Page())
    return [run for run in runs if run.kind == "wakeup"]


async def woken_text(bench: Bench, agent: Agent) -> str:
    """What the only wake-up says, once its agent was carried."""
    await bench.carry(agent)
    [run] = await wakeups(bench, agent)
    [message] = (await bench.service.runs.read(WS, run.id)).messages
    assert message.role == "user"
    return str(message.content)


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
    await watch(bench, supervisor, "board")
    await watch(bench, other, "quiet")
    await bench.edit("board", "append", text="\ntwo")
    await dispatch(dispatcher)
    [run] = await wakeups(bench, supervisor)
    assert (run.background, run.metadata, run.status) == (True, {"run_type": "wakeup"}, "created")
    assert await wakeups(bench, other) == []
    await bench.carry(supervisor)
    run = await bench.service.runs.read(WS, run.id)
    assert (run.status, run.depth) == ("completed", 1)


async def test_the_block_need_not_be_attached(bench: Bench, dispatcher: Dispatcher) -> None:
    await bench.block("board", "one")
    supervisor = await bench.agent()
    await watch(bench, supervisor, "board")
    await bench.edit("board", "append", text="\ntwo")
    await dispatch(dispatcher)
    text = await woken_text(bench, supervisor)
    assert text.endswith("`board` as it is now (version 2):\none\ntwo")


async def test_a_label_covers_every_block_that_bears_it(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent()
    await watch(bench, supervisor, **{"label": "status"})
    first = await bench.block("status", "a")
    await bench.block("status", "b")
    await bench.block("other", "c")
    await bench.service.blocks.delete(WS, first.id, PERSON)
    await dispatch(dispatcher)
    text = await woken_text(bench, supervisor)
    lines = [line for line in text.splitlines() if line.startswith("- `")]
    assert [line.split(" by ")[0] for line in lines] == [
        "- `status` version 1: create",
        "- `status` version 1: create",
        "- `status` version 1: delete",
    ]
    assert text.endswith("`status` as it is now (version 1):\nb")


async def test_the_message_says_who_did_what_and_how_the_text_differs(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": "one\ntwo"})
    worker = await bench.agent(share=[await bench.read("board")], name="Scout")
    await watch(bench, supervisor, "board")
    swap = call("memory_replace", label="board", old_string="two", new_string="2\nthree")
    await bench.tell(worker, calls(swap))
    await dispatch(dispatcher)
    text = await woken_text(bench, supervisor)
    first, _, what, *rest = text.splitlines()
    assert first == "Blocks that you watch have changed:"
    assert what.startswith(f"- `board` version 2: replace by Scout ({worker.id}) at 20")
    assert rest == ["  - two", "  + 2", "  + three"]


async def test_a_person_is_named_as_the_api_knows_them(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await watch(bench, supervisor, "board")
    await bench.edit("board", "set", text="x")
    await bench.edit("board", "configure", fields={"description": "d"})
    await dispatch(dispatcher)
    text = await woken_text(bench, supervisor)
    assert "version 2: set by a person at " in text
    assert "version 3: configure by a person at " in text


async def test_a_block_in_the_agents_prompt_is_not_shown_again(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": "one"})
    await watch(bench, supervisor, "board")
    await bench.edit("board", "set", text="two")
    await dispatch(dispatcher)
    assert "as it is now" not in await woken_text(bench, supervisor)
    assert "<value>\ntwo\n</value>" in bench.requests[-1].system


async def test_an_agent_without_memory_in_its_prompt_is_shown_it(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": "one"}, agent_type="react_agent")
    await watch(bench, supervisor, "board")
    await bench.edit("board", "set", text="two")
    await dispatch(dispatcher)
    assert (await woken_text(bench, supervisor)).endswith("`board` as it is now (version 2):\ntwo")


async def test_a_long_block_is_shown_up_to_a_bound(bench: Bench, dispatcher: Dispatcher) -> None:
    await bench.block("board")
    supervisor = await bench.agent()
    await watch(bench, supervisor, "board")
    await bench.edit("board", "set", text="x" * (PRESENT_CHARS + 1))
    await dispatch(dispatcher)
    text = await woken_text(bench, supervisor)
    assert "(shortened)" in text
    assert text.endswith(f"[cut: the first {PRESENT_CHARS} of {PRESENT_CHARS + 1} characters]")


async def test_an_agent_is_not_woken_by_its_own_edits(bench: Bench, dispatcher: Dispatcher) -> None:
    agent = await bench.agent({"board": ""})
    await watch(bench, agent, "board")
    await bench.tell(agent, calls(call("memory_insert", label="board", new_string="mine")))
    await dispatch(dispatcher)
    assert await wakeups(bench, agent) == []


async def test_attaching_and_detaching_wake_nobody(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor, other = await bench.agent({"board": ""}), await bench.agent()
    await watch(bench, supervisor, "board")
    await bench.service.blocks.attach(WS, other.id, bench.ids["board"], PERSON)
    await bench.service.blocks.detach(WS, other.id, bench.ids["board"], PERSON)
    await dispatch(dispatcher)
    assert await wakeups(bench, supervisor) == []


async def test_changes_older_than_the_subscription_are_not_told(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await bench.edit("board", "set", text="before")
    await watch(bench, supervisor, "board")
    await dispatch(dispatcher)
    assert await wakeups(bench, supervisor) == []
    await bench.edit("board", "set", text="after")
    await dispatch(dispatcher)
    text = await woken_text(bench, supervisor)
    assert "  + after" in text
    assert "version 2" not in text


async def test_a_subscription_that_was_ended_wakes_nobody(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await watch(bench, supervisor, "board")
    [one] = await bench.service.subscriptions.find(WS, supervisor.id)
    await bench.service.subscriptions.delete(WS, supervisor.id, one.id)
    await bench.edit("board", "set", text="x")
    await dispatch(dispatcher)
    assert await wakeups(bench, supervisor) == []


async def test_a_deleted_subscriber_holds_nobody_up(
    bench: Bench, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dispatcher has read its subscriptions when the agent goes away."""
    gone, kept = await bench.agent({"board": ""}), await bench.agent()
    await watch(bench, gone, "board")
    await watch(bench, kept, "board")
    await bench.edit("board", "set", text="x")
    wake = bench.service.subscriptions.wake

    async def deleted_before(*args: Any) -> bool:
        await bench.service.agents.delete(WS, gone.id, PERSON)
        return await wake(*args)

    monkeypatch.setattr(bench.service.subscriptions, "wake", deleted_before)
    await dispatcher.dispatch(WS)
    assert len(await wakeups(bench, kept)) == 1


async def test_changes_before_it_looked_become_one_wake_up(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await watch(bench, supervisor, "board")
    await watch(bench, supervisor, **{"label": "board"})
    for text in ("one", "two"):
        await bench.edit("board", "append", text=text)
        await dispatch(dispatcher)
    await bench.edit("board", "append", text="three")
    await dispatch(dispatcher)
    text = await woken_text(bench, supervisor)
    assert [text.count(f"  + {word}") for word in ("one", "two", "three")] == [1, 1, 1]


async def test_a_change_after_it_began_is_another_wake_up(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await watch(bench, supervisor, "board")
    await bench.edit("board", "append", text="one")
    await dispatch(dispatcher)

    async def another() -> None:
        await bench.edit("board", "append", text="two")
        await dispatch(dispatcher)

    bench.models.meanwhile[0] = another
    await bench.carry(supervisor)
    first, second = await wakeups(bench, supervisor)
    assert "+ one" in told(bench.requests[0])[0]
    assert "+ two" in told(bench.requests[1])[-1]
    assert (first.id != second.id, first.status, second.status) == (True, "completed", "completed")


async def test_a_wake_up_taken_over_before_it_was_opened_tells_the_same(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": ""})
    await watch(bench, supervisor, "board")
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
        await watch(bench, agent, "board")
    await bench.edit("board", "append", text="\nstart")
    await settle(bench, dispatcher, [ping, pong])
    depths = sorted(run.depth for agent in (ping, pong) for run in await wakeups(bench, agent))
    assert max(depths) == 3
    lines = (await bench.text("board")).splitlines()
    assert lines[:2] == ["", "start"]
    assert len(lines) == 2 + len(depths)


async def test_depth_is_the_greatest_of_its_causes_and_passes_to_its_edits(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": ""}, system=edits_board("me too"), tools=["core_memory_append"])
    await watch(bench, supervisor, "board")
    for depth in (0, 1):
        edit = Edit(operation="append", text="x")
        await bench.service.blocks.edit(WS, bench.ids["board"], edit, Author(name="deep", depth=depth))
    await dispatch(dispatcher)
    await bench.carry(supervisor)
    assert [run.depth for run in await wakeups(bench, supervisor)] == [2]
    assert (await bench.service.changes.after(WS, "0-0"))[-1].author.depth == 2


async def test_a_chain_that_is_too_long_wakes_nobody(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await watch(bench, supervisor, "board")
    edit = Edit(operation="append", text="x")
    await bench.service.blocks.edit(WS, bench.ids["board"], edit, Author(name="deep", depth=3))
    await dispatch(dispatcher)
    assert await wakeups(bench, supervisor) == []


@pytest.mark.parametrize("by", ["block", "label"])
async def test_changes_that_were_trimmed_before_they_were_told_wake_with_the_present_text(
    bench: Bench, dispatcher: Dispatcher, by: str
) -> None:
    await bench.block("board", "old")
    await bench.block("busy")
    supervisor, late = await bench.agent(), await bench.agent()
    await watch(
        bench, supervisor, **({"label": "board"} if by == "label" else {"block_id": bench.ids["board"]})
    )
    await dispatch(dispatcher)
    await bench.edit("board", "set", text="missed")
    for n in range(250):
        await bench.edit("busy", "set", text=str(n))
    await watch(bench, late, "board")
    await dispatch(dispatcher)
    text = await woken_text(bench, supervisor)
    assert "- `board` is at version 2; some of its changes can no longer be told" in text
    assert text.endswith("`board` as it is now (version 2):\nmissed")
    assert await wakeups(bench, late) == []


async def test_a_wake_up_of_very_many_changes_counts_the_early_ones(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": ""})
    await watch(bench, supervisor, "board")
    for n in range(15):
        await bench.edit("board", "set", text=f"{n:03} " + "x" * 1996)
        await dispatch(dispatcher)
    text = await woken_text(bench, supervisor)
    assert "earlier change(s) by a person" in text
    assert "  + 014 " in text
    assert "  + 000 " not in text
    assert len(text) < 25_000


async def test_more_changes_than_are_read_at_once_are_told_in_turn(
    bench: Bench, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.wakeups.READ_MOST", 3)
    supervisor = await bench.agent({"board": ""})
    await watch(bench, supervisor, "board")
    for n in range(7):
        await bench.edit("board", "set", text=str(n))
    assert await dispatcher.dispatch(WS)
    await dispatch(dispatcher)
    text = await woken_text(bench, supervisor)
    assert [text.count(f"  + {n}") for n in range(7)] == [1] * 7
    assert READ_MOST > 3


async def test_of_many_dispatchers_one_tells(bench: Bench) -> None:
    supervisor = await bench.agent({"board": ""})
    await watch(bench, supervisor, "board")
    for n in range(5):
        await bench.edit("board", "set", text=f"number {n}")
    await asyncio.gather(*(dispatch(Dispatcher(bench.service)) for _ in range(5)))
    text = await woken_text(bench, supervisor)
    assert [text.count(f"  + number {n}") for n in range(5)] == [1] * 5


async def test_a_dispatcher_that_comes_second_changes_nothing(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await watch(bench, supervisor, "board")
    cursor = await bench.service.subscriptions.cursor(WS)
    await bench.edit("board", "set", text="x")
    await dispatch(dispatcher)
    now = await bench.service.subscriptions.cursor(WS)
    assert await WakeUpStore(bench.service.store).move(WS, cursor, now, []) is None
    assert await bench.service.subscriptions.cursor(WS) == now


class TestRunning:
    """The dispatcher as a worker runs it, beside its jobs."""

    async def test_it_hears_the_doorbell(self, bench: Bench, dispatcher: Dispatcher) -> None:
        supervisor = await bench.agent({"board": ""})
        await watch(bench, supervisor, "board")
        running = asyncio.create_task(dispatcher.run())
        try:
            for n in range(1, 4):
                await bench.edit("board", "set", text=str(n))

                async def woken(n: int = n) -> bool:
                    return str(n) in "".join(
                        await bench.service.store.items(key(WS, "agent_woken", supervisor.id))
                    )

                await wait_until("the change was recorded for its subscriber", woken)
        finally:
            await end(running)

    async def test_a_store_that_is_away_for_a_while_ends_no_dispatcher(
        self, bench: Bench, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        supervisor = await bench.agent({"board": ""})
        await watch(bench, supervisor, "board")
        rooms, failures = bench.service.subscriptions, []

        def fails_once(name: str) -> None:
            real = getattr(rooms, name)

            async def away(*args: Any) -> Any:
                if name not in failures:
                    failures.append(name)
                    raise StoreUnreachable("gone")
                return await real(*args)

            monkeypatch.setattr(rooms, name, away)

        monkeypatch.setattr("workers.wakeups.PAUSE_S", 0.05)
        fails_once("workspaces")
        fails_once("cursor")
        await bench.edit("board", "set", text="x")
        running = asyncio.create_task(dispatcher.run())

        async def woken() -> bool:
            return len(await wakeups(bench, supervisor)) == 1

        try:
            await wait_until("the change was told all the same", woken)
        finally:
            await end(running)
        assert failures == ["workspaces", "cursor"]


async def end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
