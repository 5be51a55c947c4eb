"""Questions: a model asked beside an agent's conversation, who answers, and what happens when nobody does."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest

from service import questions
from service.bootstrap import Service
from service.errors import StoreUnreachable
from service.records.base import Page
from service.records.questions import Answer, Question
from service.records.runs import ModelReply
from service.store.keys import workspace_prefix
from tests.http.conftest import WS
from tests.workers.bench import Bench, call, calls, says, wait_until
from workers import jobs
from workers.models.base import Emit, ModelRequest, ignore
from workers.models.scripted import ScriptedModel
from workers.questions import Questioner

Generate = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)


@pytest.fixture
def asked(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """The jobs that were queued: workspace, question, pool."""
    found: list[tuple[str, str, str]] = []
    put = service.questions._queue.put_answer

    async def noted(ws: str, question_id: str, pool: str) -> None:
        await put(ws, question_id, pool)
        found.append((ws, question_id, pool))

    monkeypatch.setattr(service.questions._queue, "put_answer", noted)
    return found


@pytest.fixture
def generate(client: httpx.AsyncClient, bench: Bench, asked: list[tuple[str, str, str]]) -> Generate:
    """Asks, while a worker answers what was queued."""

    async def generate(agent_id: str, **sent: Any) -> httpx.Response:
        answers: list[httpx.Response] = []

        async def post() -> None:
            answers.append(await client.post(f"/v1/agents/{agent_id}/generate", json=sent))

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            await queued(asked, answers)
            for ws, id, _ in asked:
                ctx = {"questioner": Questioner(bench.service, bench.models), "worker_id": "one"}
                await jobs.answer(ctx, ws, id)
                await jobs.answer(ctx, ws, id)
        return answers[0]

    return generate


async def queued(asked: list[Any], answers: list[Any]) -> None:
    async def there() -> bool:
        return bool(asked or answers)

    await wait_until("the question was queued", there)


def prompt(*entries: Any) -> str:
    return json.dumps({"script": entries})


async def test_a_model_answers_and_no_agent_changes(generate: Generate, bench: Bench) -> None:
    agent = await bench.agent({"notes": "x"}, max_tokens=77, model_settings={"temperature": 0.25})
    before = await bench.history(agent)
    answer = await generate(agent.id, prompt=prompt(says("Miso.")), system_prompt="Be brief.")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["content"], body["model"]) == ("Miso.", "offline/scripted")
    assert (
        body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    )
    [request] = bench.requests
    assert (request.system, request.tools, request.max_tokens, request.temperature) == (
        "Be brief.",
        [],
        77,
        0.25,
    )
    assert await bench.history(agent) == before
    assert await bench.service.runs.find(WS, agent.id, Page()) == []


async def test_it_waits_for_no_run_of_the_agent(generate: Generate, bench: Bench) -> None:
    agent = await bench.agent()
    await bench.script(agent, says("Later."))
    assert (await generate(agent.id, prompt=prompt(says("At once.")))).json()["content"] == "At once."


async def test_nothing_of_it_is_left(generate: Generate, bench: Bench) -> None:
    agent = await bench.agent()
    await generate(agent.id, prompt="Hello.")
    names = await bench.service.store._redis.keys(f"{workspace_prefix(WS)}question:*")
    assert names == []


async def test_the_job_goes_to_the_agents_pool(
    generate: Generate, bench: Bench, asked: list[tuple[str, str, str]]
) -> None:
    agent = await bench.agent(pool="large")
    await generate(agent.id, prompt="Hello.")
    assert [pool for _, _, pool in asked] == ["large"]


async def test_another_model_may_be_named_and_must_be_known(generate: Generate, bench: Bench) -> None:
    agent = await bench.agent(model="offline/extractive", max_tokens=77)
    answer = await generate(agent.id, prompt=prompt(says("Ok.")), override_model="offline/scripted")
    assert (answer.json()["content"], answer.json()["model"]) == ("Ok.", "offline/scripted")
    assert bench.requests[0].max_tokens != 77
    assert (await generate(agent.id, prompt="x", override_model="offline/none")).status_code == 404


async def test_a_schema_makes_the_answer_an_object(generate: Generate, bench: Bench) -> None:
    agent = await bench.agent()
    schema = {"type": "object", "properties": {"cat": {"type": "string"}}}
    script = prompt(calls(call("answer", cat="Miso")))
    answer = await generate(agent.id, prompt=script, response_schema=schema)
    assert json.loads(answer.json()["content"]) == {"cat": "Miso"}
    [request] = bench.requests
    assert request.tool_choice == "required"
    assert [tool.parameters for tool in request.tools] == [schema]


async def test_an_answer_that_does_not_follow_it_is_a_failure(generate: Generate, bench: Bench) -> None:
    agent = await bench.agent()
    answer = await generate(agent.id, prompt=prompt(says("Miso.")), response_schema={"type": "object"})
    assert answer.status_code == 502
    assert "did not answer in the form of response_schema" in answer.json()["detail"]


async def test_a_provider_that_fails_is_502(generate: Generate, bench: Bench) -> None:
    agent = await bench.agent()
    answer = await generate(agent.id, prompt=prompt({"error": "llm_rate_limit", "message": "slow down"}))
    assert (answer.status_code, answer.json()) == (
        502,
        {"detail": "PROVIDER_ERROR: llm_rate_limit: slow down"},
    )
    assert answer.headers["x-should-retry"] == "false"


async def test_a_model_that_a_worker_does_not_know_is_a_failure_too(bench: Bench) -> None:
    questioner = Questioner(bench.service, bench.models)
    room = bench.service.questions
    await room._store.put(WS, "question-1", Question(model="offline/none", prompt="x"), 60)
    await questioner.carry(WS, "question-1")
    _, answer = await room._store.look(WS, "question-1")
    assert answer is not None
    assert answer.error is not None
    assert answer.error.type == "llm_bad_request"


@pytest.mark.parametrize("text", ["", "  \n"])
async def test_a_prompt_must_say_something(client: httpx.AsyncClient, bench: Bench, text: str) -> None:
    agent = await bench.agent()
    answer = await client.post(f"/v1/agents/{agent.id}/generate", json={"prompt": text})
    assert (answer.status_code, "body.prompt" in answer.json()["detail"]) == (422, True)


async def test_when_no_worker_takes_it_that_is_said_and_no_model_is_asked_later(
    client: httpx.AsyncClient,
    bench: Bench,
    asked: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert questions.TAKEN_WITHIN_S == 60
    monkeypatch.setattr(questions, "TAKEN_WITHIN_S", 0.02)
    monkeypatch.setattr(questions, "LOOK_AGAIN_S", 0.01)
    agent = await bench.agent()
    answer = await client.post(f"/v1/agents/{agent.id}/generate", json={"prompt": "x"})
    assert answer.status_code == 504
    assert answer.json()["detail"].startswith("TIMEOUT: no worker took this within")
    await Questioner(bench.service, bench.models).carry(WS, asked[0][1])
    assert bench.requests == []


async def test_a_worker_that_is_lost_with_it_leaves_a_time_out(
    client: httpx.AsyncClient,
    bench: Bench,
    asked: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(questions, "TAKEN_WITHIN_S", 0.05)
    monkeypatch.setattr(questions, "LOOK_AGAIN_S", 0.01)
    monkeypatch.setattr(bench.service.questions, "_answered_within_s", 0.05)
    agent = await bench.agent()
    answers = []

    async def post() -> None:
        answers.append(await client.post(f"/v1/agents/{agent.id}/generate", json={"prompt": "x"}))

    async with anyio.create_task_group() as group:
        group.start_soon(post)
        await queued(asked, answers)
        assert await bench.service.questions.take(WS, asked[0][1]) is not None
    assert answers[0].status_code == 504
    assert "was lost" in answers[0].json()["detail"]


async def test_an_answer_that_nobody_waits_for_is_dropped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = bench.service.questions
    await room._store.put(WS, "question-1", Question(model="offline/scripted", prompt="x"), 60)
    answer = ScriptedModel.answer

    async def meanwhile(model: ScriptedModel, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        await room._store.drop(WS, "question-1")
        return await answer(model, request, emit)

    monkeypatch.setattr(ScriptedModel, "answer", meanwhile)
    await Questioner(bench.service, bench.models).carry(WS, "question-1")
    assert await room.answer(WS, "question-1", Answer()) is False


async def test_a_worker_whose_store_is_away_leaves_the_question(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnreachable("the store does not answer")

    monkeypatch.setattr(bench.service.questions, "take", away)
    ctx = {"questioner": Questioner(bench.service, bench.models), "worker_id": "one"}
    await jobs.answer(ctx, WS, "question-1")
    assert bench.requests == []
