"""Freshness: whatever a model is shown of a block is what its own edit left, or what a note said after it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.blocks import Blocks
from service.records.blocks import Author, Edit, EditOutcome
from tests.workers.asking import Asking, ask
from tests.workers.bench import Bench, call, calls, notes_in, says, told, unpacked

pytestmark = pytest.mark.anyio

EDITS: dict[str, dict[str, Any]] = {
    "core_memory_append": {"content": "mine"},
    "core_memory_replace": {"old_content": "seed", "new_content": "seed\nmine"},
    "memory_insert": {"new_string": "mine", "insert_line": -1},
    "memory_replace": {"old_string": "seed", "new_string": "seed\nmine"},
    "memory_apply_patch": {"patch": " seed\n+mine"},
}
Others = Callable[[], Awaitable[object]]


def on_top(bench: Bench, text: str) -> Others:
    return lambda: bench.edit("notes", "insert", text=text, line=0)


def around_its_edit(monkeypatch: pytest.MonkeyPatch, before: Others, after: Others) -> None:
    """Others write once between a tool's look at the block and its edit, and once right behind its edit."""
    real = Blocks.edit
    waiting = [before, after]

    async def edit(
        self: Blocks, ws: str, block_id: str, edit: Edit, author: Author, *more: Any
    ) -> EditOutcome:
        by_agent = author.agent_id is not None
        if by_agent and before in waiting:
            waiting.remove(before)
            await before()
        outcome = await real(self, ws, block_id, edit, author, *more)
        if by_agent and after in waiting:
            waiting.remove(after)
            await after()
        return outcome

    monkeypatch.setattr(Blocks, "edit", edit)


@pytest.mark.parametrize("name", EDITS)
async def test_a_result_shows_the_block_after_its_own_edit_and_a_note_what_came_behind_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    agent = await bench.agent({"notes": "seed"}, tools=list(EDITS))
    around_its_edit(monkeypatch, on_top(bench, "earlier"), on_top(bench, "later"))
    run = await bench.tell(agent, calls(call(name, label="notes", **EDITS[name])), says("Done."))
    [result] = await bench.results(run)
    assert (result.status, result.text) == ("success", "earlier\nseed\nmine")
    [note] = notes_in(bench.requests[1])
    assert "- version_seen=3\n- version_now=4" in note
    assert "<value>\nlater\nearlier\nseed\nmine\n</value>" in note
    assert told(bench.requests[1])[-1] == f"system: {note}"


async def test_a_rewrite_that_meets_anothers_is_shown_the_block_that_refused_it_and_a_note_what_came_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": "seed"}, tools=["memory_rethink"])
    rethink = call("memory_rethink", label="notes", new_memory="mine")
    around_its_edit(monkeypatch, on_top(bench, "earlier"), on_top(bench, "later"))
    run = await bench.tell(agent, calls(rethink), calls(rethink), says("Done."))
    refused, made = await bench.results(run)
    assert "it now reads:\nearlier\nseed\n" in refused.text
    assert (made.status, made.text) == ("success", "mine")
    assert ["<value>\nlater\nmine\n</value>" in note for note in notes_in(bench.requests[2])] == [True]


async def test_a_refusal_shows_the_block_as_it_is_and_not_as_it_was_looked_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": "seed"})
    bench.models.meanwhile[0] = lambda: bench.edit("notes", "set", text="another")
    around_its_edit(monkeypatch, lambda: bench.edit("notes", "set", text="the newest"), on_top(bench, "x"))
    replace = call("memory_replace", label="notes", old_string="seed", new_string="mine")
    run = await bench.tell(agent, calls(replace), says("Done."))
    [result] = await bench.results(run)
    assert result.text.endswith("it now reads:\nthe newest")
    assert notes_in(bench.requests[1]) == []


async def test_each_of_several_results_of_one_step_is_of_its_own_edit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": "seed"}, parallel_tool_calls=True)
    around_its_edit(monkeypatch, on_top(bench, "earlier"), on_top(bench, "between"))
    mine = [call("memory_insert", label="notes", new_string=text) for text in ("one", "two")]
    run = await bench.tell(agent, calls(*mine), says("Done."))
    assert [one.text for one in await bench.results(run)] == [
        "earlier\nseed\none",
        "between\nearlier\nseed\none\ntwo",
    ]
    assert notes_in(bench.requests[1]) == []


async def test_what_was_written_while_a_run_waited_for_a_reply_is_noted_behind_the_older_result(
    bench: Bench,
) -> None:
    asking = Asking(bench)
    one, other = await asking.agent(blocks={"notes": "seed"}), await asking.agent(says("Yes."))
    mine = call("memory_insert", label="notes", new_string="mine")
    await bench.script(one, calls(mine, ask(other)), says("Done."))
    await bench.carry(one)
    await bench.edit("notes", "append", text="\nlater")
    await asking.carry_all()
    last = bench.requests[-1]
    assert unpacked(last)[0]["message"] == "seed\nmine"
    [note] = notes_in(last)
    assert "<value>\nseed\nmine\nlater\n</value>" in note
    assert told(last)[-1] == f"system: {note}"
