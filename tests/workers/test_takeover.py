"""A worker dies in the middle of a step: the next one asks nothing twice and does nothing twice.

The model's calls are all named `call_0`, as at providers whose ids repeat.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.errors import LeaseLost
from service.records.agents import Agent
from service.records.blocks import BlockFields, Edit
from service.records.ids import derived_id
from service.records.messages import Message
from service.records.open_runs import Opening
from service.records.runs import Run, Step, Usage
from tests.workers.bench import PERSON, WS, Bench, WorkerKilled, call, calls, says, told

pytestmark = pytest.mark.anyio

PATCH = """\
*** Update Block: plan
 step one
+step two
*** Move to: road
*** Add Block: fresh
+new
*** Delete Block: old"""
EFFECTS = [
    call("core_memory_append", label="notes", content="appended"),
    call("memory_insert", label="notes", new_string="inserted", insert_line=0),
    call("memory_replace", label="notes", old_string="inserted", new_string="inserted inserted"),
    call("core_memory_replace", label="notes", old_content="appended", new_content="appended appended"),
    call("memory_apply_patch", label="notes", patch=" start\n+patched"),
    call("memory_apply_patch", label="", patch=PATCH),
    call("memory", command="create", path="created", description="d", file_text="made once"),
    call("memory", command="rename", old_path="created", new_path="renamed"),
    call("memory", command="rename", path="renamed", description="described"),
    call("memory", command="insert", path="renamed", insert_text="more"),
    call("memory_rethink", label="thoughts", new_memory="rethought"),
    call("memory", command="delete", path="thoughts"),
]
TOOLS = ["core_memory_append", "core_memory_replace", "memory_rethink", "memory", "memory_apply_patch"]
NOTES = "inserted inserted\nstart\npatched\nappended appended"


async def busy_agent(bench: Bench) -> tuple[Agent, Run]:
    blocks = {"notes": "start", "plan": "step one", "old": "", "thoughts": ""}
    agent = await bench.agent(blocks, tools=TOOLS, parallel_tool_calls=True)
    made = [one | {"id": "call_0"} for one in EFFECTS]
    return agent, await bench.script(agent, calls(*made), says("Done."))


async def dies(bench: Bench, agent: Agent) -> None:
    with pytest.raises(WorkerKilled):
        await bench.carry(agent)


def killed_at(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, at: int = 0, after: bool = False
) -> None:
    """The worker dies once, at the nth use of a method, before it or right after it."""
    real: Callable[..., Awaitable[Any]] = getattr(owner, name)
    uses = 0

    async def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal uses
        uses += 1
        if uses - 1 != at:
            return await real(*args, **kwargs)
        if after:
            await real(*args, **kwargs)
        raise WorkerKilled

    monkeypatch.setattr(owner, name, deadly)


async def assert_all_happened_once(bench: Bench, agent: Agent, run: Run) -> None:
    assert await bench.text("notes") == NOTES
    assert await bench.text("plan") == "step one\nstep two"
    assert await bench.text("thoughts") == "rethought"
    labels = await bench.service.blocks.labels(WS, agent.id)
    assert sorted(labels) == ["fresh", "notes", "renamed", "road"]
    renamed = await bench.service.blocks.read(WS, labels["renamed"])
    assert (renamed.value, renamed.description, renamed.version) == ("made once\nmore", "described", 4)
    assert (await bench.service.blocks.read(WS, labels["fresh"])).version == 1
    versions = [(await bench.read(label)).version for label in ("notes", "plan", "thoughts")]
    assert versions == [6, 3, 2]
    assert [one.status for one in await bench.results(run)] == ["success"] * len(EFFECTS)
    ended = await bench.service.runs.read(WS, run.id)
    assert (ended.status, ended.step_count) == ("completed", 2)
    assert [one.role for one in await bench.messages(run)] == ["user", "assistant", "tool", "assistant"]


async def test_after_the_answer_the_model_is_not_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, run = await busy_agent(bench)
    killed_at(monkeypatch, bench.service.leases, "store_answer", after=True)
    await dies(bench, agent)
    assert len(bench.requests) == 1
    await bench.take_over(agent)
    assert len(bench.requests) == 2
    await assert_all_happened_once(bench, agent, run)


@pytest.mark.parametrize("effect", range(11))
async def test_between_two_effects_each_happens_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, effect: int
) -> None:
    """Every edit that was applied is found applied, whichever was the last."""
    agent, run = await busy_agent(bench)
    killed_at(monkeypatch, bench.service.blocks, "edit", at=effect, after=True)
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    assert len(bench.requests) == 2
    await assert_all_happened_once(bench, agent, run)


@pytest.mark.parametrize(("name", "at"), [("detach", 0), ("detach", 1), ("create", 0), ("create", 1)])
async def test_creating_and_detaching_happen_once_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    agent, run = await busy_agent(bench)
    killed_at(monkeypatch, bench.service.blocks, name, at=at, after=True)
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    await assert_all_happened_once(bench, agent, run)


async def test_after_the_calls_and_before_their_results_were_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, run = await busy_agent(bench)
    killed_at(monkeypatch, bench.service.leases, "store_step")
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    assert len(bench.requests) == 2
    await assert_all_happened_once(bench, agent, run)


async def test_what_others_wrote_in_between_stays_and_is_shown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": "start"}, tools=["memory_apply_patch"])
    run = await bench.script(
        agent, calls(call("memory_apply_patch", label="notes", patch=" start\n+patched"))
    )
    killed_at(monkeypatch, bench.service.leases, "store_step")
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.edit("notes", "append", text="\nby others")
    await bench.take_over(agent)
    assert await bench.text("notes") == "start\npatched\nby others"
    assert (await bench.results(run))[0].text == "start\npatched\nby others"


async def test_an_edit_that_was_done_counts_though_the_block_was_closed_or_renamed_since(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": "start"})
    run = await bench.script(agent, calls(call("memory_insert", label="notes", new_string="mine")))
    killed_at(monkeypatch, bench.service.leases, "store_step")
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.edit("notes", "configure", fields={"read_only": True, "label": "journal"})
    await bench.take_over(agent)
    assert [(one.status, one.text) for one in await bench.results(run)] == [("success", "start\nmine")]
    assert await bench.text("notes") == "start\nmine"


async def test_before_the_run_was_opened_nothing_is_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": "text"})
    run = await bench.script(agent, says("Hello.") | {"sleep_ms": 1})
    killed_at(monkeypatch, bench.service.leases, "open_run")
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    assert (await bench.service.runs.read(WS, run.id)).status == "completed"


async def test_between_two_steps_the_next_one_is_asked_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": ""})
    insert = call("memory_insert", label="notes", new_string="once")
    run = await bench.script(agent, calls(insert), calls(insert), says("Done."))
    killed_at(monkeypatch, bench.service.leases, "store_step", after=True)
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    assert len(bench.requests) == 3
    assert await bench.text("notes") == "\nonce\nonce"
    ended = await bench.service.runs.read(WS, run.id)
    assert ended.usage.prompt_tokens == sum(
        step.reply.usage.prompt_tokens for step in await bench.service.runs.steps(WS, run.id) if step.reply
    )


async def test_a_call_cut_short_is_asked_again_with_the_same_transcript(bench: Bench) -> None:
    async def die() -> None:
        raise WorkerKilled

    agent = await bench.agent({"notes": "text"})
    bench.models.meanwhile[0] = die
    run = await bench.script(agent, says("Hello."))
    await dies(bench, agent)
    await bench.take_over(agent)
    first, second = bench.requests
    assert first == second
    assert [one.id for one in second.messages] == [derived_id("message", run.id, "input", 0)]
    assert (await bench.messages(run))[0].id == second.messages[0].id


async def test_messages_of_a_step_have_ids_that_follow_from_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.memgpt(blocks={"notes": ""})
    run = await bench.script(agent, calls(call("core_memory_append", label="notes", content="x")))
    killed_at(monkeypatch, bench.service.leases, "store_step")
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    step = derived_id("step", run.id, 0)
    first_lease = 1
    assert [one.id for one in await bench.messages(run)][:4] == [
        derived_id("message", run.id, "input", 0),
        derived_id("message", run.id, 0, first_lease),
        *(derived_id("message", step, kind) for kind in ("results", "event")),
    ]
    assert told(bench.requests[1])[-1].startswith("user: {")


async def test_the_old_lease_can_write_nothing(bench: Bench) -> None:
    agent = await bench.agent({"notes": "text"})
    run = await bench.script(agent, says("Hello."))
    old = await bench.lease(agent)
    opened = await bench.service.leases.next_run(old)
    assert opened is not None
    await bench.lose(agent)
    await bench.lease(agent, "two")
    leases, blocks = bench.service.leases, bench.service.blocks
    step = Step(id="step-1", run_id=run.id, agent_id=agent.id, index=0, created_at=0)
    message = Message(id="message-1", agent_id=agent.id, role="user", created_at=0)
    block_id = bench.ids["notes"]
    sums: dict[str, Any] = {"usage": Usage(), "context_tokens": 0, "seen": {}, "stop_reason": None}
    edit = Edit(operation="append", text="late")
    fields = BlockFields(label="late")
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: leases.give_back(old),
        lambda: leases.next_run(old),
        lambda: leases.open_run(old, Opening(run, "prompt", {}, message)),
        lambda: leases.add_note(old, run.id, message, {}),
        lambda: leases.store_answer(old, step),
        lambda: leases.store_step(old, run, step, [message], **sums),
        lambda: leases.finish(old, run.id, "end_turn"),
        lambda: blocks.edit(WS, block_id, edit, PERSON, old),
        lambda: blocks.create(WS, fields, PERSON, attach_to=agent.id, lease=old),
        lambda: blocks.attach(WS, agent.id, block_id, PERSON, old),
        lambda: blocks.detach(WS, agent.id, block_id, PERSON, old),
    ]
    for write in writes:
        with pytest.raises(LeaseLost):
            await write()
    assert await leases.renew([old]) == [old]
    assert await bench.text("notes") == "text"
    assert await bench.labels(agent) == ["notes"]
    assert [one.role for one in await bench.history(agent)] == ["system"]
