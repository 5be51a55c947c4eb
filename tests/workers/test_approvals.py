"""Runs that stop for their caller's word, and the runs that go on with it."""

import json
from typing import Any

import pytest

from service.errors import Invalid, PendingApproval
from service.records.agents import Agent
from service.records.messages import Answer, Message, NewMessage
from service.records.runs import Run
from service.records.tools import Tool
from service.store.keys import key
from service.tools.built_in import by_name
from tests.workers.answering import (
    ASKS,
    NOTE,
    REPLACE,
    answer,
    careful,
    no,
    only_asked,
    pending,
    send_answer,
    yes,
)
from tests.workers.bench import WS, Bench, WorkerKilled, call, calls, says, told, unpacked
from tests.workers.test_takeover import killed_at
from workers.approvals import as_told, turn_of
from workers.wakeups import Dispatcher

pytestmark = pytest.mark.anyio


async def test_a_run_stops_for_a_call_that_a_rule_wants_allowed(bench: Bench) -> None:
    agent = await careful(bench)
    run = await bench.tell(agent, calls(NOTE, text="May I?", reasoning="Hm."), says("Done."))
    assert (run.status, run.stop_reason, run.step_count) == ("completed", "requires_approval", 1)
    sent, request = await bench.messages(run)
    assert (sent.role, request.role, request.plain_text()) == ("user", "approval", "May I?")
    assert (request.asked, request.client_calls) == (["call_0"], [])
    assert [one.name for one in request.tool_calls] == ["memory_insert"]
    assert request.reasoning[0].text == "Hm."
    assert await pending(bench, agent) == request
    assert await bench.text("notes") == "top"
    assert (await bench.state(agent))["status"] == "idle"
    [step] = await bench.service.runs.steps(WS, run.id)
    assert (step.status, step.stop_reason, step.message_id) == ("success", "requires_approval", request.id)


async def test_a_rewrite_that_was_allowed_late_does_not_write_over_what_was_written_since(
    bench: Bench,
) -> None:
    """The model asked for it before; between that and its caller's word somebody else wrote."""
    asks = {"type": "requires_approval", "tool_name": "memory_rethink"}
    agent = await bench.agent({"notes": "seed"}, tools=["memory_rethink"], tool_rules=[asks])
    await bench.tell(agent, calls(call("memory_rethink", label="notes", new_memory="mine")), says("Done."))
    await bench.edit("notes", "append", text="\nlater")
    run = await answer(bench, agent, yes())
    [result] = await bench.results(run)
    assert result.status == "error"
    assert "it now reads:\nseed\nlater" in result.text
    assert await bench.text("notes") == "seed\nlater"


async def test_an_allowed_call_is_run_and_the_turn_goes_on(bench: Bench) -> None:
    agent = await careful(bench)
    asked = await bench.tell(agent, calls(NOTE), says("Done."))
    request = (await bench.messages(asked))[-1]
    run = await answer(bench, agent, yes())
    assert (run.status, run.stop_reason, run.step_count) == ("completed", "end_turn", 2)
    assert await bench.text("notes") == "top\nseen"
    word, results, said = await bench.messages(run)
    assert [one.role for one in (word, results, said)] == ["approval", "tool", "assistant"]
    assert word.answer == Answer(request_id=request.id, calls=[yes()])
    assert word.step_id == results.step_id
    assert said.plain_text() == "Done."
    assert await pending(bench, agent) is None
    first, last = await bench.service.runs.steps(WS, run.id)
    assert first.model_handle is None
    assert first.reply is not None
    assert first.reply.usage.total_tokens == 0
    assert last.reply is not None
    assert run.usage == last.reply.usage


async def test_the_model_sees_one_turn_without_the_word_itself(bench: Bench) -> None:
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE, text="May I?"), says("Done."))
    await answer(bench, agent, yes())
    assert len(bench.requests) == 2
    lines = told(bench.requests[1])
    assert [line.split(":")[0] for line in lines] == ["user", "assistant", "tool"]
    assert bench.requests[1].messages[1].tool_calls[0].name == "memory_insert"
    assert "seen" in lines[-1]
    await bench.tell(agent, says("Again."))
    assert [line.split(":")[0] for line in told(bench.requests[2])] == [
        "user", "assistant", "tool", "assistant", "user",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "words"), [("not now", "denied by the caller: not now"), (None, "gave no reason")]
)
async def test_a_denied_call_is_an_error_with_the_reason(
    bench: Bench, reason: str | None, words: str
) -> None:
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE), says("I see."))
    run = await answer(bench, agent, no(reason=reason))
    assert await bench.text("notes") == "top"
    [denied] = await bench.results(run)
    assert denied.status == "error"
    assert words in denied.text
    assert (await bench.messages(run))[-1].plain_text() == "I see."


async def test_calls_that_ask_nobody_wait_for_those_that_do(bench: Bench) -> None:
    agent = await careful(bench)
    asked = await bench.tell(agent, calls(REPLACE, NOTE, call("nonsense"), NOTE), says("Done."))
    request = (await bench.messages(asked))[-1]
    assert len(request.tool_calls) == 4
    assert request.asked == ["call_1", "call_3"]
    assert await bench.text("notes") == "top"
    run = await answer(bench, agent, no("call_3", "once will do"), yes("call_1"))
    assert await bench.text("notes") == "TOP\nseen"
    results = await bench.results(run)
    assert [one.tool_call_id for one in results] == ["call_0", "call_1", "call_2", "call_3"]
    assert [one.status for one in results] == ["success", "success", "error", "error"]
    assert results[2].text.startswith("[ToolConstraintError]")


async def test_what_the_caller_says_beside_his_word_is_heard(bench: Bench) -> None:
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE), says("never said"))
    script = json.dumps({"script": [says("You told me to go on.")]})
    run = await answer(bench, agent, yes(), then=[script])
    assert [one.role for one in await bench.messages(run)] == ["approval", "user", "tool", "assistant"]
    assert (await bench.messages(run))[-1].plain_text() == "You told me to go on."


async def test_a_tool_itself_may_want_to_be_allowed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = by_name("memory_insert").tool.model_copy(update={"default_requires_approval": True})

    async def tools_of(*_: object) -> dict[str, Tool]:
        return {"memory_insert": tool}

    monkeypatch.setattr("workers.transcript._tools_of", tools_of)
    agent = await bench.agent({"notes": "top"})
    run = await bench.tell(agent, calls(NOTE), says("Done."))
    assert run.stop_reason == "requires_approval"
    await answer(bench, agent, yes())
    assert await bench.text("notes") == "top\nseen"


async def test_a_call_that_is_refused_anyway_asks_nobody(bench: Bench) -> None:
    rules = [ASKS, {"type": "run_first", "tool_name": "memory_replace"}]
    agent = await careful(bench, tool_rules=rules)
    run = await bench.tell(agent, calls(NOTE), max_steps=1)
    assert run.stop_reason == "max_steps"
    assert (await bench.results(run))[0].text.startswith("[ToolConstraintError]")


async def test_rules_see_both_runs_as_one_turn(bench: Bench) -> None:
    """The tool that comes first was called before the question, and need not come first again."""
    rules = [ASKS, {"type": "run_first", "tool_name": "memory_replace"}]
    limit = {"type": "max_count_per_step", "tool_name": "memory_insert", "max_count_limit": 2}
    agent = await careful(bench, tool_rules=[*rules, limit])
    await bench.tell(agent, calls(REPLACE), calls(NOTE), calls(NOTE), calls(NOTE), says("Done."))
    again = await answer(bench, agent, yes(await only_asked(bench, agent)))
    assert again.stop_reason == "requires_approval"
    last = await answer(bench, agent, yes(await only_asked(bench, agent)))
    assert last.stop_reason == "end_turn"
    assert await bench.text("notes") == "TOP\nseen\nseen"
    assert [one.status for one in await bench.results(last)] == ["success", "error"]
    assert "now are: " in (await bench.results(last))[1].text


async def test_a_rule_on_the_last_result_finds_it_before_the_question(bench: Bench) -> None:
    mapped = {"seen": "memory_insert"}
    rules = [ASKS, {"type": "conditional", "tool_name": "memory_replace", "child_output_mapping": mapped}]
    agent = await careful(bench, tool_rules=rules)
    replaced = call("memory_replace", label="notes", old_string="top", new_string="seen")
    await bench.tell(agent, calls(replaced), calls(NOTE), says("Done."))
    run = await answer(bench, agent, yes(await only_asked(bench, agent)))
    assert [one.status for one in await bench.results(run)] == ["success"]


async def test_ids_that_a_provider_uses_again_are_told_apart(bench: Bench) -> None:
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE | {"id": "c"}, NOTE | {"id": "c"}), calls(NOTE | {"id": "c"}))
    request = await pending(bench, agent)
    assert request is not None
    first, second = request.asked
    assert first == "c"
    assert second != "c"
    await answer(bench, agent, yes(first), no(second))
    assert await bench.text("notes") == "top\nseen"
    again = await pending(bench, agent)
    assert again is not None
    assert again.asked[0] not in ("c", second)


async def test_an_agent_of_the_heartbeat_kind_asks_too(bench: Bench) -> None:
    rule = {"type": "requires_approval", "tool_name": "core_memory_append"}
    append = call("core_memory_append", label="notes", content="seen", request_heartbeat=True)
    agent = await bench.memgpt(blocks={"notes": "top"}, tool_rules=[rule])
    await bench.tell(agent, calls(append), calls(call("send_message", message="Done.")))
    run = await answer(bench, agent, yes())
    assert (run.stop_reason, run.step_count) == ("end_turn", 2)
    assert await bench.text("notes") == "top\nseen"
    assert [one.role for one in await bench.messages(run)][:3] == ["approval", "tool", "user"]


async def test_an_agent_that_forgets_its_history_remembers_what_it_asked(bench: Bench) -> None:
    agent = await careful(bench, message_buffer_autoclear=True)
    await bench.tell(agent, says("Earlier."))
    await bench.tell(agent, calls(NOTE), says("Done."))
    run = await answer(bench, agent, yes(await only_asked(bench, agent)))
    assert (await bench.messages(run))[-1].plain_text() == "Done."
    assert [line.split(":")[0] for line in told(bench.requests[-1])] == ["user", "assistant", "tool"]


async def test_a_late_word_is_not_taken_for_one_on_a_call_that_has_the_same_number(bench: Bench) -> None:
    """The provider counts calls from 0 in each answer, and the context was emptied in between."""
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE), says("Done."))
    assert await only_asked(bench, agent) == "call_0"
    await bench.service.agents.reset_messages(WS, agent.id, add_first=False)
    await bench.tell(agent, calls(NOTE), says("Done."))
    assert await only_asked(bench, agent) != "call_0"
    with pytest.raises(Invalid, match="not asked for: call_0"):
        await send_answer(bench, agent, yes("call_0"))
    assert await bench.text("notes") == "top"


@pytest.mark.parametrize("id", ["toolu_01A09q90qw90lq917835lq9", "call_9x2", "D681PevKs", "abc1"])
async def test_ids_that_no_provider_counts_stay_as_they_are(bench: Bench, id: str) -> None:
    agent = await careful(bench)
    await bench.tell(agent, says("Earlier."))
    await bench.tell(agent, calls(NOTE | {"id": id}), says("Done."))
    assert await only_asked(bench, agent) == id


async def test_a_rule_that_ends_the_turn_ends_it_after_the_word(bench: Bench) -> None:
    agent = await careful(bench, tool_rules=[ASKS, {"type": "exit_loop", "tool_name": "memory_insert"}])
    await bench.tell(agent, calls(NOTE), says("never said"))
    run = await answer(bench, agent, yes())
    assert (run.stop_reason, run.step_count) == ("tool_rule", 1)


async def test_the_step_that_answers_counts(bench: Bench) -> None:
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE), says("never said"))
    run = await answer(bench, agent, yes(), max_steps=1)
    assert (run.status, run.stop_reason, run.step_count) == ("completed", "max_steps", 1)


# --- what waits ---------------------------------------------------------------------------------------------


async def test_other_messages_are_refused_or_wait_until_the_word_is_given(bench: Bench) -> None:
    agent = await careful(bench)
    asked = await bench.tell(agent, calls(NOTE), says("Done."))
    with pytest.raises(PendingApproval) as refused:
        await bench.script(agent, says("Hello."))
    request = await pending(bench, agent)
    assert request is not None
    assert (refused.value.request_id, refused.value.run_id) == (request.id, asked.id)
    waiting = await bench.service.messages.send(WS, agent.id, [NewMessage(content="from a job")], waits=True)
    assert (await bench.state(agent))["status"] == "idle"
    run = await send_answer(bench, agent, yes())
    assert await bench.service.runs.open_ids(WS, agent.id) == [run.id, waiting.id]
    await bench.carry(agent)
    assert (await bench.service.runs.read(WS, waiting.id)).status == "completed"
    said = [one.plain_text() for one in await bench.history(agent) if one.role in ("user", "assistant")]
    assert said[1:] == ["Done.", "from a job", "done"]


async def test_a_wakeup_waits_too(bench: Bench) -> None:
    agent = await careful(bench)
    await bench.watch(agent, "notes")
    await bench.tell(agent, calls(NOTE), says("Done."))
    await bench.edit("notes", "append", text="!")
    await Dispatcher(bench.service).dispatch(WS)
    [wakeup] = await bench.wakeups(agent)
    assert (await bench.state(agent))["status"] == "idle"
    await answer(bench, agent, yes())
    assert (await bench.service.runs.read(WS, wakeup.id)).status == "completed"


async def test_what_waited_goes_on_when_the_request_is_denied(bench: Bench) -> None:
    agent = await careful(bench)
    asked = await bench.tell(agent, calls(REPLACE, NOTE), says("Done."))
    waiting = await bench.service.messages.send(WS, agent.id, [NewMessage(content="x")], waits=True)
    request = await pending(bench, agent)
    assert request is not None
    assert await bench.service.approvals.deny(WS, request)
    assert not await bench.service.approvals.deny(WS, request)
    assert [one.status for one in await bench.results(asked)] == ["error", "error"]
    await bench.carry(agent)
    assert (await bench.service.runs.read(WS, waiting.id)).status == "completed"
    assert "it was not run" in unpacked(bench.requests[-1])[0]["message"]


# --- when a worker dies, or somebody has enough -------------------------------------------------------------


async def dies(bench: Bench, agent: Agent) -> None:
    with pytest.raises(WorkerKilled):
        await bench.carry(agent)


@pytest.mark.parametrize(
    ("room", "name", "after"),
    [
        ("leases", "open_run", False),
        ("leases", "store_answer", False),
        ("leases", "store_answer", True),
        ("blocks", "edit", True),
        ("leases", "store_step", False),
        ("leases", "store_step", True),
    ],
)
async def test_a_worker_that_dies_while_it_answers_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, room: str, name: str, after: bool
) -> None:
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE, REPLACE, NOTE), says("Done."))
    run = await send_answer(bench, agent, yes("call_0"), no("call_2", "enough"))
    killed_at(monkeypatch, getattr(bench.service, room), name, after=after)
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    assert len(bench.requests) == 2
    assert await bench.text("notes") == "TOP\nseen"
    assert (await bench.read("notes")).version == 3
    assert [one.role for one in await bench.messages(run)] == ["approval", "tool", "assistant"]
    assert [one.status for one in await bench.results(run)] == ["success", "success", "error"]
    assert (await bench.service.runs.read(WS, run.id)).stop_reason == "end_turn"


@pytest.mark.parametrize(("name", "after"), [("store_answer", True), ("store_step", False)])
async def test_a_worker_that_dies_while_it_asks_asks_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, after: bool
) -> None:
    agent = await careful(bench)
    run = await bench.script(agent, calls(NOTE), says("Done."))
    killed_at(monkeypatch, bench.service.leases, name, after=after)
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    assert len(bench.requests) == 1
    assert [one.role for one in await bench.messages(run)] == ["user", "approval"]
    await answer(bench, agent, yes())
    assert await bench.text("notes") == "top\nseen"


async def test_a_worker_that_dies_after_it_asked_leaves_the_agent_idle(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await careful(bench)
    await bench.script(agent, calls(NOTE), says("Done."))
    killed_at(monkeypatch, bench.service.leases, "store_step", after=True)
    await dies(bench, agent)
    monkeypatch.undo()
    assert (await bench.state(agent))["status"] == "idle"
    assert await pending(bench, agent) is not None


@pytest.mark.parametrize("begun", [False, True])
async def test_a_word_that_is_cancelled_under_way_leaves_results(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """Whether its first step had begun or not: what was asked for is over, and its calls have results."""
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE), says("Done."))
    run = await send_answer(bench, agent, yes())
    killed_at(monkeypatch, bench.service.leases, "store_answer" if begun else "open_run", after=begun)
    await dies(bench, agent)
    monkeypatch.undo()
    await bench.service.runs.cancel(WS, run.id)
    await bench.take_over(agent)
    ended = await bench.service.runs.read(WS, run.id)
    assert (ended.status, ended.step_count) == ("cancelled", 1)
    assert [one.role for one in await bench.messages(run)] == ["approval", "tool"]
    [left] = await bench.results(run)
    assert (left.status, left.tool_call_id) == ("error", "call_0")
    assert await pending(bench, agent) is None


async def test_a_word_that_is_taken_back_leaves_the_request_pending(bench: Bench) -> None:
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE), says("Done."))
    request = await pending(bench, agent)
    run = await send_answer(bench, agent, yes())
    assert await bench.service.runs.cancel(WS, run.id)
    assert await pending(bench, agent) == request
    await bench.carry(agent)
    assert (await bench.state(agent))["status"] == "idle"
    assert (await answer(bench, agent, yes())).stop_reason == "end_turn"


async def test_a_word_on_a_request_that_is_gone_fails_its_run(bench: Bench) -> None:
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE), says("Done."))
    request = await pending(bench, agent)
    assert request is not None
    run = await send_answer(bench, agent, yes())
    await bench.service.store.drop_field(key(WS, "agent_bodies", agent.id), request.id)
    await bench.carry(agent)
    ended = await bench.service.runs.read(WS, run.id)
    assert (ended.status, ended.stop_reason) == ("failed", "error")
    assert ended.error is not None
    assert "is gone; send plain messages" in ended.error.message


# --- pure ---------------------------------------------------------------------------------------------------


def a_message(id: str, run_id: str, **fields: Any) -> Message:
    given = {"agent_id": "agent-1", "role": "approval", "created_at": 0} | fields
    return Message.model_validate({"id": id, "run_id": run_id, **given})


def test_a_turn_goes_back_over_all_the_runs_that_asked() -> None:
    word = NewMessage(role="approval", content="", answer=Answer(request_id="message-2"))
    run = Run(id="run-3", agent_id="agent-1", messages=[word], created_at=0)
    messages = [
        a_message("message-0", "run-0", role="user"),
        a_message("message-1", "run-1", asked=["c"]),
        a_message("message-w", "run-2", answer=Answer(request_id="message-1")),
        a_message("message-2", "run-2", asked=["c"]),
    ]
    assert turn_of(run, messages) == {"run-1", "run-2", "run-3"}
    assert turn_of(run, messages[3:]) == {"run-2", "run-3"}
    assert turn_of(run, []) == {"run-3"}
    assert turn_of(Run(id="run-4", agent_id="agent-1", created_at=0), messages) == {"run-4"}


def test_a_model_is_told_of_a_request_and_not_of_the_word_on_it() -> None:
    assert as_told(a_message("message-1", "run-1", answer=Answer())) is None
    told_of = as_told(a_message("message-1", "run-1", asked=["c"]))
    assert told_of is not None
    assert told_of.role == "assistant"
