"""Budgets: a run without room ends and says why, and nothing of it is half done; wake-ups wait."""

from collections.abc import AsyncIterator

import fakeredis
import pytest

from service.bootstrap import assemble, prepare
from service.queue import PREFIXES
from service.records.agents import Agent, AgentFields
from service.records.budgets import Budget
from service.records.messages import Answer, CallAnswer, NewMessage
from service.records.questions import Question
from service.settings import Settings
from service.store.client import StoreClient
from service.store.keys import key
from service.store.questions import QuestionStore
from service.store.queue import QueueStore
from tests.store.team import raw
from tests.workers.bench import PERSON, WS, Bench, WorkerKilled, call, calls, says
from workers.questions import Questioner
from workers.wakeups import Dispatcher

pytestmark = pytest.mark.anyio

NOTE = call("memory_insert", label="notes", new_string="seen")
TWO = Budget(steps_per_hour=2)
ONE = Budget(steps_per_hour=1)


@pytest.fixture
async def poor(store: StoreClient) -> AsyncIterator[Bench]:
    """A workspace that may make one step an hour."""
    await prepare(store)
    queue = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    service = assemble(Settings(lease_ms=1000, budget_steps=1), store, QueueStore(queue, PREFIXES))
    yield Bench(service)
    await service.bell.close()
    await queue.aclose()


async def uses(bench: Bench, agent: Agent) -> None:
    """The agent has used ten tokens and steps, however it did."""
    redis, name = raw(bench.service.store), key(WS, "agent_spent", agent.id)
    seconds, _ = await redis.time()
    for what in ("tokens", "steps"):
        await redis.hset(name, f"{what}:{int(seconds) // 60}", "10")  # type: ignore[misc]


async def test_a_run_ends_after_the_step_that_used_the_budget_up(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""}, budget=TWO)
    run = await bench.tell(agent, calls(NOTE), calls(NOTE), says("Done."))
    assert (run.status, run.stop_reason, run.step_count) == ("failed", "insufficient_credits", 2)
    assert run.error is not None
    assert run.error.type == "llm_insufficient_credits"
    assert run.error.message.startswith(
        f"the budget of {agent.id} is used up: 2 steps per hour; there is room"
    )
    assert len(bench.requests) == 2
    assert await bench.text("notes") == "\nseen\nseen"
    assert [one.role for one in await bench.messages(run)] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]


async def test_the_next_message_is_refused_before_its_model_is_asked(bench: Bench) -> None:
    agent = await bench.agent(budget=ONE)
    assert (await bench.tell(agent, says("One."))).status == "completed"
    run = await bench.tell(agent, says("Two."))
    assert (run.status, run.stop_reason, run.step_count) == ("failed", "insufficient_credits", 0)
    assert len(bench.requests) == 1
    assert (await bench.state(agent))["status"] == "idle"


async def test_a_workspaces_budget_counts_for_all_of_it(poor: Bench) -> None:
    await poor.tell(await poor.agent(), says("One."))
    run = await poor.tell(await poor.agent(), says("Two."))
    assert run.error is not None
    assert "the budget of this workspace" in run.error.message


async def test_a_failing_model_uses_steps_too(bench: Bench) -> None:
    agent = await bench.agent(budget=ONE)
    assert (await bench.tell(agent, {"error": "llm_error"})).stop_reason == "llm_api_error"
    assert (await bench.tell(agent, says("Two."))).stop_reason == "insufficient_credits"


async def test_a_wake_up_waits_and_is_told_when_there_is_room(bench: Bench) -> None:
    agent = await bench.agent(budget=ONE)
    await bench.block("plan", "one")
    await bench.watch(agent, "plan")
    await bench.tell(agent, says("One."))
    for text in ("two", "three"):
        await bench.edit("plan", "set", text=text)
        await Dispatcher(bench.service).dispatch(WS)
        if (await bench.state(agent))["status"] == "ready":
            await bench.carry(agent)
    [run] = await bench.wakeups(agent)
    assert run.status == "created"
    await bench.service.agents.configure(WS, agent.id, AgentFields(budget=Budget()), PERSON)
    assert [ready.reason for _, ready in await bench.service.leases.sweep()] == ["held"]
    told = await bench.woken_text(agent)
    assert "version 2" in told
    assert "version 3" in told


async def test_a_wake_up_that_was_begun_is_told_even_if_others_used_the_rest(bench: Bench) -> None:
    """Its worker died in its first model call, and meanwhile the budget ran out."""
    agent = await bench.agent(budget=ONE)
    await bench.block("plan", "one")
    await bench.watch(agent, "plan")
    await bench.edit("plan", "set", text="two")
    await Dispatcher(bench.service).dispatch(WS)

    async def dies() -> None:
        raise WorkerKilled

    bench.models.meanwhile[0] = dies
    with pytest.raises(WorkerKilled):
        await bench.carry(agent)
    await uses(bench, agent)
    await bench.take_over(agent)
    [run] = await bench.wakeups(agent)
    assert (run.status, run.step_count) == ("completed", 1)


async def test_calls_that_were_paid_for_are_carried_out_after_a_takeover(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": ""}, budget=Budget(tokens_per_hour=1))
    run = await bench.script(agent, calls(NOTE), says("Done."))

    async def dies(*args: object) -> None:
        await uses(bench, agent)
        raise WorkerKilled

    monkeypatch.setattr(bench.service.blocks, "edit", dies)
    with pytest.raises(WorkerKilled):
        await bench.carry(agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    ended = await bench.service.runs.read(WS, run.id)
    assert (ended.stop_reason, ended.step_count) == ("insufficient_credits", 1)
    assert await bench.text("notes") == "\nseen"


async def test_an_approval_is_carried_out_before_the_model_is_refused(bench: Bench) -> None:
    rules = [{"type": "requires_approval", "tool_name": "memory_insert"}]
    agent = await bench.agent({"notes": ""}, tool_rules=rules, budget=ONE)
    asked = await bench.tell(agent, calls(NOTE))
    assert asked.stop_reason == "requires_approval"
    yes = Answer(calls=[CallAnswer(tool_call_id="call_0", approve=True)])
    word = NewMessage(role="approval", content="", answer=yes)
    run = await bench.service.messages.send(WS, agent.id, [word])
    await bench.carry(agent)
    ended = await bench.service.runs.read(WS, run.id)
    assert (ended.stop_reason, ended.step_count) == ("insufficient_credits", 1)
    assert await bench.text("notes") == "\nseen"


@pytest.mark.parametrize(("kind", "stop"), [("preview", "end_turn"), ("compact", "insufficient_credits")])
async def test_an_errand_that_asks_a_model_needs_room_one_that_asks_none_does_not(
    bench: Bench, kind: str, stop: str
) -> None:
    agent = await bench.agent(budget=ONE)
    await bench.tell(agent, says("One."))
    messages = [NewMessage(content="Hello.")] if kind == "preview" else []
    run = await bench.service.messages.send(WS, agent.id, messages, kind=kind, errand={})
    await bench.carry(agent)
    assert (await bench.service.runs.read(WS, run.id)).stop_reason == stop


async def test_a_question_beside_all_agents_uses_the_workspaces_budget_too(poor: Bench) -> None:
    questioner = Questioner(poor.service, poor.models)
    store = QuestionStore(poor.service.store)
    answers = []
    for id in ("question-1", "question-2"):
        await store.put(WS, id, Question(model="offline/extractive", prompt="Count."), 60)
        await questioner.carry(WS, id)
        answers.append((await store.look(WS, id))[1])
    first, second = answers
    assert first is not None
    assert first.error is None
    assert second is not None
    assert second.error is not None
    assert second.error.type == "llm_insufficient_credits"
    assert "the budget of this workspace is used up: 1 steps per hour" in second.error.message
    used = await poor.service.store.hash(key(WS, "spent"))
    assert sum(int(number) for bucket, number in used.items() if bucket.startswith("steps:")) == 1
    assert sum(int(number) for number in used.values()) > 1
    run = await poor.tell(await poor.agent(), says("One."))
    assert run.stop_reason == "insufficient_credits"
