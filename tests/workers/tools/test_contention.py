"""Others edit a block while a model thinks: nothing is lost unseen, and the words say what to do."""

import asyncio
from typing import Any

import pytest

from tests.workers.bench import WS, Bench, WorkerKilled, call, calls, notes_in, says

pytestmark = pytest.mark.anyio

TOOLS = ["memory_rethink", "core_memory_replace", "memory_apply_patch"]


async def refused(bench: Bench, name: str, **arguments: Any) -> str:
    """What a call says that comes when `notes` was changed during the model call."""
    agent = await bench.agent({"notes": "alpha"}, tools=TOOLS)
    bench.models.meanwhile[0] = lambda: bench.edit("notes", "set", text="beta")
    run = await bench.tell(agent, calls(call(name, label="notes", **arguments)), says("Done."))
    [result] = await bench.results(run)
    assert result.status == "error"
    assert (result.stderr or [""])[0].startswith(f"Error executing function {name}: ValueError: ")
    assert await bench.text("notes") == "beta"
    assert notes_in(bench.requests[1]) == []  # told once, in the result
    return result.text


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("memory_rethink", {"new_memory": "alpha and more"}),
        ("memory_replace", {"old_string": "alpha", "new_string": "x"}),
        ("core_memory_replace", {"old_content": "alpha", "new_content": "x"}),
        ("memory_apply_patch", {"patch": "-alpha\n+x"}),
    ],
)
async def test_what_came_too_late_is_told_the_block_as_it_is(
    bench: Bench, name: str, arguments: dict[str, Any]
) -> None:
    text = await refused(bench, name, **arguments)
    assert "Others have changed it since you last saw it; it now reads:\nbeta" in text


async def test_a_rewrite_that_was_refused_succeeds_when_it_is_made_anew(bench: Bench) -> None:
    agent = await bench.agent({"notes": "alpha"}, tools=TOOLS)
    bench.models.meanwhile[0] = lambda: bench.edit("notes", "append", text=" beta")
    rethinks = [call("memory_rethink", label="notes", new_memory=text) for text in ("ALPHA", "ALPHA BETA")]
    run = await bench.tell(agent, *[calls(one) for one in rethinks], says("Done."))
    first, second = await bench.results(run)
    assert first.text.startswith("Nothing was written to memory block 'notes'. Others have changed it")
    assert first.text.endswith("or change only your part of it.")
    assert (second.status, second.text) == ("success", "ALPHA BETA")


async def test_many_rewrite_at_once_and_none_overwrites_what_it_has_not_seen(bench: Bench) -> None:
    board = await bench.block("board", "0")
    agents = [await bench.agent(share=[board], tools=TOOLS) for _ in range(4)]
    runs = [
        await bench.script(
            agent, calls(call("memory_rethink", label="board", new_memory=f"by {n}")), says(".")
        )
        for n, agent in enumerate(agents)
    ]
    ready = asyncio.Barrier(4)
    bench.models.meanwhile |= dict.fromkeys(range(4), ready.wait)
    await asyncio.gather(*(bench.carry(agent) for agent in agents))
    statuses = [(await bench.results(run))[0].status for run in runs]
    assert sorted(statuses) == ["error"] * 3 + ["success"]
    assert await bench.text("board") == f"by {statuses.index('success')}"


async def test_an_agents_own_edits_do_not_stand_in_its_way(bench: Bench) -> None:
    agent = await bench.agent({"notes": "alpha"}, tools=TOOLS, parallel_tool_calls=True)
    made = [
        call("memory_insert", label="notes", new_string="beta"),
        call("memory_rethink", label="notes", new_memory="gamma"),
    ]
    run = await bench.tell(agent, calls(*made), says("Done."))
    assert [one.status for one in await bench.results(run)] == ["success", "success"]
    assert await bench.text("notes") == "gamma"


async def test_a_rewrite_that_was_made_before_a_takeover_is_not_refused_after_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": "alpha"}, tools=TOOLS)
    rethink = call("memory_rethink", label="notes", new_memory="beta")
    run = await bench.script(agent, calls(rethink), says("Done."))

    async def dies(*args: object, **kwargs: object) -> None:
        raise WorkerKilled

    monkeypatch.setattr(bench.service.leases, "store_step", dies)
    with pytest.raises(WorkerKilled):
        await bench.carry(agent)
    monkeypatch.undo()
    await bench.edit("notes", "append", text=" gamma")
    await bench.take_over(agent)
    [result] = await bench.results(run)
    assert (result.status, result.text) == ("success", "beta gamma")
    assert (await bench.service.runs.read(WS, run.id)).status == "completed"
