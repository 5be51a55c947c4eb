"""Errands over HTTP: summaries on demand and provider requests shown, while a worker carries them out."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest

from service import runs
from service.bootstrap import Service
from service.records.agents import Agent
from tests.http.conftest import WS
from tests.workers.bench import Bench, Entry, call, calls, says, wait_until

Ask = Callable[..., Awaitable[httpx.Response]]

LONG = "The office cat is called Miso and sleeps on invoice 4711. "


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)


@pytest.fixture
def ask(client: httpx.AsyncClient, bench: Bench) -> Ask:
    """Asks, while a worker carries the agent."""

    async def ask(agent: Agent, rest: str, **sent: Any) -> httpx.Response:
        answers: list[httpx.Response] = []

        async def post() -> None:
            answers.append(await client.post(f"/v1/agents/{agent.id}{rest}", json=sent))

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            await waiting(bench, agent)
            await bench.carry(agent)
        return answers[0]

    return ask


async def waiting(bench: Bench, agent: Agent) -> list[str]:
    """The agent's runs, as soon as it has any."""

    async def there() -> bool:
        return bool(await bench.service.runs.open_ids(WS, agent.id))

    await wait_until("a run waits", there)
    return await bench.service.runs.open_ids(WS, agent.id)


async def talked(bench: Bench, *entries: Entry, **fields: Any) -> Agent:
    agent = await bench.agent(**fields)
    for entry in entries or (says(LONG), says(LONG)):
        await bench.tell(agent, entry)
    return agent


def message(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def test_a_context_is_summed_up_on_demand(ask: Ask, client: httpx.AsyncClient, bench: Bench) -> None:
    agent = await talked(bench)
    answer = await ask(agent, "/summarize", compaction_settings={"mode": "all"})
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"summary", "num_messages_before", "num_messages_after"}
    assert (answer.json()["num_messages_before"], answer.json()["num_messages_after"]) == (5, 2)
    assert "Miso" in answer.json()["summary"]
    listed = (await client.get(f"/v1/agents/{agent.id}/messages")).json()
    assert [one["message_type"] for one in listed[1:]] == [
        *["user_message", "assistant_message"] * 2,
        "summary_message",
    ]
    assert listed[-1]["summary"] == answer.json()["summary"]
    assert listed[-1]["compaction_stats"] == {
        "trigger": "asked",
        "context_window": 128_000,
        "context_tokens_before": listed[-1]["compaction_stats"]["context_tokens_before"],
        "context_tokens_after": listed[-1]["compaction_stats"]["context_tokens_after"],
        "messages_count_before": 5,
        "messages_count_after": 2,
    }
    state = (await client.get(f"/v1/agents/{agent.id}")).json()
    assert state["message_ids"] == [listed[0]["id"], listed[-1]["id"]]


async def test_old_sdks_say_how_many_messages_stay(ask: Ask, bench: Bench) -> None:
    answer = await ask(await talked(bench), "/summarize?max_message_length=1")
    assert (answer.status_code, answer.json()["num_messages_after"]) == (200, 3)


async def test_nothing_to_sum_up_is_400(ask: Ask, bench: Bench) -> None:
    answer = await ask(await bench.agent(), "/summarize")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("INVALID_ARGUMENT: messages: there is too little in context")


async def test_an_unknown_summariser_is_404_and_nothing_begins(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    agent = await bench.agent()
    sent = {"compaction_settings": {"model": "offline/none"}}
    answer = await client.post(f"/v1/agents/{agent.id}/summarize", json=sent)
    assert (answer.status_code, await bench.service.runs.open_ids(WS, agent.id)) == (404, [])


async def test_a_summariser_that_fails_is_an_http_error(ask: Ask, bench: Bench) -> None:
    prompt = f"<script>{json.dumps([{'error': 'llm_rate_limit'}])}</script>"
    answer = await ask(
        await talked(bench), "/summarize", compaction_settings={"mode": "all", "prompt": prompt}
    )
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "llm_rate_limit")


async def test_an_errand_that_is_cancelled_is_a_conflict(client: httpx.AsyncClient, bench: Bench) -> None:
    agent = await talked(bench)
    answers = []

    async def post() -> None:
        answers.append(await client.post(f"/v1/agents/{agent.id}/summarize", json={}))

    async with anyio.create_task_group() as group:
        group.start_soon(post)
        await bench.service.runs.cancel(WS, (await waiting(bench, agent))[0])
    assert answers[0].status_code == 409
    assert "was cancelled before it was done" in answers[0].json()["detail"]


async def test_a_summary_waits_its_turn_behind_what_was_sent_before(ask: Ask, bench: Bench) -> None:
    agent = await talked(bench)
    before = await bench.script(agent, says("In between."))
    answer = await ask(agent, "/summarize", compaction_settings={"mode": "all"})
    assert answer.json()["num_messages_before"] == 7
    assert (await bench.service.runs.read(WS, before.id)).status == "completed"


async def test_the_request_to_a_model_is_shown_and_nothing_enters_the_history(ask: Ask, bench: Bench) -> None:
    agent = await talked(bench, system="Be kind.")
    asked, history = len(bench.requests), len(await bench.history(agent))
    answer = await ask(agent, "/messages/preview-raw-payload", **message("What next?"))
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown["model"] == "scripted"
    assert shown["system"].startswith("Be kind.")
    assert shown["messages"][-1]["content"] == "What next?"
    assert [tool["name"] for tool in shown["tools"]][-1] == "memory_replace"
    assert (len(bench.requests), len(await bench.history(agent))) == (asked, history)
    await bench.tell(agent, says("Hello."))
    assert [one.content for one in bench.requests[-1].messages[:-1]] == [
        one["content"] for one in shown["messages"][:-1]
    ]


async def test_a_preview_takes_the_options_of_a_send(ask: Ask, bench: Bench) -> None:
    skill = {"name": "pdf", "description": "Fills in forms.", "location": "/skills/pdf"}
    agent = await bench.agent(model="offline/extractive")
    sent = {"input": "x", "override_model": "offline/scripted", "client_skills": [skill], "system": "Rhyme."}
    shown = (await ask(agent, "/messages/preview-raw-payload", **sent)).json()
    assert shown["model"] == "scripted"
    assert shown["system"].startswith("Rhyme.\n\n<available_skills>")
    assert "<skill>\n<name>pdf</name>\n<description>Fills in forms.</description>" in shown["system"]


async def test_a_preview_of_a_model_whose_key_is_missing_says_so(ask: Ask, bench: Bench) -> None:
    agent = await bench.agent(model="openai/gpt-4o")
    answer = await ask(agent, "/messages/preview-raw-payload", **message("x"))
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "llm_authentication")


async def test_who_waits_for_a_run_that_no_worker_begins_is_told_so(
    client: httpx.AsyncClient, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BEGUN_WITHIN_S", 0.0)
    monkeypatch.setattr(runs, "LOOK_AGAIN_S", 0.01)
    agent = await bench.agent()
    answer = await client.post(f"/v1/agents/{agent.id}/messages", json=message("x"))
    assert answer.status_code == 504
    assert answer.json()["detail"].startswith("TIMEOUT: no worker has begun run run-")
    assert answer.headers["x-should-retry"] == "false"
    assert len(await bench.service.runs.open_ids(WS, agent.id)) == 1


async def test_a_preview_of_an_answer_is_refused_and_the_request_stays_pending(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    """It would use up the request, and none of the calls would ever be carried out."""
    rule = {"type": "requires_approval", "tool_name": "memory_insert"}
    agent = await bench.agent({"notes": ""}, tool_rules=[rule])
    await bench.tell(agent, calls(call("memory_insert", label="notes", new_string="x")), says("Done."))
    yes = {"messages": [{"type": "approval", "approve": True}]}
    path = f"/v1/agents/{agent.id}/messages"
    answer = await client.post(f"{path}/preview-raw-payload", json=yes)
    assert (answer.status_code, "can only be sent" in answer.json()["detail"]) == (400, True)
    assert await bench.service.approvals.pending(WS, agent.id) is not None
    assert (await client.post(f"{path}/async", json=yes)).status_code == 200
    await bench.carry(agent)
    assert await bench.text("notes") == "\nx"
