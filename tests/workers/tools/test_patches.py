"""Patches as a tool: computed from what was read, applied to that alone, tried again if it moved."""

import asyncio
from typing import Any

import pytest

from service.patches import apply_patch
from service.records.messages import ToolReturn
from tests.workers.bench import WS, Bench, call, calls, says
from workers.tools.blocks import PATCH_TRIES

pytestmark = pytest.mark.anyio

BLOCKS = {"notes": "alpha\nbeta", "plan": "one", "old": "gone soon"}


async def patch(bench: Bench, text: str, label: str = "", **fields: Any) -> ToolReturn:
    agent = await bench.agent(BLOCKS, tools=["memory_apply_patch"], **fields)
    run = await bench.tell(agent, calls(call("memory_apply_patch", label=label, patch=text)), says("Done."))
    return (await bench.results(run))[0]


async def test_several_blocks_are_changed_by_one_patch(bench: Bench) -> None:
    agent = await bench.agent(BLOCKS, tools=["memory_apply_patch"])
    text = """\
*** Begin Patch
*** Update Block: notes
 alpha
-beta
+BETA
*** Move to: journal
*** Update Block: plan
+two
*** Add Block: fresh
Description: What is new.
+first line
+second line
*** Delete Block: old
*** End Patch"""
    run = await bench.tell(agent, calls(call("memory_apply_patch", label="", patch=text)), says("Done."))
    [result] = await bench.results(run)
    done = "moved notes to journal; updated plan; added fresh; deleted old"
    assert (result.status, result.text) == ("success", f"Patch applied: {done}.")
    assert await bench.labels(agent) == ["fresh", "journal", "plan"]
    assert await bench.text("notes") == "alpha\nBETA"
    assert await bench.text("plan") == "one\ntwo"
    fresh = await bench.service.blocks.labelled(WS, agent.id, "fresh")
    assert (fresh.value, fresh.description) == ("first line\nsecond line", "What is new.")
    assert await bench.text("old") == "gone soon"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "*** Update Block: none\n+x",
            "Block field none does not exist (available labels: notes, old, plan)",
        ),
        ("*** Delete Block: none", "Block field none does not exist"),
        ("*** Add Block: notes\n+x", "patch: a block labelled 'notes' exists already"),
        ("*** Update Block: notes\n-delta\n+x", "context not found"),
        ("*** Update Block: notes\n*** Move to: plan", "already has another block labelled 'plan'"),
        ("*** Move to: plan", "patch: '*** Move to:' may stand once below an '*** Update Block:' header"),
        ("*** Update Block: notes", "no hunks"),
    ],
)
async def test_a_part_that_cannot_be_done_refuses_the_patch(bench: Bench, text: str, said: str) -> None:
    result = await patch(bench, text)
    assert result.status == "error"
    assert said in result.text
    assert (result.stderr or [""])[0].startswith("Error executing function memory_apply_patch: ValueError: ")
    assert await bench.text("notes") == "alpha\nbeta"


async def test_what_was_done_before_the_part_that_failed_is_told(bench: Bench) -> None:
    result = await patch(bench, "*** Update Block: plan\n+two\n*** Update Block: notes\n-delta\n+x")
    assert result.status == "error"
    assert result.text.endswith("(this much of the call was done before: updated plan)")
    assert await bench.text("plan") == "one\ntwo"


async def test_a_patch_that_changes_nothing_announces_nothing(bench: Bench) -> None:
    result = await patch(bench, " alpha\n beta", label="notes")
    assert (result.status, result.text) == ("success", "alpha\nbeta")
    assert (await bench.read("notes")).version == 1


async def test_a_patch_whose_block_moved_is_made_anew_on_the_fresh_text(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [3]

    def slow(value: str, text: str) -> str:
        if left[0] > 0:
            left[0] -= 1
            asyncio.run_coroutine_threadsafe(
                bench.edit("notes", "append", text=f"\nby others {left[0]}"), loop
            ).result(5)
        return real(value, text)

    loop, real = asyncio.get_running_loop(), apply_patch
    monkeypatch.setattr("workers.tools.blocks.apply_patch", slow)
    result = await patch(bench, "-alpha\n+ALPHA", label="notes")
    others = "\n".join(f"by others {n}" for n in (2, 1, 0))
    assert (result.status, result.text) == ("success", f"ALPHA\nbeta\n{others}")
    assert await bench.text("notes") == result.text


async def test_a_block_that_never_rests_is_given_up_in_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(value: str, text: str) -> str:
        edit = bench.edit("notes", "append", text="\nby others")
        asyncio.run_coroutine_threadsafe(edit, loop).result(5)
        return real(value, text)

    loop, real = asyncio.get_running_loop(), apply_patch
    monkeypatch.setattr("workers.tools.blocks.apply_patch", slow)
    result = await patch(bench, "-alpha\n+ALPHA", label="notes")
    assert result.status == "error"
    assert "kept changing while it was patched" in result.text
    assert (await bench.text("notes")).count("by others") == PATCH_TRIES


async def test_patches_and_appends_at_the_same_time_all_survive(bench: Bench) -> None:
    board = await bench.block("board", "\n".join(f"task {n}: open" for n in range(4)))
    agents = [await bench.agent(share=[board], tools=["memory_apply_patch"]) for _ in range(4)]
    for n, agent in enumerate(agents):
        done = f"-task {n}: open\n+task {n}: done"
        await bench.script(agent, calls(call("memory_apply_patch", label="board", patch=done)))
    appends = [bench.edit("board", "append", text=f"\nline {n}") for n in range(4)]
    await asyncio.gather(*(bench.carry(agent) for agent in agents), *appends)
    lines = (await bench.text("board")).splitlines()
    assert lines[:4] == [f"task {n}: done" for n in range(4)]
    assert sorted(lines[4:]) == [f"line {n}" for n in range(4)]
    assert (await bench.read("board")).version == 9
