"""Cuts: chains of wake-ups that are too long or too many end, say so, and can be taken up again."""

import json
from collections.abc import Awaitable
from typing import cast

import pytest

from service.bootstrap import Service
from service.records.agents import Agent
from service.records.blocks import Author, Edit
from service.records.subscriptions import Cut, Subscription, SubscriptionFields
from service.settings import Settings
from service.store.keys import key
from tests.store.team import raw
from tests.workers.bench import WS, Bench, wait_until
from workers.wakeups import Dispatcher

pytestmark = pytest.mark.anyio

DEPTH = 3


@pytest.fixture
def settings() -> Settings:
    return Settings(lease_ms=1000, wake_depth=DEPTH)


@pytest.fixture
def dispatcher(service: Service) -> Dispatcher:
    return Dispatcher(service)


async def dispatch(dispatcher: Dispatcher) -> None:
    while await dispatcher.dispatch(WS):
        pass


def always_writes(name: str) -> str:
    call = {"name": "core_memory_append", "arguments": {"label": "board", "content": name}}
    return f"<script>{json.dumps([{'calls': [call]}, {'text': 'Done.'}])}</script>"


async def writers(bench: Bench) -> tuple[Agent, Agent]:
    """Two agents that share a board and write to it whenever they are asked anything."""
    board = await bench.block("board")
    one, other = [
        await bench.agent(share=[board], tools=["core_memory_append"], system=always_writes(name), name=name)
        for name in ("ping", "pong")
    ]
    return one, other


async def settle(bench: Bench, dispatcher: Dispatcher, *agents: Agent) -> None:
    """Tells and carries until nothing is left to do."""
    for _ in range(50):
        await dispatch(dispatcher)
        ready = [agent for agent in agents if (await bench.state(agent))["status"] == "ready"]
        if not ready:
            return
        for agent in ready:
            await bench.carry(agent)
    raise AssertionError("the agents keep waking each other")


async def cut_of(bench: Bench, subscription: Subscription) -> Cut | None:
    rooms = bench.service.subscriptions
    return (await rooms.read(WS, subscription.agent_id, subscription.id)).cut


async def resume(bench: Bench, subscription: Subscription) -> Subscription:
    fields = SubscriptionFields(active=True)
    return await bench.service.subscriptions.update(WS, subscription.agent_id, subscription.id, fields)


async def last_told(bench: Bench, agent: Agent) -> str:
    return str((await bench.wakeups(agent))[-1].messages[0].content)


async def deep_edit(bench: Bench, text: str, depth: int) -> None:
    author = Author(name="deep", depth=depth)
    await bench.service.blocks.edit(WS, bench.ids["board"], Edit(operation="append", text=text), author)


async def test_two_agents_that_watch_each_others_block_are_cut_and_can_both_be_resumed(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    ping, pong = await writers(bench)
    watches = [await bench.watch(agent, "board") for agent in (ping, pong)]
    await bench.edit("board", "append", text="\nstart")
    await settle(bench, dispatcher, ping, pong)
    runs = [*await bench.wakeups(ping), *await bench.wakeups(pong)]
    assert max(run.depth for run in runs) == DEPTH
    cuts = {one.agent_id: await cut_of(bench, one) for one in watches}
    assert [cut.reason for cut in cuts.values() if cut is not None] == ["depth", "depth"]
    for number, one in enumerate(watches):
        before = len(await bench.wakeups(ping)) + len(await bench.wakeups(pong))
        resumed = await resume(bench, one)
        assert (resumed.active, resumed.cut) == (True, None)
        await settle(bench, dispatcher, ping, pong)
        runs = [*await bench.wakeups(ping), *await bench.wakeups(pong)]
        assert len(runs) > before + 1, f"the chain did not begin anew with {number}"
        assert max(run.depth for run in runs) == DEPTH


async def test_what_came_too_deep_is_counted_and_told_in_the_next_wake_up(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": ""})
    one = await bench.watch(supervisor, "board")
    for text in ("x", "y"):
        await deep_edit(bench, text, DEPTH)
        await dispatch(dispatcher)
    assert await bench.wakeups(supervisor) == []
    cut = await cut_of(bench, one)
    assert cut is not None
    assert (cut.reason, cut.changes) == ("depth", 2)
    await bench.edit("board", "append", text="z")
    await dispatch(dispatcher)
    text = await bench.woken_text(supervisor)
    assert [f"  + {letter}" in text for letter in "xyz"] == [True] * 3
    assert f"2 of these change(s) did not wake you: agents had woken each other {DEPTH} times." in text
    assert [run.depth for run in await bench.wakeups(supervisor)] == [1]
    assert await cut_of(bench, one) == cut


async def test_past_its_rate_a_subscription_is_cut_until_it_is_resumed(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": ""})
    one = await bench.watch(supervisor, "board", wakes_per_minute=2)

    async def edit_and_carry(text: str) -> None:
        await bench.edit("board", "append", text=text)
        await settle(bench, dispatcher, supervisor)

    for text in "abcd":
        await edit_and_carry(text)
    if len(await bench.wakeups(supervisor)) > 2:  # a minute ended on the way
        for text in "efgh":
            await edit_and_carry(text)
    before = len(await bench.wakeups(supervisor))
    found = await bench.service.subscriptions.read(WS, supervisor.id, one.id)
    assert found.cut is not None
    assert (found.cut.reason, found.active, found.awake) == ("rate", True, False)
    assert found.cut.changes >= 2
    await resume(bench, one)
    await settle(bench, dispatcher, supervisor)
    assert len(await bench.wakeups(supervisor)) == before + 1
    text = await last_told(bench, supervisor)
    assert f"{found.cut.changes} of these change(s) did not wake you: you had been woken too often." in text
    await edit_and_carry("i")
    assert len(await bench.wakeups(supervisor)) == before + 2
    assert await cut_of(bench, one) is None


async def test_another_subscription_still_tells_what_one_past_its_rate_would(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": ""})
    one = await bench.watch(supervisor, "board")
    await bench.watch(supervisor, "board", template="{label}!")
    state = key(WS, "subscription_state", one.id)
    cut = {"cut_at": "1", "cut_reason": "rate", "cut_changes": "0"}
    await cast(Awaitable[int], raw(bench.service.store).hset(state, mapping=cut))
    await bench.edit("board", "append", text="x")
    await dispatch(dispatcher)
    assert await bench.woken_text(supervisor) == "board!"


async def test_the_end_of_a_burst_counts_against_the_rate_too(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    one = await bench.watch(supervisor, "board", wakes_per_minute=1, debounce_ms=1)

    async def burst(text: str) -> None:
        await bench.edit("board", "append", text=text)
        await dispatch(dispatcher)

        async def over() -> bool:
            return await bench.service.subscriptions.wake_due(WS) is None

        await wait_until("the burst was over", over)

    await burst("a")
    await bench.carry(supervisor)
    for text in "bc":
        await burst(text)
        if (await bench.state(supervisor))["status"] == "ready":  # a minute ended on the way
            await bench.carry(supervisor)
    cut = await cut_of(bench, one)
    assert cut is not None
    assert cut.reason == "rate"
    await resume(bench, one)
    await bench.carry(supervisor)
    assert "+ c" in await last_told(bench, supervisor)


async def test_resuming_what_held_nothing_back_wakes_nobody(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    one = await bench.watch(supervisor, "board")
    await deep_edit(bench, "x", DEPTH)
    await dispatch(dispatcher)
    await bench.edit("board", "append", text="y")
    await settle(bench, dispatcher, supervisor)
    assert len(await bench.wakeups(supervisor)) == 1
    await resume(bench, one)
    assert len(await bench.wakeups(supervisor)) == 1
    await resume(bench, one)
    assert await cut_of(bench, one) is None
