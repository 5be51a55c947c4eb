"""Runs that fail: at the model, at its handle, or with their workers; what is kept then, and what is not."""

from typing import Any

import pytest

from service.records.agents import AgentFields
from service.records.base import Page
from service.records.runs import Step
from service.settings import Settings
from tests.workers.bench import PERSON, WS, Bench, WorkerKilled, call, calls, says

pytestmark = pytest.mark.anyio

FIND = call("conversation_search", query="x")


@pytest.mark.parametrize(
    ("error", "stop_reason"),
    [
        ("llm_rate_limit", "llm_api_error"),
        ("llm_error", "llm_api_error"),
        ("llm_timeout", "llm_api_error"),
        ("llm_insufficient_credits", "insufficient_credits"),
        ("llm_empty_response", "invalid_llm_response"),
    ],
)
async def test_a_failing_model_fails_the_run_and_says_why(bench: Bench, error: str, stop_reason: str) -> None:
    run = await bench.tell(await bench.agent(), {"error": error, "message": "out of luck"})
    assert (run.status, run.stop_reason) == ("failed", stop_reason)
    assert run.error is not None
    assert (run.error.type, run.error.message) == (error, "out of luck")


async def test_a_failed_first_call_leaves_no_input_in_the_history(bench: Bench) -> None:
    agent = await bench.agent()
    run = await bench.tell(agent, {"error": "llm_error"})
    assert [one.role for one in await bench.history(agent)] == ["system"]
    [step] = await bench.service.runs.steps(WS, run.id)
    assert (step.status, step.stop_reason) == ("failed", "llm_api_error")
    assert step.error == run.error
    assert step.reply is None


async def test_a_later_failure_keeps_the_steps_before_it(bench: Bench) -> None:
    agent = await bench.agent()
    run = await bench.tell(agent, calls(FIND), {"error": "llm_error"})
    assert run.status == "failed"
    assert [one.role for one in await bench.messages(run)] == ["user", "assistant", "tool"]
    assert run.usage.completion_tokens > 0
    assert [one.status for one in await bench.service.runs.steps(WS, run.id)] == ["success", "failed"]


async def test_the_next_message_finds_a_working_agent(bench: Bench) -> None:
    agent = await bench.agent()
    await bench.tell(agent, {"error": "llm_error"})
    assert (await bench.tell(agent, says("Back."))).status == "completed"


@pytest.mark.parametrize(
    ("handle", "type", "says_so"),
    [
        ("openai/gpt-4o-mini", "llm_authentication", "OPENAI_API_KEY is not set"),
        ("anthropic/claude-3-5-sonnet-20241022", "llm_authentication", "ANTHROPIC_API_KEY is not set"),
    ],
)
async def test_a_missing_key_ends_the_run_at_once_and_is_named(
    bench: Bench, handle: str, type: str, says_so: str
) -> None:
    agent = await bench.agent(model=handle)
    run = await bench.tell(agent, says("never"))
    assert (run.status, run.stop_reason) == ("failed", "llm_api_error")
    assert run.error is not None
    assert run.error.type == type
    assert says_so in run.error.message


@pytest.mark.parametrize("handle", ["gone/model", "no-slash"])
async def test_a_handle_that_names_nothing_any_more_fails_the_run(bench: Bench, handle: str) -> None:
    agent = await bench.agent()
    config = {"handle": handle, "model": "x", "model_endpoint_type": "x"}
    await bench.service.agents.configure(WS, agent.id, AgentFields(llm_config=config), PERSON)
    run = await bench.tell(agent, says("never"))
    assert run.error is not None
    assert run.error.type == "llm_bad_request"
    assert handle in run.error.message


async def test_a_run_may_name_another_model(bench: Bench) -> None:
    agent = await bench.agent(model="openai/gpt-4o-mini")
    run = await bench.tell(agent, says("Hello."), override_model="offline/scripted")
    assert run.stop_reason == "end_turn"
    [step] = await bench.service.runs.steps(WS, run.id)
    assert step.model_handle == "offline/scripted"


class TestPatience:
    """A run that keeps killing its workers is given up, and the next one is taken."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(lease_ms=1000, run_tries=2)

    async def test_a_run_that_keeps_losing_workers_is_parked(self, bench: Bench) -> None:
        agent = await bench.agent()
        doomed = await bench.script(agent, says("never said"))
        after = await bench.script(agent, says("next"))
        for worker in ("one", "two"):
            await self.die_in_the_model_call(bench, agent, worker)
        await bench.carry(agent)

        run = await bench.service.runs.read(WS, doomed.id)
        assert (run.status, run.stop_reason) == ("failed", "error")
        assert run.error is not None
        assert run.error.message == "given up after 2 workers were lost in a row at the same step"
        assert (await bench.service.runs.read(WS, after.id)).status == "completed"

    async def test_a_hand_back_does_not_count_as_a_lost_worker(self, bench: Bench) -> None:
        agent = await bench.agent()
        run = await bench.script(agent, says("Hello."))
        for _ in range(5):
            lease = await bench.lease(agent)
            assert await bench.service.leases.next_run(lease) is not None
            await bench.service.leases.give_back(lease)
        await bench.carry(agent)
        assert (await bench.service.runs.read(WS, run.id)).status == "completed"

    @staticmethod
    async def die_in_the_model_call(bench: Bench, agent: Any, worker: str) -> None:
        async def die() -> None:
            raise WorkerKilled

        bench.models.meanwhile[len(bench.requests)] = die
        with pytest.raises(WorkerKilled):
            await bench.new_loop().carry(await bench.lease(agent, worker))
        await bench.lose(agent)


async def test_an_answer_that_is_gone_is_asked_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, says("Hello."))
    lease = await bench.lease(agent)
    await bench.service.leases.next_run(lease)
    gone = Step(id="step-gone", run_id=run.id, agent_id=agent.id, index=0, created_at=0)
    await bench.service.leases.store_answer(lease, gone)

    async def nothing(ws: str, step_id: str) -> None:
        assert step_id == gone.id

    monkeypatch.setattr(bench.service.leases, "step", nothing)
    await bench.take_over(agent)
    assert len(bench.requests) == 1
    assert (await bench.service.runs.read(WS, run.id)).stop_reason == "end_turn"


async def test_a_stored_step_without_an_answer_fails_the_run_instead_of_looping(bench: Bench) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, says("Hello."))
    lease = await bench.lease(agent)
    await bench.service.leases.next_run(lease)
    step = Step(id="step-gone", run_id=run.id, agent_id=agent.id, index=0, created_at=0)
    await bench.service.leases.store_answer(lease, step)
    await bench.take_over(agent)
    ended = await bench.service.runs.read(WS, run.id)
    assert (ended.status, ended.stop_reason) == ("failed", "error")
    assert ended.error is not None
    assert "stored answer" in ended.error.message


async def test_a_run_of_a_deleted_agent_is_cancelled_and_its_worker_stopped(bench: Bench) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, says("Hello."))
    lease = await bench.lease(agent)
    await bench.service.agents.delete(WS, agent.id, PERSON)
    assert await bench.service.leases.renew([lease]) == [lease]
    assert (await bench.service.runs.read(WS, run.id)).status == "cancelled"
    assert await bench.service.runs.find(WS, None, Page()) == []
