"""What a woken agent reads: who changed what and how, and the present text of what it cannot see."""

import pytest

from service.bootstrap import Service
from service.settings import Settings
from tests.workers.bench import WS, Bench, call, calls
from workers.wake_messages import PRESENT_CHARS
from workers.wakeups import Dispatcher

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> Settings:
    """So few changes are kept that some are gone before they are told."""
    return Settings(lease_ms=1000, change_count=10)


@pytest.fixture
def dispatcher(service: Service) -> Dispatcher:
    return Dispatcher(service)


async def dispatch(dispatcher: Dispatcher) -> None:
    while await dispatcher.dispatch(WS):
        pass


async def test_the_message_says_who_did_what_and_how_the_text_differs(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": "one\ntwo"})
    worker = await bench.agent(share=[await bench.read("board")], name="Scout")
    await bench.watch(supervisor, "board")
    swap = call("memory_replace", label="board", old_string="two", new_string="2\nthree")
    await bench.tell(worker, calls(swap))
    await dispatch(dispatcher)
    text = await bench.woken_text(supervisor)
    first, _, what, *rest = text.splitlines()
    assert first == "Blocks that you watch have changed:"
    assert what.startswith(f"- `board` version 2: replace by Scout ({worker.id}) at 20")
    assert rest == ["  - two", "  + 2", "  + three"]


async def test_a_person_is_named_as_the_api_knows_them(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": ""})
    await bench.watch(supervisor, "board")
    await bench.edit("board", "set", text="x")
    await bench.edit("board", "configure", fields={"description": "d"})
    await dispatch(dispatcher)
    text = await bench.woken_text(supervisor)
    assert "version 2: set by a person at " in text
    assert "version 3: configure by a person at " in text


async def test_a_block_in_the_agents_prompt_is_not_shown_again(bench: Bench, dispatcher: Dispatcher) -> None:
    supervisor = await bench.agent({"board": "one"})
    await bench.watch(supervisor, "board")
    await bench.edit("board", "set", text="two")
    await dispatch(dispatcher)
    assert "as it is now" not in await bench.woken_text(supervisor)
    assert "<value>\ntwo\n</value>" in bench.requests[-1].system


async def test_an_agent_without_memory_in_its_prompt_is_shown_it(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": "one"}, agent_type="react_agent")
    await bench.watch(supervisor, "board")
    await bench.edit("board", "set", text="two")
    await dispatch(dispatcher)
    assert (await bench.woken_text(supervisor)).endswith("`board` as it is now (version 2):\ntwo")


async def test_a_long_block_is_shown_up_to_a_bound(bench: Bench, dispatcher: Dispatcher) -> None:
    await bench.block("board")
    supervisor = await bench.agent()
    await bench.watch(supervisor, "board")
    await bench.edit("board", "set", text="x" * (PRESENT_CHARS + 1))
    await dispatch(dispatcher)
    text = await bench.woken_text(supervisor)
    assert "(shortened)" in text
    assert text.endswith(f"[cut: the first {PRESENT_CHARS} of {PRESENT_CHARS + 1} characters]")


@pytest.mark.parametrize("by", ["block", "label"])
async def test_changes_that_were_trimmed_before_they_were_told_wake_with_the_present_text(
    bench: Bench, dispatcher: Dispatcher, by: str
) -> None:
    await bench.block("board", "old")
    await bench.block("busy")
    supervisor, late = await bench.agent(), await bench.agent()
    if by == "label":
        await bench.watch_label(supervisor, "board")
    else:
        await bench.watch(supervisor, "board")
    await dispatch(dispatcher)
    await bench.edit("board", "set", text="missed")
    for n in range(250):
        await bench.edit("busy", "set", text=str(n))
    await bench.watch(late, "board")
    await dispatch(dispatcher)
    text = await bench.woken_text(supervisor)
    assert "- `board` version up to 2: can no longer be told one by one" in text
    assert text.endswith("`board` as it is now (version 2):\nmissed")
    assert await bench.wakeups(late) == []


async def test_a_wake_up_of_very_many_changes_counts_the_early_ones(
    bench: Bench, dispatcher: Dispatcher
) -> None:
    supervisor = await bench.agent({"board": ""})
    await bench.watch(supervisor, "board")
    for n in range(15):
        await bench.edit("board", "append", text=f"\n{n:03} " + "x" * 1996)
        await dispatch(dispatcher)
    text = await bench.woken_text(supervisor)
    assert "earlier change(s) by a person" in text
    assert "  + 014 " in text
    assert "  + 000 " not in text
    assert len(text) < 25_000
