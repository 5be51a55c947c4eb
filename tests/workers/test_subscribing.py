"""Subscriptions at work: what each kind covers and leaves out, when a burst is over, and in which words."""

import asyncio
from typing import Any

import pytest

from service.bootstrap import Service
from service.records.agents import Agent
from service.records.blocks import Author, Cause, Edit
from service.settings import Settings
from service.store.client import StoreClient
from service.store.keys import key
from tests.store.team import raw
from tests.workers.bench import PERSON, WS, Bench, call, calls, wait_until
from workers.wake_messages import wake_message
from workers.wakeups import Dispatcher

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> Settings:
    return Settings(lease_ms=1000, change_count=10)


@pytest.fixture
def dispatcher(service: Service) -> Dispatcher:
    return Dispatcher(service)


async def dispatch(dispatcher: Dispatcher) -> None:
    while await dispatcher.dispatch(WS):
        pass


async def told(bench: Bench, agent: Agent) -> list[str]:
    """The texts that are in line to be told, oldest first."""
    found = await bench.service.store.items(key(WS, "agent_woken", agent.id))
    return [Cause.model_validate_json(one).added for one in found]


class TestWhatIsCovered:
    @pytest.mark.parametrize(
        ("target", "wanted"),
        [
            ({"label": "team/plan"}, ["plan"]),
            ({"label_glob": "team/*"}, ["plan", "log"]),
            ({"label_glob": "*/[lx]og"}, ["log"]),
            ({"block_tag": "shared"}, ["log", "other"]),
            ({"agent_tag": "workers"}, ["plan", "other"]),
        ],
    )
    async def test_a_change_finds_its_subscribers(
        self, bench: Bench, dispatcher: Dispatcher, target: dict[str, str], wanted: list[str]
    ) -> None:
        plan, other = await bench.block("team/plan"), await bench.block("other", tags=["shared"])
        await bench.block("team/log", tags=["a", "shared"])
        await bench.agent(share=[plan], tags=["workers"])
        await bench.agent(share=[other], tags=["workers"], hidden=True)
        await bench.agent(share=[await bench.read("team/log")], tags=["others"])
        supervisor = await bench.agent()
        await bench.subscribe(supervisor, **target)
        for label in ("team/plan", "team/log", "other"):
            await bench.edit(label, "append", text=label.split("/")[-1])
        await dispatch(dispatcher)
        assert await told(bench, supervisor) == wanted
        assert len(await bench.wakeups(supervisor)) == 1

    async def test_the_deletion_of_a_block_that_was_attached_is_told_too(
        self, bench: Bench, dispatcher: Dispatcher
    ) -> None:
        blocks = [await bench.block("plan"), await bench.block("never told")]
        await bench.agent(share=blocks, tags=["workers"])
        supervisor = await bench.agent()
        await bench.subscribe(supervisor, agent_tag="workers")
        await bench.edit("plan", "append", text="x")
        await dispatch(dispatcher)
        for block in blocks:
            await bench.service.blocks.delete(WS, block.id, PERSON)
        await dispatch(dispatcher)
        assert (await bench.woken_text(supervisor)).count(": delete by") == 1

    async def test_what_several_subscriptions_of_an_agent_cover_it_is_told_once(
        self, bench: Bench, dispatcher: Dispatcher
    ) -> None:
        supervisor = await bench.agent({"board": ""})
        await bench.watch(supervisor, "board", debounce_ms=60_000)
        for target in ({"label": "board"}, {"label_glob": "b*"}):
            await bench.subscribe(supervisor, **target)
        await bench.edit("board", "append", text="x")
        await dispatch(dispatcher)
        assert await told(bench, supervisor) == ["x"]
        assert len(await bench.wakeups(supervisor)) == 1

    @pytest.mark.parametrize(
        ("filters", "wanted"),
        [
            ({"writers": ["one"]}, ["1"]),
            ({"except_writers": ["one"]}, ["2", "person", "set"]),
            ({"operations": ["set"]}, ["set"]),
            ({"operations": ["append", "set"], "except_writers": ["two"]}, ["1", "person", "set"]),
            ({"active": False}, []),
        ],
    )
    async def test_filters(
        self, bench: Bench, dispatcher: Dispatcher, filters: dict[str, Any], wanted: list[str]
    ) -> None:
        agents = {"one": await bench.agent(), "two": await bench.agent()}
        for name in ("writers", "except_writers"):
            if name in filters:
                filters = filters | {name: [agents[one].id for one in filters[name]]}
        supervisor = await bench.agent({"board": ""})
        await bench.watch(supervisor, "board", **filters)
        by = {"1": agents["one"].id, "2": agents["two"].id, "person": None, "set": None}
        for text, agent_id in by.items():
            edit = Edit(operation="set" if text == "set" else "append", text=text)
            author = Author(name="x", agent_id=agent_id)
            await bench.service.blocks.edit(WS, bench.ids["board"], edit, author)
        await dispatch(dispatcher)
        assert await told(bench, supervisor) == wanted
        assert len(await bench.wakeups(supervisor)) == bool(wanted)

    async def test_its_own_edits_wake_an_agent_that_asks_for_it(
        self, bench: Bench, dispatcher: Dispatcher
    ) -> None:
        agent = await bench.agent({"board": ""})
        await bench.watch(agent, "board", own_edits=True)
        await bench.tell(agent, calls(call("memory_insert", label="board", new_string="mine")))
        await dispatch(dispatcher)
        assert len(await bench.wakeups(agent)) == 1

    async def test_a_change_costs_the_same_with_many_other_subscriptions(
        self, bench: Bench, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Counted in what is read: subscriptions of other blocks, labels and tags are never looked at."""
        supervisor, many = await bench.agent({"board": ""}), await bench.agent()
        await bench.watch(supervisor, "board")
        read: list[int] = []
        together = StoreClient.together

        async def counted(client: StoreClient, commands: Any) -> list[Any]:
            read.append(sum(len(command) for command in commands))
            return await together(client, commands)

        monkeypatch.setattr(StoreClient, "together", counted)
        costs = []
        for others in (10, 200):
            for n in range(others):
                await bench.subscribe(many, **({"label": f"l{n}"} if n % 2 else {"block_tag": f"t{n}"}))
            await bench.edit("board", "append", text="x")
            read.clear()
            await dispatch(dispatcher)
            costs.append(list(read))
        assert costs[0] == costs[1] != []


class TestBursts:
    async def test_an_agent_is_woken_when_a_burst_is_over(self, bench: Bench, dispatcher: Dispatcher) -> None:
        supervisor = await bench.agent({"board": ""})
        one = await bench.watch(supervisor, "board", debounce_ms=800)
        assert one.max_wait_ms == 8000
        for text in "abc":
            await bench.edit("board", "append", text=text)
            await dispatch(dispatcher)
        assert await bench.wakeups(supervisor) == []
        soonest = await bench.service.subscriptions.wake_due(WS)
        assert soonest is not None
        assert 0 < soonest <= 0.8

        async def woken() -> bool:
            await bench.service.subscriptions.wake_due(WS)
            return len(await bench.wakeups(supervisor)) == 1

        await wait_until("the burst was over", woken)
        assert await bench.service.subscriptions.wake_due(WS) is None
        text = await bench.woken_text(supervisor)
        assert [f"  + {letter}" in text for letter in "abc"] == [True] * 3

    async def test_a_burst_without_end_is_told_after_the_longest_wait(
        self, bench: Bench, dispatcher: Dispatcher
    ) -> None:
        supervisor = await bench.agent({"board": ""})
        await bench.watch(supervisor, "board", debounce_ms=60_000, max_wait_ms=60_000)
        await bench.subscribe(supervisor, label_glob="b*", debounce_ms=60_000, max_wait_ms=100_000)
        wakes = key(WS, "wakes")
        await bench.edit("board", "append", text="a")
        await dispatch(dispatcher)
        first = await bench.service.store.score(wakes, supervisor.id)
        for text in "bc":
            await bench.edit("board", "append", text=text)
            await dispatch(dispatcher)
        assert await bench.service.store.score(wakes, supervisor.id) == first

    async def test_what_is_told_meanwhile_is_not_waited_for_any_more(
        self, bench: Bench, dispatcher: Dispatcher
    ) -> None:
        supervisor = await bench.agent({"board": "", "alarm": ""})
        await bench.watch(supervisor, "board", debounce_ms=60_000)
        await bench.watch(supervisor, "alarm")
        for label in ("board", "alarm"):
            await bench.edit(label, "append", text=label)
            await dispatch(dispatcher)
        text = await bench.woken_text(supervisor)
        assert "+ board" in text
        assert "+ alarm" in text
        assert await bench.service.subscriptions.wake_due(WS) is None

    async def test_a_burst_is_told_even_if_its_subscription_has_ended(
        self, bench: Bench, dispatcher: Dispatcher
    ) -> None:
        supervisor = await bench.agent({"board": ""})
        one = await bench.watch(supervisor, "board", debounce_ms=1)
        await bench.edit("board", "append", text="x")
        await dispatch(dispatcher)
        await bench.service.subscriptions.delete(WS, supervisor.id, one.id)

        async def woken() -> bool:
            await bench.service.subscriptions.wake_due(WS)
            return len(await bench.wakeups(supervisor)) == 1

        await wait_until("the burst was told", woken)

    async def test_a_running_dispatcher_wakes_when_it_is_time(
        self, bench: Bench, dispatcher: Dispatcher
    ) -> None:
        supervisor = await bench.agent({"board": ""})
        await bench.watch(supervisor, "board", debounce_ms=30)
        running = asyncio.create_task(dispatcher.run())
        try:
            for n in range(50):
                await bench.edit("board", "append", text=str(n))

            async def woken() -> bool:
                return len(await bench.wakeups(supervisor)) > 0

            await wait_until("the supervisor was woken", woken)
        finally:
            running.cancel()
            await asyncio.wait({running})
        assert len(await bench.wakeups(supervisor)) == 1


class TestWords:
    async def test_a_template_says_it_of_each_block(self, bench: Bench, dispatcher: Dispatcher) -> None:
        supervisor = await bench.agent({"a": "1\n", "b": "", "plain": ""})
        template = "{label} v{version}: {count} by {who} ({operations})\n{diff}\n= {value}"
        await bench.subscribe(supervisor, label_glob="[ab]", template=template)
        await bench.watch(supervisor, "plain")
        await bench.edit("a", "append", text="2")
        await bench.edit("plain", "append", text="x")
        await bench.edit("b", "append", text="y")
        await bench.edit("a", "set", text="3")
        await dispatch(dispatcher)
        text = await bench.woken_text(supervisor)
        plain, of_a, of_b = text.split("\n\n")[1:]
        assert "`plain` version 2" in plain
        assert of_a.startswith("a v3: 2 by a person (append, set)\n- `a` version 2")
        assert of_a.endswith("\n= 3")
        assert of_b.startswith("b v2: 1 by a person (append)")

    async def test_a_template_counts_a_range_by_its_versions_and_names_nobody_for_it(
        self, bench: Bench
    ) -> None:
        """Very many changes in line are folded; then nobody knows who made the oldest."""
        supervisor = await bench.agent({"board": ""})
        by = (await bench.watch(supervisor, "board", template="{count} by {who}: {operations}")).id
        common: dict[str, Any] = {"prev": "0-0", "kind": "edited", "block_id": bench.ids["board"], "at": 0}
        common |= {"label": "board", "chars": 0, "by": by}
        folded = Cause(id="1-9", version=9, operation="missed", missed_from=3, **common)
        last = Cause(id="1-10", version=10, operation="set", author=PERSON, **common)
        message = await wake_message(bench.service, WS, [folded, last], set())
        assert message.content == "8 by others, a person: missed, set"

    async def test_a_template_alone_is_all_that_is_said(self, bench: Bench, dispatcher: Dispatcher) -> None:
        supervisor = await bench.agent({"board": ""})
        block = await bench.read("board")
        await bench.watch(supervisor, "board", template="Look at {label}{value}.")
        await bench.edit("board", "append", text="x")
        await bench.service.blocks.delete(WS, block.id, PERSON)
        await dispatch(dispatcher)
        assert await bench.woken_text(supervisor) == "Look at board."


@pytest.mark.parametrize(
    "target",
    [
        {"block_id": ""},
        {"label": "board"},
        {"label_glob": "b*"},
        {"block_tag": "shared"},
        {"agent_tag": "workers"},
    ],
)
async def test_every_subscriber_is_woken_when_thrice_the_kept_range_was_written_with_no_worker(
    bench: Bench, dispatcher: Dispatcher, target: dict[str, str]
) -> None:
    """The range and the present value are told, from behind the version that was told last."""
    board = await bench.block("board", "old", tags=["shared"])
    await bench.agent(share=[board], tags=["workers"])
    supervisor, quiet = await bench.agent(), await bench.agent({"quiet": ""})
    if "block_id" in target:
        target = {"block_id": board.id}
    await bench.subscribe(supervisor, **target)
    await bench.watch(quiet, "quiet")
    await bench.edit("board", "append", text="1")
    await dispatch(dispatcher)
    await bench.carry(supervisor)
    for n in range(30):
        await bench.edit("board", "set", text=str(n))
    await raw(bench.service.store).xtrim(key(WS, "changes"), maxlen=10, approximate=False)
    await dispatch(dispatcher)
    await bench.carry(supervisor)
    text = str((await bench.wakeups(supervisor))[-1].messages[0].content)
    assert "- `board` version 3 to 22: can no longer be told one by one\n- `board` version 23: set" in text
    assert "- `board` version 32: set" in text
    assert text.endswith("`board` as it is now (version 32):\n29")
    assert await bench.wakeups(quiet) == []
