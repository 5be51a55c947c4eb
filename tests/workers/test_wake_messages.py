"""What a woken agent reads: who changed what and how, and the present text of what it cannot see."""

import re

import pytest

from service.bootstrap import Service
from service.records.blocks import Cause
from service.settings import Settings
from tests.workers.bench import WS, Bench, call, calls
from workers import wake_messages
from workers.gaps import MISSED
from workers.wake_messages import PRESENT_CHARS, wake_message
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
    told = re.search(r"- `board` version 2 to (\d+): (\d+) earlier change\(s\) by a person \((\d+)\)", text)
    assert told is not None
    upto, count, by_person = map(int, told.groups())
    assert count == by_person == upto - 1
    assert [f"`board` version {n}: append" in text for n in range(2, 17)] == [n > upto for n in range(2, 17)]
    assert "  + 014 " in text
    assert "  + 000 " not in text
    assert len(text) < 25_000


async def test_a_range_whose_block_was_deleted_says_so(bench: Bench) -> None:
    """The deletion is among what cannot be told one by one."""
    gone = Cause(
        id="1-9",
        prev="0-0",
        kind="deleted",
        block_id="block-1",
        label="board",
        version=9,
        operation=MISSED,
        at=0,
        chars=0,
        missed_from=3,
    )
    lines = str((await wake_message(bench.service, WS, [gone], set())).content).splitlines()
    assert lines[2:] == [
        "- `board` version 3 to 9: can no longer be told one by one",
        "",
        "`board` does not exist any more.",
    ]
    told = gone.model_copy(update={"operation": "delete"})
    assert "any more" not in str((await wake_message(bench.service, WS, [told], set())).content)


async def test_of_very_many_blocks_the_rest_is_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake_messages, "EARLIER_BLOCKS", 2)
    monkeypatch.setattr(wake_messages, "TOLD_CHARS", 1)
    changes = [
        Cause(
            id=f"1-{n}",
            prev="0-0",
            kind="edited",
            block_id=f"block-{n % 4}",
            label=f"b{n % 4}",
            version=n,
            operation=MISSED if n == 1 else "set",
            at=0,
            chars=0,
        )
        for n in range(9)
    ]
    text = str((await wake_message(bench.service, WS, changes, set())).content)
    assert "- `b0` version 0 to 4: 2 earlier change(s) by api (2)\n" in text
    assert "- `b1` version up to 5: 1 earlier change(s) by api (1)\n" in text
    assert "- 4 earlier change(s) of 2 other blocks\n" in text
    assert "- `b0` version 8: set" in text
