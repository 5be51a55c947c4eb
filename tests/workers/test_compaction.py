"""Compaction: when contexts are summed up, what leaves and what stays, and what becomes of the run."""

import json
from typing import Any

import pytest

from service.records.agents import Agent, AgentFields
from service.records.base import Page
from service.records.messages import Compaction, Message, ToolCall, ToolReturn
from service.records.runs import ModelReply, Run
from tests.workers.answering import careful
from tests.workers.bench import PERSON, WS, Bench, Entry, WorkerKilled, call, calls, says, told
from workers.compaction import cut_of
from workers.models.base import Emit, ModelError, ModelRequest, ignore
from workers.models.scripted import ScriptedModel
from workers.transcript import Transcript

pytestmark = pytest.mark.anyio

WINDOW = 6000
LONG = "The quick brown fox told the office cat about invoice 4711. " * 50
"""With the script that says it, a quarter of that window."""
NOTE = call("memory_insert", label="notes", new_string="seen")
CALL = ToolCall(id="c", name="f", arguments="{}")


def summarising(*entries: Entry, **more: Any) -> dict[str, Any]:
    """Compaction settings whose summariser says these."""
    return {"prompt": f"<script>{json.dumps(entries)}</script>", "model": "offline/scripted", **more}


SETTINGS = summarising(says("They spoke of invoice 4711."))


async def full_agent(bench: Bench, turns: int = 2, **fields: Any) -> Agent:
    """An agent whose context has been filled, but not summed up yet."""
    given: dict[str, Any] = {"compaction_settings": SETTINGS, "context_window_limit": WINDOW} | fields
    agent = await bench.agent(**given)
    for _ in range(turns):
        await bench.tell(agent, says(LONG))
    return agent


async def summaries(bench: Bench, agent: Agent) -> list[Message]:
    return [one for one in await bench.service.messages.context(WS, agent.id) if one.compaction]


async def ask(bench: Bench, agent: Agent, **settings: Any) -> Run:
    """A summary on demand."""
    run = await bench.service.messages.send(WS, agent.id, [], kind="compact", errand=settings)
    await bench.carry(agent)
    return await bench.service.runs.read(WS, run.id)


# --- in the loop ------------------------------------------------------------------------------------------


async def test_a_context_that_passed_its_window_is_summed_up_before_its_run_ends(bench: Bench) -> None:
    agent = await full_agent(bench, turns=3)
    assert await summaries(bench, agent) == []
    run = await bench.tell(agent, says(LONG))
    assert (run.status, run.stop_reason, run.step_count) == ("completed", "end_turn", 1)
    [summary] = await summaries(bench, agent)
    done = summary.compaction
    assert done is not None
    assert done.summary == "They spoke of invoice 4711."
    assert (done.trigger, done.context_window) == ("context_window_exceeded", WINDOW)
    assert (done.context_tokens_before or 0) > WINDOW > (done.context_tokens_after or 0)
    assert done.messages_count_before == 9
    context = await bench.service.messages.context(WS, agent.id)
    assert len(context) == done.messages_count_after
    assert [one.role for one in context[:2]] == ["system", "user"]
    assert context[1].id == summary.id
    assert context[-1].plain_text() == LONG
    assert len(await bench.history(agent)) == 10
    assert summary.id in {one.id for one in await bench.messages(run)}


async def test_the_next_run_is_told_the_summary_in_place_of_what_left(bench: Bench) -> None:
    agent = await full_agent(bench, turns=4)
    await bench.tell(agent, says("Ok."))
    first, *rest = told(bench.requests[-1])
    event = json.loads(first.removeprefix("user: "))
    assert event["type"] == "system_alert"
    assert event["message"].endswith("They spoke of invoice 4711.")
    assert len(rest) < 9


async def test_between_two_steps_room_is_made_and_the_run_goes_on(bench: Bench) -> None:
    agent = await full_agent(bench, turns=3, blocks={"notes": ""})
    run = await bench.tell(agent, calls(NOTE, text=LONG), says("Done."))
    assert (run.stop_reason, run.step_count) == ("end_turn", 2)
    last = bench.requests[-1]
    assert last.messages[0].compaction is not None
    assert last.system != bench.requests[0].system, "the prompt was not compiled anew"
    assert "seen" in last.system
    assert (run.context_tokens or WINDOW) < WINDOW


async def test_gpt_5_is_summed_up_at_nine_tenths(bench: Bench) -> None:
    agent = await bench.agent(context_window_limit=WINDOW)
    run = (await bench.tell(agent, says("Hi."))).model_copy(update={"context_tokens": int(0.95 * WINDOW)})
    from_run = await bench.service.agents.read(WS, agent.id)
    for model, due in (("gpt-5.4", True), ("gpt-4o", False)):
        config = from_run.llm_config | {"model": model}
        transcript = _transcript(from_run.model_copy(update={"llm_config": config}), run)
        assert bench.loop._compactor.is_due(transcript) is due


def _transcript(agent: Agent, run: Run, **more: Any) -> Any:
    return Transcript(agent, run, "prompt", [], {}, None, run.usage, **more)


async def test_notes_of_others_edits_go_since_the_prompt_tells_of_them(bench: Bench) -> None:
    agent = await full_agent(bench, turns=3, blocks={"notes": "", "plan": "old"})
    count = len(bench.requests)
    bench.models.meanwhile[count] = lambda: bench.edit("plan", "set", text="others wrote this")
    await bench.tell(agent, calls(NOTE), calls(NOTE, text=LONG), says("Done."))
    noted, after = bench.requests[count + 1], bench.requests[-1]
    assert "<changed_blocks>" in " ".join(told(noted))
    assert "<changed_blocks>" not in " ".join(told(after))
    assert "others wrote this" in after.system


async def test_a_summariser_that_fails_leaves_the_context_and_the_run_as_they_are(bench: Bench) -> None:
    for settings in (
        summarising({"error": "llm_rate_limit"}),
        summarising(says(" ")),
        {"model": "offline/none"},
    ):
        agent = await full_agent(bench, turns=4, compaction_settings=settings)
        assert await summaries(bench, agent) == []
        last = (await bench.service.runs.find(WS, agent.id, _all()))[-1]
        assert (last.status, last.stop_reason) == ("completed", "end_turn")


def _all() -> Any:
    return Page(limit=None)


async def test_a_worker_that_dies_before_the_summary_leaves_it_to_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await full_agent(bench, turns=3)
    run = await bench.script(agent, says(LONG))

    async def dies(*_: object, **__: object) -> bool:
        raise WorkerKilled

    with monkeypatch.context() as broken:
        broken.setattr(bench.service.leases, "compact", dies)
        with pytest.raises(WorkerKilled):
            await bench.carry(agent)
    assert (await bench.service.runs.read(WS, run.id)).status == "running"
    asked = len(bench.requests)
    await bench.take_over(agent)
    ended = await bench.service.runs.read(WS, run.id)
    assert (ended.status, ended.stop_reason, ended.step_count) == ("completed", "end_turn", 1)
    assert len(await summaries(bench, agent)) == 1
    assert len(bench.requests) == asked + 1, "only the summary is asked for again"


async def test_a_worker_that_dies_between_the_summary_and_the_end_leaves_the_end_to_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room is made and the last step is stored: only the end is missing. Nobody may go round for ever
    with a run that has nothing left to do."""
    agent = await full_agent(bench, turns=3)
    run = await bench.script(agent, says(LONG))

    async def dies(*_: object, **__: object) -> None:
        raise WorkerKilled

    with monkeypatch.context() as broken:
        broken.setattr(bench.service.leases, "finish", dies)
        with pytest.raises(WorkerKilled):
            await bench.carry(agent)
    assert (await bench.service.runs.read(WS, run.id)).status == "running"
    asked = len(bench.requests)
    await bench.take_over(agent)
    ended = await bench.service.runs.read(WS, run.id)
    assert (ended.status, ended.stop_reason, ended.step_count) == ("completed", "end_turn", 1)
    assert (ended.tries, (await bench.state(agent))["status"]) == (2, "idle")
    assert len(await summaries(bench, agent)) == 1
    assert len(bench.requests) == asked, "nothing is asked for again"


async def test_a_worker_that_takes_over_behind_a_summary_knows_what_was_called(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [{"type": "max_count_per_step", "tool_name": "memory_insert", "max_count_limit": 1}]
    settings = SETTINGS | {"mode": "all"}
    agent = await full_agent(
        bench,
        turns=3,
        blocks={"notes": ""},
        tool_rules=rules,
        include_base_tool_rules=False,
        compaction_settings=settings,
    )
    count = len(bench.requests)

    async def dies() -> None:
        raise WorkerKilled

    bench.models.meanwhile[count + 2] = dies
    run = await bench.script(agent, calls(NOTE, text=LONG), says("Done."))
    with pytest.raises(WorkerKilled):
        await bench.carry(agent)
    await bench.take_over(agent)
    assert (await bench.service.runs.read(WS, run.id)).status == "completed"
    assert "memory_insert" not in [tool.name for tool in bench.requests[-1].tools]


async def test_a_context_that_changed_under_a_summary_is_left_as_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await full_agent(bench, context_window_limit=None)
    run = await bench.service.messages.send(WS, agent.id, [], kind="compact", errand={"mode": "all"})

    async def emptied() -> None:
        ids = [one.id for one in (await bench.history(agent))[:1]]
        await bench.service.agents.configure(WS, agent.id, AgentFields(message_ids=ids), PERSON)

    bench.models.meanwhile[len(bench.requests)] = emptied
    await bench.carry(agent)
    assert (await bench.service.runs.read(WS, run.id)).result == {}
    assert await summaries(bench, agent) == []


async def test_a_summary_keeps_its_place_when_somebody_sets_the_context(bench: Bench) -> None:
    agent = await full_agent(bench, turns=3, context_window_limit=None)
    await ask(bench, agent, keep=2)
    context = [one.id for one in await bench.service.messages.context(WS, agent.id)]
    fields = AgentFields(message_ids=context[::-1])
    await bench.service.agents.configure(WS, agent.id, fields, PERSON)
    assert [one.id for one in await bench.service.messages.context(WS, agent.id)] == context
    assert (await bench.history(agent))[-1].id == context[1]


# --- a provider that refuses ------------------------------------------------------------------------------


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that takes three messages at most."""
    answer = ScriptedModel.answer

    async def refuses(model: ScriptedModel, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        if len(request.messages) > 3:
            raise ModelError("llm_context_window", "too long")
        return await answer(model, request, emit)

    monkeypatch.setattr(ScriptedModel, "answer", refuses)


@pytest.mark.usefixtures("strict")
async def test_a_request_that_is_refused_as_too_long_is_made_again_with_a_summary(bench: Bench) -> None:
    agent = await bench.agent(compaction_settings=SETTINGS)
    for _ in range(2):
        run = await bench.tell(agent, says("Fine."))
    run = await bench.tell(agent, says("Fits."))
    assert run.status == "completed"
    assert [one.plain_text() for one in await bench.messages(run)][-1] == "Fits."
    [summary] = await summaries(bench, agent)
    assert summary.compaction is not None
    assert summary.compaction.trigger == "provider_refused"
    assert run.usage.prompt_tokens > 0


async def test_it_is_tried_three_times_and_then_the_run_fails(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent(compaction_settings=SETTINGS)
    for _ in range(8):
        await bench.tell(agent, says("Fine."))
    asked = len(bench.requests)
    run = await bench.tell(agent, {"error": "llm_context_window"})
    assert (run.status, run.stop_reason) == ("failed", "llm_api_error")
    assert run.error is not None
    assert run.error.type == "llm_context_window"
    turns = [one for one in bench.requests[asked:] if one.purpose == "turn"]
    assert len(turns) == 4
    assert len(bench.requests) - asked == 7


async def test_with_nothing_to_sum_up_the_run_fails_at_once(bench: Bench) -> None:
    run = await bench.tell(await bench.agent(), {"error": "llm_context_window"})
    assert (run.stop_reason, len(bench.requests)) == ("llm_api_error", 1)


async def test_a_prompt_that_is_too_long_by_itself_has_a_stop_reason_of_its_own(bench: Bench) -> None:
    agent = await bench.agent({"notes": LONG * 10}, context_window_limit=WINDOW)
    run = await bench.tell(agent, {"error": "llm_context_window"})
    assert (run.status, run.stop_reason) == ("failed", "context_window_overflow_in_system_prompt")
    assert run.error is not None
    assert run.error.type == "context_window_overflow_in_system_prompt"
    assert "shorten its blocks" in run.error.message


# --- on demand, and how it is done ------------------------------------------------------------------------


async def test_all_of_a_context_can_be_summed_up_on_demand(bench: Bench) -> None:
    agent = await full_agent(bench)
    run = await ask(bench, agent, mode="all")
    assert (run.status, run.stop_reason, run.kind) == ("completed", "end_turn", "compact")
    assert run.result is not None
    assert (run.result["messages_count_before"], run.result["messages_count_after"]) == (5, 2)
    [summary] = await summaries(bench, agent)
    assert summary.compaction == Compaction.model_validate(run.result)
    assert len(await bench.history(agent)) == 6


async def test_a_summary_alone_is_not_summed_up_again(bench: Bench) -> None:
    agent = await full_agent(bench)
    await ask(bench, agent, mode="all")
    run = await ask(bench, agent, mode="all")
    assert (run.status, run.result) == ("completed", {})
    assert len(await summaries(bench, agent)) == 1


async def test_an_earlier_summary_is_part_of_the_next_one(bench: Bench) -> None:
    agent = await full_agent(bench)
    await ask(bench, agent, mode="all")
    await bench.tell(agent, says("More."))
    await ask(bench, agent, mode="all")
    [asked] = [line for line in told(bench.requests[-1])]
    assert asked.startswith("user: summary of what was before: They spoke of invoice 4711.")


async def test_the_summariser_reads_calls_and_results_too(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""}, compaction_settings=SETTINGS | {"prompt_acknowledgement": True})
    await bench.tell(agent, calls(NOTE), says("Done."))
    await ask(bench, agent, mode="all")
    request = bench.requests[-1]
    assert (request.purpose, request.tools, request.model) == ("summary", [], "scripted")
    assert request.system.endswith("Answer with the summary alone: no greeting, no comment on the task.")
    [asked] = told(request)
    assert 'assistant calls memory_insert: {"label": "notes", "new_string": "seen"}' in asked
    assert "memory_insert gives (success): " in asked


async def test_an_agent_that_sums_up_itself_sees_its_own_prompt_and_may_call_nothing(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""}, compaction_settings=SETTINGS)
    await bench.tell(agent, says("The office cat is called Miso and sleeps on invoice 4711."))
    run = await ask(bench, agent, mode="self_compact_all")
    request = bench.requests[-1]
    assert request.system.startswith("You are an assistant")
    assert (request.tool_choice, bool(request.tools)) == ("none", True)
    assert told(request)[-1].startswith("user: The conversation so far becomes too long")
    assert run.result is not None
    assert "Miso" in run.result["summary"]


async def test_a_summary_is_cut_at_its_length(bench: Bench) -> None:
    agent = await full_agent(bench)
    run = await ask(bench, agent, mode="all", prompt=summarising(says("x" * 100))["prompt"], clip_chars=10)
    assert run.result is not None
    assert run.result["summary"] == "x" * 10 + "\n[cut: the first 10 of 100 characters]"


async def test_as_many_messages_stay_as_were_asked_for(bench: Bench) -> None:
    agent = await full_agent(bench, turns=3, context_window_limit=None)
    run = await ask(bench, agent, keep=2)
    assert run.result is not None
    assert (run.result["messages_count_before"], run.result["messages_count_after"]) == (7, 4)


async def test_a_failing_summariser_fails_the_errand_with_its_words(bench: Bench) -> None:
    agent = await full_agent(bench)
    for settings, type in (
        (summarising({"error": "llm_rate_limit", "message": "slow down"}), "llm_rate_limit"),
        ({"model": "offline/none"}, "llm_bad_request"),
    ):
        run = await ask(bench, agent, **settings)
        assert (run.status, run.stop_reason) == ("failed", "llm_api_error")
        assert run.error is not None
        assert run.error.type == type


async def test_what_is_too_long_for_the_summariser_loses_its_middle(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.compaction.SUMMARISER_SHARE", 0.00001)
    agent = await full_agent(bench)
    await ask(bench, agent, mode="all")
    [asked] = told(bench.requests[-1])
    assert "characters are left out here]" in asked
    assert len(asked) < 200


async def test_without_a_script_an_offline_model_sums_up_what_was_said(bench: Bench) -> None:
    for model in ("offline/extractive", "offline/scripted"):
        agent = await bench.agent(
            model="offline/scripted", compaction_settings={"model": model, "prompt": "Sum up."}
        )
        await bench.tell(agent, says("The office cat Miso was born in 2019 on a cold night."))
        run = await ask(bench, agent, mode="all")
        assert run.result is not None
        assert "Miso" in run.result["summary"]
        await bench.tell(agent, says("The script in the summary is not played again."))
        assert (await bench.history(agent))[-1].plain_text().startswith("The script in")


def message(role: Any, **more: Any) -> Message:
    return Message(id="m", agent_id="a", role=role, content="12345678", created_at=1, **more)


CALLING = message("assistant", tool_calls=[CALL])
RESULT = message("tool", tool_returns=[ToolReturn(tool_call_id="c", name="f", text="ok")])
SUMMARY = message(
    "user",
    compaction=Compaction(
        summary="s", trigger="asked", context_window=1, messages_count_before=1, messages_count_after=1
    ),
)
USER, SAID = message("user"), message("assistant")


@pytest.mark.parametrize(
    ("messages", "share", "goal", "cut"),
    [
        ([USER, SAID] * 5, 0.3, 100, 3),
        ([USER, SAID] * 5, 0.3, 4, 8),
        ([USER, SAID] * 5, 0.3, -1, 10),
        ([USER, CALLING, RESULT, SAID], 0.5, 100, 3),
        ([USER, CALLING, RESULT], 0.3, 100, 1),
        ([USER, SAID, CALLING], 1, -1, 2),
        ([CALLING], 0.3, -1, 0),
        ([SUMMARY], 0.3, -1, 0),
        ([SUMMARY, USER], 0.3, 100, 2),
        ([], 0.3, -1, 0),
    ],
)
def test_a_cut_parts_no_call_from_its_results(
    messages: list[Message], share: float, goal: int, cut: int
) -> None:
    assert cut_of(messages, share, goal, 1) == cut


@pytest.mark.parametrize("more", [False, True])
async def test_whoever_makes_room_behind_a_failed_step_has_the_lease_still(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, more: bool
) -> None:
    """A run that waits is not handed on before that: it would start from what has left the context."""
    agent = await bench.agent(compaction_settings=SETTINGS, context_window_limit=WINDOW, blocks={"notes": ""})
    for _ in range(3):
        await bench.tell(agent, says(LONG))
    as_it_is, tries = bench.loop._compactor.make_room, []

    async def away_at_first(*args: Any, **how: Any) -> Any:
        tries.append(args)
        if len(tries) == 1:
            raise ModelError("llm_server_error", "away")
        return await as_it_is(*args, **how)

    monkeypatch.setattr(bench.loop._compactor, "make_room", away_at_first)
    inserted = call("memory_insert", label="notes", new_string="seen")
    failing = await bench.script(agent, calls(inserted, text=LONG), {"error": "llm_server_error"})
    if more:
        await bench.script(agent, says("second"))
    await bench.carry(agent)
    assert (await bench.service.runs.read(WS, failing.id)).status == "failed"
    assert len(await summaries(bench, agent)) == 1
    if more:
        context = await bench.service.messages.context(WS, agent.id)
        assert len(bench.requests[-1].messages) == len(context) - 2  # the prompt, and what it answered


async def test_whoever_makes_room_behind_a_request_has_the_lease_still(bench: Bench) -> None:
    agent = await careful(bench, compaction_settings=SETTINGS, context_window_limit=WINDOW)
    for _ in range(3):
        await bench.tell(agent, says(LONG))
    run = await bench.tell(agent, calls(NOTE, text=LONG), says("Done."))
    assert run.stop_reason == "requires_approval"
    assert len(await summaries(bench, agent)) == 1
    assert (await bench.state(agent))["status"] == "idle"
